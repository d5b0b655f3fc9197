import type { History } from "./history";
import type { Snapshot } from "./snapshot";

export type Reader = (snapshot: Snapshot) => number | undefined;
export type Series = readonly (number | null)[];

export const MINUTE_MS = 60_000;
/** A longer silence between two snapshots is a hole, not a line. */
const HOLE_MS = 10_000;
/** A comparison with something this much older than asked for would be another comparison. */
const TOLERANCE_MS = 15_000;
/** Snapshots come a little early or late; half the time between two of them. */
const SLACK_MS = 1_000;
/** So soon after its start a process has taken its first snapshot. */
const START_MS = 4_000;

/** In a container the new process has the host and the number of the old one, but not its age. */
function restarted(before: Snapshot, after: Snapshot): boolean {
  if (before.process !== after.process) return true;
  return before.uptimeSec !== undefined && after.uptimeSec !== undefined && after.uptimeSec < before.uptimeSec;
}

export function broken(before: Snapshot, after: Snapshot): boolean {
  return restarted(before, after) || after.at - before.at > HOLE_MS;
}

export function gauge(history: History, read: Reader): Series {
  return history.map((snapshot) => read(snapshot) ?? null);
}

/** The counter behind a speed that each snapshot tells for the time since the one before; it begins anew where that is not known. */
export function summed(history: History, read: Reader): Series {
  let sum = 0;
  return history.map((snapshot, index) => {
    const perSecond = read(snapshot);
    const before = history[index - 1];
    if (perSecond === undefined) return null;
    if (before && !broken(before, snapshot)) sum += (perSecond * (snapshot.at - before.at)) / 1000;
    return sum;
  });
}

/**
 * How fast a counter grew, per second, over the `windowMs` before each snapshot. A process that is younger has counted
 * nothing before its start: its first seconds are not taken for more than they are. When the window is not full for
 * another reason, nothing is known.
 */
export function rate(history: History, windowMs: number, counter: Series): Series {
  return history.map((snapshot, index) => {
    const now = counter[index] ?? undefined;
    if (now === undefined) return null;
    let first = snapshot;
    let least = now;
    for (let back = index - 1; back >= 0; back -= 1) {
      const before = history[back];
      const count = counter[back] ?? undefined;
      if (!before || count === undefined || count > least) break;
      if (broken(before, first) || snapshot.at - before.at > windowMs + SLACK_MS) break;
      first = before;
      least = count;
    }
    const span = snapshot.at - first.at;
    if (span >= windowMs - SLACK_MS) return ((now - least) * 1000) / span;
    const wholeLife = snapshot.uptimeSec !== undefined && snapshot.uptimeSec * 1000 - span <= START_MS;
    return wholeLife ? ((now - least) * 1000) / windowMs : null;
  });
}

export function scaled(series: Series, factor: number): Series {
  return series.map((value) => (value === null ? null : value * factor));
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
  if (!then || before === undefined || newest.at - MINUTE_MS - then.at > TOLERANCE_MS) return undefined;
  const since = history.slice(index);
  return since.some((one, at) => restarted(since[at - 1] ?? one, one)) ? undefined : value - before;
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
