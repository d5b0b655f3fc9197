import { describe, expect, it } from "vitest";
import type { LogEntry } from "./entry";
import { join, newerThan, newest, withAdded } from "./join";
import { Tail } from "./tail";

const entry = (second: number, message = `line ${second}`): LogEntry => ({
  ts: new Date(second * 1000).toISOString(),
  level: "info",
  target: "server",
  message,
  fields: {},
});

function held(...entries: LogEntry[]): Tail<LogEntry> {
  const tail = new Tail<LogEntry>(10);
  tail.push(...entries);
  return tail;
}

describe("a backlog", () => {
  it("is joined by time, each line once", () => {
    const lines = held(entry(2), entry(4), entry(6));
    const { added, shared } = join(lines, [entry(1), entry(2), entry(3), entry(6), entry(7)]);
    expect(shared).toEqual([10, 12]);
    expect(added.map(({ at }) => at)).toEqual([10, 11, 13]);
    expect(Array.from(withAdded(lines, added).values(), ({ message }) => message)).toEqual([1, 2, 3, 4, 6, 7].map((at) => `line ${at}`));
  });

  it("may repeat a line that was logged twice", () => {
    expect(join(held(entry(1)), [entry(1), entry(1)]).added).toHaveLength(1);
  });

  it("may have a line's fields in another order", () => {
    const [one, other] = [{ ...entry(1), fields: { a: 1, b: [{ c: "x", d: null }] } }, { ...entry(1), fields: { b: [{ d: null, c: "x" }], a: 1 } }];
    expect(join(held(one), [other]).added).toEqual([]);
    expect(join(held(one), [{ ...other, fields: { ...other.fields, a: 2 } }]).added).toHaveLength(1);
  });

  it("has newer lines, some of the same moment", () => {
    const lines = held(entry(1), entry(2), entry(2, "twin"));
    expect([...newest(lines).values()]).toHaveLength(2);
    expect(newerThan(newest(lines), [entry(0), entry(1), entry(2), entry(2, "other"), entry(3)]).map(({ message }) => message)).toEqual(["other", "line 3"]);
  });
});
