import { describe, expect, it } from "vitest";
import type { LogEntry } from "./entry";
import { filterFromQuery, highlight, isWithin, matcher, NO_FILTER, queryWithFilter, subscription } from "./filter";

const entry: LogEntry = {
  ts: "2026-11-22T18:00:00.000Z",
  level: "warn",
  target: "slimy_rt::broker",
  message: "Connection lost",
  fields: { peer: "Redis-1", nested: { attempt: 12 } },
};

describe("the filter in the page's address", () => {
  it("comes back as it went", () => {
    const filter = { level: "debug", target: "slimy::a", text: "x & y=1" } as const;
    expect(filterFromQuery(queryWithFilter("", filter))).toEqual(filter);
  });

  it("leaves out what is by default, and keeps what is not its own", () => {
    expect(queryWithFilter("?level=warn&text=a&other=1", NO_FILTER)).toBe("?other=1");
    expect(queryWithFilter("?level=warn", NO_FILTER)).toBe("");
  });

  it("takes no unknown level and nothing longer than the server does", () => {
    expect(filterFromQuery("?level=loud")).toEqual(NO_FILTER);
    expect(filterFromQuery(`?text=${"a".repeat(300)}`).text).toHaveLength(200);
  });

  it("asks the server for no empty prefix", () => {
    expect(subscription(NO_FILTER)).toEqual({ level: "info", backlog: 1000 });
    expect(subscription({ level: "warn", target: "a", text: "b" })).toEqual({ level: "warn", target: "a", text: "b", backlog: 1000 });
  });
});

describe("matcher", () => {
  const passes = (change: Partial<typeof NO_FILTER>) => matcher({ ...NO_FILTER, ...change })(entry);

  it("goes by level, prefix and text", () => {
    expect(passes({ level: "warn" })).toBe(true);
    expect(passes({ level: "error" })).toBe(false);
    expect(passes({ target: "slimy_rt" })).toBe(true);
    expect(passes({ target: "broker" })).toBe(false);
    expect(passes({ text: "LOST" })).toBe(true);
    expect(passes({ text: "rt::brok" })).toBe(true);
    expect(passes({ text: "found" })).toBe(false);
  });

  it("looks into fields", () => {
    expect(passes({ text: "redis" })).toBe(true);
    expect(passes({ text: "12" })).toBe(true);
    expect(passes({ text: "peer" })).toBe(true);
    expect(passes({ text: "peer=redis" })).toBe(true);
    expect(passes({ text: "peer=1" })).toBe(false);
    expect(matcher({ ...NO_FILTER, text: "userid=m1" })({ ...entry, userId: "m1" })).toBe(true);
  });

  it("says when a filter lets no more through", () => {
    expect(isWithin({ level: "warn", target: "slimy_rt", text: "Lost" }, { level: "info", target: "slimy", text: "lo" })).toBe(true);
    expect(isWithin(NO_FILTER, { ...NO_FILTER, text: "a" })).toBe(false);
    expect(isWithin({ ...NO_FILTER, level: "debug" }, NO_FILTER)).toBe(false);
  });

  it("filters 100,000 entries in no time that one notices", () => {
    const entries = Array.from({ length: 100_000 }, (_, at) => ({ ...entry, message: `message ${at} of the server` }));
    const started = performance.now();
    expect(entries.filter(matcher({ ...NO_FILTER, text: "99999" }))).toHaveLength(1);
    expect(performance.now() - started).toBeLessThan(1000);
  });
});

describe("highlight", () => {
  it("marks each occurrence, whatever the case", () => {
    expect(highlight("Fish and fish", "fish")).toEqual([
      { text: "Fish", hit: true },
      { text: " and ", hit: false },
      { text: "fish", hit: true },
    ]);
  });

  it("marks nothing without a text, and nothing that would be shifted", () => {
    expect(highlight("abc", "")).toEqual([{ text: "abc", hit: false }]);
    expect(highlight("İ fish", "fish")).toEqual([{ text: "İ fish", hit: false }]);
  });
});
