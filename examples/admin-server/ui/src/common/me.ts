import useSWR from "swr";
import { ApiError, getJson } from "./api";

export type Role = "member" | "club" | "admin";

export interface Guild {
  id: string;
  name?: string | null;
  roles: string[];
}

/** Who is logged in. */
export interface Me {
  id: string;
  username: string | null;
  globalName: string | null;
  avatar: string | null;
  role: Role;
  guilds: Guild[];
}

export interface MeState {
  me: Me | undefined;
  error: ApiError | undefined;
  retry: () => void;
}

/** Who is logged in, and why that is not known. */
export function useMeState(): MeState {
  const { data, error, mutate } = useSWR<Me, ApiError>("/api/auth/me", getJson, {
    // Who is logged out stays so until a login, and that loads the page anew.
    shouldRetryOnError: (failure) => failure.status !== 401,
    dedupingInterval: 10_000,
  });
  return { me: data, error, retry: () => void mutate() };
}

export function useMe(): Me | undefined {
  return useMeState().me;
}

export function displayName({ globalName, username, id }: Pick<Me, "globalName" | "username" | "id">): string {
  return globalName || username || id;
}
