import { useEffect } from "react";
import type { ConnectionStatus } from "../common/connection";
import { refreshMe } from "../common/me";

const EVERY_MS = 60_000;

/** The server does not tell when it gives a user more, or takes something away: whoever looks at the page is asked for now and then. */
export function useAccess(status: ConnectionStatus): void {
  // An attempt to connect asks by itself, and after the session there is nothing to ask for.
  const asking = status === "connected" || status === "refused";
  useEffect(() => {
    if (!asking) return;
    const timer = setInterval(() => {
      if (!document.hidden) refreshMe();
    }, EVERY_MS);
    return () => clearInterval(timer);
  }, [asking]);
}
