import { describe, expect, it } from "vitest";
import { busiest, readDiag } from "./diag";

describe("readDiag", () => {
  it("reads the figures, the guild with the most uploads first", () => {
    const diag = readDiag({
      ok: true,
      authenticated: true,
      admin: { uptimeSec: 5, memory: { rssMb: 12.3, heapUsedMb: 8 } },
      uploads: { total: 10, today: 2, byGuild: { "1": 3, "2": 7 } },
    });
    expect(diag).toMatchObject({ authenticated: true, uptimeSec: 5, rssMb: 12.3, heapUsedMb: 8, uploadsTotal: 10, uploadsToday: 2 });
    expect(diag.byGuild.map(({ guildId }) => guildId)).toEqual(["2", "1"]);
  });

  it("names the ten guilds with the most uploads, and sums up the others", () => {
    const byGuild = Array.from({ length: 13 }, (_, at) => ({ guildId: String(at), total: 20 - at }));
    const { shown, others, uploads } = busiest(byGuild);
    expect([shown.length, others, uploads]).toEqual([10, 3, 10 + 9 + 8]);
    expect(busiest([])).toEqual({ shown: [], others: 0, uploads: 0 });
  });

  it("knows who is not logged in", () => {
    expect(readDiag({ ok: true, authenticated: false })).toMatchObject({ authenticated: false, uploadsTotal: undefined, byGuild: [] });
  });
});
