import { useCallback, useLayoutEffect, useRef, useState, type RefObject, type UIEvent } from "react";
import { sliceAt, type Layout, type Slice } from "./virtual";
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

/** Keeps the end in sight until the reader scrolls up, and what is read in its place when old rows go. */
export function useScroll(layout: Layout, view: LogView): Scroll {
  const box = useRef<HTMLDivElement>(null);
  const [viewport, setViewport] = useState(0);
  const [position, setPosition] = useState(0);
  const [following, setFollowing] = useState(true);
  const last = useRef({ top: 0, first: view.first, generation: view.generation });
  const rows = sliceAt(layout, following ? Infinity : position, viewport, OVERSCAN);

  const hold = useCallback(() => {
    setPosition(box.current?.scrollTop ?? 0);
    setFollowing(false);
  }, []);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setViewport(element.clientHeight));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const { first, generation } = last.current;
    const gone = view.generation === generation ? view.first - first : 0;
    last.current = { ...last.current, first: view.first, generation: view.generation };
    if (following) element.scrollTop = element.scrollHeight;
    else if (gone > 0) element.scrollTop -= gone * layout.rowHeight;
    last.current.top = element.scrollTop;
  }, [view.first, view.generation, rows.total, viewport, following, layout.rowHeight]);

  return {
    box,
    slice: rows,
    visible: () => sliceAt(layout, box.current?.scrollTop ?? 0, viewport, 0),
    following,
    follow: () => setFollowing(true),
    hold,
    onScroll: ({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
      const up = scrollTop < last.current.top;
      const atEnd = scrollTop + clientHeight >= scrollHeight - NEARLY;
      last.current.top = scrollTop;
      setPosition(scrollTop);
      if (atEnd) setFollowing(true);
      else if (up) setFollowing(false);
    },
  };
}
