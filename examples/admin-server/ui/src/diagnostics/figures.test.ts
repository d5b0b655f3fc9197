import { describe, expect, it } from "vitest";
import { CHARTS, chartPlot, description, reading } from "./chartKinds";
import { bytesText, count, decimals, megabytes, milliseconds, signed } from "../common/figures";
import { fromZero } from "./chartOptions";
import { freshness, isOld } from "./freshness";
import { readSnapshot } from "./snapshot";
import { at } from "./testing";
import { tiles } from "./tileFigures";

describe("figures", () => {
  it("have a fixed number of decimals, and a dash for what is not known", () => {
    expect(megabytes(12.34)).toBe("12.3 MB");
    expect(megabytes(8)).toBe("8.0 MB");
    expect([megabytes(undefined), count(Number.NaN), decimals(null, 2), bytesText(undefined)]).toEqual(["–", "–", "–", "–"]);
    expect(count(1234567)).toBe("1,234,567");
  });

  it("write bytes in their unit", () => {
    expect([0, 900, 2048, 5_000_000].map(bytesText)).toEqual(["0 B", "900 B", "2.0 KB", "4.8 MB"]);
  });

  it("write a time that is too short for their digits as such", () => {
    expect([milliseconds(0, 0), milliseconds(4, 0), milliseconds(0.004, 2), milliseconds(0.5, 2), milliseconds(undefined, 0)]).toEqual([
      "<1", "4", "<0.01", "0.50", "–",
    ]);
  });

  it("write changes with their sign", () => {
    expect([signed(3, 0), signed(-1.25, 1), signed(0.04, 1), signed(-1200, 0), signed(undefined, 1)]).toEqual(["+3", "−1.3", "±0.0", "−1,200", "–"]);
  });
});

describe("freshness", () => {
  it("ends after six seconds or with the connection", () => {
    expect(freshness(1000, 7000, true)).toEqual({ stale: false, ageSec: 6 });
    expect(freshness(1000, 7001, true).stale).toBe(true);
    expect(freshness(1000, 1500, false)).toEqual({ stale: true, ageSec: 0 });
  });

  it("of a poll ends when the next answer is late", () => {
    expect([isOld(undefined, 99_000, 30_000), isOld(1000, 41_000, 30_000), isOld(1000, 41_001, 30_000)]).toEqual([false, false, true]);
  });

  it("does not begin before the first snapshot, nor in the future", () => {
    expect(freshness(undefined, 9000, false)).toEqual({ stale: false, ageSec: undefined });
    expect(freshness(5000, 4000, true)).toEqual({ stale: false, ageSec: 0 });
  });
});

describe("readSnapshot", () => {
  it("takes what is there, and leaves out what is not", () => {
    const snapshot = readSnapshot({
      ok: true,
      generatedAt: "2026-11-22T18:00:00.000Z",
      memory: { rssMB: 12.3, heapUsedMB: "much" },
      connections: { current: 3 },
      nodes: [{ id: "a", connections: 3, self: true }, {}],
      subsystems: { broker: "down" },
      degraded: ["uploads"],
    });
    expect(snapshot).toMatchObject({ rssMB: 12.3, heapUsedMB: undefined, connections: 3, uploadsTotal: undefined, degraded: ["uploads"] });
    expect(snapshot?.nodes).toHaveLength(1);
    expect(snapshot?.subsystems).toEqual([{ name: "broker", state: "down" }]);
  });

  it("knows no latency where nothing was asked or handled", () => {
    const taken = { ok: true, generatedAt: "2026-11-22T18:00:00.000Z", latency: { handlerP50Ms: 0, handlerP99Ms: 0 } };
    const idle = readSnapshot({ ...taken, load: { eventsPerSecond: 0 }, requests: { total: 5, p95Ms: 4 } });
    expect(idle).toMatchObject({ p95Ms: 4, requestP95Ms: undefined, handlerP50Ms: undefined, handlerP99Ms: undefined });
    expect(readSnapshot({ ...taken, load: { eventsPerSecond: 0.5 } })).toMatchObject({ handlerP50Ms: 0, handlerP99Ms: 0 });
    expect(readSnapshot({ ...taken, latency: { requestP95Ms: 4.1 } })?.requestP95Ms).toBe(4.1);
  });

  it("refuses what is no snapshot", () => {
    expect([undefined, [], { ok: false }, { ok: true }, { ok: true, generatedAt: "soon" }].map(readSnapshot)).toEqual(Array(5).fill(undefined));
  });
});

describe("tiles", () => {
  const history = Array.from({ length: 70 }, (_, index) => at(index * 2, { connections: index, messages: index * 2, pendingBytes: index * 1024, rssMB: 10 }));
  const tile = (name: string) => tiles(history).find((one) => one.name === name);

  it("have a value, a unit and the change over a minute", () => {
    expect(tile("Connections")).toMatchObject({ value: "69", unit: "", change: "+30 in 1 min" });
    expect(tile("Messages")).toMatchObject({ value: "60", unit: "/min", change: "±0 in 1 min" });
    expect(tile("Memory")).toMatchObject({ value: "10.0", unit: "MB", change: "±0.0 in 1 min" });
    expect(tile("Pending")).toMatchObject({ value: "69.0", unit: "KB", change: "+30.0 KB in 1 min" });
  });

  it("have dashes for what is not known", () => {
    expect(tile("CPU")).toMatchObject({ value: "–", change: "–" });
    expect(tile("Requests p95, 10 s")).toMatchObject({ value: "–", unit: "", curve: { lines: [Array(70).fill(null)] } });
    expect(tiles([]).every(({ value, change }) => value === "–" && change === "–")).toBe(true);
  });
});

describe("charts", () => {
  it("say in words what they show", () => {
    const [connections] = CHARTS;
    const history = [at(0, { connections: 3 }), at(2, { connections: 1 })];
    expect(description(connections!, chartPlot(connections!, history))).toBe(
      "Connections over the last 15 minutes. Connections: 1 now, lowest 1, highest 3.",
    );
    expect(description(connections!, chartPlot(connections!, []))).toContain("no figures");
  });

  it("leave an idle server's noise at the ground", () => {
    expect([fromZero(null, 10), fromZero(0.5, 10)]).toEqual([[0, 10], [0, 10]]);
    expect(fromZero(80, 10)[1]).toBeGreaterThan(80);
  });

  it("write a reading with its unit", () => {
    const byId = (id: string) => CHARTS.find((kind) => kind.id === id)!;
    expect([reading(byId("messages"), 0, 2), reading(byId("cpu"), 0, 3.25), reading(byId("cpu"), 0, null)]).toEqual(["2.0/s", "3.3 %", "–"]);
    expect([reading(byId("latency"), 0, 0), reading(byId("latency"), 1, 0.254)]).toEqual(["<0.01 ms", "0.25 ms"]);
  });
});
