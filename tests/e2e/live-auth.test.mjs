// Authorization stays true while connected: expiry, and every change of a session.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, it } from "node:test";
import { Admin, GUILD, IN_GUILD, OTHER, SECRET, guild, person } from "./lib/admin.mjs";
import { eventually } from "./lib/deadline.mjs";
import { nested, now, sign } from "./lib/jwt.mjs";

/** What the contract allows from a change to its effect. */
const EFFECT_MS = 2_000;
const BOTH = { guilds: [guild(GUILD, "Slime HQ"), guild(OTHER, "Other Place")] };
const SESSIONS = { alice: IN_GUILD, both: BOTH, bob: IN_GUILD };

let server;
beforeEach(async () => (server = await Admin.start({ sessions: SESSIONS, args: ["--chat-rate", "1000/1s"] })));
afterEach(() => server.stop());

const change = (sessions) => server.changeSessions({ ...SESSIONS, ...sessions });

async function ended(client, reason) {
  assert.deepEqual(await client.life("session:ended", EFFECT_MS), { reason });
  assert.equal(await client.life("disconnect", EFFECT_MS), "io server disconnect");
  assert.equal(client.socket.active, false, "the stock client must not come back by itself");
}

/** Until the ack of a message to `guildId` has this code (`undefined`: accepted). */
const answers = (client, payload, code) =>
  eventually(async () => (await client.say({ text: "probe", ...payload })).code === code, `the code ${code}`, EFFECT_MS);

describe("the end of a token", () => {
  it("ends its socket within 2 s, not before, and only its own", async () => {
    const exp = now() + 2;
    const short = { cookie: `slimy_admin_token=${sign(nested(person("alice"), { exp }), SECRET)}`, reconnection: true };
    const client = await server.client(short).connected();
    const other = await server.connect("alice");
    assert.deepEqual(await client.life("session:ended", 2_000 + EFFECT_MS), { reason: "expired" });
    const at = Date.now();
    assert.ok(at >= exp * 1_000, `${exp * 1_000 - at} ms early`);
    assert.ok(at <= exp * 1_000 + EFFECT_MS, `${at - exp * 1_000} ms late`);
    assert.equal(await client.life("disconnect", EFFECT_MS), "io server disconnect");
    assert.equal(client.socket.active, false);
    assert.equal((await other.say({ text: "still here", guildId: GUILD })).ok, true);
    assert.deepEqual(await server.refusal(short.cookie), { message: "not_authorized", data: { code: "not_authorized" } });
  });

  it("on the wire: the event, then the disconnect packet", async () => {
    const cookie = server.cookie(sign(nested(person("alice"), { exp: now() + 1 }), SECRET));
    const socket = await server.raw("alice", "member", { headers: { cookie } });
    assert.equal(await socket.next(), '42["session:ended",{"reason":"expired"}]');
    assert.equal(await socket.next(), "41");
  });
});

describe("a changed sessions file", () => {
  it("gives a new guild", async () => {
    const [alice, both] = [await server.connect("alice"), await server.connect("both")];
    assert.equal((await alice.say({ text: "x", guildId: OTHER })).code, "guild_forbidden");
    change({ alice: BOTH });
    await answers(alice, { guildId: OTHER }, undefined);
    await alice.messages.next();
    await both.say({ text: "welcome", guildId: OTHER });
    assert.equal((await alice.messages.next()).text, "welcome");
    assert.deepEqual(alice.history, [["connect"]]);
  });

  it("takes a guild away, and with it its messages", async () => {
    const [both, admin] = [await server.connect("both"), await server.connect("root", "admin")];
    change({ both: IN_GUILD });
    await eventually(async () => (await both.say({ text: "x", guildId: OTHER })).code === "guild_forbidden", "removal", EFFECT_MS);
    await admin.say({ text: "not for both", guildId: OTHER });
    await admin.say({ text: "for both", guildId: GUILD });
    const heard = [];
    do heard.push((await both.messages.next()).text);
    while (heard.at(-1) !== "for both");
    assert.ok(!heard.includes("not for both"));
    assert.deepEqual(both.history, [["connect"]]);
  });

  it("makes an admin", async () => {
    const [alice, root] = [await server.connect("alice"), await server.connect("root", "admin")];
    change({ alice: { ...IN_GUILD, role: "admin" } });
    await answers(alice, { guildId: GUILD, adminOnly: true }, undefined);
    await alice.messages.next();
    await root.say({ text: "for admins", guildId: OTHER, adminOnly: true });
    const message = await alice.messages.next();
    assert.equal(message.text, "for admins");
    await alice.say({ text: "as admin", guildId: OTHER });
    assert.deepEqual((await alice.messages.next()).from, { id: "alice", name: "Alice", role: "admin", color: "#ef4444" });
  });

  it("unmakes an admin", async () => {
    const [risen, root] = [await server.connect("bob", "admin"), await server.connect("root", "admin")];
    change({ bob: { ...IN_GUILD, role: "member" } });
    await answers(risen, { guildId: GUILD, adminOnly: true }, "admin_only");
    await root.say({ text: "secret", guildId: GUILD, adminOnly: true });
    await root.say({ text: "public", guildId: GUILD });
    const heard = [];
    do heard.push((await risen.messages.next()).text);
    while (heard.at(-1) !== "public");
    assert.ok(!heard.includes("secret"));
    assert.deepEqual(risen.history, [["connect"]]);
  });

  it("ends every socket of a user who is gone, and of nobody else", async () => {
    const [one, two, bob] = [await server.connect("alice"), await server.connect("alice"), await server.connect("bob")];
    server.changeSessions({ bob: IN_GUILD });
    await ended(one, "revoked");
    await ended(two, "revoked");
    assert.equal((await bob.say({ text: "still here", guildId: GUILD })).ok, true);
    assert.deepEqual(bob.history, [["connect"]]);
    assert.deepEqual(await server.refusal(server.cookie("alice")), {
      message: "no_guild_context",
      data: { code: "no_guild_context" },
    });
  });

  it("ends a member who has no guild left", async () => {
    const alice = await server.connect("alice");
    change({ alice: { guilds: [] } });
    await ended(alice, "revoked");
  });

  it("ends an older token by notBefore", async () => {
    const alice = await server.connect("alice");
    change({ alice: { ...IN_GUILD, notBefore: now() + 5 } });
    await ended(alice, "revoked");
    assert.equal((await server.refusal(server.cookie("alice"))).message, "not_authorized");
  });

  it("that cannot be read changes nothing and ends nobody", async () => {
    const alice = await server.connect("alice");
    const before = server.program.stderr.length + server.program.stdout.length;
    writeFileSync(server.file("sessions.json"), "{ broken");
    server.program.kill("SIGHUP");
    const logged = () => server.program.stderr.length + server.program.stdout.length > before;
    await eventually(logged, "a line in the log about the broken file");
    assert.equal((await alice.say({ text: "still here", guildId: GUILD })).ok, true);
    assert.deepEqual(alice.history, [["connect"]]);
    await server.connect("bob");
  });
});
