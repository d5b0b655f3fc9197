import { describe, expect, it } from "vitest";
import { offsetsOf, rowAt, windowOf } from "./layout";

const heights = [10, 20, 30, 40];
const offsets = offsetsOf(heights.length, (index) => heights[index] ?? 0);

it("adds the heights up", () => {
  expect([...offsets]).toEqual([0, 10, 30, 60, 100]);
  expect([...offsetsOf(0, () => 1)]).toEqual([0]);
});

it.each([
  [-5, 0],
  [0, 0],
  [9, 0],
  [10, 1],
  [59, 2],
  [60, 3],
  [1000, 3],
])("finds the row at %i: %i", (y, row) => {
  expect(rowAt(offsets, y)).toBe(row);
});

describe("windowOf", () => {
  it("holds what is in view", () => {
    expect(windowOf(offsets, 12, 10, 0)).toEqual({ start: 1, end: 2 });
    expect(windowOf(offsets, 12, 20, 0)).toEqual({ start: 1, end: 3 });
  });

  it("holds some more, within the list", () => {
    expect(windowOf(offsets, 12, 10, 1000)).toEqual({ start: 0, end: 4 });
    expect(windowOf(offsetsOf(0, () => 1), 0, 100, 100)).toEqual({ start: 0, end: 0 });
  });

  it("stays small however long the list is", () => {
    const many = offsetsOf(10_000, () => 40);
    const { start, end } = windowOf(many, 200_000, 800, 400);
    expect(end - start).toBeLessThanOrEqual(42);
  });
});
