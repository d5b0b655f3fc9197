import { expect, it } from "vitest";
import { charactersLeft, cleaned, isCounted, problemOf } from "./compose";

it("takes a text that the server takes", () => {
  expect(problemOf("hello")).toBeUndefined();
  expect(problemOf("x".repeat(4000))).toBeUndefined();
  expect(problemOf(`  ${"x".repeat(4000)}\n`)).toBeUndefined();
});

it("says in the server's words why it does not", () => {
  expect(problemOf("")).toBe("Message cannot be empty.");
  expect(problemOf(" \n ")).toBe("Message cannot be empty.");
  expect(problemOf("x".repeat(4001))).toBe("Message is too long.");
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
