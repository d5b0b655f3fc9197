import type { Row } from "./rows";
import type { LogView } from "./store";

/** What stands at the top of the screen. */
export interface Anchor {
  row: Row;
  /** Pixels of it that are above. */
  offset: number;
}

/** Where that row is after the rows were exchanged: the same line, or else what is nearest after it. */
export function indexOf({ rows, first, end }: Pick<LogView, "rows" | "first" | "end">, { row }: Anchor): number {
  let near: number | undefined;
  for (let id = first; id < end; id += 1) {
    const other = rows.get(id);
    if (other?.kind === "line" && row.kind === "line" && other.entry === row.entry) return id - first;
    if (near === undefined && other && tsOf(other) >= tsOf(row)) near = id - first;
  }
  return near ?? Math.max(0, end - first - 1);
}

function tsOf(row: Row): string {
  if (row.kind === "line") return row.entry.ts;
  return (row.kind === "day" ? row.ts : row.after) ?? "";
}
