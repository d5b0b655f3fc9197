import { expect, it } from "vitest";
import { noteText } from "./note";

const [one, two] = ["2026-11-22T12:00:00.000Z", "2026-11-22T12:30:00.000Z"];
const hole = (after: string | undefined, before: string | undefined) => noteText({ kind: "hole", at: 0, after, before });

it("says which day it is, and since when and until when lines may be missing", () => {
  expect(noteText({ kind: "day", at: 0, ts: one })).toBe("Sunday, 22 November 2026");
  expect(hole(one, two)).toMatch(/^Lines may be missing from ..:00:00 to ..:30:00$/);
  expect(hole(one, "2026-11-25T12:00:00.000Z")).toMatch(/ from 22 Nov 2026, .* to 25 Nov 2026, /);
  expect(hole(one, undefined)).toMatch(/missing after 22 Nov/);
  expect(hole(undefined, two)).toMatch(/missing before 22 Nov/);
  expect(hole(undefined, undefined)).toBe("Lines may be missing here");
});
