import { describe, expect, it, vi } from "vitest";
import type { Level, LogBatch, LogEntry } from "./entry";
import { BACKLOG, NO_FILTER, type LogFilter } from "./filter";
import type { Row } from "./rows";
import { LogStore } from "./store";

function entry(second: number, message = `line ${second}`, level: Level = "info"): LogEntry {
  return { ts: new Date(second * 1000).toISOString(), level, target: "server", message, fields: {} };
}

const batch = (...entries: LogEntry[]): LogBatch => ({ entries, dropped: 0 });
const filter = (change: Partial<LogFilter>): LogFilter => ({ ...NO_FILTER, ...change });
/** A backlog as long as was asked for. */
const full = (from: number): LogBatch => batch(...Array.from({ length: BACKLOG }, (_, at) => entry(from + at)));

function rows(store: LogStore): Row[] {
  const { rows, first, end } = store.view();
  return [...rows.values(first, end)];
}

/** The messages, and "?" where lines may be missing. */
function shown(store: LogStore): string[] {
  return rows(store).flatMap((row) => (row.kind === "line" ? row.entry.message : row.kind === "hole" ? "?" : []));
}

function begun(...entries: LogEntry[]): LogStore {
  const store = new LogStore();
  store.begin(NO_FILTER, batch(...entries), 1);
  return store;
}

describe("LogStore", () => {
  it("shows the backlog and what comes after it", () => {
    const store = begun(entry(1), entry(2));
    store.add(batch(entry(3)));
    expect(shown(store)).toEqual(["line 1", "line 2", "line 3"]);
    expect(store.view().lines).toBe(3);
  });

  it("shows once what came before the backlog and is in it", () => {
    const store = begun(entry(1), entry(2));
    store.addEarly(batch(entry(2), entry(2, "twin"), entry(3)));
    expect(shown(store)).toEqual(["line 1", "line 2", "twin", "line 3"]);
  });

  it("tells its listeners, with a new view", () => {
    const store = new LogStore();
    const listener = vi.fn();
    const before = store.view();
    const stop = store.subscribe(listener);
    store.add(batch(entry(1)));
    expect(store.view()).not.toBe(before);
    stop();
    store.add(batch(entry(2)));
    expect(listener).toHaveBeenCalledTimes(1);
  });

  it("stays bounded, and counts what went", () => {
    const store = new LogStore(3);
    store.begin(NO_FILTER, batch(entry(1), entry(2)), 1);
    store.add({ entries: [entry(3), entry(4), entry(5)], dropped: 7 });
    expect(shown(store)).toEqual(["line 3", "line 4", "line 5"]);
    expect(store.view()).toMatchObject({ lines: 3, droppedHere: 2, droppedByServer: 7 });
  });

  it("has a row where the day changes", () => {
    const store = begun(entry(1), entry(100_000), entry(100_001));
    expect(rows(store).map(({ kind }) => kind)).toEqual(["day", "line", "day", "line", "line"]);
    expect(store.view().lines).toBe(3);
  });
});

describe("a pause", () => {
  it("stands still, and counts what waits", () => {
    const store = begun(entry(1));
    store.pause();
    store.add(batch(entry(2), entry(3)));
    expect(shown(store)).toEqual(["line 1"]);
    expect(store.view().waiting).toBe(2);
    store.resume();
    expect(shown(store)).toHaveLength(3);
    expect(store.view()).toMatchObject({ waiting: 0, paused: false });
  });

  it("stays bounded too", () => {
    const store = new LogStore(2);
    store.begin(NO_FILTER, batch(entry(1)), 1);
    store.pause();
    store.add(batch(entry(2), entry(3), entry(4)));
    expect(shown(store)).toEqual([]);
    expect(store.view().waiting).toBe(2);
  });

  it("keeps what is read when a search comes and goes", () => {
    const store = begun(entry(5, "a fish"), entry(6, "a bird"));
    store.pause();
    store.add(batch(entry(7)));
    store.show(filter({ text: "fish" }));
    store.begin(filter({ text: "fish" }), batch(entry(1, "old fish"), entry(5, "a fish"), entry(8, "new fish")), 1);
    expect(shown(store)).toEqual(["old fish", "a fish"]);
    expect(store.view()).toMatchObject({ paused: true, waiting: 1 });
    store.begin(NO_FILTER, batch(entry(6, "a bird"), entry(7), entry(8, "new fish"), entry(9)), 1);
    expect(shown(store)).toEqual(["?", "old fish", "a fish", "a bird"]);
    expect(store.view().waiting).toBe(3);
  });
});

describe("clearing", () => {
  it("does not count the cleared as dropped", () => {
    const store = new LogStore(3);
    store.begin(NO_FILTER, batch(entry(1), entry(2), entry(3)), 1);
    store.clear();
    expect(rows(store)).toEqual([]);
    store.add(batch(entry(4), entry(5)));
    expect(shown(store)).toEqual(["line 4", "line 5"]);
    expect(store.view().droppedHere).toBe(0);
  });

  it("is for good: neither a reconnect nor a search brings the lines back", () => {
    const store = begun(entry(1));
    store.clear();
    store.begin(NO_FILTER, batch(entry(1), entry(2)), 2);
    expect(shown(store)).toEqual(["line 2"]);
    store.begin(filter({ text: "line" }), batch(entry(0), entry(1), entry(2), entry(3)), 2);
    expect(shown(store)).toEqual(["line 2", "line 3"]);
  });

  it("leaves a pause as it is, and what waits", () => {
    const store = begun(entry(1));
    store.pause();
    store.add(batch(entry(2)));
    store.clear();
    expect(shown(store)).toEqual([]);
    expect(store.view()).toMatchObject({ paused: true, waiting: 1 });
    store.resume();
    expect(shown(store)).toEqual(["line 2"]);
  });

  it("does not hide that lines are missing since", () => {
    const store = begun(entry(1));
    store.clear();
    store.begin(NO_FILTER, full(100), 2);
    expect(shown(store).slice(0, 2)).toEqual(["?", "line 100"]);
  });
});

