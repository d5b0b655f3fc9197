import type { LogEntry } from "./entry";
import { Tail } from "./tail";

export interface Insertion {
  /** The number of the line before which it belongs. */
  at: number;
  entry: LogEntry;
}

export interface Joint {
  /** What is not there yet, in order. */
  added: Insertion[];
  /** The numbers of lines that are in both. */
  shared: number[];
}

/** Finds where the lines of a backlog belong among those that are there: by their time, and each once. */
export function join(held: Tail<LogEntry>, backlog: readonly LogEntry[]): Joint {
  const joint: Joint = { added: [], shared: [] };
  const oldest = backlog[0]?.ts ?? "";
  let at = held.end;
  while (at > held.first && tsOf(held, at - 1) >= oldest) at -= 1;
  for (const entry of backlog) {
    while (at < held.end && tsOf(held, at) < entry.ts) at += 1;
    // Several lines can have one time.
    let same = at;
    while (same < held.end && tsOf(held, same) === entry.ts && !isSame(held.get(same), entry)) same += 1;
    if (same < held.end && tsOf(held, same) === entry.ts) {
      joint.shared.push(same);
      at = same + 1;
    } else {
      joint.added.push({ at: same, entry });
    }
  }
  return joint;
}

/** The lines with those of a joint among them. */
export function withAdded(held: Tail<LogEntry>, added: readonly Insertion[]): Tail<LogEntry> {
  const all = new Tail<LogEntry>(held.first);
  let from = held.first;
  for (const { at, entry } of added) {
    for (; from < at; from += 1) all.push(held.get(from)!);
    all.push(entry);
  }
  for (; from < held.end; from += 1) all.push(held.get(from)!);
  return all;
}

/** The newest lines, which have one time: enough to tell what is newer. */
export function newest(held: Tail<LogEntry>, end = held.end): Tail<LogEntry> {
  let from = end;
  while (from > held.first && tsOf(held, from - 1) === tsOf(held, end - 1)) from -= 1;
  const run = new Tail<LogEntry>();
  run.push(...held.values(from, end));
  return run;
}

/** Of a backlog, what is newer than these lines. */
export function newerThan(lines: Tail<LogEntry>, backlog: readonly LogEntry[]): LogEntry[] {
  return join(lines, backlog)
    .added.filter(({ at }) => at === lines.end)
    .map(({ entry }) => entry);
}

const tsOf = (lines: Tail<LogEntry>, id: number): string => lines.get(id)?.ts ?? "";

function isSame(a: LogEntry | undefined, b: LogEntry): boolean {
  return a?.message === b.message && a.target === b.target && a.level === b.level && isEqual(a.fields, b.fields);
}

/** The server does not always write fields in one order. */
function isEqual(a: unknown, b: unknown): boolean {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b;
  const pairs = Object.entries(a);
  const others = new Map(Object.entries(b));
  return pairs.length === others.size && pairs.every(([name, value]) => others.has(name) && isEqual(value, others.get(name)));
}
