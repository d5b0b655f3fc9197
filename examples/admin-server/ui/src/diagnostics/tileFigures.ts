import { UNKNOWN } from "../common/format";
import { bytes, decimals, signed, type Digits, type Measure } from "../common/figures";
import type { History } from "./history";
import { changeOverMinute, gauge, last, MINUTE_MS, rate, scaled, type Series } from "./rates";

export interface TileFigures extends Measure {
  name: string;
  /** Over the last minute, with its sign; a dash as long as it is not known. */
  change: string;
  series: Series;
}

interface TileKind {
  name: string;
  series: (history: History) => Series;
  measure: (value: number | undefined) => Measure;
  change: (difference: number) => string;
}

const inUnit = (unit: string, digits: Digits): Pick<TileKind, "measure" | "change"> => ({
  measure: (value) => ({ value: decimals(value, digits), unit }),
  change: (difference) => signed(difference, digits),
});

function changeInBytes(difference: number): string {
  const { value, unit } = bytes(Math.abs(difference));
  return difference === 0 ? "±0" : `${difference > 0 ? "+" : "−"}${value} ${unit}`;
}

const KINDS: readonly TileKind[] = [
  { name: "Connections", series: (all) => gauge(all, (one) => one.connections), ...inUnit("", 0) },
  { name: "Messages", series: (all) => scaled(rate(all, MINUTE_MS, (one) => one.messages), 60), ...inUnit("/min", 0) },
  { name: "Memory", series: (all) => gauge(all, (one) => one.rssMB), ...inUnit("MB", 1) },
  { name: "CPU", series: (all) => gauge(all, (one) => one.cpuPercent), ...inUnit("%", 1) },
  { name: "Requests p95", series: (all) => gauge(all, (one) => one.p95Ms), ...inUnit("ms", 1) },
  { name: "Handler p99", series: (all) => gauge(all, (one) => one.handlerP99Ms), ...inUnit("ms", 2) },
  { name: "Pending", series: (all) => gauge(all, (one) => one.pendingBytes), measure: bytes, change: changeInBytes },
];

export function tiles(history: History): TileFigures[] {
  return KINDS.map(({ name, series: of, measure, change }) => {
    const series = of(history);
    const difference = changeOverMinute(history, series);
    return { name, series, ...measure(last(series)), change: difference === undefined ? UNKNOWN : `${change(difference)} in 1 min` };
  });
}
