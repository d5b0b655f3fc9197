import { memo } from "react";
import { noteText } from "./note";
import type { LineRow, Row } from "./rows";

interface Props {
  row: Exclude<Row, LineRow>;
  position: number;
  size: number;
}

export const NoteRow = memo(function NoteRow({ row, position, size }: Props) {
  const text = noteText(row);
  return (
    <li className={`logs-note logs-note-${row.kind}`} aria-posinset={position} aria-setsize={size} title={text}>
      <span>{text}</span>
    </li>
  );
});
