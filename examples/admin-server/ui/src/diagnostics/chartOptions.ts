import uPlot from "uplot";
import type { ChartKind } from "./chartKinds";
import { HISTORY_MS } from "./history";

/** The same for all charts: their time axes stand below each other. */
const AXIS_WIDTH = 52;
/** The shortest time that a chart spans. */
const LEAST_SEC = 120;
/** Pixels between two times on the axis. */
const TIME_SPACE = 72;
/** Seconds between two times on the axis: whole minutes, since that is what is written there. */
const TIME_STEPS = [60, 120, 300, 600];

const timeFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const short = new Intl.NumberFormat("en-GB", { notation: "compact", maximumSignificantDigits: 3 });

/** The last quarter of an hour, or what there is of it: the first minutes of a server would be a line at the edge. */
function known(chart: uPlot): uPlot.Range.MinMax {
  const newest = chart.data[0].at(-1) ?? Date.now() / 1000;
  const oldest = chart.data[0][0] ?? newest;
  return [Math.max(newest - HISTORY_MS / 1000, Math.min(oldest, newest - LEAST_SEC)), newest];
}

/** From zero, with some room above; a line of zeros lies on the ground. */
function fromZero(_: uPlot, __: number | null, max: number | null): uPlot.Range.MinMax {
  return [0, max !== null && max > 0 ? uPlot.rangeNum(0, max, 0.1, true)[1] : 1];
}

export function chartOptions(kind: ChartKind, box: HTMLElement, onHover: (index: number | null) => void): uPlot.Options {
  const style = getComputedStyle(box);
  const colour = (name: string): string => style.getPropertyValue(`--diagnostics-${name}`).trim();
  const axis: uPlot.Axis = {
    font: `11px ${style.fontFamily}`,
    stroke: colour("axis"),
    grid: { stroke: colour("grid"), width: 1 },
    ticks: { show: false },
  };
  return {
    width: box.clientWidth,
    height: box.clientHeight,
    padding: [8, 16, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      points: { size: 6 },
      drag: { x: false, y: false, setScale: false },
      sync: { key: "diagnostics", setSeries: false },
    },
    scales: { x: { time: true, range: known }, y: { range: fromZero } },
    axes: [
      {
        ...axis,
        space: TIME_SPACE,
        incrs: TIME_STEPS,
        size: 26,
        values: (_, times) => times.map((time) => timeFormat.format(time * 1000)),
      },
      { ...axis, size: AXIS_WIDTH, space: 32, values: (_, values) => values.map((value) => short.format(value)) },
    ],
    series: [
      {},
      ...kind.lines.map((line, index) => ({
        label: line.name,
        stroke: colour(`line-${index + 1}`),
        width: 1.5,
        points: { show: false },
        ...(kind.lines.length === 1 ? { fill: colour("fill") } : {}),
      })),
    ],
    hooks: { setCursor: [({ cursor }) => onHover(cursor.idx ?? null)] },
  };
}
