import { expect, it } from "vitest";
import { guildOf, queryWithGuild } from "./address";

it("finds the guild that it wrote, and leaves the rest as it is", () => {
  expect(queryWithGuild("", "1")).toBe("?guild=1");
  expect(queryWithGuild("?a=b&guild=1", "2&3")).toBe("?a=b&guild=2%263");
  expect(guildOf(queryWithGuild("?a=b", "2&3"))).toBe("2&3");
});

it("finds none where there is none", () => {
  expect([guildOf(""), guildOf("?guild="), guildOf("?a=b")]).toEqual([undefined, undefined, undefined]);
});
