import { describe, expect, it } from "vitest";
import { append, HISTORY_LENGTH, rejoin, type History } from "./history";
import { at } from "./testing";

const seconds = (history: History) => history.map((one) => one.at / 1000);
const range = (from: number, count: number) => Array.from({ length: count }, (_, index) => at(from + index * 2));

describe("the history", () => {
  it("is bounded by number", () => {
    const history = append(range(0, HISTORY_LENGTH), at(899));
    expect(history).toHaveLength(HISTORY_LENGTH);
    expect(history.at(-1)?.at).toBe(899_000);
  });

  it("is bounded by age", () => {
    expect(seconds(append([at(0), at(500)], at(1000)))).toEqual([500, 1000]);
  });

  it("replaces a snapshot of the same time, and gives way when the clock went back", () => {
    expect(append([at(0), at(2)], at(2, { connections: 9 })).at(-1)?.connections).toBe(9);
    expect(seconds(append([at(0), at(2), at(4)], at(1)))).toEqual([0, 1]);
  });

  it("keeps what it knows from before the server's own history", () => {
    expect(seconds(rejoin([at(0), at(2), at(10)], [at(10), at(8), at(10), at(12)]))).toEqual([0, 2, 8, 10, 12]);
    expect(seconds(rejoin([at(0)], []))).toEqual([0]);
    expect(seconds(rejoin([], range(0, 3)))).toEqual([0, 2, 4]);
  });
});
