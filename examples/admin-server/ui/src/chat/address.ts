/** The guild that a page's address names. */
export function guildOf(search: string): string | undefined {
  return new URLSearchParams(search).get("guild") || undefined;
}

/** The query of an address that names that guild. */
export function queryWithGuild(search: string, guildId: string): string {
  const query = new URLSearchParams(search);
  query.set("guild", guildId);
  return `?${query}`;
}
