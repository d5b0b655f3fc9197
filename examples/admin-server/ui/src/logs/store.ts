import { before, closed, holes, moved, opened, type Hole, type Stretch } from "./coverage";
import type { LogBatch, LogEntry } from "./entry";
import { BACKLOG, isWithin, matcher, NO_FILTER, sameFilter, type LogFilter } from "./filter";
import { join, newerThan, newest, withAdded } from "./join";
import { Rows, type Row } from "./rows";
import { Tail } from "./tail";

/** The most lines that are kept. */
export const CAPACITY = 100_000;
/** The page's thread is not kept longer than that at a time. */
const SLICE_MS = 8;

/** What the page shows; a new object whenever something of it changed. */
export interface LogView {
  rows: Tail<Row>;
  /** The numbers of the first row and after the last one. */
  first: number;
  end: number;
  /** How many of them are lines. */
  lines: number;
  paused: boolean;
  /** Lines that arrived since the pause began. */
  waiting: number;
  /** By the server, which does not wait for slow readers. */
  droppedByServer: number;
  /** By this page, which keeps a bounded number. */
  droppedHere: number;
  /** Grows when the rows were exchanged: what was unfolded is not there any more. */
  generation: number;
}

/**
 * The tail of the log. All lines that came are kept, up to a number, whatever the filter was; those that pass the
 * filter of now are the rows.
 */
export class LogStore {
  readonly #capacity: number;
  readonly #listeners = new Set<() => void>();
  #held = new Tail<LogEntry>();
  /** The newest of what was cleared away. */
  #cleared = new Tail<LogEntry>();
  #stretches: Stretch[] = [];
  #filter = NO_FILTER;
  #passes = matcher(NO_FILTER);
  #rows = new Rows();
  #holes = "";
  #making: ReturnType<typeof setTimeout> | undefined;
  /** The filter and the connection of the subscription. */
  #subscribed: { filter: LogFilter; connection: number | string } | undefined;
  /** The number of the first line that waits, and of its row. */
  #pausedAt: number | undefined;
  #pausedRow: number | undefined;
  #droppedByServer = 0;
  #droppedHere = 0;
  #generation = 0;
  #view: LogView;

