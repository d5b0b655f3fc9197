import { UNKNOWN } from "../common/format";
import { decimals, milliseconds, type Digits } from "../common/figures";
import type { History } from "./history";
import { gauge, plot, rate, summed, type Plot, type Reader, type Series } from "./rates";

/** Counters are looked at over this long: two seconds would show single messages as spikes. */
const RATE_MS = 10_000;

export interface Line {
  name: string;
  digits: Digits;
  series: (history: History) => Series;
}

export interface ChartKind {
  id: string;
  title: string;
  /** What is measured, where the title does not tell. */
  about: string;
  unit: string;
  /** The least height of the picture, in its unit. */
  least: number;
  lines: readonly Line[];
}

const level = (name: string, digits: Digits, read: Reader): Line => ({ name, digits, series: (history) => gauge(history, read) });

export const deliveries = (history: History): Series => rate(history, RATE_MS, summed(history, (one) => one.deliveriesPerSecond));

export const CHARTS: readonly ChartKind[] = [
  {
    id: "connections",
    title: "Connections",
    about: "",
    unit: "",
    least: 4,
    lines: [level("Connections", 0, (one) => one.connections)],
  },
  {
    id: "messages",
    title: "Messages",
    about: "average over 10 s",
    unit: "/s",
    least: 1,
    lines: [
      { name: "Chat messages", digits: 1, series: (all) => rate(all, RATE_MS, gauge(all, (one) => one.messages)) },
      { name: "All events", digits: 1, series: (all) => rate(all, RATE_MS, summed(all, (one) => one.eventsPerSecond)) },
    ],
  },
  {
    id: "deliveries",
    title: "Deliveries",
    about: "average over 10 s",
    unit: "/s",
    least: 4,
    lines: [{ name: "Deliveries", digits: 1, series: deliveries }],
  },
  {
    id: "memory",
    title: "Memory",
    about: "",
    unit: "MB",
    least: 16,
    lines: [level("Resident", 1, (one) => one.rssMB), level("Heap used", 1, (one) => one.heapUsedMB)],
  },
  { id: "cpu", title: "CPU", about: "of one core", unit: "%", least: 10, lines: [level("CPU", 1, (one) => one.cpuPercent)] },
  {
    id: "latency",
    title: "Latency",
    about: "requests: last 10 s, handlers: last 2 s",
    unit: "ms",
    least: 4,
    lines: [
      level("Requests p95", 2, (one) => one.requestP95Ms),
      level("Handler p50", 2, (one) => one.handlerP50Ms),
      level("Handler p99", 2, (one) => one.handlerP99Ms),
    ],
  },
];

export function chartPlot({ lines }: ChartKind, history: History): Plot {
  return plot(
    history,
    lines.map(({ series }) => series(history)),
  );
}

/** A value of one of the lines, with its unit. */
export function reading({ unit, lines }: ChartKind, line: number, value: number | null | undefined): string {
  const write = unit === "ms" ? milliseconds : decimals;
  const text = write(value, lines[line]?.digits ?? 0);
  return text === UNKNOWN || unit === "" ? text : `${text} ${unit}`.replace(" /s", "/s");
}

/** What the picture says, for those who do not see it. */
export function description(kind: ChartKind, { lines }: Plot): string {
  const parts = kind.lines.map(({ name }, index) => {
    const values = (lines[index] ?? []).filter((value) => value !== null);
    if (values.length === 0) return `${name}: no figures`;
    const range = `lowest ${reading(kind, index, Math.min(...values))}, highest ${reading(kind, index, Math.max(...values))}`;
    return `${name}: ${reading(kind, index, lines[index]?.at(-1))} now, ${range}`;
  });
  return `${kind.title}${kind.about && ` (${kind.about})`} over the last 15 minutes. ${parts.join(". ")}.`;
}
