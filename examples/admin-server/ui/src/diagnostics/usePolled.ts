import useSWR from "swr";
import { getJson } from "../common/api";
import { isOld } from "./freshness";
import { useSeconds } from "./useSeconds";

interface Received<T> {
  value: T;
  /** By this machine's clock. */
  at: number;
}

export interface Polled<T> {
  received: Received<T> | undefined;
  error: Error | undefined;
  /** Whether what was received is not what the server would say now. */
  old: boolean;
  retry: () => void;
}

/** Figures of a route that is asked again and again; the last ones stay when it fails. */
export function usePolled<T>(path: string, everyMs: number, read: (body: unknown) => T): Polled<T> {
  const fetchFigures = async (asked: string): Promise<Received<T>> => ({ value: read(await getJson<unknown>(asked)), at: Date.now() });
  const { data, error, mutate } = useSWR<Received<T>, Error>(path, fetchFigures, { refreshInterval: everyMs });
  const now = useSeconds();
  return { received: data, error, old: error !== undefined || isOld(data?.at, now, everyMs), retry: () => void mutate() };
}
