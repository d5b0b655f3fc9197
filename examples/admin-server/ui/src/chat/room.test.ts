import { describe, expect, it } from "vitest";
import { Room } from "./room";
import { message } from "./testing";

const keys = (room: Room): string[] => room.items().map(({ key }) => key);
const failure = { code: "no_answer", message: "The server did not answer in time." };

describe("Room", () => {
  it("keeps a message once, however often it comes", () => {
    const room = new Room();
    expect(room.receive(message("a"))).toBe(true);
    expect(room.receive(message("a", { text: "other" }))).toBe(false);
    expect(room.items()).toHaveLength(1);
    expect(room.get("a")?.text).toBe("text of a");
  });

  it("replaces a pending message by the server's copy, in the server's order", () => {
    const room = new Room();
    room.pend(message("mine"), true);
    room.receive(message("other"));
    expect(room.receive(message("mine", { text: "trimmed" }))).toBe(false);
    expect(keys(room)).toEqual(["other", "mine"]);
    expect(room.get("mine")).toMatchObject({ delivery: "sent", confirmed: true, text: "trimmed", requestBot: true });
  });

  it("takes the ack's time, and still moves the message when its copy comes later", () => {
    const room = new Room();
    room.pend(message("mine"), false);
    room.accept("mine", "2026-11-22T18:00:05.000Z");
    expect(room.get("mine")).toMatchObject({ delivery: "sent", confirmed: false, at: Date.parse("2026-11-22T18:00:05.000Z") });
    room.receive(message("other"));
    room.receive(message("mine"));
    expect(keys(room)).toEqual(["other", "mine"]);
  });

  it("fails, is retried under the same id, and is sent", () => {
    const room = new Room();
    room.pend(message("mine"), false);
    room.fail("mine", failure);
    expect(room.get("mine")).toMatchObject({ delivery: "failed", failure });
    room.pend(message("mine"), false);
    expect(room.items()).toHaveLength(1);
    expect(room.get("mine")).toMatchObject({ delivery: "pending" });
    expect(room.get("mine")).not.toHaveProperty("failure");
    room.accept("mine", "2026-11-22T18:00:05.000Z");
    expect(room.get("mine")?.delivery).toBe("sent");
  });

  it("does not fail what came through although its ack did not", () => {
    const room = new Room();
    room.pend(message("mine"), false);
    room.receive(message("mine"));
    room.fail("mine", failure);
    room.remove("mine");
    expect(room.get("mine")).toMatchObject({ delivery: "sent", confirmed: true });
  });

  it("discards a message that was not sent", () => {
    const room = new Room();
    room.pend(message("mine"), false);
    room.fail("mine", failure);
    room.remove("mine");
    expect(room.items()).toEqual([]);
    expect(room.receive(message("mine"))).toBe(true);
  });

  it("marks a gap once, however often the connection is lost in between", () => {
    const room = new Room();
    room.receive(message("a"));
    room.gap(1);
    room.gap(2);
    room.receive(message("b"));
    expect(room.items().map(({ kind }) => kind)).toEqual(["message", "gap", "message"]);
    expect(new Set(keys(room)).size).toBe(3);
  });

  it("forgets the oldest ones beyond its bound", () => {
    const room = new Room(3);
    for (const id of ["a", "b", "c", "d"]) room.receive(message(id));
    expect(keys(room)).toEqual(["b", "c", "d"]);
    expect(room.get("a")).toBeUndefined();
  });

  it("forgets what was for admins, and not one's own text that was not sent", () => {
    const room = new Room();
    for (const each of [message("a"), message("b", { adminOnly: true })]) room.receive(each);
    room.pend(message("mine", { adminOnly: true }), false);
    room.fail("mine", failure);
    expect(room.forgetAdminOnly()).toBe(true);
    expect(keys(room)).toEqual(["a", "mine"]);
    expect(room.forgetAdminOnly()).toBe(false);
  });
});
