import { describe, expect, it } from "vitest";
import { changeOverMinute, gauge, last, plot, rate, scaled, summed } from "./rates";
import { at } from "./testing";

/** One snapshot each two seconds with that many messages; the process is as old as `uptime` at the first. */
const messages = (counts: readonly (number | undefined)[], uptime = 1000) =>
  counts.map((count, index) => at(index * 2, { messages: count, uptimeSec: uptime + index * 2 }));
const perSecond = (history: ReturnType<typeof messages>, windowMs: number) =>
  rate(history, windowMs, gauge(history, (one) => one.messages));

describe("rate", () => {
  it("is what a counter grew in a second, over a full window", () => {
    expect(perSecond(messages([10, 14, 14, 20]), 4000)).toEqual([null, null, 1, 1.5]);
  });

  it("bears snapshots that are a little late or early", () => {
    const history = messages([0, 10, 20, 30]).map((one, index) => ({ ...one, at: one.at + (index % 2) * 100 }));
    expect(perSecond(history, 4000).map((value) => value?.toFixed(1))).toEqual([undefined, undefined, "5.0", "5.0"]);
  });

  it("does not make much of a young server's first message", () => {
    expect(scaled(perSecond(messages([0, 1, 1, 2], 2), 60_000), 60)).toEqual([0, 1, 1, 2]);
  });

  it("begins anew when another process answers, though its counter is higher", () => {
    const [first, second, third] = messages([1, 500, 502], 2);
    const other = [second, third].map((one) => ({ ...one!, process: "other/2" }));
    expect(perSecond([first!, ...other], 10_000)).toEqual([0, 0, 0.2]);
  });

  it("begins anew when the process is younger than before, though it has the same number and host", () => {
    const history = [...messages([100, 104]), at(4, { messages: 200, uptimeSec: 1 }), at(6, { messages: 210, uptimeSec: 3 })];
    expect(perSecond(history, 10_000)).toEqual([null, null, 0, 1]);
  });

  it("begins anew when the counter fell, and after a hole", () => {
    expect(perSecond(messages([100, 104, 0, 2, 6]), 4000)).toEqual([null, null, null, null, 1.5]);
    const history = [at(0, { messages: 0 }), at(2, { messages: 2 }), at(100, { messages: 4 })];
    expect(perSecond(history, 60_000)).toEqual([null, null, null]);
  });

  it("knows nothing where nothing was counted", () => {
    expect(perSecond(messages([1, undefined, 5], 2), 60_000)).toEqual([0, null, null]);
  });

  it("is the same of a counter and of the speed that is told for each two seconds", () => {
    const history = messages([0, 2, 2, 2, 2, 12, 12]).map((one, index) => ({ ...one, eventsPerSecond: [0, 1, 0, 0, 0, 5, 0][index] }));
    const events = rate(history, 10_000, summed(history, (one) => one.eventsPerSecond));
    expect(events).toEqual(perSecond(history, 10_000));
    expect(events.slice(-2)).toEqual([1.2, 1]);
  });
});

describe("changeOverMinute", () => {
  const history = Array.from({ length: 40 }, (_, index) => at(index * 2, { connections: index }));
  const series = gauge(history, (one) => one.connections);

  it("compares with the value of a minute before", () => {
    expect(changeOverMinute(history, series)).toBe(30);
  });

  it("knows nothing while the history is shorter, or has a hole there", () => {
    expect(changeOverMinute(history.slice(0, 20), series.slice(0, 20))).toBeUndefined();
    const old = [at(-1000, { connections: 5 }), at(0, { connections: 7 })];
    expect(changeOverMinute(old, [5, 7])).toBeUndefined();
    expect(changeOverMinute([], [])).toBeUndefined();
  });

  it("does not compare two processes", () => {
    const mixed = history.map((one, index) => (index < 20 ? { ...one, process: "other/2" } : one));
    expect(changeOverMinute(mixed, series)).toBeUndefined();
  });

  it("does not compare a process with the one before it, of the same number and host", () => {
    const young = history.map((one, index) => ({ ...one, uptimeSec: index < 30 ? 5 + index * 2 : (index - 30) * 2 }));
    expect(changeOverMinute(young, series)).toBeUndefined();
  });

  it("knows nothing when the newest value is missing", () => {
    expect(changeOverMinute(history, series.with(-1, null))).toBeUndefined();
  });
});

describe("plot", () => {
  it("breaks its lines at holes and at restarts", () => {
    const history = [at(0), at(2), at(100), { ...at(102), process: "other/2" }];
    const { times, lines } = plot(history, [[1, 2, 3, 4]]);
    expect(lines).toEqual([[1, 2, null, 3, null, 4]]);
    expect(times).toEqual([0, 2, 51, 100, 101, 102]);
  });

  it("has the last value that is known to be last", () => {
    expect(last([1, 2])).toBe(2);
    expect(last([1, null])).toBeUndefined();
    expect(last([])).toBeUndefined();
  });
});
