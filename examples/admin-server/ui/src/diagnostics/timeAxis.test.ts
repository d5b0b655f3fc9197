import { describe, expect, it } from "vitest";
import { TIME_SPACE, TIME_STEPS, timeRange } from "./timeAxis";

/** The width of a picture without its axis and its edge: at 360 pixels, and on a wide screen. */
const WIDTHS = [234, 330, 560];

describe("the time axis", () => {
  it("spans two minutes at least, and the history at most", () => {
    expect(timeRange([1000])).toEqual([880, 1000]);
    expect(timeRange([700, 850, 1000])).toEqual([700, 1000]);
    expect(timeRange([0, 5000])).toEqual([4100, 5000]);
  });

  it("has two times at every age of the server", () => {
    for (const width of WIDTHS) {
      for (let age = 0; age <= 1000; age += 2) {
        const [from, to] = timeRange(age === 0 ? [50_000] : [50_000 - age, 50_000]);
        // As uPlot chooses it.
        const step = TIME_STEPS.find((seconds) => (seconds * width) / (to - from) >= TIME_SPACE);
        expect(step, `${age} s, ${width} px`).toBeLessThanOrEqual((to - from) / 2);
      }
    }
  });
});
