import type { Snapshot } from "./snapshot";

/** Fifteen minutes of one snapshot each two seconds. */
export const HISTORY_LENGTH = 450;
export const HISTORY_MS = 15 * 60_000;

export type History = readonly Snapshot[];

/** Keeps what is neither too much nor too old; the newest comes last. */
function bounded(history: Snapshot[]): History {
  const newest = history.at(-1);
  if (!newest) return history;
  return history.slice(-HISTORY_LENGTH).filter(({ at }) => at >= newest.at - HISTORY_MS);
}

/** Adds a snapshot. Times only grow: what claims to be from later (a clock was set, another node answers) gives way. */
export function append(history: History, snapshot: Snapshot): History {
  return bounded([...history.filter(({ at }) => at < snapshot.at), snapshot]);
}

/** After a (re)connect: the server's history, after what this page knows from before it. */
export function rejoin(known: History, sent: History): History {
  const sorted = sent.toSorted((a, b) => a.at - b.at).filter((snapshot, index, all) => snapshot.at !== all[index + 1]?.at);
  const first = sorted[0];
  return first ? bounded([...known.filter(({ at }) => at < first.at), ...sorted]) : known;
}
