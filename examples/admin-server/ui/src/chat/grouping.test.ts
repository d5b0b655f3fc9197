import { describe, expect, it } from "vitest";
import type { ChatMessage } from "./message";
import { rowsOf } from "./grouping";
import { Room } from "./room";
import { by, message } from "./testing";

/** Local times, since days are those of the reader. */
const at = (hour: number, minute: number, day = 22): { ts: string } => ({ ts: new Date(2026, 10, day, hour, minute).toISOString() });

function shape(messages: readonly ChatMessage[], marker?: string): string[] {
  const room = new Room();
  messages.forEach((each) => room.receive(each));
  return rowsOf(room.items(), marker).map((row) => (row.kind === "message" ? `${row.head ? "head" : "more"} ${row.key}` : row.kind));
}

describe("rowsOf", () => {
  it("puts an author's messages together for some minutes", () => {
    expect(shape([message("a", at(9, 0)), message("b", at(9, 5)), message("c", at(9, 6))])).toEqual(["day", "head a", "more b", "head c"]);
  });

  it("begins anew with another author, and with what only admins see", () => {
    const messages = [message("a"), message("b", by("bob")), message("c"), message("d", { adminOnly: true })];
    expect(shape(messages)).toEqual(["day", "head a", "head b", "head c", "head d"]);
  });

  it("shows each day", () => {
    expect(shape([message("a", at(23, 59)), message("b", at(0, 1, 23)), message("c", at(0, 2, 23))])).toEqual([
      "day",
      "head a",
      "day",
      "head b",
      "more c",
    ]);
  });

  it("shows where the new messages begin", () => {
    expect(shape([message("a"), message("b")], "b")).toEqual(["day", "head a", "new", "head b"]);
    expect(shape([message("a")], "gone")).toEqual(["day", "head a"]);
  });

  it("shows where messages may be missing", () => {
    const room = new Room();
    room.receive(message("a", at(9, 0)));
    room.gap(Date.parse(at(9, 1).ts));
    room.receive(message("b", at(9, 1)));
    expect(rowsOf(room.items(), undefined).map(({ kind }) => kind)).toEqual(["day", "message", "gap", "message"]);
    expect(rowsOf(room.items(), undefined).at(-1)).toMatchObject({ head: true });
  });

  it("gives each row a key of its own, also when a day comes twice", () => {
    const room = new Room();
    [message("a", at(9, 0)), message("b", at(9, 0, 23)), message("c", at(9, 0))].forEach((each) => room.receive(each));
    const keys = rowsOf(room.items(), undefined).map(({ key }) => key);
    expect(new Set(keys).size).toBe(keys.length);
  });
});
