import { useCallback, useMemo, useState } from "react";
import type { LogView } from "./store";
import type { Layout } from "./virtual";

export const ROW_HEIGHT = 24;

export interface UnfoldedRows {
  layout: Layout;
  isUnfolded: (id: number) => boolean;
  toggle: (id: number) => void;
  measure: (id: number, height: number) => void;
}

interface State {
  generation: number;
  /** The height below the line by the row's number; 0 until it was measured. */
  heights: ReadonlyMap<number, number>;
}

/** Which rows are unfolded, and what that does to the list. Another generation of rows begins folded. */
export function useUnfolded({ first, end, generation }: LogView): UnfoldedRows {
  const [state, setState] = useState<State>({ generation, heights: new Map() });
  const heights = useMemo(() => (state.generation === generation ? state.heights : new Map<number, number>()), [state, generation]);

  const change = useCallback(
    (id: number, next: (height: number | undefined) => number | undefined) =>
      setState((before) => {
        const changed = new Map(before.generation === generation ? before.heights : []);
        const height = next(changed.get(id));
        if (height === undefined) changed.delete(id);
        else changed.set(id, height);
        return { generation, heights: changed };
      }),
    [generation],
  );
  const toggle = useCallback((id: number) => change(id, (height) => (height === undefined ? 0 : undefined)), [change]);
  // A row that was folded meanwhile stays folded.
  const measure = useCallback((id: number, now: number) => change(id, (height) => (height === undefined ? undefined : now)), [change]);

  const layout = useMemo(() => {
    const shown = [...heights].filter(([id]) => id >= first && id < end).toSorted(([a], [b]) => a - b);
    return { count: end - first, rowHeight: ROW_HEIGHT, unfolded: shown.map(([id, extra]) => ({ index: id - first, extra })) };
  }, [heights, first, end]);

  return { layout, isUnfolded: (id) => heights.has(id), toggle, measure };
}
