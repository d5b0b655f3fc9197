import useSWR, { mutate as mutateAny, type SWRConfiguration } from "swr";
import { ApiError, getJson } from "./api";
import { Identity } from "./identity";

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

/** Whoever comes back from another tab may be somebody else by now, however short they were away. */
export const AT_ONCE = { focusThrottleInterval: 0, dedupingInterval: 0 };

const FOLLOWED_EVERY_MS = 60_000;

const PATH = "/api/auth/me";

/** What the page knows is of the user with whom it began. */
export const identity = new Identity(() => location.reload());

/** Asks who is logged in. When that is somebody else than before, the page goes and there is no answer. */
export async function fetchMe(): Promise<Me> {
  const me = await getJson<Me>(PATH);
  return identity.isStill(me.id) ? me : new Promise(() => undefined);
}

const OPTIONS: SWRConfiguration<Me, ApiError> = {
  // Who is logged out stays so until a login, and that loads the page anew.
  shouldRetryOnError: (failure) => failure.status !== 401,
  ...AT_ONCE,
};

/** Who is logged in, and why that is not known. */
export function useMeState(): MeState {
  const { data, error, mutate } = useSWR<Me, ApiError>(PATH, fetchMe, OPTIONS);
  return { me: data, error, retry: () => void mutate() };
}

/** Asks again now and then while somebody looks: the server does not tell when a user may see more, or less. */
export function useFollowedMe(following: boolean): void {
  useSWR<Me, ApiError>(PATH, fetchMe, { ...OPTIONS, refreshInterval: following ? FOLLOWED_EVERY_MS : 0 });
}

export function useMe(): Me | undefined {
  return useMeState().me;
}

/** Has the page follow: the user may be less, or more, than they were. */
export function refreshMe(): void {
  void mutateAny(PATH);
}

/** The same, for what has to wait for it; says whether it is known who is here, nobody included. */
export async function checkMe(): Promise<boolean> {
  try {
    await mutateAny(PATH, await fetchMe(), { revalidate: false });
    return true;
  } catch (reason) {
    return reason instanceof ApiError && (reason.status === 401 || reason.status === 403);
  }
}

export function displayName({ globalName, username, id }: Pick<Me, "globalName" | "username" | "id">): string {
  return globalName || username || id;
}
