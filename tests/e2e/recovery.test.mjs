// Connection state recovery with the stock client: as the page has it.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { Admin, GUILD, IN_GUILD, IN_OTHER } from "./lib/admin.mjs";
import { eventually, within } from "./lib/deadline.mjs";

const sessions = { alice: IN_GUILD, bob: IN_GUILD };
/** It comes back by itself, and late enough for others to say something meanwhile. */
const RECONNECTING = { reconnection: true, reconnectionDelay: 300, reconnectionDelayMax: 300, randomizationFactor: 0 };

describe("a client that is cut off", () => {
  let admin;
  before(async () => (admin = await Admin.start({ sessions, args: ["--chat-rate", "1000/1s"], env: { RECOVERY: "2m" } })));
  after(() => admin.stop());
  afterEach(() => {
    admin.closeClients();
    admin.changeSessions(sessions);
  });

  const say = async (client, text, extra) => {
    const ack = await client.say({ text, guildId: GUILD, ...extra });
    assert.ok(ack.ok, JSON.stringify(ack));
  };

  /** Cuts a client off, lets something happen, and waits until it is connected again. */
  const away = async (client, meanwhile) => {
    const { id } = client.socket;
    client.socket.io.engine.close();
    await client.life("disconnect");
    await meanwhile();
    await client.life("connect");
    return { id, recovered: client.socket.recovered };
  };

  for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
    it(`comes back over ${transports.join(", then ")} as it was, with what it missed`, async () => {
      const bob = await admin.connect("bob");
      const alice = await admin.connect("alice", "member", { transports, ...RECONNECTING });
      for (let round = 0; round < 3; round += 1) {
        await say(bob, `before ${round}`);
        assert.equal((await alice.messages.next()).text, `before ${round}`);
        const { id, recovered } = await away(alice, async () => {
          for (const n of [1, 2, 3]) await say(bob, `missed ${round} ${n}`);
        });
        assert.ok(recovered);
        assert.equal(alice.socket.id, id);
        const missed = await alice.messages.take(3);
        assert.deepEqual(missed.map(({ text }) => text), [1, 2, 3].map((n) => `missed ${round} ${n}`));
        await say(alice, `mine ${round}`);
        assert.equal((await alice.messages.next()).text, `mine ${round}`);
      }
      assert.deepEqual(alice.messages.waiting, []);
    });
  }

  it("that has received nothing yet comes back all the same", async () => {
    const bob = await admin.connect("bob");
    const alice = await admin.connect("alice", "member", RECONNECTING);
    const { recovered } = await away(alice, () => say(bob, "the first"));
    assert.ok(recovered);
    assert.equal((await alice.messages.next()).text, "the first");
  });

  it("gets an offset behind each event's arguments, which the page does not notice", async () => {
    const alice = await admin.connect("alice");
    const offsets = new Promise((resolve) => alice.socket.on("chat:message", (...args) => resolve(args)));
    await say(alice, "with an offset");
    const [message, offset, ...rest] = await within(offsets, "the message");
    assert.deepEqual([message.text, typeof offset, rest], ["with an offset", "string", []]);
  });

  it("is a new one after it has left on purpose", async () => {
    const alice = await admin.connect("alice", "member", RECONNECTING);
    const { id } = alice.socket;
    alice.socket.disconnect();
    alice.socket.connect();
    await eventually(() => alice.socket.connected && alice.socket.id !== id, "a new socket");
    assert.ok(!alice.socket.recovered);
  });

  it("misses nothing of a guild that it still belongs to, and gets nothing of one that it left", async () => {
    const bob = await admin.connect("bob", "admin");
    const alice = await admin.connect("alice", "member", RECONNECTING);
    await say(bob, "hello");
    await alice.messages.next();
    const { recovered } = await away(alice, async () => {
      await say(bob, "not for her any more");
      admin.changeSessions({ ...sessions, alice: IN_OTHER });
      await eventually(() => admin.program.stderr.includes("saved=1"), "the change");
      await say(bob, "for her", { guildId: IN_OTHER.guilds[0].id });
      await say(bob, "not for her", {});
    });
    assert.ok(recovered);
    await say(bob, "for her too", { guildId: IN_OTHER.guilds[0].id });
    assert.equal((await alice.messages.next()).text, "for her too", "the guild is new to her: what was before she was in it is not hers");
  });

  it("is refused when it was revoked meanwhile", async () => {
    const alice = await admin.connect("alice", "member", RECONNECTING);
    alice.socket.io.engine.close();
    await alice.life("disconnect");
    admin.changeSessions({ bob: IN_GUILD });
    assert.deepEqual(await alice.refused(), { message: "no_guild_context", data: { code: "no_guild_context" } });
  });
});

describe("without recovery", () => {
  let admin;
  before(async () => (admin = await Admin.start({ sessions, env: { RECOVERY: "off" } })));
  after(() => admin.stop());

  it("a client that comes back is a new one, and events carry nothing more", async () => {
    const alice = await admin.connect("alice", "member", RECONNECTING);
    const { id } = alice.socket;
    alice.socket.io.engine.close();
    await alice.life("disconnect");
    await alice.life("connect");
    assert.ok(!alice.socket.recovered);
    assert.notEqual(alice.socket.id, id);
    const args = new Promise((resolve) => alice.socket.on("chat:message", (...all) => resolve(all)));
    assert.ok((await alice.say({ text: "plain", guildId: GUILD })).ok);
    assert.equal((await within(args, "the message")).length, 1);
  });
});
