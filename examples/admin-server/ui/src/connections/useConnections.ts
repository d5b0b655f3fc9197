import { useEffect, useMemo, useState } from "react";
import useSWR from "swr";
import { request, useConnection } from "../common/socket";
import { merged, readListing, searchWord, type Listing } from "./rows";

const EVERY_MS = 5000;
/** Not each letter that is typed is worth a question to all nodes. */
const SETTLED_MS = 300;

export interface Connections {
  /** Undefined until the first answer. */
  listing: Listing | undefined;
  error: Error | undefined;
  connected: boolean;
  loading: boolean;
  refresh: () => Promise<unknown>;
}

const fetchListing = async ([event, text]: [event: string, text: string]): Promise<Listing> =>
  readListing(await request<unknown>(event, text ? { text } : {}));

/**
 * Asks for the connections of all nodes every five seconds, as long as there is a connection to ask over. When there
 * are more than a list can have, the server looks for the rest of what `query` wants.
 */
export function useConnections(query: string): Connections {
  const { status } = useConnection();
  const connected = status === "connected";
  const options = { refreshInterval: EVERY_MS, keepPreviousData: true };
  const listed = useSWR<Listing, Error>(connected ? ["connections:list", ""] : null, fetchListing, options);
  const word = useSettled(searchWord(query));
  const more = connected && listed.data?.truncated === true && word !== "";
  const found = useSWR<Listing, Error>(more ? ["connections:list", word] : null, fetchListing, { refreshInterval: EVERY_MS });
  const listing = useMemo(
    () => listed.data && { ...listed.data, connections: merged(listed.data.connections, found.data?.connections ?? []) },
    [listed.data, found.data],
  );
  return {
    listing,
    error: listed.error ?? found.error,
    connected,
    loading: listed.isValidating || found.isValidating,
    refresh: () => Promise.all([listed.mutate(), found.mutate()]),
  };
}

function useSettled(value: string): string {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), SETTLED_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}
