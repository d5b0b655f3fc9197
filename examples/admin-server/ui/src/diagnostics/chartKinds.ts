import { UNKNOWN } from "../common/format";
import { decimals, type Digits } from "../common/figures";
import type { History } from "./history";
import { gauge, plot, rate, type Plot, type Reader, type Series } from "./rates";

/** Counters are looked at over this long: two seconds would show single messages as spikes. */
const RATE_MS = 10_000;

export interface Line {
  name: string;
  series: (history: History) => Series;
}

export interface ChartKind {
  id: string;
  title: string;
  unit: string;
  digits: Digits;
  lines: readonly Line[];
}

const level = (name: string, read: Reader): Line => ({ name, series: (history) => gauge(history, read) });
const speed = (name: string, read: Reader): Line => ({ name, series: (history) => rate(history, RATE_MS, read) });

export const CHARTS: readonly ChartKind[] = [
  { id: "connections", title: "Connections", unit: "", digits: 0, lines: [level("Connections", (one) => one.connections)] },
  {
    id: "messages",
    title: "Messages",
    unit: "/s",
    digits: 1,
    lines: [speed("Chat messages", (one) => one.messages), level("All events", (one) => one.eventsPerSecond)],
  },
  { id: "deliveries", title: "Deliveries", unit: "/s", digits: 1, lines: [level("Deliveries", (one) => one.deliveriesPerSecond)] },
  {
    id: "memory",
    title: "Memory",
    unit: "MB",
    digits: 1,
    lines: [level("Resident", (one) => one.rssMB), level("Heap used", (one) => one.heapUsedMB)],
  },
  { id: "cpu", title: "CPU", unit: "%", digits: 1, lines: [level("CPU", (one) => one.cpuPercent)] },
  {
    id: "latency",
    title: "Latency",
    unit: "ms",
    digits: 2,
    lines: [
      level("Requests p95", (one) => one.p95Ms),
      level("Handler p50", (one) => one.handlerP50Ms),
      level("Handler p99", (one) => one.handlerP99Ms),
    ],
  },
];

export function chartPlot({ lines }: ChartKind, history: History): Plot {
  return plot(
    history,
    lines.map(({ series }) => series(history)),
  );
}

export function reading({ unit, digits }: ChartKind, value: number | null | undefined): string {
  const text = decimals(value, digits);
  return text === UNKNOWN || unit === "" ? text : `${text} ${unit}`.replace(" /s", "/s");
}

/** What the picture says, for those who do not see it. */
export function description(kind: ChartKind, { lines }: Plot): string {
  const parts = kind.lines.map(({ name }, index) => {
    const values = (lines[index] ?? []).filter((value) => value !== null);
    if (values.length === 0) return `${name}: no figures`;
    const range = `lowest ${reading(kind, Math.min(...values))}, highest ${reading(kind, Math.max(...values))}`;
    return `${name}: ${reading(kind, lines[index]?.at(-1))} now, ${range}`;
  });
  return `${kind.title} over the last 15 minutes. ${parts.join(". ")}.`;
}
