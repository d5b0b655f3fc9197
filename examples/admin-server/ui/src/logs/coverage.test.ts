import { describe, expect, it } from "vitest";
import { closed, holes, moved, opened, type Stretch } from "./coverage";
import { NO_FILTER } from "./filter";

const FISH = { ...NO_FILTER, text: "fish" };
const stretch = (from: number, to: number, filter = NO_FILTER): Stretch => ({ filter, from, to });

describe("stretches of lines", () => {
  it("end where another begins", () => {
    expect(closed([stretch(0, 5), stretch(7, Infinity)], 10)).toEqual([stretch(0, 5), stretch(7, 10)]);
  });

  it("move with what comes among them, and do not take in what comes beside them", () => {
    const added = [2, 4, 9].map((at) => ({ at, entry: { ts: "", level: "info" as const, target: "", message: "", fields: {} } }));
    expect(moved([stretch(2, 9), stretch(9, 9), stretch(9, Infinity)], added)).toEqual([stretch(3, 11), stretch(11, 11), stretch(12, Infinity)]);
  });

  it("of one filter become one when they overlap, and old ones are forgotten", () => {
    expect(opened([stretch(0, 5)], NO_FILTER, 4, 0)).toEqual([stretch(0, Infinity)]);
    expect(opened([stretch(0, 5)], NO_FILTER, 5, 0)).toHaveLength(2);
    expect(opened([stretch(0, 5)], FISH, 9, 6)).toEqual([stretch(9, Infinity, FISH)]);
    const many = Array.from({ length: 80 }, (_, at) => stretch(at, at));
    expect(opened(many, FISH, 80, 0)).toHaveLength(50);
  });

  it("have holes between them, for the filters that they are of", () => {
    const all = [stretch(0, 5), stretch(3, 8, FISH), stretch(8, Infinity)];
    expect(holes(all, NO_FILTER, 0)).toEqual([{ at: 5, until: 8 }]);
    expect(holes(all, FISH, 0)).toEqual([{ at: 8, until: 8 }]);
    expect(holes([stretch(4, Infinity)], NO_FILTER, 2)).toEqual([{ at: 2, until: 4 }]);
    expect(holes([stretch(0, 5, FISH)], NO_FILTER, 0)).toEqual([]);
  });
});
