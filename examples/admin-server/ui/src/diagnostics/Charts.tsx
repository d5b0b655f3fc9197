import "uplot/dist/uPlot.min.css";
import { Chart } from "./Chart";
import { CHARTS } from "./chartKinds";
import type { History } from "./history";

export function Charts({ history }: { history: History }) {
  return CHARTS.map((kind) => <Chart key={kind.id} kind={kind} history={history} />);
}
