// Who hears a message: the guild, the admins, everybody; each exactly once and in one order.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { Admin, GUILD, IN_GUILD, IN_OTHER, OTHER, guild } from "./lib/admin.mjs";

const BOTH = { guilds: [guild(GUILD, "Slime HQ"), guild(OTHER, "Other Place")] };
const SESSIONS = { alice: IN_GUILD, bob: IN_GUILD, olga: IN_OTHER, both: BOTH, insider: BOTH };
const FENCE = "everyone hears this last";

let server;
const useServer = (args = []) => {
  before(async () => (server = await Admin.start({ sessions: SESSIONS, args: ["--chat-rate", "10000/1s", ...args] })));
  after(() => server.stop());
  afterEach(() => server.closeClients());
};

/** Everyone, connected; admins are `root` (no guild), `second` (no guild) and `insider` (in both guilds). */
async function everyone() {
  const clients = {};
  for (const id of ["alice", "bob", "olga", "both"]) clients[id] = await server.connect(id);
  for (const id of ["root", "second", "insider"]) clients[id] = await server.connect(id, "admin");
  clients["alice again"] = await server.connect("alice");
  clients["alice polling"] = await server.connect("alice", "member", { transports: ["polling"] });
  return clients;
}

const inBoth = ["both", "root", "second", "insider"];

/** Sends one message to each guild after `payload`; then who heard `payload`, and how often, is certain. */
async function heardBy(clients, sender, payload) {
  assert.equal((await clients[sender].say(payload)).ok, true);
  const heard = {};
  for (const guildId of [GUILD, OTHER]) await clients.root.say({ text: FENCE, guildId });
  for (const [name, client] of Object.entries(clients)) {
    const fences = inBoth.includes(name) ? 2 : 1;
    for (let left = fences; left > 0; ) {
      const { text } = await client.messages.next();
      if (text === FENCE) left -= 1;
      else heard[name] = (heard[name] ?? 0) + 1;
    }
    assert.deepEqual(client.messages.waiting, []);
  }
  return heard;
}

const once = (...names) => Object.fromEntries(names.map((name) => [name, 1]));
const ADMINS = ["root", "second", "insider"];
const IN_FIRST = ["alice", "alice again", "alice polling", "bob", "both"];

describe("audience guild, the default", () => {
  useServer();

  it("a member's message: the guild and the admins, each once", async () => {
    const heard = await heardBy(await everyone(), "alice", { text: "x", guildId: GUILD });
    assert.deepEqual(heard, once(...IN_FIRST, ...ADMINS));
  });

  it("a message in the other guild", async () => {
    const heard = await heardBy(await everyone(), "both", { text: "x", guildId: OTHER });
    assert.deepEqual(heard, once("olga", "both", ...ADMINS));
  });

  it("an admin's message in a guild that the admin is not in", async () => {
    const heard = await heardBy(await everyone(), "second", { text: "x", guildId: GUILD });
    assert.deepEqual(heard, once(...IN_FIRST, ...ADMINS));
  });

  it("an admin-only message: the admins, each once, and nobody of the guild", async () => {
    const heard = await heardBy(await everyone(), "insider", { text: "x", guildId: GUILD, adminOnly: true });
    assert.deepEqual(heard, once(...ADMINS));
  });

  it("every recipient sees the same order, whoever wrote", async () => {
    const clients = await everyone();
    const writers = ["alice", "bob", "both", "root", "alice polling"];
    const sent = writers.flatMap((name) =>
      Array.from({ length: 20 }, (_, i) => clients[name].say({ text: `${name} ${i}`, guildId: GUILD })),
    );
    assert.ok((await Promise.all(sent)).every(({ ok }) => ok));
    const readers = [...IN_FIRST, ...ADMINS];
    const lists = await Promise.all(readers.map((name) => clients[name].messages.take(100)));
    const [first, ...rest] = lists.map((list) => list.map(({ text }) => text));
    for (const [index, list] of rest.entries()) assert.deepEqual(list, first, readers[index + 1]);
    for (const name of writers) {
      const own = first.filter((text) => text.startsWith(`${name} `) && /^\d+$/.test(text.slice(name.length + 1)));
      assert.deepEqual(own, Array.from({ length: 20 }, (_, i) => `${name} ${i}`));
    }
  });
});

describe("audience everyone, by flag", () => {
  useServer(["--chat-audience", "everyone"]);

  /** Here one fence reaches everybody. */
  async function heard(clients, sender, payload) {
    assert.equal((await clients[sender].say(payload)).ok, true);
    await clients.root.say({ text: FENCE, guildId: GUILD });
    const names = {};
    for (const [name, client] of Object.entries(clients)) {
      for (;;) {
        const { text } = await client.messages.next();
        if (text === FENCE) break;
        names[name] = (names[name] ?? 0) + 1;
      }
    }
    return names;
  }

  it("a member's message: every socket, each once", async () => {
    const clients = await everyone();
    assert.deepEqual(await heard(clients, "alice", { text: "x", guildId: GUILD }), once(...Object.keys(clients)));
  });

  it("an admin-only message still stays with the admins", async () => {
    const clients = await everyone();
    assert.deepEqual(await heard(clients, "root", { text: "x", guildId: GUILD, adminOnly: true }), once(...ADMINS));
  });

  it("writing still needs the guild", async () => {
    const alice = await server.connect("alice");
    assert.equal((await alice.say({ text: "x", guildId: OTHER })).code, "guild_forbidden");
  });
});
