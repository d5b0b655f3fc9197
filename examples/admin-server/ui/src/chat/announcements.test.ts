import { expect, it } from "vitest";
import { Announcements } from "./announcements";
import { Room } from "./room";
import { by, message } from "./testing";

const failure = (text = "You are sending messages too quickly.") => ({ code: "rate_limited", message: text });

it("tells what others say, once, and many things as a number", () => {
  const room = new Room();
  room.receive(message("a"));
  const announcements = new Announcements(room.items(), "me");
  expect(announcements.next(room.items())).toEqual({});
  room.receive(message("b"));
  room.receive(message("mine", by("me")));
  expect(announcements.next(room.items())).toEqual({ said: "Alice: text of b" });
  ["c", "d", "e", "f"].forEach((id) => room.receive(message(id)));
  expect(announcements.next(room.items())).toEqual({ said: "4 new messages" });
});

it("tells each failure once, however often it is shown", () => {
  const room = new Room();
  const announcements = new Announcements(room.items(), "me");
  room.pend(message("mine", by("me")), false);
  room.fail("mine", failure());
  expect(announcements.next(room.items()).failed).toBe("Your message could not be sent. You are sending messages too quickly.");
  expect(announcements.next(room.items())).toEqual({});
  expect(new Announcements(room.items(), "me").next(room.items())).toEqual({});
});

it("tells the same failure again when it comes again", () => {
  const room = new Room();
  const announcements = new Announcements(room.items(), "me");
  for (let attempt = 0; attempt < 2; attempt += 1) {
    room.pend(message("mine", by("me")), false);
    expect(announcements.next(room.items())).toEqual({});
    room.fail("mine", failure());
    expect(announcements.next(room.items()).failed).toBeDefined();
  }
});
