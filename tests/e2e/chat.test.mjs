// chat:message: what is refused and in which order, message ids, the rate, the exact payload.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { Admin, GUILD, IN_GUILD, OTHER, SECRET, guild } from "./lib/admin.mjs";
import { pause } from "./lib/deadline.mjs";
import { nested, sign } from "./lib/jwt.mjs";

const TS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const BOTH = { guilds: [guild(GUILD, "Slime HQ"), guild(OTHER, "Other Place")] };
const SESSIONS = { alice: IN_GUILD, bob: IN_GUILD, both: BOTH };

const ERRORS = {
  invalid_message: "Invalid message.",
  empty_message: "Message cannot be empty.",
  message_too_long: "Message is too long.",
  missing_guild: "Missing guild.",
  guild_forbidden: "You do not have access to this guild.",
  admin_only: "Only admins can send admin-only messages.",
  duplicate_id: "That message id is taken.",
};
const failure = (code) => JSON.stringify({ error: ERRORS[code], code });

let server;
const useServer = (options) => {
  before(async () => (server = await Admin.start({ sessions: SESSIONS, ...options })));
  after(() => server.stop());
  afterEach(() => server.closeClients());
};

describe("refused messages", () => {
  useServer({ args: ["--chat-rate", "1000/1s"] });
  const long = "a".repeat(4_001);
  const ok = { text: "hello", guildId: GUILD };

  // In the order of the contract; every payload also has what later checks would refuse.
  const table = [
    ["invalid_message", "no payload"],
    ["invalid_message", "null", null],
    ["invalid_message", "a string", "hello"],
    ["invalid_message", "a number", 7],
    ["invalid_message", "a list", [ok]],
    ["invalid_message", "text is a number", { ...ok, text: 1 }],
    ["invalid_message", "text is false", { ...ok, text: false }],
    ["invalid_message", "text is an object", { ...ok, text: {} }],
    ["invalid_message", "guildId is a list", { ...ok, guildId: [GUILD] }],
    ["invalid_message", "guildId is a boolean", { ...ok, guildId: true }],
    ["invalid_message", "adminOnly is a string", { ...ok, adminOnly: "yes" }],
    ["invalid_message", "adminOnly is a number", { ...ok, adminOnly: 1 }],
    ["invalid_message", "requestBot is a string", { ...ok, requestBot: "yes" }],
    ["invalid_message", "messageId is a number", { ...ok, messageId: 1 }],
    ["invalid_message", "messageId is an object", { ...ok, messageId: {} }],
    ["invalid_message", "messageId ends in -bot", { ...ok, messageId: "m-bot" }],
    ["invalid_message", "messageId is -bot", { ...ok, messageId: "-bot" }],
    ["invalid_message", "messageId ends in -bot-error", { ...ok, messageId: "m-bot-error" }],
    ["invalid_message", "a NUL in text", { ...ok, text: "a\0b" }],
    ["invalid_message", "a NUL in guildId", { ...ok, guildId: `${GUILD}\0` }],
    ["invalid_message", "a NUL in messageId", { ...ok, messageId: "m\0" }],
    ["invalid_message", "a high surrogate alone in text", { ...ok, text: "a\ud83d" }],
    ["invalid_message", "a low surrogate alone in text", { ...ok, text: "\ude00a" }],
    ["invalid_message", "a lone surrogate in guildId", { ...ok, guildId: "\ud800" }],
    ["invalid_message", "a lone surrogate in messageId", { ...ok, messageId: "\udfff" }],
    ["invalid_message", "a wrong type before empty text", { text: "", adminOnly: 1 }],
    ["empty_message", "an empty object", {}],
    ["empty_message", "no text", { guildId: GUILD }],
    ["empty_message", "text null", { text: null, guildId: GUILD }],
    ["empty_message", "text empty", { text: "", guildId: GUILD }],
    ["empty_message", "only white space", { text: " \t\r\n\u00a0\u2003", guildId: GUILD }],
    ["empty_message", "empty before no guild and admin", { text: " ", adminOnly: true }],
    ["message_too_long", "4,001 characters", { ...ok, text: long }],
    ["message_too_long", "too long before no guild", { text: long, adminOnly: true }],
    ["message_too_long", "too long before a foreign guild", { text: long, guildId: OTHER }],
    ["missing_guild", "no guildId", { text: "x" }],
    ["missing_guild", "guildId null", { text: "x", guildId: null }],
    ["missing_guild", "guildId empty", { text: "x", guildId: "" }],
    ["missing_guild", "guildId 0", { text: "x", guildId: 0 }],
    ["missing_guild", "no guild before admin", { text: "x", adminOnly: true }],
    ["guild_forbidden", "another guild", { text: "x", guildId: OTHER }],
    ["guild_forbidden", "a guild that does not exist", { text: "x", guildId: "1" }],
    ["guild_forbidden", "the name of a room", { text: "x", guildId: "admins" }],
    ["guild_forbidden", "another guild before admin", { text: "x", guildId: OTHER, adminOnly: true }],
    ["admin_only", "adminOnly from a member", { ...ok, adminOnly: true }],
  ];
  for (const [code, what, ...payload] of table) {
    it(`${code}: ${what}`, async () => {
      const [alice, bob] = [await server.connect("alice"), await server.connect("bob")];
      assert.equal(JSON.stringify(await alice.ask("chat:message", ...payload)), failure(code));
      // Nothing was sent: the next thing that anyone hears is this.
      await bob.say({ text: "next", guildId: GUILD });
      assert.equal((await bob.messages.next()).text, "next");
      assert.equal((await alice.messages.next()).text, "next");
    });
  }

  it("an admin too needs a text and a guild", async () => {
    const root = await server.connect("root", "admin");
    assert.equal(JSON.stringify(await root.say({ text: "", guildId: GUILD })), failure("empty_message"));
    assert.equal(JSON.stringify(await root.say({ text: "x", adminOnly: true })), failure("missing_guild"));
  });

  it("are no matter without an ack", async () => {
    const alice = await server.connect("alice");
    alice.socket.emit("chat:message", { text: "", guildId: GUILD });
    alice.socket.emit("chat:message");
    alice.socket.emit("chat:message", { text: "after", guildId: GUILD });
    assert.equal((await alice.messages.next()).text, "after");
    assert.deepEqual(alice.history, [["connect"]]);
  });

  it("an unknown event has no effect", async () => {
    const alice = await server.connect("alice");
    alice.socket.emit("chat:shout", { text: "x", guildId: GUILD });
    await alice.say({ text: "after", guildId: GUILD });
    assert.equal((await alice.messages.next()).text, "after");
  });
});

