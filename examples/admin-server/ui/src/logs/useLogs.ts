import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import { request, socket, useConnection } from "../common/socket";
import { readBatch, type LogBatch } from "./entry";
import { subscription, type LogFilter } from "./filter";
import { LogStore, type LogView } from "./store";

export interface Logs {
  store: LogStore;
  view: LogView;
  /** Undefined until the server answered the first time. */
  ready: boolean;
  connected: boolean;
  error: Error | undefined;
  retry: () => void;
}

/** Follows the server's log: subscribes, and again after each reconnect and each change of the filter. */
export function useLogs(filter: LogFilter): Logs {
  const { epoch, status } = useConnection();
  const connected = status === "connected";
  const [store] = useState(() => new LogStore());
  const view = useSyncExternalStore(store.subscribe, store.view);
  const [ready, setReady] = useState(false);
  const [error, setError] = useState<Error>();
  const [attempt, setAttempt] = useState(0);
  const failures = useRef(0);

  // What is here of another filter is there at once, also without a connection.
  useEffect(() => store.show(filter), [store, filter]);

  useEffect(() => {
    if (!connected) return;
    let answered = false;
    let over = false;
    const stop = (): void => {
      over = true;
      socket().off("log:entries", receive);
    };
    const early: LogBatch[] = [];
    const receive = (payload: unknown): void => {
      const batch = readBatch(payload);
      if (answered) store.add(batch);
      else early.push(batch);
    };
    const begin = async (): Promise<void> => {
      const ack = await request<unknown>("logs:subscribe", subscription(filter));
      if (over) return;
      answered = true;
      store.begin(filter, readBatch(ack), `${epoch}.${failures.current}`);
      early.forEach((batch) => store.addEarly(batch));
      setError(undefined);
      setReady(true);
    };
    socket().on("log:entries", receive);
    begin().catch((reason: unknown) => {
      if (over) return;
      // Nobody knows what is missing from here on: as after a connection that was lost.
      stop();
      failures.current += 1;
      setError(reason instanceof Error ? reason : new Error(String(reason)));
    });
    return stop;
  }, [store, filter, connected, epoch, attempt]);

  // Another filter replaces the subscription; only leaving the screen ends it.
  useEffect(
    () => () => {
      if (socket().connected) socket().emit("logs:unsubscribe", {});
    },
    [],
  );

  return { store, view, ready, connected, error, retry: () => setAttempt((before) => before + 1) };
}
