import useSWR from "swr";
import { request, useConnection } from "../shared/socket";
import { readListing, type Listing } from "./rows";

const EVERY_MS = 5000;

export interface Connections {
  /** Undefined until the first answer. */
  listing: Listing | undefined;
  error: Error | undefined;
  connected: boolean;
  loading: boolean;
  refresh: () => Promise<unknown>;
}

const fetchListing = async (event: string): Promise<Listing> => readListing(await request<unknown>(event, {}));

/** Asks for the connections of all nodes every five seconds, as long as there is a connection to ask over. */
export function useConnections(): Connections {
  const { status } = useConnection();
  const connected = status === "connected";
  const { data, error, isValidating, mutate } = useSWR<Listing, Error>(connected ? "connections:list" : null, fetchListing, {
    refreshInterval: EVERY_MS,
    keepPreviousData: true,
  });
  return { listing: data, error, connected, loading: isValidating, refresh: () => mutate() };
}
