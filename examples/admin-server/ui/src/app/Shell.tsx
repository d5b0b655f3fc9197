import { useEffect } from "react";
import { startFeed, useUnreadTotal } from "../chat/feed";
import { connect, useConnection } from "../common/socket";
import { useFollowedMe, useMeState, type Me } from "../common/me";
import { EmptyState, ErrorState, Loading } from "../common/ui";
import { ConnectionBanner } from "./ConnectionBanner";
import { Header } from "./Header";
import { loginPath } from "./paths";
import { Link, navigate } from "./router";
import { loadAll, routeOf } from "./routes";
import { ScreenPlace } from "./ScreenPlace";

/** The first screen goes before the others' files. */
const LOAD_ALL_AFTER_MS = 1_000;

/** The page of who is logged in; who is not goes to the login. */
export function Shell({ path }: { path: string }) {
  const { me, error, retry } = useMeState();
  const loggedOut = error?.status === 401;
  useEffect(() => {
    if (loggedOut) goToLogin();
  }, [loggedOut]);

  if (me && !loggedOut) return <Page me={me} path={path} />;
  return (
    <main>
      <h1 className="visually-hidden">Slime Admin</h1>
      {error && !loggedOut ? (
        <ErrorState title="The page cannot be shown" message={error.message} onRetry={retry} />
      ) : (
        <Loading />
      )}
    </main>
  );
}

function Page({ me, path }: { me: Me; path: string }) {
  const connection = useConnection();
  const unread = useUnreadTotal();
  const route = routeOf(path);
  const { status, reason } = connection;

  // An attempt to connect asks who one is by itself, and after the end of a session there is nothing to ask for.
  useFollowedMe(status === "connected" || status === "refused");
  useEffect(() => {
    startFeed(me);
    // Who was refused for having no guild may have one by now; after the end of a session only the user connects again.
    if (status !== "ended") connect();
  }, [me]);
  useEffect(() => {
    const timer = setTimeout(() => loadAll(me.role === "admin"), LOAD_ALL_AFTER_MS);
    return () => clearTimeout(timer);
  }, [me.role]);
  useEffect(() => {
    if (status === "refused" && reason === "not_authorized") goToLogin();
  }, [status, reason]);
  useEffect(() => {
    document.title = `${unread > 0 ? `(${unread}) ` : ""}${route?.title ?? "Not found"} · Slime Admin`;
  }, [unread, route]);

  return (
    <div className={`app ${route?.fills ? "app-fills" : ""}`}>
      <a className="app-skip" href="#main">
        Skip to the content
      </a>
      <Header me={me} current={route} unread={unread} />
      <ConnectionBanner connection={connection} />
      <main id="main" tabIndex={-1}>
        {route ? <ScreenPlace key={route.path} title={route.title} file={route.file} /> : <NotFound />}
      </main>
    </div>
  );
}

function NotFound() {
  return (
    <>
      <h1 className="visually-hidden">Not found</h1>
      <EmptyState title="There is no such page">
        <Link href="/">To the chat</Link>
      </EmptyState>
    </>
  );
}

function goToLogin(): void {
  navigate(loginPath(location.pathname + location.search), { replace: true });
}
