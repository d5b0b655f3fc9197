import { useEffect, useState } from "react";
import { secondsUntil } from "../common/backoff";
import type { ConnectionState } from "../common/connection";
import { connect } from "../common/socket";
import { useKeptFocus } from "../common/useKeptFocus";
import { useNow } from "../common/useNow";
import { Button } from "../common/ui";
import { bannerText } from "./banner";
import { loginPath } from "./paths";

/** A connection is usually there within that time; before, there is nothing to say. */
const PATIENCE_MS = 1_000;

/** Says what is wrong with the connection, and offers what can be done. */
export function ConnectionBanner({ connection }: { connection: ConnectionState }) {
  const { status, retryAt } = connection;
  const now = useNow(status === "reconnecting" && retryAt !== undefined);
  const waited = useWaited(status === "connecting");
  const text = status === "connecting" && !waited ? undefined : bannerText(connection);
  const kept = useKeptFocus(() => document.getElementById("main"));
  const severe = status === "ended" || status === "refused";
  return (
    // It is always there, since what comes together with its text is not announced.
    <section
      {...kept}
      aria-label="Connection"
      className={text === undefined ? "" : `app-banner ${severe ? "app-banner-severe" : ""}`}
    >
      <span role="status">{text}</span>
      {status === "reconnecting" && retryAt !== undefined && (
        <span className="app-countdown">{` Next attempt in ${secondsUntil(retryAt, now)} s.`}</span>
      )}
      {/* It stays during an attempt: whoever has the focus on it keeps it. */}
      {status === "reconnecting" && <Button onClick={connect}>Connect now</Button>}
      {status === "ended" && connection.reason === "disconnected" && <Button onClick={connect}>Connect again</Button>}
      {status === "ended" && connection.reason !== "disconnected" && (
        <a href={loginPath(location.pathname + location.search)}>Log in again</a>
      )}
      {status === "refused" && <Button onClick={connect}>Try again</Button>}
    </section>
  );
}

function useWaited(waiting: boolean): boolean {
  const [waited, setWaited] = useState(false);
  useEffect(() => {
    if (!waiting) return;
    const timer = setTimeout(() => setWaited(true), PATIENCE_MS);
    return () => {
      clearTimeout(timer);
      setWaited(false);
    };
  }, [waiting]);
  return waited;
}
