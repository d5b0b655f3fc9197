import { ScreenFile } from "./screenFile";

export interface Route {
  path: string;
  title: string;
  adminsOnly: boolean;
  /** Whether the screen fills the window and scrolls its own lists. */
  fills: boolean;
  file: ScreenFile;
}

export const ROUTES: readonly Route[] = [
  { path: "/chat", title: "Chat", adminsOnly: false, fills: true, file: new ScreenFile(() => import("../chat/ChatPage")) },
  {
    path: "/diagnostics",
    title: "Diagnostics",
    adminsOnly: false,
    fills: false,
    file: new ScreenFile(() => import("../diagnostics/DiagnosticsPage")),
  },
  { path: "/logs", title: "Logs", adminsOnly: true, fills: true, file: new ScreenFile(() => import("../logs/LogsPage")) },
  {
    path: "/connections",
    title: "Connections",
    adminsOnly: true,
    fills: false,
    file: new ScreenFile(() => import("../connections/ConnectionsPage")),
  },
];

export const LOGIN = new ScreenFile(() => import("../login/LoginPage"));

/**
 * Loads the screens that the user can go to: they are there also when the server is away, or has another version, by
 * then. What does not come now is loaded by the click.
 */
export function loadAll(admin: boolean): void {
  for (const { file, adminsOnly } of ROUTES) if (admin || !adminsOnly) file.load().catch(() => undefined);
}

/** The screen of a path; the first page is the chat. */
export function routeOf(pathname: string): Route | undefined {
  const path = pathname === "/" ? "/chat" : pathname.replace(/\/+$/, "");
  return ROUTES.find((route) => route.path === path);
}
