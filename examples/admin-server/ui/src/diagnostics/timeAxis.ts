import { HISTORY_MS } from "./history";

/** The shortest time that a chart spans. */
const LEAST_SEC = 120;
/** Pixels between two times on the axis, at least. */
export const TIME_SPACE = 56;
/**
 * Seconds between two times on the axis: whole minutes, since that is what is written there. For each span between the
 * shortest and the whole history one of them leaves that space and is at most half of it, also on a telephone: at
 * least two times are shown.
 */
export const TIME_STEPS = [60, 120, 180, 300, 600];

/** The last quarter of an hour, or what there is of it: the first minutes of a server would be a line at the edge. */
export function timeRange(times: ArrayLike<number>): [from: number, to: number] {
  const newest = times[times.length - 1] ?? Date.now() / 1000;
  const oldest = times[0] ?? newest;
  return [Math.max(newest - HISTORY_MS / 1000, Math.min(oldest, newest - LEAST_SEC)), newest];
}
