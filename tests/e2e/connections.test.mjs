// Who is connected, and ending that: connections:list, connections:disconnect, sessions:revoke.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { Admin, GUILD, IN_GUILD, IN_OTHER, OTHER, SECRET, guild, person } from "./lib/admin.mjs";
import { eventually, pause } from "./lib/deadline.mjs";
import { request } from "./lib/http.mjs";
import { nested, now, sign } from "./lib/jwt.mjs";

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const FORBIDDEN = { error: "Admins only.", code: "forbidden" };
const EFFECT_MS = 2_000;
const KEYS = ["address", "connectedAt", "name", "node", "pendingBytes", "role", "roomCount", "rooms", "socketId", "transport", "userId"];
const sessions = {
  alice: IN_GUILD,
  bob: IN_GUILD,
  carol: IN_OTHER,
  both: { guilds: [guild(GUILD, "Slime HQ"), guild(OTHER, "Other Place")] },
};

/** An admin's list, which must be complete. */
async function list(admin, payload = {}) {
  const { ok, connections, total, truncated, ...rest } = await admin.ask("connections:list", payload);
  assert.equal(ok, true, JSON.stringify(rest));
  assert.equal(truncated, false);
  assert.equal(total, connections.length);
  return connections;
}
const users = (connections) => connections.map(({ userId }) => userId).sort();
const of = (connections, client) => connections.find(({ socketId }) => socketId === client.socket.id);

async function ended(client, reason) {
  assert.deepEqual(await client.life("session:ended", EFFECT_MS), { reason });
  assert.equal(await client.life("disconnect", EFFECT_MS), "io server disconnect");
  assert.equal(client.socket.active, false, "the stock client must not come back by itself");
}

/** Follows the log from now on: answers a function that waits for an entry. */
async function logOf(admin) {
  const entries = [];
  admin.socket.on("log:entries", (batch) => entries.push(...batch.entries));
  assert.equal((await admin.ask("logs:subscribe", { level: "info", backlog: 0 })).ok, true);
  return (wanted, what) => eventually(() => entries.find(wanted), what);
}

