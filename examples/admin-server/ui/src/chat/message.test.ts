import { describe, expect, it } from "vitest";
import { callsBot, newMessageId, questionOf, readMessage } from "./message";
import { message } from "./testing";

describe("readMessage", () => {
  it("reads the server's messages", () => {
    expect(readMessage(message("a"))).toEqual(message("a"));
    expect(readMessage({ ...message("a"), error: "bot_unavailable" })?.error).toBe("bot_unavailable");
  });

  it("reads nothing else", () => {
    for (const payload of [undefined, null, "text", 1, [], {}, { ...message("a"), from: null }, { ...message("a"), text: 1 }]) {
      expect(readMessage(payload)).toBeUndefined();
    }
  });

  it("does without what can be done without", () => {
    const bare = { ...message("a"), from: { id: "u" }, adminOnly: undefined };
    expect(readMessage(bare)).toMatchObject({ adminOnly: false, from: { id: "u", name: "u", role: "member", color: "" } });
  });
});

it("knows whose question the bot answers", () => {
  expect(questionOf("x-bot")).toBe("x");
  expect(questionOf("x-bot-error")).toBe("x");
  expect(questionOf("x")).toBeUndefined();
  expect(questionOf("-bot")).toBeUndefined();
});

it.each([
  ["@slimy", true],
  ["hello @SLIMY.AI!", true],
  ["@slimy-bot", true],
  ["@slimyfan", false],
  ["@slimy_1", false],
  ["@slimyfan and @slimy", true],
  ["slimy", false],
])("%s calls the bot: %s", (text, expected) => {
  expect(callsBot(text)).toBe(expected);
});

describe("newMessageId", () => {
  it("is one that the server takes, and another one each time", () => {
    const ids = [newMessageId(), newMessageId()];
    expect(ids[0]).not.toBe(ids[1]);
    ids.forEach((id) => expect(id).toMatch(/^[\w.:-]{1,64}$/));
  });

  it("can be made where there is no randomUUID", () => {
    const source = { getRandomValues: crypto.getRandomValues.bind(crypto) } as Crypto;
    expect(newMessageId(source)).toMatch(/^[0-9a-f]{32}$/);
  });
});
