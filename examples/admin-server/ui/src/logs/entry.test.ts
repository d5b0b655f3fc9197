import { describe, expect, it } from "vitest";
import { asJsonLines, asText, details, oneLine, readBatch, type LogEntry } from "./entry";

const entry: LogEntry = {
  ts: "2026-11-22T18:00:00.000Z",
  level: "warn",
  target: "server",
  message: "slow",
  fields: { ms: 12, path: "/a b", tags: ["x"] },
  requestId: "r1",
};

describe("log entries", () => {
  it("are read from whatever comes", () => {
    const { entries, dropped } = readBatch({ entries: [entry, null, { level: "loud", message: 5 }], dropped: 3 });
    expect(entries).toEqual([
      entry,
      { ts: "", level: "info", target: "", message: "", fields: {} },
      { ts: "", level: "info", target: "", message: "", fields: {} },
    ]);
    expect(dropped).toBe(3);
    expect(readBatch(undefined)).toEqual({ entries: [], dropped: 0 });
  });

  it("are copied as a terminal shows them", () => {
    expect(asText(entry)).toBe('2026-11-22T18:00:00.000Z WARN  server: slow requestId=r1 ms=12 path="/a b" tags="[\\"x\\"]"');
  });

  it("are copied without what steers a terminal or turns a text around", () => {
    const evil = { ...entry, message: "two\nlines", fields: { name: "a\u001b[2J", other: "\u202egpj.exe\u0085" } };
    expect(asText(evil)).toBe(
      '2026-11-22T18:00:00.000Z WARN  server: "two\\nlines" requestId=r1 name="a\\u001b[2J" other="\\u202egpj.exe\\u0085"',
    );
    const [line = ""] = asJsonLines([evil]);
    expect(line).not.toMatch(/[\u202e\u0085]/);
    expect(JSON.parse(line)).toEqual(evil);
  });

  it("unfold to their ids and fields", () => {
    expect(details(entry)).toEqual([
      ["requestId", "r1"],
      ["ms", "12"],
      ["path", "/a b"],
      ["tags", '["x"]'],
    ]);
  });

  it("say an id once", () => {
    expect(details({ ...entry, fields: { user: "u1" }, userId: "u1" })).toEqual([
      ["requestId", "r1"],
      ["user", "u1"],
    ]);
  });

  it("are downloaded one JSON a line", () => {
    const lines = asJsonLines([entry, { ...entry, message: "two\nlines" }]);
    expect(lines.join("").split("\n")).toHaveLength(3);
    expect(JSON.parse(lines[0] ?? "")).toEqual(entry);
  });

  it("have one line each", () => {
    expect(oneLine("a\n  b")).toBe("a ⏎ b");
    expect(oneLine("a")).toBe("a");
  });
});
