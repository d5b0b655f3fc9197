import { expect, it } from "vitest";
import { Identity } from "./identity";

it("stays with its user, and leaves to another one, once all is cleared away", () => {
  const done: string[] = [];
  const identity = new Identity(() => done.push("reload"));
  identity.beforeLeaving(() => done.push("close"));
  identity.beforeLeaving(() => done.push("forget"));
  expect([identity.isStill("u"), identity.isStill("u")]).toEqual([true, true]);
  expect(done).toEqual([]);
  expect(identity.isStill("v")).toBe(false);
  expect(done).toEqual(["close", "forget", "reload"]);
});
