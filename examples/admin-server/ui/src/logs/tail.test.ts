import { describe, expect, it } from "vitest";
import { Tail } from "./tail";

describe("Tail", () => {
  it("keeps items under their numbers", () => {
    const tail = new Tail<string>();
    tail.push("a", "b", "c", "d");
    tail.dropBefore(1);
    expect([tail.first, tail.end]).toEqual([1, 4]);
    expect([...tail.values()]).toEqual(["b", "c", "d"]);
    expect([0, 1, 3, 4].map((id) => tail.get(id))).toEqual([undefined, "b", "d", undefined]);
  });

  it("can begin anywhere, and be empty", () => {
    const tail = new Tail<string>(7);
    tail.push("a");
    expect(tail.get(7)).toBe("a");
    tail.dropBefore(99);
    expect([tail.first, tail.end, ...tail.values()]).toEqual([8, 8]);
    tail.push("b");
    expect(tail.get(8)).toBe("b");
  });

  it("gives a part", () => {
    const tail = new Tail<number>();
    tail.push(0, 1, 2, 3, 4, 5);
    tail.dropBefore(2);
    expect([...tail.values(0, 4)]).toEqual([2, 3]);
    expect([...tail.values(4, 99)]).toEqual([4, 5]);
  });

  it("exchanges the last one", () => {
    const tail = new Tail<number>();
    tail.push(0, 1);
    tail.replaceLast(5);
    expect([...tail.values()]).toEqual([0, 5]);
  });

  it("is quick with many", () => {
    const tail = new Tail<number>();
    for (let at = 0; at < 250_000; at += 1) {
      tail.push(at);
      tail.dropBefore(at - 99_999);
    }
    expect([tail.first, tail.end, tail.get(150_000)]).toEqual([150_000, 250_000, 150_000]);
  });
});
