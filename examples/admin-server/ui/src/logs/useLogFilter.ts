import { useEffect, useState } from "react";
import { filterFromQuery, queryWithFilter, sameFilter, type LogFilter } from "./filter";

const DEBOUNCE_MS = 300;

export interface FilterState {
  /** As typed. */
  draft: LogFilter;
  /** As asked of the server, and as it stands in the page's address. */
  filter: LogFilter;
  change: (part: Partial<LogFilter>) => void;
}

/** The filter lives in the page's address: it survives a reload and can be sent to someone. */
export function useLogFilter(): FilterState {
  const [draft, setDraft] = useState(() => filterFromQuery(location.search));
  const [filter, setFilter] = useState(draft);

  useEffect(() => {
    if (sameFilter(draft, filter)) return;
    const timer = setTimeout(() => {
      history.replaceState(history.state, "", `${location.pathname}${queryWithFilter(location.search, draft)}${location.hash}`);
      setFilter(draft);
    }, DEBOUNCE_MS);
    return () => clearTimeout(timer);
  }, [draft, filter]);

  return { draft, filter, change: (part) => setDraft((before) => ({ ...before, ...part })) };
}
