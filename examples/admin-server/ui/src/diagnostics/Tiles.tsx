import { useMemo } from "react";
import type { History } from "./history";
import { sparkPath } from "./sparkPath";
import { tiles, type TileFigures } from "./tileFigures";

const WIDTH = 150;
const HEIGHT = 28;

export function Tiles({ history }: { history: History }) {
  const all = useMemo(() => tiles(history), [history]);
  return (
    <ul className="diagnostics-tiles" aria-label="Live figures">
      {all.map((figures) => (
        <LiveTile key={figures.name} {...figures} />
      ))}
    </ul>
  );
}

function LiveTile({ name, value, unit, change, curve, least }: TileFigures) {
  return (
    <li className="diagnostics-tile">
      <span className="diagnostics-tile-name">{name}</span>
      <span className="diagnostics-tile-value">
        {value}
        {unit && <small> {unit}</small>}
      </span>
      <span className="diagnostics-tile-change">{change}</span>
      <svg viewBox={`0 -2 ${WIDTH} ${HEIGHT + 4}`} preserveAspectRatio="none" aria-hidden="true">
        <path d={sparkPath(curve, least, WIDTH, HEIGHT)} vectorEffect="non-scaling-stroke" />
      </svg>
    </li>
  );
}
