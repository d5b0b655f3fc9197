import { lazy, type ComponentType, type LazyExoticComponent } from "react";

export interface Route {
  path: string;
  title: string;
  adminsOnly: boolean;
  /** Whether the screen fills the window and scrolls its own lists. */
  fills: boolean;
  Screen: LazyExoticComponent<ComponentType>;
}

export const ROUTES: readonly Route[] = [
  { path: "/chat", title: "Chat", adminsOnly: false, fills: true, Screen: lazy(() => import("../chat/ChatPage")) },
  {
    path: "/diagnostics",
    title: "Diagnostics",
    adminsOnly: false,
    fills: false,
    Screen: lazy(() => import("../diagnostics/DiagnosticsPage")),
  },
  { path: "/logs", title: "Logs", adminsOnly: true, fills: true, Screen: lazy(() => import("../logs/LogsPage")) },
  {
    path: "/connections",
    title: "Connections",
    adminsOnly: true,
    fills: false,
    Screen: lazy(() => import("../connections/ConnectionsPage")),
  },
];

/** The screen of a path; the first page is the chat. */
export function routeOf(pathname: string): Route | undefined {
  const path = pathname === "/" ? "/chat" : pathname.replace(/\/+$/, "");
  return ROUTES.find((route) => route.path === path);
}
