import { expect, it } from "vitest";
import { charactersLeft, cleaned, isCounted, problemOf } from "./compose";

const toAll = (text: string) => ({ text, adminOnly: false });

it("takes a text that the server takes", () => {
  expect(problemOf(toAll("hello"), false)).toBeUndefined();
  expect(problemOf(toAll("x".repeat(4000)), false)).toBeUndefined();
  expect(problemOf(toAll(`  ${"x".repeat(4000)}\n`), false)).toBeUndefined();
});

it("says in the server's words why it does not", () => {
  expect(problemOf(toAll(""), false)).toBe("Message cannot be empty.");
  expect(problemOf(toAll(" \n "), false)).toBe("Message cannot be empty.");
  expect(problemOf(toAll("x".repeat(4001)), false)).toBe("Message is too long.");
});

it("counts characters, not halves of them", () => {
  expect(charactersLeft("😀".repeat(4000))).toBe(0);
  expect(charactersLeft("😀".repeat(4001))).toBe(-1);
  expect(isCounted(charactersLeft("short"))).toBe(false);
  expect(isCounted(charactersLeft("x".repeat(3600)))).toBe(true);
});

it("replaces what is no text", () => {
  expect(cleaned("a\uD83Db\0c 😀 ")).toBe("a\uFFFDbc 😀");
});

it("sends nobody's text for admins to the guild", () => {
  const secret = { text: "secret", adminOnly: true };
  expect(problemOf(secret, true)).toBeUndefined();
  expect(problemOf(secret, false)).toMatch("for admins only");
  expect(problemOf({ ...secret, adminOnly: false }, false)).toBeUndefined();
});
