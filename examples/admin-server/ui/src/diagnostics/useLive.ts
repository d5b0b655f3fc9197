import { useEffect, useState } from "react";
import { request, socket, useConnection } from "../common/socket";
import { freshness, type Freshness } from "./freshness";
import { useSeconds } from "./useSeconds";
import { NOTHING, withAnswer, withSnapshot, type Live } from "./live";

export interface LiveFigures extends Live, Freshness {
  error: Error | undefined;
  retry: () => void;
}

/** Subscribes to the snapshots while the screen is open, and again after each reconnect. */
export function useLive(): LiveFigures {
  const { epoch, status } = useConnection();
  const connected = status === "connected";
  const [live, setLive] = useState(NOTHING);
  const [error, setError] = useState<Error>();
  const [attempt, setAttempt] = useState(0);
  const now = useSeconds();

  useEffect(() => {
    if (!connected) return;
    let over = false;
    const receive = (payload: unknown): void => setLive((before) => withSnapshot(before, payload, Date.now()));
    const begin = async (): Promise<void> => {
      const ack = await request<unknown>("diag:subscribe", {});
      if (over) return;
      setLive((before) => withAnswer(before, ack, Date.now()));
      setError(undefined);
    };
    socket().on("diag:snapshot", receive);
    begin().catch((reason: unknown) => {
      if (!over) setError(reason instanceof Error ? reason : new Error(String(reason)));
    });
    return () => {
      over = true;
      socket().off("diag:snapshot", receive);
    };
  }, [connected, epoch, attempt]);

  useEffect(
    () => () => {
      if (socket().connected) socket().emit("diag:unsubscribe", {});
    },
    [],
  );

  return { ...live, ...freshness(live.receivedAt, now, connected), error, retry: () => setAttempt((before) => before + 1) };
}
