/** A list of rows of one height, some of which are unfolded and higher; only what is seen is made. */

export interface Unfolded {
  index: number;
  /** Pixels beyond the height of a row. */
  extra: number;
}

export interface Layout {
  count: number;
  rowHeight: number;
  /** In the order of the list. */
  unfolded: readonly Unfolded[];
}

export interface Slice {
  start: number;
  end: number;
  /** Where the first row of the slice stands. */
  top: number;
  total: number;
}

export function topOf({ rowHeight, unfolded }: Layout, index: number): number {
  return unfolded.reduce((top, row) => (row.index < index ? top + row.extra : top), index * rowHeight);
}

export function totalHeight(layout: Layout): number {
  return topOf(layout, layout.count);
}

/** The row at `y` pixels; the first or the last one beyond the ends. */
export function rowAt(layout: Layout, y: number): number {
  let shift = 0;
  for (const { index, extra } of layout.unfolded) {
    const top = index * layout.rowHeight + shift;
    if (y < top + layout.rowHeight) break;
    if (y < top + layout.rowHeight + extra) return index;
    shift += extra;
  }
  const row = Math.floor((y - shift) / layout.rowHeight);
  return Math.max(0, Math.min(layout.count - 1, row));
}

export function sliceAt(layout: Layout, scrollTop: number, viewport: number, overscan: number): Slice {
  const total = totalHeight(layout);
  if (layout.count === 0) return { start: 0, end: 0, top: 0, total };
  // A list that became shorter is still scrolled to where it was for a moment.
  const y = Math.max(0, Math.min(scrollTop, total - viewport));
  const start = Math.max(0, rowAt(layout, y) - overscan);
  const end = Math.min(layout.count, rowAt(layout, y + viewport) + 1 + overscan);
  return { start, end, top: topOf(layout, start), total };
}
