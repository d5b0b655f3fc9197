import { useMemo } from "react";
import useSWR from "swr";
import { request, useConnection } from "../common/socket";
import { merged, readListing, roomsAreCut, searchWord, type Found, type Listing } from "./rows";

const EVERY_MS = 5000;

export interface Connections {
  /** Undefined until the first answer. */
  listing: Listing | undefined;
  /** What the server was asked for beyond the list. */
  found: Found | undefined;
  error: Error | undefined;
  connected: boolean;
  refresh: () => Promise<unknown>;
}

const fetchListing = async ([event, text]: [event: string, text: string]): Promise<Listing> =>
  readListing(await request<unknown>(event, text ? { text } : {}));

/**
 * Asks for the connections of all nodes every five seconds, as long as there is a connection to ask over. When there
 * are more than a list can have, or more rooms, the server looks for the rest of what `query` wants.
 */
export function useConnections(query: string): Connections {
  const { status } = useConnection();
  const connected = status === "connected";
  const options = { refreshInterval: EVERY_MS, keepPreviousData: true };
  const listed = useSWR<Listing, Error>(connected ? ["connections:list", ""] : null, fetchListing, options);
  const word = searchWord(query);
  const isCut = useMemo(() => listed.data !== undefined && (listed.data.truncated || roomsAreCut(listed.data.connections)), [listed.data]);
  const more = connected && isCut && word !== "";
  const answer = useSWR<Listing, Error>(more ? ["connections:list", word] : null, fetchListing, { refreshInterval: EVERY_MS });
  const listing = useMemo(
    () => listed.data && { ...listed.data, connections: merged(listed.data.connections, answer.data?.connections ?? []) },
    [listed.data, answer.data],
  );
  const found = useMemo(
    () => answer.data && { word, socketIds: new Set(answer.data.connections.map(({ socketId }) => socketId)) },
    [answer.data, word],
  );
  return {
    listing,
    found,
    error: listed.error ?? answer.error,
    connected,
    refresh: () => Promise.all([listed.mutate(), answer.mutate()]),
  };
}
