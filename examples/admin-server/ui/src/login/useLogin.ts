import useSWR from "swr";
import { getJson } from "../common/api";
import { AT_ONCE, fetchMe, type Me } from "../common/me";

interface Login {
  me: Me | undefined;
  /** Whether it is not known yet. */
  asking: boolean;
}

/** Whether somebody is logged in by now; whoever comes back from another tab may be. */
export function useLogin(): Login {
  const { data, isLoading } = useSWR<Me | undefined>("login", ask, { ...AT_ONCE, shouldRetryOnError: false });
  return { me: data, asking: isLoading };
}

async function ask(): Promise<Me | undefined> {
  // Asked for who one is, the server answers whoever is nobody with an error, which the browser reports.
  const { authenticated } = await getJson<{ authenticated?: unknown }>("/api/diag");
  return authenticated === true ? fetchMe() : undefined;
}
