const FIRST_MS = 1_000;
const LONGEST_MS = 20_000;

/**
 * How long to wait before the attempt of that number, the first being 0. It doubles up to a bound, and is spread, so
 * that the clients of a server that restarts do not come back all at once.
 */
export function delayBefore(attempt: number, random: () => number = Math.random): number {
  const delay = Math.min(FIRST_MS * 2 ** Math.min(attempt, 16), LONGEST_MS);
  return Math.round(delay * (0.5 + random() / 2));
}

/** The seconds of a countdown: whole ones, and never "0" while there is still some time. */
export function secondsUntil(at: number, now: number): number {
  return Math.max(0, Math.ceil((at - now) / 1000));
}
