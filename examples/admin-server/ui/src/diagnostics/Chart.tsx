import { useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import { chartOptions } from "./chartOptions";
import { chartPlot, description, reading, type ChartKind } from "./chartKinds";
import type { History } from "./history";
import type { Plot } from "./rates";
import { useColourScheme } from "./useColourScheme";

const data = ({ times, lines }: Plot): uPlot.AlignedData => [[...times], ...lines.map((line) => [...line])];

/** One picture; the values beside it are those under the cursor, else the newest. */
export function Chart({ kind, history }: { kind: ChartKind; history: History }) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot>(null);
  const plot = useMemo(() => chartPlot(kind, history), [kind, history]);
  const [hovered, setHovered] = useState<number | null>(null);
  const scheme = useColourScheme();

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    // The colours are painted into the canvas: another scheme needs another chart.
    const made = new uPlot(chartOptions(kind, element, setHovered), [[], ...kind.lines.map(() => [])], element);
    chart.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: element.clientHeight }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      chart.current = null;
      made.destroy();
    };
  }, [kind, scheme]);

  useEffect(() => {
    chart.current?.setData(data(plot));
  }, [plot, scheme]);

  const at = hovered !== null && hovered < plot.times.length ? hovered : plot.times.length - 1;
  return (
    <figure className="diagnostics-chart">
      <figcaption>
        <h3>
          {kind.title} {kind.about && <small>{kind.about}</small>}
        </h3>
        <ul className="diagnostics-legend">
          {kind.lines.map(({ name }, index) => (
            <li key={name} data-line={index + 1}>
              {name} <strong>{reading(kind, index, plot.lines[index]?.[at])}</strong>
            </li>
          ))}
        </ul>
      </figcaption>
      <div className="diagnostics-plot" ref={box} role="img" aria-label={description(kind, plot)} />
    </figure>
  );
}
