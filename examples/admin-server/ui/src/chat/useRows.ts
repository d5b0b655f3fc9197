import { useCallback, useLayoutEffect, useMemo, useRef, useState, type RefCallback, type RefObject } from "react";
import { flushSync } from "react-dom";
import { offsetsOf, rowAt, windowOf } from "./layout";

/** How high a row is until it was measured. */
const GUESS_PX = 40;
/** So much is there beyond the view, for a scroll that is faster than the page. */
const MORE_PX = 400;
/** So near the end counts as there. */
const NEAR_PX = 24;

interface Keyed {
  key: string;
}

export interface VisibleRows {
  scroller: RefObject<HTMLDivElement | null>;
  onScroll: () => void;
  /** Whether the newest row is in view, and stays so when others come. */
  following: boolean;
  toEnd: () => void;
  start: number;
  end: number;
  /** The height of what is not there, above and below. */
  above: number;
  below: number;
  /** For each row's element, which carries its key as `data-key`. */
  measure: RefCallback<HTMLElement>;
}

/** Only the rows in view are elements; who reads older ones stays where they are, whatever is added, removed or measured. */
export function useRows(rows: readonly Keyed[]): VisibleRows {
  const scroller = useRef<HTMLDivElement>(null);
  const heights = useRef(new Map<string, number>());
  const [measured, setMeasured] = useState(0);
  const [view, setView] = useState({ top: 0, height: 800 });
  const [following, setFollowing] = useState(true);
  const anchor = useRef({ following: true, top: 0, key: "", within: 0 });

  const offsets = useMemo(() => {
    // The measures of rows that are gone are dropped when there are many of them.
    if (heights.current.size > rows.length * 2 + 1000) {
      const keys = new Set(rows.map(({ key }) => key));
      for (const key of heights.current.keys()) if (!keys.has(key)) heights.current.delete(key);
    }
    return offsetsOf(rows.length, (index) => heights.current.get(rows[index]?.key ?? "") ?? GUESS_PX);
    // `measured` stands for what `heights` holds.
  }, [rows, measured]);

  const look = useCallback((element: HTMLElement): void => {
    const { scrollTop: top, clientHeight: height } = element;
    anchor.current.top = top;
    setView((before) => (before.top === top && before.height === height ? before : { top, height }));
  }, []);

  const onScroll = (): void => {
    const element = scroller.current;
    if (!element) return;
    const { scrollTop, clientHeight, scrollHeight } = element;
    // Rows that turn out higher than guessed move the end away, and only a reader moves the view up from it.
    const stays = anchor.current.following && scrollTop >= anchor.current.top;
    const atEnd = stays || scrollTop + clientHeight >= scrollHeight - NEAR_PX;
    const index = rowAt(offsets, scrollTop);
    anchor.current = { following: atEnd, top: scrollTop, key: rows[index]?.key ?? "", within: scrollTop - (offsets[index] ?? 0) };
    setFollowing(atEnd);
    look(element);
  };

  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    if (anchor.current.following) {
      element.scrollTop = element.scrollHeight;
    } else {
      const index = rows.findIndex(({ key }) => key === anchor.current.key);
      const top = (offsets[index] ?? 0) + anchor.current.within;
      if (index >= 0 && Math.abs(element.scrollTop - top) >= 1) element.scrollTop = top;
    }
    look(element);
  }, [rows, offsets, look]);

  const observer = useMemo(
    () =>
      new ResizeObserver((entries) => {
        let changed = false;
        for (const { target, borderBoxSize } of entries) {
          if (target === scroller.current) {
            changed = true;
            continue;
          }
          const key = (target as HTMLElement).dataset["key"];
          const height = borderBoxSize[0]?.blockSize;
          if (key === undefined || !height || Math.abs((heights.current.get(key) ?? 0) - height) < 0.5) continue;
          heights.current.set(key, height);
          changed = true;
        }
        // Before the next picture: what is read must not jump.
        if (changed) flushSync(() => setMeasured((before) => before + 1));
      }),
    [],
  );
  const measure = useCallback(
    (element: HTMLElement | null) => {
      if (!element) return;
      observer.observe(element);
      return () => observer.unobserve(element);
    },
    [observer],
  );
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    observer.observe(element);
    return () => observer.unobserve(element);
  }, [observer]);

  const toEnd = useCallback(() => {
    anchor.current.following = true;
    setFollowing(true);
    const element = scroller.current;
    if (!element) return;
    element.scrollTop = element.scrollHeight;
    look(element);
  }, [look]);

  const { start, end } = windowOf(offsets, view.top, view.height, MORE_PX);
  const above = offsets[start] ?? 0;
  const below = (offsets[rows.length] ?? 0) - (offsets[end] ?? 0);
  return { scroller, onScroll, following, toEnd, start, end, above, below, measure };
}
