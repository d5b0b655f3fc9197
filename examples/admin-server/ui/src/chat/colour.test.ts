import { expect, it } from "vitest";
import { contrast, readable } from "./colour";

it.each(["#3b82f6", "#f59e0b", "#ef4444", "#22c55e", "#000000", "#ffffff"])("makes %s readable on both grounds", (colour) => {
  const found = readable(colour);
  expect(contrast(found?.light ?? "", "#eef0f3")).toBeGreaterThanOrEqual(4.5);
  expect(contrast(found?.dark ?? "", "#20262e")).toBeGreaterThanOrEqual(4.5);
});

it("leaves a colour that can be read as it is", () => {
  expect(readable("#22c55e")?.dark).toBe("#22c55e");
});

it("takes nothing but a colour", () => {
  expect(readable("")).toBeUndefined();
  expect(readable("red; background: url(x)")).toBeUndefined();
});
