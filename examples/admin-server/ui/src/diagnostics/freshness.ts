/** Snapshots come every two seconds: three missed ones and the figures are old. */
export const STALE_AFTER_MS = 6000;

export interface Freshness {
  stale: boolean;
  /** Undefined before the first snapshot. */
  ageSec: number | undefined;
}

/** Counted by this machine's clock from when the snapshot came: the server's clock may differ. */
export function freshness(receivedAt: number | undefined, now: number, connected: boolean): Freshness {
  if (receivedAt === undefined) return { stale: false, ageSec: undefined };
  const age = Math.max(0, now - receivedAt);
  return { stale: !connected || age > STALE_AFTER_MS, ageSec: Math.floor(age / 1000) };
}

/** How much later than usual the answer to a poll may be. */
const PATIENCE_MS = 10_000;

/** Whether the next figures should have been there by now: a page in the background or without a network does not ask. */
export function isOld(receivedAt: number | undefined, now: number, everyMs: number): boolean {
  return receivedAt !== undefined && now - receivedAt > everyMs + PATIENCE_MS;
}
