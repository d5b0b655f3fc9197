import { describe, expect, it } from "vitest";
import { changeOverMinute, gauge, last, plot, rate, scaled } from "./rates";
import { at } from "./testing";

const messages = (...counts: (number | undefined)[]) => counts.map((count, index) => at(index * 2, { messages: count }));
const read = (one: { messages: number | undefined }) => one.messages;

describe("rate", () => {
  it("is what a counter grew in a second", () => {
    expect(rate(messages(10, 14, 14, 20), 2000, read)).toEqual([null, 2, 0, 3]);
  });

  it("looks back over its window", () => {
    expect(rate(messages(0, 2, 4, 8, 16), 4000, read)).toEqual([null, 1, 1, 1.5, 3]);
  });

  it("begins anew when the counter fell", () => {
    expect(rate(messages(100, 104, 0, 2, 6), 60_000, read)).toEqual([null, 2, null, 1, 1.5]);
  });

  it("begins anew when another process answers, though its counter is higher", () => {
    const [first, second, third] = messages(1, 500, 502);
    const other = [second, third].map((one) => ({ ...one!, process: "other/2" }));
    expect(rate([first!, ...other], 60_000, read)).toEqual([null, null, 1]);
  });

  it("knows nothing where nothing was counted", () => {
    expect(rate(messages(1, undefined, 5), 60_000, read)).toEqual([null, null, null]);
  });

  it("can be scaled to a minute", () => {
    expect(scaled([null, 2], 60)).toEqual([null, 120]);
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
