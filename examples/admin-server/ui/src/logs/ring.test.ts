import { describe, expect, it } from "vitest";
import { Ring } from "./ring";

describe("Ring", () => {
  it("keeps the newest under their numbers", () => {
    const ring = new Ring<string>(3);
    ring.push(["a", "b"]);
    ring.push(["c", "d"]);
    expect([ring.first, ring.end]).toEqual([1, 4]);
    expect([...ring.values()]).toEqual(["b", "c", "d"]);
    expect([0, 1, 3, 4].map((id) => ring.get(id))).toEqual([undefined, "b", "d", undefined]);
  });

  it("takes more at once than it holds", () => {
    const ring = new Ring<number>(4);
    ring.push(Array.from({ length: 11 }, (_, at) => at));
    expect([...ring.values()]).toEqual([7, 8, 9, 10]);
  });

  it("gives a part", () => {
    const ring = new Ring<number>(4);
    ring.push([0, 1, 2, 3, 4, 5]);
    expect([...ring.values(0, 4)]).toEqual([2, 3]);
    expect([...ring.values(4, 99)]).toEqual([4, 5]);
  });

  it("holds 100,000 by default, quickly", () => {
    const ring = new Ring<number>();
    for (let at = 0; at < 1000; at += 1) ring.push(Array.from({ length: 250 }, (_, each) => at * 250 + each));
    expect([ring.first, ring.end, ring.get(150_000)]).toEqual([150_000, 250_000, 150_000]);
  });
});
