import { formatDuration, UNKNOWN } from "../common/format";
import { useMe } from "../common/me";
import { EmptyState } from "../common/ui";
import { busiest, readDiag, type Diag } from "./diag";
import { count, megabytes } from "../common/figures";
import { Facts } from "./Facts";
import { PolledPanel } from "./PolledPanel";
import { usePolled } from "./usePolled";

const EVERY_MS = 60_000;

/** The server in a few figures, for everybody who is logged in; asked for once a minute. */
export function DiagWidget() {
  const polled = usePolled("/api/diag", EVERY_MS, readDiag);
  return (
    <PolledPanel title="Server" polled={polled}>
      {(diag) => <Figures diag={diag} />}
    </PolledPanel>
  );
}

function Figures({ diag }: { diag: Diag }) {
  const me = useMe();
  if (!diag.authenticated) return <EmptyState title="You are not logged in">Log in to see the server's figures.</EmptyState>;
  const { shown, others, uploads } = busiest(diag.byGuild);
  const nameOf = (guildId: string): string => me?.guilds.find(({ id }) => id === guildId)?.name ?? guildId;
  return (
    <>
      <Facts
        facts={[
          ["Uptime", diag.uptimeSec === undefined ? UNKNOWN : formatDuration(diag.uptimeSec)],
          ["Memory", megabytes(diag.rssMb)],
          ["Heap used", megabytes(diag.heapUsedMb)],
          ["Uploads", count(diag.uploadsTotal)],
          ["Uploads today", count(diag.uploadsToday)],
        ]}
      />
      {diag.byGuild.length > 0 && (
        <>
          <h3 className="diagnostics-subtitle">Uploads by guild</h3>
          <Facts facts={shown.map(({ guildId, total }) => [nameOf(guildId), count(total)])} />
          {others > 0 && (
            <p className="diagnostics-note">
              {count(others)} other {others === 1 ? "guild" : "guilds"}: {count(uploads)}
            </p>
          )}
        </>
      )}
    </>
  );
}
