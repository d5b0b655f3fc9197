import { expect, it } from "vitest";
import { neighbour } from "./neighbour";

it("goes through the guilds and round", () => {
  const guilds = ["a", "b", "c"];
  expect(neighbour(guilds, "a", 1)).toBe("b");
  expect(neighbour(guilds, "c", 1)).toBe("a");
  expect(neighbour(guilds, "a", -1)).toBe("c");
  expect(neighbour(guilds, undefined, -1)).toBe("a");
  expect(neighbour([], undefined, 1)).toBeUndefined();
});
