import { Badge, EmptyState, ErrorState, Loading, Panel } from "../common/ui";
import { RequestError } from "../common/socket";
import { Charts } from "./Charts";
import { Nodes, Subsystems } from "./Nodes";
import { Tiles } from "./Tiles";
import { useLive, type LiveFigures } from "./useLive";

/** The figures as they change, for admins. */
export function LivePanel() {
  const live = useLive();
  const { error, history, stale } = live;
  if (error instanceof RequestError && error.code === "forbidden") {
    return <EmptyState title="For administrators only">The server shows live figures to administrators only.</EmptyState>;
  }
  const newest = history.at(-1);
  if (!newest && error) return <ErrorState title="No live figures" message={error.message} onRetry={live.retry} />;
  // Before the first figures all is in its place already: nothing jumps when they come.
  return (
    <div className={stale ? "diagnostics-live diagnostics-stale" : "diagnostics-live"}>
      <Heading live={live} />
      {newest && newest.degraded.length > 0 && <p className="diagnostics-degraded">Without figures of: {newest.degraded.join(", ")}.</p>}
      <Tiles history={history} />
      <div className="diagnostics-charts">
        <Charts history={history} />
      </div>
      <div className="diagnostics-columns diagnostics-health">
        <Panel title="Nodes">
          {newest ? <Nodes nodes={newest.nodes} /> : <Loading />}
        </Panel>
        <Panel title="Subsystems">
          {newest ? <Subsystems subsystems={newest.subsystems} /> : <Loading />}
        </Panel>
      </div>
    </div>
  );
}

function Heading({ live: { stale, ageSec, error, history } }: { live: LiveFigures }) {
  const newest = history.at(-1);
  const about = [newest?.runtime, newest?.host && `on ${newest.host}`, newest?.pid !== undefined && `process ${newest.pid}`];
  return (
    <div className="diagnostics-heading">
      <h2>Live</h2>
      {newest ? (
        <>
          <Badge tone={stale ? "warn" : "good"}>{stale ? "stale" : "live"}</Badge>
          <span className="diagnostics-age">{stale ? `last figures ${ageSec ?? 0} s ago` : "every 2 s"}</span>
        </>
      ) : (
        <span className="diagnostics-age">waiting for the first figures</span>
      )}
      <span className="diagnostics-about">{about.filter(Boolean).join(", ")}</span>
      {error && <span className="diagnostics-age">{error.message}</span>}
    </div>
  );
}
