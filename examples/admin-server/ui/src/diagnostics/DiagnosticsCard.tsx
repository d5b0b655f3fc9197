import { UNKNOWN } from "../common/format";
import { count, megabytes, milliseconds } from "../common/figures";
import { Facts } from "./Facts";
import { PolledPanel } from "./PolledPanel";
import { readSnapshot, type Snapshot } from "./snapshot";
import { usePolled } from "./usePolled";

const EVERY_MS = 30_000;

function read(body: unknown): Snapshot {
  const snapshot = readSnapshot(body);
  if (!snapshot) throw new Error("The server's answer has no figures.");
  return snapshot;
}

/** What the server says of itself; it takes the figures at most every 30 seconds, and is asked as often. */
export function DiagnosticsCard() {
  const polled = usePolled("/api/diagnostics", EVERY_MS, read);
  return (
    <PolledPanel title="Diagnostics" polled={polled} takenAt={({ at }) => at}>
      {(snapshot) => <Figures snapshot={snapshot} />}
    </PolledPanel>
  );
}

/** The server's quantiles of requests are whole milliseconds. */
const request = (value: number | undefined): string => (value === undefined ? UNKNOWN : `${milliseconds(value, 0)} ms`);

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
        ]}
      />
      <h3 className="diagnostics-subtitle">Since the start</h3>
      <Facts
        facts={[
          ["Chat messages", count(snapshot.messages)],
          ["Requests", count(snapshot.requests)],
          ["Failed requests", count(snapshot.errors)],
          ["Requests p50", request(snapshot.p50Ms)],
          ["Requests p95", request(snapshot.p95Ms)],
          ["Requests p99", request(snapshot.p99Ms)],
        ]}
      />
    </>
  );
}
