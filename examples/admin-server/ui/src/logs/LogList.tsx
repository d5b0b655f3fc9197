import { useCallback } from "react";
import type { LogEntry } from "./entry";
import "./lines.css";
import { LogRow } from "./LogRow";
import { NoteRow } from "./NoteRow";
import type { LogView } from "./store";
import type { Scroll } from "./useScroll";
import type { UnfoldedRows } from "./useUnfolded";

interface Props {
  view: LogView;
  needle: string;
  rows: UnfoldedRows;
  scroll: Scroll;
  onCopy: (entry: LogEntry) => void;
}

/** Of all rows only those in sight are in the document. */
export function LogList({ view, needle, rows, scroll, onCopy }: Props) {
  const { start, end, top, total } = scroll.slice;
  const { hold } = scroll;
  const { toggle } = rows;
  const unfold = useCallback(
    (id: number) => {
      hold();
      toggle(id);
    },
    [hold, toggle],
  );
  const ids = Array.from({ length: end - start }, (_, index) => view.first + start + index);
  return (
    // Read out on demand only: a busy log would never let anyone finish.
    <div className="logs-scroll" ref={scroll.box} onScroll={scroll.onScroll} role="log" aria-live="off" aria-label="Log lines" tabIndex={0}>
      <div className="logs-all" style={{ height: total }}>
        <ol className="logs-rows" style={{ transform: `translateY(${top}px)` }}>
          {ids.map((id) => {
            const row = view.rows.get(id);
            if (!row) return null;
            const key = `${view.generation}.${id}`;
            const place = { position: id - view.first + 1, size: view.end - view.first };
            if (row.kind !== "line") return <NoteRow key={key} {...place} row={row} />;
            return (
              <LogRow
                key={key}
                {...place}
                id={id}
                entry={row.entry}
                needle={needle}
                unfolded={rows.isUnfolded(id)}
                onToggle={unfold}
                onCopy={onCopy}
                onMeasure={rows.measure}
              />
            );
          })}
        </ol>
      </div>
    </div>
  );
}
