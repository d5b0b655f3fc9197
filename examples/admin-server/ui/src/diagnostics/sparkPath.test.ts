import { describe, expect, it } from "vitest";
import { sparkPath } from "./sparkPath";

describe("sparkPath", () => {
  it("ends at the right edge and fills the height", () => {
    expect(sparkPath([1, 3], 149, 20)).toBe("M148.0 20.0L149.0 0.0");
  });

  it("leaves gaps", () => {
    expect(sparkPath([1, null, 3], 149, 20)).toBe("M147.0 20.0M149.0 0.0");
  });

  it("is a line in the middle when nothing changes, and nothing without values", () => {
    expect(sparkPath([5, 5], 149, 20)).toBe("M148.0 10.0L149.0 10.0");
    expect(sparkPath([], 149, 20)).toBe("");
    expect(sparkPath([null], 149, 20)).toBe("");
  });

  it("shows the newest five minutes", () => {
    const path = sparkPath(Array.from({ length: 450 }, (_, index) => index), 149, 20);
    expect(path.startsWith("M0.0 20.0")).toBe(true);
    expect(path.endsWith("L149.0 0.0")).toBe(true);
  });
});