describe("after a reconnect", () => {
  it("goes on without repeating lines", () => {
    const store = begun(entry(1), entry(2));
    const { generation } = store.view();
    store.begin(NO_FILTER, batch(entry(1), entry(2), entry(2, "twin"), entry(3)), 2);
    expect(shown(store)).toEqual(["line 1", "line 2", "twin", "line 3"]);
    expect(store.view().generation).toBe(generation);
  });

  it("says where lines may be missing, and between which times", () => {
    const store = begun(entry(1), entry(2));
    store.begin(NO_FILTER, full(100), 2);
    expect(shown(store).slice(0, 4)).toEqual(["line 1", "line 2", "?", "line 100"]);
    expect(rows(store).find(({ kind }) => kind === "hole")).toMatchObject({ after: entry(2).ts, before: entry(100).ts });
    expect(store.view().lines).toBe(2 + BACKLOG);
  });

  it("says so of a new process, whose log is short or empty", () => {
    const store = begun(entry(1));
    store.begin(NO_FILTER, batch(), 2);
    expect(shown(store)).toEqual(["line 1", "?"]);
    store.begin(NO_FILTER, batch(entry(8)), 3);
    expect(shown(store)).toEqual(["line 1", "?", "line 8"]);
  });

  it("says nothing when the server has all since", () => {
    const store = begun(entry(200));
    store.begin(NO_FILTER, full(100), 2);
    expect(shown(store)).not.toContain("?");
  });
});

describe("another filter", () => {
  it("narrows what is here, and takes older and newer lines from the backlog", () => {
    const store = begun(entry(5, "a fish"), entry(6, "a bird"), entry(7, "Fishes"));
    store.begin(filter({ text: "fish" }), batch(entry(1, "old fish"), entry(5, "a fish"), entry(8, "new fish")), 1);
    expect(shown(store)).toEqual(["old fish", "a fish", "Fishes", "new fish"]);
  });

  it("destroys nothing: what was here is there again, with what came since", () => {
    const store = begun(entry(1), entry(2), entry(3));
    store.show(filter({ text: "line 2" }));
    expect(shown(store)).toEqual(["line 2"]);
    store.begin(filter({ text: "line 2" }), { entries: [entry(2)], dropped: 4 }, 1);
    store.add(batch(entry(4, "line 22")));
    store.show(NO_FILTER);
    expect(shown(store)).toEqual(["line 1", "line 2", "line 3", "line 22"]);
    store.begin(NO_FILTER, batch(entry(3), entry(4, "line 22"), entry(5)), 1);
    expect(shown(store)).toEqual(["line 1", "line 2", "line 3", "line 22", "line 5"]);
    expect(store.view().droppedByServer).toBe(4);
  });

  it("shows a hole where only the filter before was followed, to whom it is one", () => {
    const store = begun(entry(1), entry(2));
    store.begin(filter({ text: "fish" }), batch(), 1);
    store.add(batch(entry(3, "fish")));
    store.begin(NO_FILTER, full(100), 1);
    expect(shown(store).slice(0, 5)).toEqual(["line 1", "line 2", "?", "fish", "line 100"]);
    store.show(filter({ text: "fish" }));
    expect(shown(store)).toEqual(["fish"]);
  });

  it("that lets more through begins with lines of which others were left out", () => {
    const store = new LogStore();
    store.begin(filter({ level: "error" }), batch(entry(5, "bad", "error")), 1);
    store.begin(NO_FILTER, full(100), 1);
    expect(shown(store).slice(0, 3)).toEqual(["?", "bad", "line 100"]);
    expect(rows(store)[0]).toMatchObject({ after: undefined, before: entry(100).ts });
  });

  it("that follows on the same connection leaves no hole", () => {
    const store = new LogStore();
    store.begin(filter({ text: "a" }), batch(entry(1, "a")), 1);
    store.begin(filter({ text: "ab" }), batch(), 1);
    store.add(batch(entry(2, "ab")));
    store.begin(filter({ text: "a" }), batch(entry(1, "a"), entry(2, "ab")), 1);
    expect(shown(store)).toEqual(["a", "ab"]);
  });

  it("of 100,000 lines keeps the page's thread for moments only", async () => {
    const store = new LogStore();
    for (let from = 0; from < 100_000; from += 1000) {
      store.add(batch(...Array.from({ length: 1000 }, (_, at) => ({ ...entry(from + at), fields: { user: "u1", address: "127.0.0.1" } }))));
    }
    store.show(filter({ text: "line 99999" }));
    // It is not done yet: the view before stays until the other one is whole.
    expect(store.view().lines).toBe(100_000);
    store.add(batch(entry(100_000, "line 99999 again")));
    await vi.waitFor(() => expect(shown(store)).toEqual(["line 99999", "line 99999 again"]), { timeout: 10_000 });
  });
});
