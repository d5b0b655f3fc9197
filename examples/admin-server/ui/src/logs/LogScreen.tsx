import { useCallback, useRef, useState } from "react";
import { RequestError } from "../common/socket";
import { useAddressed } from "../common/useAddressed";
import { Button, EmptyState, ErrorState, Loading } from "../common/ui";
import { count } from "../common/figures";
import { asText, type LogEntry } from "./entry";
import { copyText, downloadEntries } from "./export";
import { filterFromQuery, queryWithFilter } from "./filter";
import { FilterBar } from "./FilterBar";
import { LogList } from "./LogList";
import { entriesOf } from "./rows";
import type { LogView } from "./store";
import { useKeys } from "./useKeys";
import { useLogs } from "./useLogs";
import { useScroll } from "./useScroll";
import { useUnfolded } from "./useUnfolded";

const lines = (number: number): string => `${count(number)} ${number === 1 ? "line" : "lines"}`;

export function LogScreen() {
  const { draft, settled: filter, change } = useAddressed(filterFromQuery, queryWithFilter);
  const { store, view, ready, connected, error, retry } = useLogs(filter);
  const rows = useUnfolded(view);
  const scroll = useScroll(rows.layout, view);
  const textInput = useRef<HTMLInputElement>(null);
  const [notice, setNotice] = useState("");

  const togglePause = useCallback(() => {
    const { paused } = store.view();
    if (paused) store.resume();
    else store.pause();
    setNotice(paused ? "Going on." : "Paused.");
  }, [store]);
  const clear = (): void => {
    store.clear();
    setNotice(view.paused ? "Cleared. Still paused." : "Cleared.");
  };
  useKeys(
    useCallback(() => textInput.current?.focus(), []),
    togglePause,
  );
  const copy = useCallback((entries: readonly LogEntry[]) => {
    copyText(entries.map(asText).join("\n")).then(
      () => setNotice(`Copied ${lines(entries.length)}.`),
      () => setNotice("The browser did not allow to copy."),
    );
  }, []);
  const copyLine = useCallback((entry: LogEntry) => copy([entry]), [copy]);
  const copyVisible = (): void => {
    const { start, end } = scroll.visible();
    copy([...entriesOf(view.rows.values(view.first + start, view.first + end))]);
  };

  if (error instanceof RequestError && error.code === "forbidden") {
    return <EmptyState title="For administrators only">The server's log is shown to administrators only.</EmptyState>;
  }
  const empty = view.lines === 0;
  // The button goes with what it did: who works by keyboard goes on in the list.
  const toList = (): void => scroll.box.current?.focus();
  return (
    <>
      <FilterBar filter={draft} change={change} textInput={textInput} />
      <div className="logs-toolbar" role="group" aria-label="Log">
        <Button onClick={togglePause} aria-keyshortcuts="Space" className="logs-pause">
          {view.paused ? "Resume" : "Pause"}
        </Button>
        <Button onClick={copyVisible} disabled={empty} title="The lines on the screen">
          Copy visible
        </Button>
        <Button onClick={() => downloadEntries(entriesOf(view.rows.values(view.first, view.end)))} disabled={empty}>
          Download
        </Button>
        <Button onClick={clear}>Clear</Button>
        <span className="logs-notice" role="status">
          {notice}
        </span>
        <Counts view={view} />
      </div>
      {error && <ErrorState title="The log could not be followed" message={error.message} onRetry={retry} />}
      <div className="logs-frame">
        <LogList view={view} needle={filter.text} rows={rows} scroll={scroll} onCopy={copyLine} />
        {!ready && !error && (
          <div className="logs-over">
            <Loading label={connected ? "Loading the log" : "Waiting for the connection"} />
          </div>
        )}
        {ready && empty && (
          <div className="logs-over">
            <EmptyState title="No lines">Nothing was logged that passes this filter. New lines appear here.</EmptyState>
          </div>
        )}
        <Onward
          view={view}
          following={scroll.following}
          onResume={() => {
            toList();
            togglePause();
          }}
          onFollow={() => {
            toList();
            scroll.follow();
          }}
        />
      </div>
    </>
  );
}

function Counts({ view }: { view: LogView }) {
  const { lines: shown, droppedByServer, droppedHere } = view;
  return (
    <span className="logs-counts">
      {lines(shown)}
      <span title={`${count(droppedByServer)} left out by the server, ${count(droppedHere)} old ones removed from this page`}>
        {` · ${count(droppedByServer + droppedHere)} dropped`}
      </span>
    </span>
  );
}

interface OnwardProps {
  view: LogView;
  following: boolean;
  onResume: () => void;
  onFollow: () => void;
}

/** The way back to the newest line, for who paused or scrolled away. */
function Onward({ view, following, onResume, onFollow }: OnwardProps) {
  if (view.paused) {
    return (
      <button type="button" className="logs-onward" onClick={onResume}>
        {`Paused · ${count(view.waiting)} new`}
      </button>
    );
  }
  if (following) return null;
  return (
    <button type="button" className="logs-onward" onClick={onFollow}>
      Jump to the end
    </button>
  );
}
