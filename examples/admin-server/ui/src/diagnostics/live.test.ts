import { describe, expect, it } from "vitest";
import { NOTHING, withAnswer, withSnapshot } from "./live";

const taken = (second: number) => ({ ok: true, pid: 1, host: "h", generatedAt: new Date(second * 1000).toISOString() });

describe("live figures", () => {
  it("begin with the server's history", () => {
    const live = withAnswer(NOTHING, { ok: true, snapshot: taken(6), history: [taken(2), {}, taken(4)] }, 77);
    expect(live.history.map(({ at }) => at)).toEqual([2000, 4000, 6000]);
    expect(live.receivedAt).toBe(77);
  });

  it("go on with each snapshot, and not with what is none", () => {
    const live = withSnapshot(NOTHING, taken(2), 5);
    expect(withSnapshot(live, { ok: false }, 9)).toBe(live);
    expect(withSnapshot(live, taken(4), 9)).toMatchObject({ receivedAt: 9, history: [{ at: 2000 }, { at: 4000 }] });
  });

  it("stay as they are when the answer has none", () => {
    expect(withAnswer(NOTHING, { ok: true }, 5)).toEqual(NOTHING);
  });
});
