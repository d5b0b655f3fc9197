import { expect, it } from "vitest";
import { formatDay, formatDuration, formatMoment, formatTime } from "./format";

it("writes durations without what is zero", () => {
  expect([0, 61, 3661, 86_400, 90_061.9].map(formatDuration)).toEqual(["0s", "1m 1s", "1h 1m 1s", "1d 0s", "1d 1h 1m 1s"]);
  expect([formatDuration(Number.NaN), formatDuration(-1)]).toEqual(["–", "0s"]);
});

it("writes times as the reader's clock shows them", () => {
  const iso = new Date(2026, 10, 22, 8, 5, 9).toISOString();
  expect(formatTime(iso)).toBe("08:05");
  expect(formatDay(iso)).toMatch(/Sunday.* 22 November 2026/);
  expect(formatMoment(iso)).toMatch(/22 Nov 2026, 08:05:09/);
  expect(formatTime("nonsense")).toBe("–");
});
