import { expect, it } from "vitest";
import { isolated } from "./direction";

it("keeps a name from turning what surrounds it", () => {
  expect(isolated("\u202Eevil")).toBe("\u2068evil\u2069");
  expect(isolated("ends\u2069 early")).toBe("\u2068ends early\u2069");
  expect(isolated("\u05E9\u05DC\u05D5\u05DD")).toBe("\u2068\u05E9\u05DC\u05D5\u05DD\u2069");
});
