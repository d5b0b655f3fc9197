import { UNKNOWN } from "../common/format";
import { bytes, decimals, milliseconds, signed, type Digits, type Measure } from "../common/figures";
import { deliveries } from "./chartKinds";
import type { History } from "./history";
import { changeOverMinute, gauge, last, MINUTE_MS, plot, rate, scaled, type Plot, type Series } from "./rates";

export interface TileFigures extends Measure {
  name: string;
  /** Over the last minute, with its sign; a dash as long as it is not known. */
  change: string;
  /** The curve, and what it takes to fill its height. */
  curve: Plot;
  least: number;
}

interface TileKind {
  name: string;
  series: (history: History) => Series;
  least: number;
  measure: (value: number | undefined) => Measure;
  change: (difference: number) => string;
}

const inUnit = (unit: string, digits: Digits, write = decimals): Pick<TileKind, "measure" | "change"> => ({
  measure: (value) => ({ value: write(value, digits), unit: value === undefined ? "" : unit }),
  change: (difference) => signed(difference, digits),
});

function changeInBytes(difference: number): string {
  const { value, unit } = bytes(Math.abs(difference));
  return difference === 0 ? "±0" : `${difference > 0 ? "+" : "−"}${value} ${unit}`;
}

/** Eight: they fill their rows on every screen. */
const KINDS: readonly TileKind[] = [
  { name: "Connections", least: 4, series: (all) => gauge(all, (one) => one.connections), ...inUnit("", 0) },
  { name: "Messages", least: 10, series: (all) => scaled(rate(all, MINUTE_MS, gauge(all, (one) => one.messages)), 60), ...inUnit("/min", 0) },
  { name: "Deliveries", least: 4, series: deliveries, ...inUnit("/s", 1) },
  { name: "Memory", least: 4, series: (all) => gauge(all, (one) => one.rssMB), ...inUnit("MB", 1) },
  { name: "CPU", least: 10, series: (all) => gauge(all, (one) => one.cpuPercent), ...inUnit("%", 1) },
  { name: "Requests p95, 10 s", least: 4, series: (all) => gauge(all, (one) => one.requestP95Ms), ...inUnit("ms", 1, milliseconds) },
  { name: "Handler p99", least: 4, series: (all) => gauge(all, (one) => one.handlerP99Ms), ...inUnit("ms", 2, milliseconds) },
  { name: "Pending", least: 65_536, series: (all) => gauge(all, (one) => one.pendingBytes), measure: bytes, change: changeInBytes },
];

export function tiles(history: History): TileFigures[] {
  return KINDS.map(({ name, series: of, least, measure, change }) => {
    const series = of(history);
    const difference = changeOverMinute(history, series);
    return {
      name,
      curve: plot(history, [series]),
      least,
      ...measure(last(series)),
      change: difference === undefined ? UNKNOWN : `${change(difference)} in 1 min`,
    };
  });
}
