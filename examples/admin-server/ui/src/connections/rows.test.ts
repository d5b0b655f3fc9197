import { describe, expect, it } from "vitest";
import { age, filtered, merged, nextOrder, paged, readListing, roomsAreCut, roomSummary, searchWord, severalNodes, sorted, type Connection } from "./rows";

function connection(socketId: string, change: Partial<Connection> = {}): Connection {
  return {
    socketId,
    userId: "u1",
    name: "Alice",
    role: "member",
    transport: "websocket",
    rooms: ["guild:1"],
    roomCount: 1,
    address: "127.0.0.1:5000",
    connectedAt: "2026-11-22T18:00:00.000Z",
    pendingBytes: 0,
    node: "n1",
    ...change,
  };
}

const ids = (rows: readonly Connection[]) => rows.map(({ socketId }) => socketId).join("");

describe("the listing", () => {
  it("is read from whatever comes", () => {
    const listing = readListing({ ok: true, connections: [connection("a"), { userId: "u2", rooms: [1, "x"] }], total: 9, truncated: true, missingNodes: 1 });
    expect(listing).toMatchObject({ total: 9, truncated: true, missingNodes: 1 });
    expect(listing.connections[0]).toEqual(connection("a"));
    expect(listing.connections[1]).toMatchObject({ name: "u2", rooms: ["x"], roomCount: 1, pendingBytes: undefined });
    expect(readListing(null)).toEqual({ connections: [], total: 0, truncated: false, missingNodes: 0 });
  });

  it("knows whether there are several nodes", () => {
    expect(severalNodes([connection("a"), connection("b")])).toBe(false);
    expect(severalNodes([connection("a"), connection("b", { node: "n2" })])).toBe(true);
  });
});

describe("sorted", () => {
  it("sorts names as people do, and equal ones by id", () => {
    const rows = [connection("c", { name: "user 10" }), connection("b", { name: "User 9" }), connection("a", { name: "user 10" })];
    expect(ids(sorted(rows, { column: "name", descending: false }))).toBe("bac");
    expect(ids(sorted(rows, { column: "name", descending: true }))).toBe("acb");
  });

  it("has the oldest last when it goes by age", () => {
    const rows = [connection("a", { connectedAt: "2026-11-22T17:00:00.000Z" }), connection("b")];
    expect(ids(sorted(rows, { column: "age", descending: false }))).toBe("ba");
  });

  it("has unknown figures below zero", () => {
    const rows = [connection("a"), connection("b", { pendingBytes: undefined }), connection("c", { pendingBytes: 900 })];
    expect(ids(sorted(rows, { column: "pendingBytes", descending: true }))).toBe("cab");
  });

  it("turns around at the second click only", () => {
    const first = nextOrder({ column: "name", descending: false }, "age");
    expect(first).toEqual({ column: "age", descending: false });
    expect(nextOrder(first, "age")).toEqual({ column: "age", descending: true });
    expect(nextOrder({ column: "age", descending: true }, "age").descending).toBe(false);
  });
});

describe("filtered", () => {
  const rows = [connection("a"), connection("b", { name: "Bob", rooms: ["admins"], role: "admin" })];

  it("wants every word somewhere", () => {
    expect(ids(filtered(rows, "bob ADMIN"))).toBe("b");
    expect(ids(filtered(rows, "bob guild"))).toBe("");
    expect(ids(filtered(rows, "127.0"))).toBe("ab");
  });

  it("believes the server about rooms that are not listed", () => {
    const found = { word: "guild:150", socketIds: new Set(["b"]) };
    expect(ids(filtered(rows, "GUILD:150", found))).toBe("b");
    expect(ids(filtered(rows, "guild:150 alice", found))).toBe("");
    expect(ids(filtered(rows, "guild:1500", found))).toBe("");
  });

  it("lets all through without one", () => {
    expect(filtered(rows, "  ")).toBe(rows);
  });
});

describe("a list that is not all there is", () => {
  it("is searched for the longest word", () => {
    expect(searchWord(" bob  guild:1 x")).toBe("guild:1");
    expect(searchWord("  ")).toBe("");
  });

  it("takes in what was found", () => {
    const rows = merged([connection("a"), connection("b")], [connection("b", { name: "new" }), connection("c")]);
    expect(rows.map(({ socketId, name }) => socketId + name)).toEqual(["aAlice", "bnew", "cAlice"]);
  });
});

describe("paged", () => {
  const all = Array.from({ length: 120 }, (_, at) => at);

  it("counts as people do", () => {
    expect(paged(all, 1)).toMatchObject({ page: 1, pages: 3, from: 51, to: 100 });
    expect(paged(all, 2).rows).toHaveLength(20);
  });

  it("falls back to the last page when the wanted one is gone", () => {
    expect(paged(all.slice(0, 60), 2)).toMatchObject({ page: 1, pages: 2, from: 51, to: 60 });
  });

  it("has one empty page when there is nothing", () => {
    expect(paged([], 3)).toEqual({ rows: [], page: 0, pages: 1, from: 0, to: 0 });
  });
});

describe("cells", () => {
  it("name the first rooms", () => {
    const summary = (rooms: string[], roomCount = rooms.length) => roomSummary({ rooms, roomCount });
    expect(summary(["a", "b"])).toEqual({ shown: ["a", "b"], more: 0 });
    expect(summary(["a", "b", "c"])).toEqual({ shown: ["a"], more: 2 });
    expect(summary(["a", "b"], 200)).toEqual({ shown: ["a"], more: 199 });
    expect(summary([])).toEqual({ shown: [], more: 0 });
  });

  it("know when rooms are left out, and sort by all of them", () => {
    const rows = [connection("a", { roomCount: 200 }), connection("b", { rooms: ["1", "2"], roomCount: 2 }), connection("c")];
    expect(roomsAreCut(rows)).toBe(true);
    expect(roomsAreCut(rows.slice(1))).toBe(false);
    expect(ids(sorted(rows, { column: "rooms", descending: true }))).toBe("abc");
    expect(readListing({ connections: [{ rooms: ["a"], roomCount: 7 }] }).connections[0]?.roomCount).toBe(7);
  });

  it("tell the age", () => {
    const now = Date.parse("2026-11-22T18:00:00.000Z");
    const at = (seconds: number) => age(new Date(now - seconds * 1000).toISOString(), now);
    expect([5, 125, 7260, 90_000].map(at)).toEqual(["5s", "2m 5s", "2h 1m", "1d 1h"]);
    expect(at(-5)).toBe("0s");
    expect(age("", now)).toBe("–");
  });
});
