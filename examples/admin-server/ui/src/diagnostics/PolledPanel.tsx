import type { ReactNode } from "react";
import { formatClock } from "../common/format";
import { Badge, Button, ErrorState, Loading, Panel } from "../common/ui";
import type { Polled } from "./usePolled";

interface Props<T> {
  title: string;
  polled: Polled<T>;
  /** When the figures were taken, in milliseconds: a server may tell earlier ones. */
  takenAt?: (value: T) => number;
  children: (value: T) => ReactNode;
}

/** A panel that says of when its figures are, and marks those that are old. */
export function PolledPanel<T>({ title, polled: { received, error, old, retry }, takenAt, children }: Props<T>) {
  return (
    <Panel title={title}>
      {!received && (error ? <ErrorState message={error.message} onRetry={retry} /> : <Loading />)}
      {received && (
        <div className={old ? "diagnostics-stale" : ""}>
          <div className="diagnostics-taken">
            <span>as of {formatClock(takenAt?.(received.value) ?? received.at)}</span>
            {old && <Badge tone="warn">stale</Badge>}
            {error && (
              <>
                <span role="alert">{error.message}</span>
                <Button onClick={retry}>Try again</Button>
              </>
            )}
          </div>
          {children(received.value)}
        </div>
      )}
    </Panel>
  );
}