describe("accepted messages", () => {
  useServer({ args: ["--chat-rate", "1000/1s"] });

  it("are broadcast and acked exactly so, in this order", async () => {
    const socket = await server.raw("alice");
    socket.send(`427["chat:message",{"text":"hello","guildId":"${GUILD}","messageId":"m:1_a.b-C"}]`);
    const [broadcast, ack] = [await socket.next(), await socket.next()];
    const { ts } = JSON.parse(ack.slice(3))[0];
    assert.match(ts, TS);
    assert.ok(Math.abs(Date.now() - Date.parse(ts)) < 5_000);
    assert.equal(ack, `437[{"ok":true,"messageId":"m:1_a.b-C","ts":"${ts}"}]`);
    assert.equal(
      broadcast,
      `42["chat:message",{"messageId":"m:1_a.b-C","guildId":"${GUILD}","adminOnly":false,"text":"hello","ts":"${ts}",` +
        `"from":{"id":"alice","name":"Alice","role":"member","color":"#3b82f6"}}]`,
    );
  });

  it("without an ack get none", async () => {
    const socket = await server.raw("alice");
    socket.send(`42["chat:message",{"text":"one","guildId":"${GUILD}"}]`);
    socket.send(`42["chat:message",{"text":"two","guildId":"${GUILD}"}]`);
    assert.match(await socket.next(), /^42\["chat:message",.*"text":"one"/);
    assert.match(await socket.next(), /^42\["chat:message",.*"text":"two"/);
  });

  it("say adminOnly", async () => {
    const root = await server.connect("root", "admin");
    await root.say({ text: "x", guildId: GUILD, adminOnly: true, messageId: "a1" });
    const { ts, ...rest } = await root.messages.next();
    assert.match(ts, TS);
    const from = { id: "root", name: "Root", role: "admin", color: "#ef4444" };
    assert.deepEqual(rest, { messageId: "a1", guildId: GUILD, adminOnly: true, text: "x", from });
  });

  const colours = [
    ["member", "member", "#3b82f6"],
    ["club", "club", "#f59e0b"],
    ["admin", "admin", "#ef4444"],
    ["owner", "admin", "#ef4444"],
    ["stranger", "member", "#3b82f6"],
  ];
  for (const [claimed, role, color] of colours) {
    it(`from a ${claimed} are ${color}`, async () => {
      const client = await server.connect("alice", claimed);
      await client.say({ text: "x", guildId: GUILD });
      assert.deepEqual((await client.messages.next()).from, { id: "alice", name: "Alice", role, color });
    });
  }

  const names = [
    [{ globalName: "Glob", username: "user" }, "Glob"],
    [{ globalName: null, username: "user" }, "user"],
    [{ username: "user" }, "user"],
    [{}, "alice"],
    [{ globalName: "Zoë <b>\"1\"</b> 😀" }, "Zoë <b>\"1\"</b> 😀"],
  ];
  for (const [claims, name] of names) {
    it(`from ${JSON.stringify(claims)} are named ${name}`, async () => {
      const cookie = server.cookie(sign(nested({ id: "alice", ...claims }), SECRET));
      const client = await server.client({ cookie }).connected();
      await client.say({ text: "x", guildId: GUILD });
      assert.equal((await client.messages.next()).from.name, name);
    });
  }

  const texts = [
    ["trimmed", " \n hello  world \t", "hello  world"],
    ["trimmed of wide spaces", "\u00a0hello\u2003", "hello"],
    ["with quotes and backslashes", 'a "b" \\ c \u2028 /', 'a "b" \\ c \u2028 /'],
    ["with what looks like markup", "<script>alert(1)</script>", "<script>alert(1)</script>"],
    ["outside of the basic plane", "😀 𝄞", "😀 𝄞"],
    ["of 4,000 characters", "a".repeat(4_000), "a".repeat(4_000)],
    ["of 4,000 characters and 8,000 bytes", "é".repeat(4_000), "é".repeat(4_000)],
    ["of 4,000 characters and white space around", ` ${"a".repeat(4_000)} `, "a".repeat(4_000)],
    ["that looks like a packet", '42["chat:message",{}]', '42["chat:message",{}]'],
    ["with the separator of polling payloads", "a\x1eb", "a\x1eb"],
  ];
  for (const [what, text, heard] of texts) {
    for (const transports of [["websocket"], ["polling"]]) {
      it(`${what}, over ${transports}`, async () => {
        const client = await server.connect("alice", "member", { transports });
        assert.equal((await client.say({ text, guildId: GUILD })).ok, true);
        assert.equal((await client.messages.next()).text, heard);
      });
    }
  }

  it("keep a guild id that is a number above 2^53, and emit a string", async () => {
    const socket = await server.raw("alice");
    socket.send(`421["chat:message",{"text":"x","guildId":${GUILD}}]`);
    assert.equal(JSON.parse((await socket.next()).slice(2))[1].guildId, GUILD);
    assert.match(await socket.next(), /^431\[\{"ok":true,/);
    // One more would be the same number as a double, and is another guild.
    socket.send(`422["chat:message",{"text":"x","guildId":${BigInt(GUILD) + 1n}}]`);
    assert.equal(await socket.next(), `432[${failure("guild_forbidden")}]`);
  });

  it("may carry fields that nobody knows, which are not passed on", async () => {
    const alice = await server.connect("alice");
    await alice.say({ text: "x", guildId: GUILD, from: { id: "root", role: "admin" }, ts: "never", extra: [1] });
    const message = await alice.messages.next();
    assert.deepEqual(Object.keys(message), ["messageId", "guildId", "adminOnly", "text", "ts", "from"]);
    assert.equal(message.from.id, "alice");
    assert.match(message.ts, TS);
  });
});

describe("message ids", () => {
  useServer({ args: ["--chat-rate", "1000/1s"] });

  const kept = ["m", "A-z_0.9:", "x".repeat(64), "bot", "m-bot2", "m-bot-errors", "-bot-x"];
  for (const messageId of kept) {
    it(`${messageId} is kept`, async () => {
      const alice = await server.connect("alice");
      assert.equal((await alice.say({ text: "x", guildId: GUILD, messageId })).messageId, messageId);
      assert.equal((await alice.messages.next()).messageId, messageId);
    });
  }

  const replaced = [undefined, "", "x".repeat(65), "a b", "a/b", "ü", "a\nb", "<i>", "😀"];
  for (const messageId of replaced) {
    it(`${JSON.stringify(messageId)} is replaced by one of the server's`, async () => {
      const alice = await server.connect("alice");
      const first = await alice.say({ text: "x", guildId: GUILD, messageId });
      const second = await alice.say({ text: "x", guildId: GUILD, messageId });
      assert.match(first.messageId, /^[A-Za-z0-9_.:-]{1,64}$/);
      assert.doesNotMatch(first.messageId, /-bot(-error)?$/);
      assert.notEqual(first.messageId, second.messageId);
      assert.equal((await alice.messages.next()).messageId, first.messageId);
    });
  }

  it("the same again is a retry: acked as before, not sent twice", async () => {
    const [alice, bob] = [await server.connect("alice"), await server.connect("bob")];
    const first = await alice.say({ text: "once", guildId: GUILD, messageId: "retry" });
    await pause(5); // so that another ts would be another text
    const again = await alice.say({ text: "once", guildId: GUILD, messageId: "retry" });
    assert.deepEqual(again, first);
    const elsewhere = await server.connect("alice");
    assert.deepEqual(await elsewhere.say({ text: "changed", guildId: GUILD, messageId: "retry" }), first);
    await alice.say({ text: "next", guildId: GUILD });
    assert.deepEqual((await bob.messages.take(2)).map(({ text }) => text), ["once", "next"]);
  });

  it("another user's is taken, in that guild only", async () => {
    const [alice, both] = [await server.connect("alice"), await server.connect("both")];
    await alice.say({ text: "mine", guildId: GUILD, messageId: "taken" });
    const refused = await both.say({ text: "not mine", guildId: GUILD, messageId: "taken" });
    assert.equal(JSON.stringify(refused), failure("duplicate_id"));
    assert.equal((await both.say({ text: "elsewhere", guildId: OTHER, messageId: "taken" })).ok, true);
    assert.deepEqual((await both.messages.take(2)).map(({ text }) => text), ["mine", "elsewhere"]);
  });

  it("of a refused message can be used again", async () => {
    const [alice, bob] = [await server.connect("alice"), await server.connect("bob")];
    await alice.say({ text: "", guildId: GUILD, messageId: "free" });
    await alice.say({ text: "x", guildId: GUILD, adminOnly: true, messageId: "free" });
    assert.equal((await bob.say({ text: "x", guildId: GUILD, messageId: "free" })).ok, true);
  });
});

describe("the default rate", () => {
  useServer();

  it("is 20 messages in 10 seconds", async () => {
    const alice = await server.connect("alice");
    const acks = [];
    for (let i = 0; i < 21; i++) acks.push(await alice.say({ text: "x", guildId: GUILD }));
    assert.deepEqual(acks.map(({ ok, code }) => ok ?? code), [...Array(20).fill(true), "rate_limited"]);
    assert.ok(acks[20].retryAfterMs > 0 && acks[20].retryAfterMs <= 10_000, `${acks[20].retryAfterMs}`);
  });
});

describe("a configured rate", () => {
  useServer({ args: ["--chat-rate", "3/2s"] });
  const say = (client, extra) => client.say({ text: "x", guildId: GUILD, ...extra });

  it("holds across a user's sockets, counts only what is accepted, and says when to come back", async () => {
    const [one, two, bob] = [await server.connect("alice"), await server.connect("alice"), await server.connect("bob")];
    assert.equal((await say(one, { messageId: "r1" })).ok, true);
    for (let i = 0; i < 5; i++) {
      assert.equal((await say(one, { text: "" })).code, "empty_message");
      assert.equal((await say(one, { messageId: "r1" })).ok, true);
    }
    assert.equal((await say(two)).ok, true);
    assert.equal((await say(one)).ok, true);

    const refused = await say(two);
    const { retryAfterMs } = refused;
    assert.ok(Number.isInteger(retryAfterMs) && retryAfterMs > 0 && retryAfterMs <= 2_000, `${retryAfterMs}`);
    const error = "You are sending messages too quickly.";
    assert.equal(JSON.stringify(refused), JSON.stringify({ error, code: "rate_limited", retryAfterMs }));

    // What comes before the rate in the order still does; a retry needs no room.
    assert.equal((await say(one, { guildId: OTHER })).code, "guild_forbidden");
    assert.equal((await say(one, { messageId: "r1" })).ok, true);
    assert.equal((await say(bob, { messageId: "b1" })).ok, true);
    assert.equal((await say(one, { messageId: "b1" })).code, "duplicate_id");

    await pause(retryAfterMs);
    assert.equal((await say(one)).ok, true);
    // r1 once, two more, bob's, and the last: refused ones and retries were not sent.
    assert.equal((await bob.messages.take(5)).length, 5);
    assert.deepEqual(bob.messages.waiting, []);
  });
});
