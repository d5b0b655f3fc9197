import useSWR from "swr";
import { getJson } from "../common/api";
import { UNKNOWN } from "../common/format";
import { ErrorState, Loading, Panel } from "../common/ui";
import { Facts } from "./Facts";
import { count, decimals, megabytes } from "../common/figures";
import { readSnapshot, type Snapshot } from "./snapshot";

const EVERY_MS = 30_000;

async function fetchSnapshot(path: string): Promise<Snapshot> {
  const snapshot = readSnapshot(await getJson<unknown>(path));
  if (!snapshot) throw new Error("The server's answer has no figures.");
  return snapshot;
}

/** What the server says of itself; it takes the figures at most every 30 seconds, and is asked as often. */
export function DiagnosticsCard() {
  const { data, error, mutate } = useSWR<Snapshot, Error>("/api/diagnostics", fetchSnapshot, { refreshInterval: EVERY_MS });
  return (
    <Panel title="Diagnostics">
      {!data && !error && <Loading />}
      {error && <ErrorState title="The server could not take its figures" message={error.message} onRetry={() => void mutate()} />}
      {data && !error && <Figures snapshot={data} />}
    </Panel>
  );
}

function milliseconds(value: number | undefined): string {
  return value === undefined ? UNKNOWN : `${decimals(value, 1)} ms`;
}

function Figures({ snapshot }: { snapshot: Snapshot }) {
  const { degraded } = snapshot;
  return (
    <>
      {degraded.length > 0 && <p className="diagnostics-degraded">Without figures of: {degraded.join(", ")}.</p>}
      <Facts
        facts={[
          ["Uptime", snapshot.uptimeHuman ?? UNKNOWN],
          ["Memory", megabytes(snapshot.rssMB)],
          ["Heap used", megabytes(snapshot.heapUsedMB)],
          ["Heap total", megabytes(snapshot.heapTotalMB)],
          ["Uploads", count(snapshot.uploadsTotal)],
          ["Uploads today", count(snapshot.uploadsToday)],
          ["Connections", count(snapshot.connections)],
          ["Chat messages", count(snapshot.messages)],
          ["Requests", count(snapshot.requests)],
          ["Failed requests", count(snapshot.errors)],
          ["Requests p50", milliseconds(snapshot.p50Ms)],
          ["Requests p95", milliseconds(snapshot.p95Ms)],
          ["Requests p99", milliseconds(snapshot.p99Ms)],
        ]}
      />
    </>
  );
}
