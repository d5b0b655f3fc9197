/** Where to go back to after a login: a path on this server, or nothing. */
export function safeReturnTo(value: string | null, origin: string): string | undefined {
  if (!value?.startsWith("/")) return undefined;
  // A URL parser drops tabs and turns backslashes around, so it has to say where the path leads.
  if (!URL.canParse(value, origin)) return undefined;
  const url = new URL(value, origin);
  // `/x/..//host` stays here only until its path, by then `//host`, is read once more.
  if (url.origin !== origin || url.pathname.startsWith("//") || url.pathname === "/login") return undefined;
  return url.pathname + url.search + url.hash;
}

/** The login page, that leads back to that path. */
export function loginPath(from: string): string {
  return from === "/" || from.startsWith("/login") ? "/login" : `/login?returnTo=${encodeURIComponent(from)}`;
}
