import { useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import { count } from "../common/figures";
import { useSeconds } from "../diagnostics/useSeconds";
import { RequestError, socket } from "../common/socket";
import { useAddressed } from "../common/useAddressed";
import { Button, EmptyState, ErrorState, Loading } from "../common/ui";
import type { Action } from "./actions";
import { ConfirmAction } from "./ConfirmAction";
import { ConnectionsTable } from "./ConnectionsTable";
import { Pager } from "./Pager";
import { filtered, nextOrder, paged, severalNodes, sorted } from "./rows";
import { useConnections } from "./useConnections";
import { MAX_LENGTH, queryWithView, viewFromQuery } from "./view";

export function ConnectionsScreen() {
  const { draft: view, settled, change } = useAddressed(viewFromQuery, queryWithView);
  const { text: query, order } = view;
  const { listing, found: asked, error, connected, refresh } = useConnections(settled.text);
  const [action, setAction] = useState<Action>();
  const [notice, setNotice] = useState<{ text: ReactNode; focus: boolean }>({ text: "", focus: false });
  const noticeBox = useRef<HTMLSpanElement>(null);
  const now = useSeconds();
  const found = useMemo(() => sorted(filtered(listing?.connections ?? [], query, asked), order), [listing, query, asked, order]);

  // The button that was pressed goes with its row: who works by keyboard goes on from here.
  useEffect(() => {
    if (notice.focus) noticeBox.current?.focus();
  }, [notice]);

  if (error instanceof RequestError && error.code === "forbidden") {
    return <EmptyState title="For administrators only">Who is connected is shown to administrators only.</EmptyState>;
  }
  if (!listing) {
    return error ? (
      <ErrorState title="The connections could not be listed" message={error.message} onRetry={() => void refresh()} />
    ) : (
      <Loading label={connected ? "Loading the connections" : "Waiting for the connection"} />
    );
  }
  const page = paged(found, view.page);
  return (
    <>
      <div className="connections-toolbar">
        <label>
          Filter
          <input
            type="search"
            value={query}
            maxLength={MAX_LENGTH}
            placeholder="Name, id, room, address"
            autoComplete="off"
            onChange={({ target: { value } }) => change({ text: value, page: 0 })}
          />
        </label>
        <Button disabled={!connected} onClick={() => void refresh()}>
          Refresh
        </Button>
        <span className="connections-total">
          {query && `${count(found.length)} of `}
          {`${count(listing.total)} ${listing.total === 1 ? "connection" : "connections"}`}
        </span>
        <span role="status" className="connections-notice" ref={noticeBox} tabIndex={-1}>
          {notice.text}
        </span>
      </div>
      {listing.truncated && (
        <p className="connections-note">
          There are more connections than a list can have. A filter by name, id, room or address finds the others too.
        </p>
      )}
      {listing.missingNodes > 0 && (
        <p className="connections-note">
          {listing.missingNodes === 1 ? "One node" : `${count(listing.missingNodes)} nodes`} did not answer; what is connected there is not listed.
        </p>
      )}
      {error && <ErrorState title="The list could not be refreshed" message={error.message} onRetry={() => void refresh()} />}
      {!error && !connected && <p className="connections-note">There is no connection to the server: this is the list from before.</p>}
      {found.length === 0 ? (
        <EmptyState title="No connections">{query ? "None passes the filter." : "Nobody is connected."}</EmptyState>
      ) : (
        <ConnectionsTable
          rows={page.rows}
          order={order}
          withNodes={severalNodes(listing.connections)}
          now={now}
          own={socket().id}
          onOrder={(column) => change({ order: nextOrder(order, column) })}
          onAction={setAction}
        />
      )}
      <Pager page={page} total={found.length} onPage={(page) => change({ page })} />
      <ConfirmAction
        action={action}
        onClose={() => setAction(undefined)}
        onTold={(text, closed) => {
          // Another one may be asked about by now.
          if (!closed) setAction(undefined);
          setNotice({ text, focus: !closed });
          void refresh();
        }}
      />
    </>
  );
}
