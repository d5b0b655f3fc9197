import { describe, expect, it } from "vitest";
import { plot, type Series } from "./rates";
import { sparkPath } from "./sparkPath";
import { at } from "./testing";

/** 300 pixels wide: one each second. */
function path(values: Series, { every = 2, least = 0, change = {} } = {}): string {
  const history = values.map((_, index) => at(index * every, index === values.length - 1 ? change : {}));
  return sparkPath(plot(history, [values]), least, 300, 20);
}

describe("sparkPath", () => {
  it("ends at the right edge and fills the height", () => {
    expect(path([1, 3])).toBe("M298.0 20.0L300.0 0.0");
  });

  it("leaves gaps where nothing is known, at outages and at restarts", () => {
    expect(path([1, null, 3])).toBe("M296.0 20.0M300.0 0.0");
    expect(path([1, 3], { every: 60 })).toBe("M240.0 20.0M300.0 0.0");
    expect(path([1, 3], { change: { process: "other/2" } })).toBe("M298.0 20.0M300.0 0.0");
  });

  it("does not make much of little", () => {
    expect(path([1, 3], { least: 20 })).toBe("M298.0 11.0L300.0 9.0");
  });

  it("is a line in the middle when nothing changes, and nothing without values", () => {
    expect(path([5, 5], { least: 1 })).toBe("M298.0 10.0L300.0 10.0");
    expect(path([])).toBe("");
    expect(path([null])).toBe("");
  });

  it("shows the newest five minutes", () => {
    const drawn = path(Array.from({ length: 450 }, (_, index) => index));
    expect(drawn.startsWith("M0.0 20.0")).toBe(true);
    expect(drawn.endsWith("L300.0 0.0")).toBe(true);
  });
});