  constructor(capacity = CAPACITY) {
    this.#capacity = capacity;
    this.#view = this.#look();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly view = (): LogView => this.#view;

  /** Shows what is here of another filter. */
  show(filter: LogFilter): void {
    if (sameFilter(filter, this.#filter)) return;
    this.#filter = filter;
    this.#passes = matcher(filter);
    this.#make();
  }

  /** The backlog of a subscription: joined with what is here. `connection` is another one after a reconnect. */
  begin(filter: LogFilter, { entries, dropped }: LogBatch, connection: number | string): void {
    const last = this.#subscribed;
    const again = last !== undefined && sameFilter(filter, last.filter);
    const fresh = this.#cleared.end > 0 ? newerThan(this.#cleared, entries) : entries;
    const { added: all, shared } = join(this.#held, fresh);
    const { first, end } = this.#held;
    // What was read stays as it is when only the connection is another one.
    const added = again ? all.filter(({ at }) => at === end) : all;
    let from = Math.min(end, shared[0] ?? end, added[0]?.at ?? end);
    if (fresh.length < entries.length) from = Math.min(from, first - 1);
    // On one connection nothing gets lost between two subscriptions, unless it is more than a backlog.
    const unbroken = last?.connection === connection;
    if (unbroken && isWithin(filter, last.filter) && entries.length < BACKLOG) from = Math.min(from, end - 1);
    const until = unbroken && isWithin(last.filter, filter) ? end + 1 : end;

    this.#stretches = opened(moved(closed(this.#stretches, until), added), filter, from, first);
    this.#subscribed = { filter, connection };
    this.#droppedByServer += dropped;
    const within = added.some(({ at }) => at < end);
    if (this.#pausedAt !== undefined) this.#pausedAt += before(added, this.#pausedAt);
    if (within) this.#held = withAdded(this.#held, added);
    else this.#held.push(...added.map(({ entry }) => entry));
    this.#evict();
    const found = this.#findHoles();
    if (!sameFilter(filter, this.#filter)) {
      this.show(filter);
    } else if (within || this.#making !== undefined || (!again && JSON.stringify(found) !== this.#holes)) {
      this.#make();
    } else {
      found.filter(({ at }) => at >= end).forEach((hole) => this.#addHole(this.#rows, hole));
      this.#holes = JSON.stringify(found);
      this.#addRows(this.#rows, end);
    }
    this.#changed();
  }

  /** What came by the subscription before its backlog, and may be in that too. */
  addEarly({ entries, dropped }: LogBatch): void {
    this.add({ entries: newerThan(newest(this.#held), entries), dropped });
  }

  /** What comes by the subscription. */
  add({ entries, dropped }: LogBatch): void {
    const { end } = this.#held;
    this.#droppedByServer += dropped;
    this.#held.push(...entries);
    if (this.#making === undefined) this.#addRows(this.#rows, end);
    this.#evict();
    this.#changed();
  }

  pause(): void {
    if (this.#pausedAt !== undefined) return;
    this.#pausedAt = this.#held.end;
    this.#pausedRow = this.#rows.tail.end;
    this.#changed();
  }

  resume(): void {
    this.#pausedAt = undefined;
    this.#pausedRow = undefined;
    this.#changed();
  }

  /** The rows go, and do not come back by another filter; a pause goes on, and what waits stays. */
  clear(): void {
    const end = this.#pausedAt ?? this.#held.end;
    if (end > this.#held.first) this.#cleared = newest(this.#held, end);
    this.#held.dropBefore(end);
    this.#rows.dropBefore(end);
    this.#stretches = this.#stretches.filter(({ to }) => to === Infinity).map((stretch) => ({ ...stretch, from: Math.max(stretch.from, end) }));
    this.#droppedByServer = 0;
    this.#droppedHere = 0;
    this.#make();
    this.#changed();
  }

  #evict(): void {
    const { first } = this.#held;
    this.#held.dropBefore(this.#held.end - this.#capacity);
    this.#droppedHere += this.#held.first - first;
    this.#rows.dropBefore(this.#held.first);
  }

  #findHoles(): Hole[] {
    return holes(this.#stretches, this.#filter, this.#held.first);
  }

  #addHole(rows: Rows, { at, until }: Hole): void {
    rows.hole(at, this.#held.get(at - 1)?.ts, this.#held.get(until)?.ts);
  }

  #addRows(rows: Rows, from: number): void {
    for (let at = from; at < this.#held.end; at += 1) {
      const entry = this.#held.get(at);
      if (entry && this.#passes(entry)) rows.line(at, entry);
    }
  }

  /** Makes the rows anew, in slices: those before are shown until it is done. */
  #make(): void {
    clearTimeout(this.#making);
    this.#making = undefined;
    const rows = new Rows();
    const found = this.#findHoles();
    const left = found.slice();
    let at = this.#held.first;
    const slice = (): void => {
      const until = performance.now() + SLICE_MS;
      for (; at < this.#held.end; at += 1) {
        if (at % 64 === 0 && performance.now() > until) {
          this.#making = setTimeout(slice);
          return;
        }
        while (left[0] && left[0].at <= at) this.#addHole(rows, left.shift()!);
        const entry = this.#held.get(at);
        if (entry && this.#passes(entry)) rows.line(at, entry);
      }
      left.forEach((hole) => this.#addHole(rows, hole));
      this.#making = undefined;
      this.#holes = JSON.stringify(found);
      this.#rows = rows;
      this.#rows.dropBefore(this.#held.first);
      if (this.#pausedAt !== undefined) this.#pausedRow = rows.rowAt(this.#pausedAt);
      this.#generation += 1;
      this.#changed();
    };
    slice();
  }

  #look(): LogView {
    const { tail } = this.#rows;
    const end = Math.max(tail.first, this.#pausedRow ?? tail.end);
    return {
      rows: tail,
      first: tail.first,
      end,
      lines: this.#rows.lines(tail.first, end),
      paused: this.#pausedAt !== undefined,
      waiting: this.#rows.lines(end, tail.end),
      droppedByServer: this.#droppedByServer,
      droppedHere: this.#droppedHere,
      generation: this.#generation,
    };
  }

  #changed(): void {
    this.#view = this.#look();
    this.#listeners.forEach((listener) => listener());
  }
}
