import { formatDay, formatMoment } from "../common/format";
import type { LineRow, Row } from "./rows";

const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

/** What a row says that is no line of the log. */
export function noteText(row: Exclude<Row, LineRow>): string {
  if (row.kind === "day") return formatDay(row.ts);
  const { after, before } = row;
  if (after !== undefined && before !== undefined) return `Lines may be missing from ${between(after, before)}`;
  if (after !== undefined) return `Lines may be missing after ${formatMoment(after)}`;
  if (before !== undefined) return `Lines may be missing before ${formatMoment(before)}`;
  return "Lines may be missing here";
}

/** Without the day when it is one: the row has to fit a telephone. */
function between(after: string, before: string): string {
  const [from, to] = [new Date(after), new Date(before)];
  if (from.toDateString() !== to.toDateString()) return `${formatMoment(after)} to ${formatMoment(before)}`;
  return `${clock.format(from)} to ${clock.format(to)}`;
}
