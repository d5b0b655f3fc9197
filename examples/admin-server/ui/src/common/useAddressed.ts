import { useEffect, useLayoutEffect, useMemo, useState } from "react";

const SETTLED_MS = 300;

export interface Addressed<T> {
  /** As chosen and typed. */
  draft: T;
  /** As it stands in the page's address: not each letter that is typed is worth a question to the server. */
  settled: T;
  change: (part: Partial<T>) => void;
}

/** The last query of each path: the menu's links have none. */
const remembered = new Map<string, string>();

/**
 * What a screen keeps in the page's address: it survives a reload, can be sent to someone, and is there again when one
 * comes back by the menu. `read` and `write` turn it from and into a query, and are always the same functions.
 */
export function useAddressed<T>(read: (query: string) => T, write: (query: string, value: T) => string): Addressed<T> {
  const [path] = useState(() => location.pathname);
  const [query, setQuery] = useState(() => location.search || (remembered.get(path) ?? ""));
  const [pending, setPending] = useState<T>();
  const settled = useMemo(() => read(query), [read, query]);
  const draft = pending ?? settled;

  // Before anything is seen: address and screen never disagree.
  useLayoutEffect(() => {
    if (location.pathname !== path) return;
    remembered.set(path, query);
    if (location.search !== query) history.replaceState(history.state, "", path + query + location.hash);
  }, [path, query]);

  // The browser's Back can lead to another query of the same screen.
  useEffect(() => {
    const follow = (): void => {
      if (location.pathname !== path || location.search === query) return;
      setPending(undefined);
      setQuery(location.search);
    };
    addEventListener("popstate", follow);
    return () => removeEventListener("popstate", follow);
  }, [path, query]);

  useEffect(() => {
    if (pending === undefined) return;
    const timer = setTimeout(() => {
      setQuery((before) => write(before, pending));
      setPending(undefined);
    }, SETTLED_MS);
    return () => clearTimeout(timer);
  }, [pending, write]);

  const change = (part: Partial<T>): void => {
    const next = { ...draft, ...part };
    // At once: who leaves within a moment finds it all the same.
    remembered.set(path, write(query, next));
    setPending(next);
  };
  return { draft, settled, change };
}
