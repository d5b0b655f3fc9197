import { expect, it } from "vitest";
import { delayBefore, secondsUntil } from "./backoff";

it("waits longer each time, up to a bound, and never the same for all", () => {
  expect([0, 1, 2, 10, 1000].map((attempt) => delayBefore(attempt, () => 1))).toEqual([1000, 2000, 4000, 20_000, 20_000]);
  expect(delayBefore(0, () => 0)).toBe(500);
});

it("counts whole seconds down", () => {
  expect(secondsUntil(3000, 0)).toBe(3);
  expect(secondsUntil(3000, 2999)).toBe(1);
  expect(secondsUntil(3000, 3000)).toBe(0);
  expect(secondsUntil(3000, 9000)).toBe(0);
});
