import { describe, expect, it, vi } from "vitest";
import type { Level, LogBatch, LogEntry } from "./entry";
import { NO_FILTER, type LogFilter } from "./filter";
import { LogStore } from "./store";

function entry(second: number, message = `line ${second}`, level: Level = "info"): LogEntry {
  return { ts: new Date(second * 1000).toISOString(), level, target: "server", message, fields: {} };
}

const batch = (...entries: LogEntry[]): LogBatch => ({ entries, dropped: 0 });
const filter = (change: Partial<LogFilter>): LogFilter => ({ ...NO_FILTER, ...change });

function shown(store: LogStore): string[] {
  const { ring, first, end } = store.view();
  return Array.from(ring.values(first, end), ({ message }) => message);
}

describe("LogStore", () => {
  it("shows the backlog and what comes after it", () => {
    const store = new LogStore();
    store.begin(NO_FILTER, batch(entry(1), entry(2)));
    store.add(batch(entry(3)));
    expect(shown(store)).toEqual(["line 1", "line 2", "line 3"]);
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

  it("stands still while paused, and counts what waits", () => {
    const store = new LogStore();
    store.begin(NO_FILTER, batch(entry(1)));
    store.pause();
    store.add(batch(entry(2), entry(3)));
    expect(shown(store)).toEqual(["line 1"]);
    expect(store.view().waiting).toBe(2);
    store.resume();
    expect(shown(store)).toHaveLength(3);
    expect(store.view()).toMatchObject({ waiting: 0, paused: false });
  });

  it("stays bounded, and counts what went", () => {
    const store = new LogStore(3);
    store.begin(NO_FILTER, batch(entry(1), entry(2)));
    store.add({ entries: [entry(3), entry(4), entry(5)], dropped: 7 });
    expect(shown(store)).toEqual(["line 3", "line 4", "line 5"]);
    expect(store.view()).toMatchObject({ droppedHere: 2, droppedByServer: 7 });
  });

  it("stays bounded while paused too", () => {
    const store = new LogStore(2);
    store.begin(NO_FILTER, batch(entry(1)));
    store.pause();
    store.add(batch(entry(2), entry(3), entry(4)));
    expect(shown(store)).toEqual([]);
    expect(store.view().waiting).toBe(2);
  });

  it("clears, and does not count the cleared as dropped", () => {
    const store = new LogStore(3);
    store.begin(NO_FILTER, batch(entry(1), entry(2), entry(3)));
    store.clear();
    expect(shown(store)).toEqual([]);
    store.add(batch(entry(4), entry(5)));
    expect(shown(store)).toEqual(["line 4", "line 5"]);
    expect(store.view().droppedHere).toBe(0);
  });

  it("goes on after a reconnect without repeating lines", () => {
    const store = new LogStore();
    const twin = entry(2, "twin");
    store.begin(NO_FILTER, batch(entry(1), entry(2)));
    store.begin(NO_FILTER, batch(entry(1), entry(2), twin, entry(3)));
    expect(shown(store)).toEqual(["line 1", "line 2", "twin", "line 3"]);
  });

  it("keeps what was cleared away after a reconnect", () => {
    const store = new LogStore();
    store.begin(NO_FILTER, batch(entry(1)));
    store.clear();
    store.begin(NO_FILTER, batch(entry(1), entry(2)));
    expect(shown(store)).toEqual(["line 2"]);
  });

  it("narrows what is here, and takes older and newer lines from the backlog", () => {
    const store = new LogStore();
    store.begin(NO_FILTER, batch(entry(5, "a fish"), entry(6, "a bird"), entry(7, "Fishes")));
    store.begin(filter({ text: "fish" }), batch(entry(1, "old fish"), entry(5, "a fish"), entry(8, "new fish")));
    expect(shown(store)).toEqual(["old fish", "a fish", "Fishes", "new fish"]);
  });

  it("begins anew when the filter lets more through", () => {
    const store = new LogStore();
    store.begin(filter({ level: "error" }), { entries: [entry(5, "bad", "error")], dropped: 3 });
    store.begin(NO_FILTER, batch(entry(4), entry(6)));
    expect(shown(store)).toEqual(["line 4", "line 6"]);
    expect(store.view().droppedByServer).toBe(0);
  });

  it("shows the answer to another filter while paused", () => {
    const store = new LogStore();
    store.begin(NO_FILTER, batch(entry(1)));
    store.pause();
    store.begin(filter({ level: "debug" }), batch(entry(1), entry(2)));
    expect(shown(store)).toHaveLength(2);
    store.add(batch(entry(3)));
    expect(store.view()).toMatchObject({ paused: true, waiting: 1 });
  });
});
