import { expect, it } from "vitest";
import { indexOf } from "./anchor";
import type { LogEntry } from "./entry";
import { Rows, type Row } from "./rows";

const entry = (minute: number): LogEntry => ({ ts: `2026-11-22T12:0${minute}:00.000Z`, level: "info", target: "", message: "", fields: {} });
const line = (entry: LogEntry): Row => ({ kind: "line", at: 0, entry });

function view(...entries: LogEntry[]) {
  const rows = new Rows();
  entries.forEach((entry, at) => rows.line(at, entry));
  return { rows: rows.tail, first: rows.tail.first, end: rows.tail.end };
}

it("finds what was read, or what is nearest after it", () => {
  const [one, two, three] = [entry(1), entry(2), entry(3)];
  // The first row is the day's.
  expect(indexOf(view(one, two, three), { row: line(two), offset: 0 })).toBe(2);
  expect(indexOf(view(one, three), { row: line(two), offset: 0 })).toBe(2);
  expect(indexOf(view(one), { row: line(two), offset: 0 })).toBe(1);
  expect(indexOf(view(), { row: line(two), offset: 0 })).toBe(0);
});
