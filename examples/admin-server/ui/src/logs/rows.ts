import type { LogEntry } from "./entry";
import { Tail } from "./tail";

/** A row of the list; `at` is the number of the line at which it stands. */
export type Row =
  | { kind: "line"; at: number; entry: LogEntry }
  | { kind: "day"; at: number; ts: string }
  | { kind: "hole"; at: number; after: string | undefined; before: string | undefined };

export type LineRow = Extract<Row, { kind: "line" }>;

/** The rows of the lines that pass a filter, with one for each day and each hole. */
export class Rows {
  readonly tail = new Tail<Row>();
  /** The numbers of the rows that are no lines: there are few. */
  #others: number[] = [];
  #ts = "";
  #day = "";

  line(at: number, entry: LogEntry): void {
    if (entry.ts.slice(0, MINUTE) !== this.#ts.slice(0, MINUTE)) {
      const day = new Date(entry.ts).toDateString();
      if (day !== this.#day) this.#other({ kind: "day", at, ts: entry.ts });
      this.#day = day;
    }
    this.#ts = entry.ts;
    this.tail.push({ kind: "line", at, entry });
  }

  /** Holes without a line between them are one. */
  hole(at: number, after: string | undefined, before: string | undefined): void {
    const last = this.tail.get(this.tail.end - 1);
    if (last?.kind === "hole") this.tail.replaceLast({ ...last, before });
    else this.#other({ kind: "hole", at, after, before });
  }

  /** Takes out the rows of lines that are gone. */
  dropBefore(at: number): void {
    this.tail.dropBefore(this.rowAt(at));
    this.#others = this.#others.filter((id) => id >= this.tail.first);
  }

  /** The number of the first row that stands at that line or after it. */
  rowAt(at: number): number {
    let [low, high] = [this.tail.first, this.tail.end];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((this.tail.get(middle)?.at ?? at) < at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  lines(from: number, to: number): number {
    return to - from - this.#others.filter((id) => id >= from && id < to).length;
  }

  #other(row: Row): void {
    this.#others.push(this.tail.end);
    this.tail.push(row);
  }
}

/** Up to there two times are the same when they have one minute: also one day, wherever one is. */
const MINUTE = "2026-11-22T18:00".length;

export function* entriesOf(rows: Iterable<Row>): Generator<LogEntry> {
  for (const row of rows) if (row.kind === "line") yield row.entry;
}
