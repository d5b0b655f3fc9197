import uPlot from "uplot";
import type { ChartKind } from "./chartKinds";
import { TIME_SPACE, TIME_STEPS, timeRange } from "./timeAxis";

/** The same for all charts: their time axes stand below each other. */
const AXIS_WIDTH = 52;

const timeFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const short = new Intl.NumberFormat("en-GB", { notation: "compact", maximumSignificantDigits: 3 });

/** From zero, with some room above; what is smaller than `least` does not fill the height, so that an idle server looks idle. */
export function fromZero(max: number | null, least: number): uPlot.Range.MinMax {
  return [0, max !== null && max > least ? uPlot.rangeNum(0, max, 0.1, true)[1] : least];
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
    scales: { x: { time: true, range: (chart) => timeRange(chart.data[0]) }, y: { range: (_, __, max) => fromZero(max, kind.least) } },
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
