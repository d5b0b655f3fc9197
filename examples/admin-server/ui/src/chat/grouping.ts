import type { Item, MessageItem } from "./room";

/** Messages of one author stand together when they are not further apart. */
const TOGETHER_MS = 5 * 60_000;

export type Row =
  | { kind: "day"; key: string; at: number }
  | { kind: "gap"; key: string; at: number }
  | { kind: "new"; key: string }
  | { kind: "message"; key: string; item: MessageItem; head: boolean };

/** The rows of a guild: its messages under their authors, with a line for each day and where the new ones begin. */
export function rowsOf(items: readonly Item[], marker: string | undefined): Row[] {
  const rows: Row[] = [];
  let dayEnd = -Infinity;
  let dayStart = Infinity;
  let head: MessageItem | undefined;
  for (const item of items) {
    if (item.at < dayStart || item.at >= dayEnd) {
      [dayStart, dayEnd] = dayOf(item.at);
      head = undefined;
      // By the item, since a clock that was put back can show a day twice.
      rows.push({ kind: "day", key: `day-${item.key}`, at: dayStart });
    }
    if (item.kind === "gap") {
      rows.push({ kind: "gap", key: item.key, at: item.at });
      head = undefined;
      continue;
    }
    if (item.messageId === marker) {
      rows.push({ kind: "new", key: "new" });
      head = undefined;
    }
    const continues = head !== undefined && belongs(item, head);
    if (!continues) head = item;
    rows.push({ kind: "message", key: item.key, item, head: !continues });
  }
  return rows;
}

function belongs(item: MessageItem, head: MessageItem): boolean {
  return item.from.id === head.from.id && item.adminOnly === head.adminOnly && Math.abs(item.at - head.at) <= TOGETHER_MS;
}

/** When the local day begins, and when the next one does. */
function dayOf(at: number): [number, number] {
  const date = new Date(at);
  const [year, month, day] = [date.getFullYear(), date.getMonth(), date.getDate()];
  return [new Date(year, month, day).getTime(), new Date(year, month, day + 1).getTime()];
}
