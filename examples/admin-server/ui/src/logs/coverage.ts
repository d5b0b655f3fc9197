import { isWithin, sameFilter, type LogFilter } from "./filter";
import type { Insertion } from "./join";

/**
 * A stretch of the lines that are there, in which no line is missing that passes a filter. Stretches overlap where one
 * goes on where another was; two that only touch have a hole between them.
 */
export interface Stretch {
  filter: LogFilter;
  from: number;
  /** The number after its last line; `Infinity` as long as it goes on. */
  to: number;
}

export interface Hole {
  /** The number of the line before which it is. */
  at: number;
  /** The number of the line from which on nothing is missing again. */
  until: number;
}

/** Each change of the filter makes a stretch; to forget old ones only means holes where there may be none. */
const KEPT = 50;

/** Nothing more comes by the subscription before. */
export function closed(stretches: readonly Stretch[], end: number): Stretch[] {
  return stretches.map((stretch) => ({ ...stretch, to: Math.min(stretch.to, end) }));
}

/** Where the stretches are after lines came among them. */
export function moved(stretches: readonly Stretch[], added: readonly Insertion[]): Stretch[] {
  if (added.length === 0) return stretches.slice();
  // What comes just before the first line, or after the last one, is not part of it.
  return stretches.map(({ filter, from, to }) => ({
    filter,
    from: from + before(added, Math.min(from + 1, to)),
    to: to + before(added, to),
  }));
}

/** How many come before that place. */
export function before(added: readonly Insertion[], place: number): number {
  return added.filter(({ at }) => at < place).length;
}

/** A new subscription, whose lines begin at `from`; `first` is the oldest line that is there. */
export function opened(stretches: readonly Stretch[], filter: LogFilter, from: number, first: number): Stretch[] {
  const earlier = stretches.findLast((stretch) => sameFilter(stretch.filter, filter) && stretch.to > from);
  const others = stretches.filter((stretch) => stretch !== earlier && stretch.to >= first).slice(1 - KEPT);
  return [...others, { filter, from: Math.min(from, earlier?.from ?? from), to: Infinity }];
}

/** Where lines may be missing that pass the filter. What is not answered yet is no hole. */
export function holes(stretches: readonly Stretch[], filter: LogFilter, first: number): Hole[] {
  const found: Hole[] = [];
  let reached = first;
  let begun = false;
  for (const { from, to } of stretches.filter((stretch) => isWithin(filter, stretch.filter)).toSorted((a, b) => a.from - b.from)) {
    if (begun ? from >= reached : from > first) found.push({ at: reached, until: from });
    reached = Math.max(reached, to);
    begun = true;
  }
  return found;
}
