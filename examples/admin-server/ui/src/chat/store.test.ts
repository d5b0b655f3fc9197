import { beforeEach, describe, expect, it } from "vitest";
import type { Role } from "../common/me";
import { ChatStore, type RoomView } from "./store";
import { by, message } from "./testing";

let store: ChatStore;
let flush: () => void;

const room = (guildId: string): RoomView | undefined => {
  flush();
  return store.view().rooms.find((view) => view.guildId === guildId);
};

const me = (role: Role, ...ids: string[]) => ({ id: "me", role, guilds: ids.map((id) => ({ id, name: id === "1" ? "One" : null })) });
const ids = (): string[] => store.view().rooms.map(({ guildId }) => guildId);

beforeEach(() => {
  flush = () => undefined;
  store = new ChatStore((work) => (flush = work));
  store.begin(me("member", "1", "2"));
});

describe("guilds", () => {
  it("are those of the user, the first one being active", () => {
    expect(store.view().active).toBe("1");
    expect(store.view().rooms.map(({ name }) => name)).toEqual(["One", "Guild 2"]);
  });

  it("are also those that only appear in messages", () => {
    store.receive(message("a", { guildId: "3" }));
    expect(room("3")).toMatchObject({ name: "Guild 3", unread: 1 });
    store.select("3");
    expect(store.view().active).toBe("3");
  });

  it("begin with the first message for who has none", () => {
    const other = new ChatStore((work) => work());
    other.begin(me("member"));
    other.receive(message("a", { guildId: "3" }));
    expect(other.view().active).toBe("3");
  });

  it("cannot be chosen when they are unknown", () => {
    store.select("9");
    expect(store.view().active).toBe("1");
  });
});

describe("another access", () => {
  it("adds guilds, and takes away the others with their messages", () => {
    store.receive(message("a", { guildId: "1" }));
    store.receive(message("b", { guildId: "2" }));
    store.begin(me("member", "2", "3"));
    expect(ids()).toEqual(["2", "3"]);
    expect(store.view()).toMatchObject({ active: "2", unread: 1 });
    store.begin(me("member", "1", "2", "3"));
    expect(room("1")?.items).toEqual([]);
  });

  it("keeps the guild that is shown", () => {
    store.select("2");
    store.begin(me("member", "3", "2"));
    expect(store.view().active).toBe("2");
  });

  it("may be none at all", () => {
    store.begin(me("member"));
    expect(store.view()).toEqual({ active: undefined, rooms: [], unread: 0 });
  });

  it("of who was an admin ends with the guilds of others, and with what was for admins", () => {
    store.begin(me("admin", "1"));
    store.receive(message("a", { adminOnly: true }));
    store.receive(message("b"));
    store.receive(message("c", { guildId: "9" }));
    expect(store.receive(message("d", { guildId: "8" }))).toBe(true);
    store.begin(me("admin", "1"));
    expect(ids()).toEqual(["1", "9", "8"]);
    store.begin(me("member", "1"));
    expect(ids()).toEqual(["1"]);
    expect(room("1")?.items.map(({ key }) => key)).toEqual(["b"]);
  });

  it("is not undone by what comes too late", () => {
    store.pend(message("mine", { guildId: "2" }), true);
    store.begin(me("member", "1"));
    store.fail("2", "mine", { code: "guild_forbidden", message: "You do not have access to this guild." });
    store.accept("2", "mine", "2026-11-22T18:00:01.000Z");
    store.giveUp("2", "mine");
    store.remove("2", "mine");
    flush();
    expect(ids()).toEqual(["1"]);
  });
});

describe("the guild of the address", () => {
  const shown = (user: ReturnType<typeof me>, wanted: string): string | undefined => {
    const other = new ChatStore((work) => work());
    other.begin(user, wanted);
    return other.view().active;
  };

  it("is shown first", () => {
    expect(shown(me("member", "1", "2"), "2")).toBe("2");
  });

  it("is shown to nobody who may not see it, and to admins whatever they belong to", () => {
    expect(shown(me("member", "1", "2"), "9")).toBe("1");
    expect(shown(me("admin", "1"), "9")).toBe("9");
    expect(shown(me("admin", "1"), "no guild")).toBe("1");
  });

  it("does not hold back who chose another one", () => {
    store.select("2");
    store.begin(me("member", "1", "2"), "1");
    expect(store.view().active).toBe("2");
  });
});

describe("unread", () => {
  it("counts what others say where nobody reads", () => {
    store.setReading(true);
    store.receive(message("a"));
    store.receive(message("b", { guildId: "2" }));
    store.receive(message("c", { guildId: "2" }));
    store.receive(message("d", { guildId: "2", ...by("me") }));
    expect(room("1")?.unread).toBe(0);
    expect(room("2")).toMatchObject({ unread: 2, marker: "b" });
    expect(store.view().unread).toBe(2);
  });

  it("does not count a repetition", () => {
    store.receive(message("a"));
    store.receive(message("a"));
    expect(room("1")?.unread).toBe(1);
  });

  it("ends with reading, while the line stays until something is sent", () => {
    store.receive(message("a"));
    store.setReading(true);
    expect(room("1")).toMatchObject({ unread: 0, marker: "a" });
    store.receive(message("b"));
    expect(room("1")).toMatchObject({ unread: 0, marker: "a" });
    store.pend(message("c", by("me")), false);
    expect(room("1")?.marker).toBeUndefined();
  });

  it("moves the line when new messages come unseen again", () => {
    store.receive(message("a"));
    store.setReading(true);
    store.setReading(false);
    store.receive(message("b"));
    store.receive(message("c"));
    expect(room("1")).toMatchObject({ unread: 2, marker: "b" });
  });

  it("forgets the line when another guild is chosen", () => {
    store.receive(message("a"));
    store.setReading(true);
    store.select("2");
    expect(room("1")?.marker).toBeUndefined();
  });
});

describe("the bot", () => {
  it("thinks from the ack until it answers", () => {
    store.pend(message("q"), true);
    expect(room("1")?.thinking).toBe(false);
    expect(store.accept("1", "q", "2026-11-22T18:00:01.000Z")).toBe(true);
    expect(room("1")?.thinking).toBe(true);
    store.receive(message("q-bot", by("bot")));
    expect(room("1")?.thinking).toBe(false);
  });

  it("thinks about a mention, and stops with its failure", () => {
    store.pend(message("q", { text: "hello @Slimy.ai" }), false);
    store.accept("1", "q", "2026-11-22T18:00:01.000Z");
    store.receive(message("q-bot-error", { ...by("system"), error: "bot_unavailable" }));
    expect(room("1")?.thinking).toBe(false);
  });

  it("does not think when the answer was faster than the ack", () => {
    store.pend(message("q"), true);
    store.receive(message("q-bot", by("bot")));
    expect(store.accept("1", "q", "2026-11-22T18:00:01.000Z")).toBe(false);
    expect(room("1")?.thinking).toBe(false);
  });

  it("is not waited for without end, nor over a loss of the connection", () => {
    for (const end of [() => store.giveUp("1", "q"), () => store.gap(0)]) {
      store.pend(message("q"), true);
      store.accept("1", "q", "2026-11-22T18:00:01.000Z");
      end();
      expect(room("1")?.thinking).toBe(false);
    }
  });
});

it("tells its listeners once for a burst", () => {
  let told = 0;
  const leave = store.subscribe(() => (told += 1));
  for (let index = 0; index < 100; index += 1) store.receive(message(`m${index}`));
  expect(told).toBe(0);
  flush();
  expect(told).toBe(1);
  leave();
  store.receive(message("later"));
  flush();
  expect(told).toBe(1);
});
