import { useEffect, useMemo } from "react";
import { formatDay } from "../common/format";
import { useKeptFocus } from "../common/useKeptFocus";
import { Button, EmptyState } from "../common/ui";
import { isolated } from "./direction";
import type { Draft } from "./drafts";
import { chat } from "./feed";
import { rowsOf, type Row } from "./grouping";
import { MessageRow } from "./MessageRow";
import "./messages.css";
import type { RoomView } from "./store";
import { usePageVisible } from "./usePageVisible";
import { useRows } from "./useRows";

interface Props {
  room: RoomView;
  onEdit: (draft: Draft) => void;
}

export function MessageList({ room, onEdit }: Props) {
  const { items, marker, unread, name } = room;
  const rows = useMemo(() => rowsOf(items, marker), [items, marker]);
  const { scroller, onScroll, following, toEnd, start, end, above, below, measure } = useRows(rows);
  const visible = usePageVisible();
  const kept = useKeptFocus(() => scroller.current);

  useEffect(() => {
    chat.setReading(following && visible);
    return () => chat.setReading(false);
  }, [following, visible]);

  // Whoever sends something wants to see it.
  const last = items.at(-1);
  const sent = last?.kind === "message" && last.delivery === "pending" ? last.key : undefined;
  useEffect(() => {
    if (sent !== undefined) toEnd();
  }, [sent, toEnd]);

  return (
    <div className="chat-frame" {...kept}>
      {/* What is new is announced elsewhere: rows that come by scrolling are not. */}
      <div ref={scroller} className="chat-scroll" role="log" aria-live="off" aria-label="Messages" tabIndex={0} onScroll={onScroll}>
        {rows.length === 0 ? (
          <EmptyState title={`Nothing has been said in ${isolated(name)} yet`}>
            Messages appear here while this page is open. Earlier ones are not kept.
          </EmptyState>
        ) : (
          <ol style={{ paddingTop: above, paddingBottom: below }}>
            {rows.slice(start, end).map((row, index) => (
              <li
                key={row.key}
                ref={measure}
                data-key={row.key}
                className={`chat-row chat-row-${row.kind}`}
                aria-setsize={rows.length}
                aria-posinset={start + index + 1}
              >
                <RowContent row={row} onEdit={onEdit} />
              </li>
            ))}
          </ol>
        )}
      </div>
      {!following && rows.length > 0 && (
        <Button variant="primary" className="chat-latest" onClick={toEnd}>
          Jump to latest{unread > 0 && ` (${unread} new)`}
        </Button>
      )}
    </div>
  );
}

function RowContent({ row, onEdit }: { row: Row; onEdit: (draft: Draft) => void }) {
  switch (row.kind) {
    case "day":
      return <span className="chat-line">{formatDay(new Date(row.at).toISOString())}</span>;
    case "new":
      return <span className="chat-line">New messages</span>;
    case "gap":
      return <span className="chat-line">You were disconnected. Messages may be missing.</span>;
    case "message":
      return <MessageRow item={row.item} head={row.head} onEdit={onEdit} />;
  }
}
