/** Where each row begins, and after the last one where all end. */
export function offsetsOf(count: number, heightOf: (index: number) => number): Float64Array {
  const offsets = new Float64Array(count + 1);
  for (let index = 0; index < count; index += 1) offsets[index + 1] = (offsets[index] ?? 0) + heightOf(index);
  return offsets;
}

/** The row at that height: the last one that does not begin below it. */
export function rowAt(offsets: Float64Array, y: number): number {
  let low = 0;
  let high = Math.max(0, offsets.length - 2);
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((offsets[middle] ?? 0) <= y) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The rows that are to be there for a view from `top` on, with some more above and below. */
export function windowOf(offsets: Float64Array, top: number, height: number, more: number): { start: number; end: number } {
  const count = offsets.length - 1;
  if (count <= 0) return { start: 0, end: 0 };
  return { start: rowAt(offsets, Math.max(0, top - more)), end: Math.min(count, rowAt(offsets, top + height + more) + 1) };
}
