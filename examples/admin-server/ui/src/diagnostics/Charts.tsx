import "uplot/dist/uPlot.min.css";
import { Chart } from "./Chart";
import { CHARTS } from "./chartKinds";
import type { History } from "./history";

/** In a file of its own with uPlot: only admins need it. */
export default function Charts({ history }: { history: History }) {
  return CHARTS.map((kind) => <Chart key={kind.id} kind={kind} history={history} />);
}
