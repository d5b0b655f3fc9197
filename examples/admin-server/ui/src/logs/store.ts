import type { LogBatch, LogEntry } from "./entry";
import { isWithin, matcher, NO_FILTER, sameFilter, type LogFilter } from "./filter";
import { Ring } from "./ring";

/** What the page shows; a new object whenever something of it changed. */
export interface LogView {
  ring: Ring<LogEntry>;
  /** The rows: the numbers of the first one and after the last one in the ring. */
  first: number;
  end: number;
  paused: boolean;
  /** Arrived since the pause began. */
  waiting: number;
  /** By the server, which does not wait for slow readers. */
  droppedByServer: number;
  /** By this page, which keeps a bounded number. */
  droppedHere: number;
  /** Grows when the rows were exchanged: what was unfolded is not there any more. */
  generation: number;
}

/** The tail of the log: keeps what came, pauses, clears, and goes on after another filter or a reconnect. */
export class LogStore {
  readonly #capacity: number | undefined;
  readonly #listeners = new Set<() => void>();
  #ring: Ring<LogEntry>;
  #filter: LogFilter = NO_FILTER;
  #filled = false;
  #from = 0;
  #pausedAt: number | undefined;
  #droppedByServer = 0;
  #droppedHere = 0;
  #generation = 0;
  #view: LogView;

  constructor(capacity?: number) {
    this.#capacity = capacity;
    this.#ring = new Ring(capacity);
    this.#view = this.#look();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly view = (): LogView => this.#view;

  /**
   * The backlog of a subscription. After a reconnect it continues what is here; a filter that lets less through than
   * the one before is applied to what is here, which reaches further back; another one begins anew.
   */
  begin(filter: LogFilter, { entries, dropped }: LogBatch): void {
    if (this.#filled && sameFilter(filter, this.#filter)) {
      this.#add(this.#newer(entries));
    } else if (this.#filled && isWithin(filter, this.#filter)) {
      const oldest = this.#ring.get(Math.max(this.#from, this.#ring.first))?.ts;
      const older = entries.filter(({ ts }) => oldest === undefined || ts < oldest);
      const held = Array.from(this.#ring.values(this.#from)).filter(matcher(filter));
      this.#exchange([...older, ...held, ...(oldest === undefined ? [] : this.#newer(entries))]);
    } else {
      this.#droppedByServer = 0;
      this.#droppedHere = 0;
      this.#exchange(entries);
    }
    this.#filter = filter;
    this.#filled = true;
    this.#droppedByServer += dropped;
    this.#changed();
  }

  add({ entries, dropped }: LogBatch): void {
    this.#droppedByServer += dropped;
    this.#add(entries);
    this.#changed();
  }

  pause(): void {
    this.#pausedAt ??= this.#ring.end;
    this.#changed();
  }

  resume(): void {
    this.#pausedAt = undefined;
    this.#changed();
  }

  /** The rows go; what comes next is shown. */
  clear(): void {
    this.#from = this.#ring.end;
    this.#pausedAt = undefined;
    this.#droppedByServer = 0;
    this.#droppedHere = 0;
    this.#generation += 1;
    this.#changed();
  }

  #add(entries: readonly LogEntry[]): void {
    const before = Math.max(this.#ring.first, this.#from);
    this.#ring.push(entries);
    this.#droppedHere += Math.max(0, this.#ring.first - before);
  }

  #exchange(entries: readonly LogEntry[]): void {
    this.#ring = new Ring(this.#capacity);
    this.#from = 0;
    this.#add(entries);
    // Who paused wants to read in peace, but the answer to a new filter is what there is now.
    if (this.#pausedAt !== undefined) this.#pausedAt = this.#ring.end;
    this.#generation += 1;
  }

  /** Of a backlog, what is newer than all that is here; several entries can have one time. */
  #newer(backlog: readonly LogEntry[]): readonly LogEntry[] {
    const ts = this.#ring.get(this.#ring.end - 1)?.ts;
    if (ts === undefined) return backlog;
    const same = new Set<string>();
    for (let id = this.#ring.end - 1; this.#ring.get(id)?.ts === ts; id -= 1) same.add(JSON.stringify(this.#ring.get(id)));
    return backlog.filter((entry) => entry.ts > ts || (entry.ts === ts && !same.has(JSON.stringify(entry))));
  }

  #look(): LogView {
    const first = Math.max(this.#ring.first, this.#from);
    const end = Math.max(first, this.#pausedAt ?? this.#ring.end);
    return {
      ring: this.#ring,
      first,
      end,
      paused: this.#pausedAt !== undefined,
      waiting: this.#ring.end - end,
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
