import { useCallback, useLayoutEffect, useRef, useState, type RefObject, type UIEvent } from "react";
import { indexOf, type Anchor } from "./anchor";
import { rowAt, sliceAt, topOf, type Layout, type Slice } from "./virtual";
import type { LogView } from "./store";

/** Rows beyond the visible ones, so that a quick scroll meets no blank. */
const OVERSCAN = 12;
/** A scroll position is a fraction of a pixel off on some screens. */
const NEARLY = 4;

export interface Scroll {
  box: RefObject<HTMLDivElement | null>;
  slice: Slice;
  /** The rows that are on the screen, without those around them. */
  visible: () => Slice;
  following: boolean;
  follow: () => void;
  /** Stays where it is: something there is being read. */
  hold: () => void;
  onScroll: (event: UIEvent<HTMLDivElement>) => void;
}

/** Keeps the end in sight until the reader scrolls up, and what is read in its place when old rows go or others come. */
export function useScroll(layout: Layout, view: LogView): Scroll {
  const box = useRef<HTMLDivElement>(null);
  const [viewport, setViewport] = useState(0);
  const [position, setPosition] = useState(0);
  const [following, setFollowing] = useState(true);
  const last = useRef({ top: 0, first: view.first, generation: view.generation });
  /** Where the reader was by own doing: a search that leaves little of the list does not change that. */
  const read = useRef<Anchor>(undefined);
  const rows = sliceAt(layout, following ? Infinity : position, viewport, OVERSCAN);

  // A reference, since a new `hold` would make all rows anew.
  const shown = useRef({ layout, view });
  const remember = useCallback((top: number) => {
    const { layout, view } = shown.current;
    const index = rowAt(layout, top);
    const row = view.rows.get(view.first + index);
    read.current = row && { row, offset: top - topOf(layout, index) };
  }, []);

  const hold = useCallback(() => {
    const top = box.current?.scrollTop ?? 0;
    remember(top);
    setPosition(top);
    setFollowing(false);
  }, [remember]);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setViewport(element.clientHeight));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  useLayoutEffect(() => {
    shown.current = { layout, view };
    const element = box.current;
    if (!element) return;
    const { first, generation } = last.current;
    last.current = { ...last.current, first: view.first, generation: view.generation };
    if (following) {
      element.scrollTop = element.scrollHeight;
    } else if (view.generation !== generation && read.current) {
      element.scrollTop = topOf(layout, indexOf(view, read.current)) + read.current.offset;
    } else if (view.first > first) {
      element.scrollTop -= (view.first - first) * layout.rowHeight;
    }
    last.current.top = element.scrollTop;
  }, [view, rows.total, viewport, following, layout]);

  return {
    box,
    slice: rows,
    visible: () => sliceAt(layout, box.current?.scrollTop ?? 0, viewport, 0),
    following,
    follow: () => setFollowing(true),
    hold,
    onScroll: ({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
      const moved = scrollTop !== last.current.top;
      const up = scrollTop < last.current.top;
      const atEnd = scrollTop + clientHeight >= scrollHeight - NEARLY;
      last.current.top = scrollTop;
      setPosition(scrollTop);
      if (moved) remember(scrollTop);
      // A list that became shorter is at its end without anybody's doing.
      if (atEnd && (moved || !view.paused)) setFollowing(true);
      else if (up) setFollowing(false);
    },
  };
}
