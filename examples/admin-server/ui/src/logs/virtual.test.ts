import { describe, expect, it } from "vitest";
import { rowAt, sliceAt, topOf, totalHeight, type Layout } from "./virtual";

const plain: Layout = { count: 100_000, rowHeight: 24, unfolded: [] };
const mixed: Layout = { count: 10, rowHeight: 20, unfolded: [{ index: 2, extra: 100 }, { index: 5, extra: 50 }] };

describe("the virtual list", () => {
  it("knows where rows are", () => {
    expect([0, 2, 3, 5, 6].map((index) => topOf(mixed, index))).toEqual([0, 40, 160, 200, 270]);
    expect(totalHeight(mixed)).toBe(350);
    expect(totalHeight(plain)).toBe(2_400_000);
  });

  it("finds the row at a height, in and between unfolded ones", () => {
    expect([0, 39, 40, 159, 160, 199, 200, 269, 270, 349].map((y) => rowAt(mixed, y))).toEqual([0, 1, 2, 2, 3, 4, 5, 5, 6, 9]);
    expect([rowAt(mixed, -5), rowAt(mixed, 9999)]).toEqual([0, 9]);
  });

  it("inverts: the row at the top of a row is that row", () => {
    for (let index = 0; index < mixed.count; index += 1) expect(rowAt(mixed, topOf(mixed, index))).toBe(index);
  });

  it("makes only what is seen, and a little more", () => {
    expect(sliceAt(plain, 24_000, 480, 5)).toEqual({ start: 995, end: 1026, top: 995 * 24, total: 2_400_000 });
    expect(sliceAt(plain, 0, 480, 5)).toMatchObject({ start: 0, top: 0 });
    expect(sliceAt(plain, 2_399_520, 480, 5)).toMatchObject({ end: 100_000 });
  });

  it("has no rows when there are none, and stays inside when the list became shorter", () => {
    expect(sliceAt({ ...plain, count: 0 }, 100, 480, 5)).toEqual({ start: 0, end: 0, top: 0, total: 0 });
    expect(sliceAt({ ...plain, count: 3 }, 99_999, 480, 5)).toMatchObject({ start: 0, end: 3 });
  });
});
