import type { History } from "./history";
import type { Snapshot } from "./snapshot";

export type Reader = (snapshot: Snapshot) => number | undefined;
export type Series = readonly (number | null)[];

export const MINUTE_MS = 60_000;
/** A longer silence between two snapshots is a hole, not a line. */
const HOLE_MS = 10_000;
/** A comparison with something this much older than asked for would be another comparison. */
const TOLERANCE_MS = 15_000;

export function broken(before: Snapshot, after: Snapshot): boolean {
  return before.process !== after.process || after.at - before.at > HOLE_MS;
}

export function gauge(history: History, read: Reader): Series {
  return history.map((snapshot) => read(snapshot) ?? null);
}

/**
 * How fast a counter grew, per second, over the `windowMs` before each snapshot. A counter that falls belongs to a
 * server that was started again: what was counted before does not count.
 */
export function rate(history: History, windowMs: number, read: Reader): Series {
  return history.map((snapshot, index) => {
    const now = read(snapshot);
    if (now === undefined) return null;
    let first = snapshot;
    let least = now;
    for (let back = index - 1; back >= 0; back -= 1) {
      const before = history[back];
      const count = before && read(before);
      if (!before || count === undefined || count > least || before.process !== snapshot.process) break;
      if (snapshot.at - before.at > windowMs) break;
      first = before;
      least = count;
    }
    return first === snapshot ? null : ((now - least) * 1000) / (snapshot.at - first.at);
  });
}

export function scaled(series: Series, factor: number): Series {
  return series.map((value) => value === null ? null : value * factor);
}

export function last(series: Series): number | undefined {
  return series.at(-1) ?? undefined;
}

/** How much the newest value differs from the one a minute before; undefined as long as nothing is known of then. */
export function changeOverMinute(history: History, series: Series): number | undefined {
  const newest = history.at(-1);
  const value = last(series);
  if (!newest || value === undefined) return undefined;
  const index = history.findLastIndex(({ at }) => at <= newest.at - MINUTE_MS);
  const then = history[index];
  const before = series[index] ?? undefined;
  if (!then || before === undefined) return undefined;
  if (then.process !== newest.process || newest.at - MINUTE_MS - then.at > TOLERANCE_MS) return undefined;
  return value - before;
}

export interface Plot {
  /** Unix times in seconds. */
  times: readonly number[];
  lines: readonly Series[];
}

/** What is drawn: the lines end where the snapshots stop or another process answers, and begin again after it. */
export function plot(history: History, lines: readonly Series[]): Plot {
  const times: number[] = [];
  const drawn: (number | null)[][] = lines.map(() => []);
  history.forEach((snapshot, index) => {
    const before = history[index - 1];
    if (before && broken(before, snapshot)) {
      times.push((before.at + snapshot.at) / 2000);
      drawn.forEach((line) => line.push(null));
    }
    times.push(snapshot.at / 1000);
    drawn.forEach((line, of) => line.push(lines[of]?.[index] ?? null));
  });
  return { times, lines: drawn };
}