describe("connections", { concurrency: true }, () => {
  describe("connections:list", { concurrency: false }, () => {
    let server;
    let root;
    before(async () => (server = await Admin.start({ sessions })));
    after(() => server.stop());
    afterEach(async () => {
      server.closeClients();
      const watcher = await server.connect("root", "admin");
      await eventually(async () => (await list(watcher)).length === 1, "the end of all others");
      watcher.close();
    });

    it("has everybody, with all that is said about one", async () => {
      const start = Date.now();
      root = await server.connect("root", "admin");
      const both = await server.connect("both", "club");
      const found = await list(root);
      assert.deepEqual(users(found), ["both", "root"]);
      for (const connection of found) {
        assert.deepEqual(Object.keys(connection).sort(), KEYS);
        assert.match(connection.address, /^127\.0\.0\.1(:\d+)?$/);
        assert.match(connection.connectedAt, ISO);
        const at = Date.parse(connection.connectedAt);
        assert.ok(at >= start - 50 && at <= Date.now() + 50, connection.connectedAt);
        assert.ok(Number.isSafeInteger(connection.pendingBytes) && connection.pendingBytes >= 0);
        assert.equal(connection.transport, "websocket");
      }
      const { role, name, rooms, roomCount } = of(found, both);
      const told = { role, name, rooms: rooms.sort(), roomCount };
      assert.deepEqual(told, { role: "club", name: "Both", rooms: [`guild:${GUILD}`, `guild:${OTHER}`], roomCount: 2 });
      assert.deepEqual(of(found, root).rooms, ["admins"]);
      assert.equal(of(found, root).role, "admin");
      assert.equal(new Set(found.map(({ node }) => node)).size, 1);
      const { nodes } = JSON.parse((await request(`${server.url}/api/diagnostics`, { headers: { cookie: server.cookie("root", "admin") } })).body);
      assert.equal(found[0].node, nodes[0].id);
    });

    it("an owner is an admin here too, and a user without a name is called by the id", async () => {
      root = await server.connect("root", "admin");
      const boss = await server.connect("boss", "owner");
      const plain = await server.connect(sign(nested({ id: "bob", role: "odd" }), SECRET));
      const found = await list(root);
      assert.equal(of(found, boss).role, "admin");
      const { name, role } = of(found, plain);
      assert.deepEqual({ name, role }, { name: "bob", role: "member" });
    });

    it("names the transport, also after an upgrade", async () => {
      root = await server.connect("root", "admin");
      const polling = await server.connect("alice", "member", { transports: ["polling"] });
      const upgrading = await server.connect("bob", "member", { transports: ["polling", "websocket"] });
      assert.equal(of(await list(root), polling).transport, "polling");
      await eventually(async () => of(await list(root), upgrading).transport === "websocket", "the upgrade");
      assert.equal(of(await list(root), polling).transport, "polling");
    });

    it("has each socket of a user, until it leaves", async () => {
      root = await server.connect("root", "admin");
      const [one, two] = [await server.connect("alice"), await server.connect("alice")];
      assert.deepEqual(users(await list(root)), ["alice", "alice", "root"]);
      one.close();
      await eventually(async () => users(await list(root)).length === 2, "the end of one");
      assert.ok(of(await list(root), two));
      two.socket.io.engine.close();
      await eventually(async () => users(await list(root)).length === 1, "the end of the other");
    });

    it("follows what a session's change does to rooms and role", async () => {
      root = await server.connect("root", "admin");
      const alice = await server.connect("alice");
      server.changeSessions({ ...sessions, alice: { ...sessions.both, role: "club" } });
      await eventually(async () => of(await list(root), alice).rooms.length === 2, "the new room", EFFECT_MS);
      assert.equal(of(await list(root), alice).role, "club");
      server.changeSessions(sessions);
      await eventually(async () => of(await list(root), alice).rooms.length === 1, "the old rooms", EFFECT_MS);
    });

    it("a text finds users, names, sockets and rooms, in any case", async () => {
      root = await server.connect("root", "admin");
      const alice = await server.connect("alice");
      await server.connect("bob");
      const carol = await server.connect("carol");
      const cases = [
        ["", ["alice", "bob", "carol", "root"]],
        ["alice", ["alice"]],
        ["ALI", ["alice"]],
        ["Carol", ["carol"]],
        [alice.socket.id, ["alice"]],
        [`guild:${GUILD}`, ["alice", "bob"]],
        [OTHER, ["carol"]],
        ["admins", ["root"]],
        ["127.0.0.1", ["alice", "bob", "carol", "root"]],
        ["nobody has this", []],
        [".*", []],
        ["%", []],
      ];
      for (const [text, expected] of cases) assert.deepEqual(users(await list(root, { text })), expected, text);
      assert.ok(of(await list(root, { text: "carol" }), carol));
    });

    it("names a hundred rooms, says how many there are, and finds every one", async (t) => {
      const guilds = Array.from({ length: 150 }, (_, i) => ({ id: `${1_000 + i}` }));
      const crowded = await Admin.start({ sessions: { many: { guilds } } });
      t.after(() => crowded.stop());
      const admin = await crowded.connect("root", "admin");
      const many = await crowded.connect("many");
      const { rooms, roomCount } = of(await list(admin), many);
      assert.deepEqual([rooms.length, roomCount], [100, 150]);
      assert.deepEqual(users(await list(admin, { text: "guild:1149" })), ["many"]);
    });

    it("works without a payload", async () => {
      root = await server.connect("root", "admin");
      assert.equal((await root.ask("connections:list")).total, 1);
      assert.equal((await root.ask("connections:list", null)).total, 1);
    });

    it("refuses what is no request", async () => {
      root = await server.connect("root", "admin");
      for (const payload of ["x", 7, true, [], ["alice"], { text: 7 }, { text: ["x"] }, { text: {} }]) {
        const { code, error, ...rest } = await root.ask("connections:list", payload);
        assert.deepEqual({ code, rest }, { code: "invalid_request", rest: {} }, JSON.stringify(payload));
        assert.equal(typeof error, "string");
      }
    });

    it("has no token in it", async () => {
      root = await server.connect("root", "admin");
      const text = JSON.stringify(await root.ask("connections:list", {}));
      assert.ok(!text.includes(server.cookie("root", "admin").split(".")[1]));
      assert.ok(!text.includes("slimy_admin_token"));
    });
  });

  describe("who is no admin", { concurrency: false }, () => {
    let server;
    before(async () => (server = await Admin.start({ sessions })));
    after(() => server.stop());
    afterEach(() => server.closeClients());

    for (const role of ["member", "club"]) {
      it(`may do nothing of this: a ${role}`, async () => {
        const bob = await server.connect("bob");
        const alice = await server.connect("alice", role);
        const asked = {
          "connections:list": [{}, { text: "bob" }, "x"],
          "connections:disconnect": [{ socketId: bob.socket.id }, { socketId: alice.socket.id }, { socketId: "unknown" }, {}],
          "sessions:revoke": [{ userId: "bob" }, { userId: "alice" }, {}],
        };
        for (const [event, payloads] of Object.entries(asked)) {
          for (const payload of payloads) assert.deepEqual(await alice.ask(event, payload), FORBIDDEN, `${event} ${JSON.stringify(payload)}`);
        }
        await pause(200);
        assert.deepEqual([alice.history, bob.history], [[["connect"]], [["connect"]]]);
        await server.connect("bob");
      });
    }

    it("nobody reaches the events by which nodes ask each other", async () => {
      const alice = await server.connect("alice");
      const answers = [];
      alice.socket.emit("diag:connections", {}, (answer) => answers.push(answer));
      assert.equal((await alice.say({ text: "x", guildId: GUILD })).ok, true);
      await pause(100);
      assert.deepEqual(answers, []);
    });
  });

  describe("connections:disconnect", { concurrency: false }, () => {
    let server;
    let root;
    before(async () => (server = await Admin.start({ sessions, env: { RECOVERY: "2m" } })));
    after(() => server.stop());
    afterEach(() => server.closeClients());

    for (const transports of [["websocket"], ["polling"]]) {
      it(`ends that socket, of a client that stays away, over ${transports}`, async () => {
        root = await server.connect("root", "admin");
        const options = { reconnection: true, reconnectionDelay: 50, transports };
        const [alice, other] = [await server.connect("alice", "member", options), await server.connect("alice")];
        const { id } = alice.socket;
        assert.deepEqual(await root.ask("connections:disconnect", { socketId: id }), { ok: true });
        assert.equal(await alice.life("disconnect", EFFECT_MS), "io server disconnect");
        assert.equal(alice.socket.active, false);
        assert.ok(!(await list(root)).some(({ socketId }) => socketId === id));
        assert.equal((await root.ask("connections:disconnect", { socketId: id })).code, "not_found", "it is gone");
        assert.equal((await other.say({ text: "still here", guildId: GUILD })).ok, true);
        assert.deepEqual(other.history, [["connect"]]);
        alice.socket.connect();
        await alice.life("connect");
        assert.ok(!alice.socket.recovered, "who was sent away comes back as a new socket");
        assert.notEqual(alice.socket.id, id);
      });
    }

    it("may end an admin, and oneself", async () => {
      root = await server.connect("root", "admin");
      const other = await server.connect("other", "admin");
      assert.deepEqual(await root.ask("connections:disconnect", { socketId: other.socket.id }), { ok: true });
      assert.equal(await other.life("disconnect"), "io server disconnect");
      root.socket.emit("connections:disconnect", { socketId: root.socket.id });
      assert.equal(await root.life("disconnect"), "io server disconnect");
    });

    it("knows sockets only: no rooms, no users, nothing empty", async () => {
      root = await server.connect("root", "admin");
      const alice = await server.connect("alice");
      const nobody = { error: "There is no such connection.", code: "not_found" };
      for (const socketId of ["unknown", "AAAAAAAAAAAAAAAAAAAA", "admins", `guild:${GUILD}`, "alice", "", "user:alice", "*", "x".repeat(5_000), "ä\n"]) {
        assert.deepEqual(await root.ask("connections:disconnect", { socketId }), nobody, socketId.slice(0, 30));
      }
      await pause(200);
      assert.deepEqual([alice.history, root.history], [[["connect"]], [["connect"]]]);
    });

    it("refuses what is no request, and ends nobody", async () => {
      root = await server.connect("root", "admin");
      const alice = await server.connect("alice");
      const { id } = alice.socket;
      for (const payload of [undefined, null, {}, id, [id], { socketId: null }, { socketId: [id] }, { socketId: 7 }, { socketid: id }]) {
        const { code, ...rest } = await root.ask("connections:disconnect", payload);
        assert.equal(code, "invalid_request", `${JSON.stringify(payload)}: ${JSON.stringify(rest)}`);
      }
      await pause(200);
      assert.deepEqual(alice.history, [["connect"]]);
    });

    it("is logged, with who did it", async () => {
      root = await server.connect("root", "admin");
      const entry = await logOf(root);
      const alice = await server.connect("alice");
      const { id } = alice.socket;
      await root.ask("connections:disconnect", { socketId: id });
      const { level, fields } = await entry(({ fields: { by } }) => by === "root", "the entry of the disconnection");
      assert.equal(level, "info");
      assert.ok(Object.values(fields).includes(id));
      const { fields: end } = await entry((e) => e.message === "disconnected" && e.userId === "alice", "the end of the socket");
      assert.match(end.reason, /server/);
    });

    it("that finds nobody is not logged as if it had", async () => {
      root = await server.connect("root", "admin");
      const entries = [];
      root.socket.on("log:entries", (batch) => entries.push(...batch.entries));
      await root.ask("logs:subscribe", { level: "info", backlog: 0 });
      await root.ask("connections:disconnect", { socketId: "unknown" });
      await pause(400);
      assert.ok(!entries.some(({ fields }) => fields.by));
    });
  });

  describe("sessions:revoke", { concurrency: true }, () => {
    const started = async (t) => {
      const server = await Admin.start({ sessions, env: { RECOVERY: "2m" } });
      t.after(() => server.stop());
      return { server, root: await server.connect("root", "admin") };
    };
    const refused = { message: "not_authorized", data: { code: "not_authorized" } };
    /** So that a token is not of the same second as what comes next. */
    const nextSecond = () => pause(1_000 - (Date.now() % 1_000) + 20);

    it("ends every socket of that user and of nobody else, and its tokens; a new one works", async (t) => {
      const { server, root } = await started(t);
      const token = sign(nested(person("alice")), SECRET);
      const older = sign(nested(person("alice"), { iat: now() - 100 }), SECRET);
      const transports = [["websocket"], ["polling"]];
      const clients = await Promise.all(transports.map((some) => server.connect(token, "member", { transports: some, reconnection: true })));
      const bob = await server.connect("bob");
      await nextSecond();
      assert.deepEqual(await root.ask("sessions:revoke", { userId: "alice" }), { ok: true });
      for (const client of clients) await ended(client, "revoked");
      for (const old of [token, older]) {
        assert.deepEqual(await server.refusal(server.cookie(old)), refused);
        const { status } = await request(`${server.url}/api/auth/me`, { headers: { cookie: server.cookie(old) } });
        assert.equal(status, 401);
      }
      assert.equal((await bob.say({ text: "still here", guildId: GUILD })).ok, true);
      assert.deepEqual(bob.history, [["connect"]]);
      await nextSecond();
      const again = await server.connect("alice");
      assert.equal((await again.say({ text: "back", guildId: GUILD })).ok, true, "the guilds are as they were");
    });

    it("a client that was cut off before cannot come back as what it was", async (t) => {
      const { server, root } = await started(t);
      const alice = await server.connect("alice", "member", { reconnection: true, reconnectionDelay: 1_500, reconnectionDelayMax: 1_500, randomizationFactor: 0 });
      alice.socket.io.engine.close();
      await alice.life("disconnect");
      await nextSecond();
      assert.equal((await root.ask("sessions:revoke", { userId: "alice" })).ok, true);
      assert.deepEqual(await alice.refused(), refused);
    });

    it("an admin may revoke another, and oneself", async (t) => {
      const { server, root } = await started(t);
      const other = await server.connect("other", "admin");
      await nextSecond();
      assert.equal((await root.ask("sessions:revoke", { userId: "other" })).ok, true);
      await ended(other, "revoked");
      root.socket.emit("sessions:revoke", { userId: "root" });
      await ended(root, "revoked");
    });

    it("holds when the sessions file is read again", async (t) => {
      const { server, root } = await started(t);
      const token = sign(nested(person("alice")), SECRET);
      await nextSecond();
      assert.equal((await root.ask("sessions:revoke", { userId: "alice" })).ok, true);
      assert.deepEqual(await server.refusal(server.cookie(token)), refused);
      const bob = await server.connect("bob");
      server.changeSessions({ ...sessions, bob: sessions.both });
      await eventually(async () => (await bob.say({ text: "x", guildId: OTHER })).ok, "the file", EFFECT_MS);
      assert.deepEqual(await server.refusal(server.cookie(token)), refused);
    });

    it("of a user who is not connected, or unknown, is no error", async (t) => {
      const { server, root } = await started(t);
      const token = sign(nested(person("bob")), SECRET);
      await nextSecond();
      for (const userId of ["bob", "never-seen", "1176605506912141444"]) assert.deepEqual(await root.ask("sessions:revoke", { userId }), { ok: true }, userId);
      assert.deepEqual(await server.refusal(server.cookie(token)), refused);
    });

    it("refuses what is no request, and ends nobody", async (t) => {
      const { server, root } = await started(t);
      const alice = await server.connect("alice");
      for (const payload of [undefined, null, {}, "alice", ["alice"], { userId: null }, { userId: "" }, { userId: ["alice"] }, { userid: "alice" }]) {
        const { code, ...rest } = await root.ask("sessions:revoke", payload);
        assert.equal(code, "invalid_request", `${JSON.stringify(payload)}: ${JSON.stringify(rest)}`);
      }
      await pause(300);
      assert.deepEqual(alice.history, [["connect"]]);
    });

    it("is logged, with who did it and the user", async (t) => {
      const { server, root } = await started(t);
      const entry = await logOf(root);
      await server.connect("alice");
      await nextSecond();
      await root.ask("sessions:revoke", { userId: "alice" });
      const { level, fields, userId } = await entry(({ fields: { by } }) => by === "root", "the entry of the revocation");
      assert.equal(level, "info");
      assert.equal(userId, "alice");
      assert.equal(fields.by, "root");
    });
  });
});
