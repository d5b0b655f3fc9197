/** The guild so many steps further in the list, which begins again at its end. */
export function neighbour(guildIds: readonly string[], active: string | undefined, step: number): string | undefined {
  const { length } = guildIds;
  const at = active === undefined ? -1 : guildIds.indexOf(active);
  if (length === 0) return undefined;
  return at < 0 ? guildIds[0] : guildIds[(at + step + length) % length];
}
