// Live figures over the socket: diag:subscribe and its snapshots, for administrators, as long as they are some.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Admin, GUILD, IN_GUILD } from "./lib/admin.mjs";
import { Queue, eventually, pause } from "./lib/deadline.mjs";
import { request } from "./lib/http.mjs";

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const FORBIDDEN = { error: "Admins only.", code: "forbidden" };
/** From one snapshot to the next. */
const INTERVAL_MS = 2_000;
/** Long enough for a snapshot that should not come. */
const SILENCE_MS = INTERVAL_MS + 700;
/** What the contract allows from a change to its effect. */
const EFFECT_MS = 2_000;
const sessions = { alice: IN_GUILD, risen: { ...IN_GUILD, role: "admin" } };
const time = ({ generatedAt }) => Date.parse(generatedAt);

const started = (options) => Admin.start({ sessions, args: ["--chat-rate", "1000/1s"], env: { RECOVERY: "2m" }, ...options });

/** What an event brings, as all its arguments. */
function listen(client, event) {
  const queue = new Queue(event);
  client.socket.on(event, (...args) => queue.push(args));
  return queue;
}

async function subscribe(client) {
  const snapshots = listen(client, "diag:snapshot");
  const ack = await client.ask("diag:subscribe", {});
  assert.equal(ack.ok, true, JSON.stringify(ack));
  return { ...ack, snapshots };
}

/** The shape that the contract gives to figures. */
function assertFigures(found) {
  assert.equal(found.ok, true);
  for (const key of ["pid", "uptimeSec"]) assert.ok(Number.isSafeInteger(found[key]), key);
  for (const key of ["runtime", "host", "uptimeHuman"]) assert.equal(typeof found[key], "string", key);
  assert.match(found.generatedAt, ISO);
  assert.deepEqual(Object.keys(found.memory).sort(), ["heapTotalMB", "heapUsedMB", "rssMB"]);
  assert.deepEqual(Object.keys(found.connections).sort(), ["current", "rooms", "total"]);
  assert.ok(Number.isSafeInteger(found.chat.messages));
  for (const key of ["total", "errors", "p50Ms", "p95Ms", "p99Ms"]) assert.equal(typeof found.requests[key], "number", key);
}

describe("live figures", { concurrency: true }, () => {
  describe("diag:subscribe", { concurrency: true }, () => {
    let server;
    before(async () => (server = await started()));
    after(() => server.stop());

    it("answers with a snapshot and the history, and then sends one every 2 s", async () => {
      const root = await server.connect("root", "admin");
      const { ok, snapshot, history, snapshots, ...rest } = await subscribe(root);
      assert.deepEqual(rest, {});
      assertFigures(snapshot);
      assert.ok(Array.isArray(snapshot.nodes) && snapshot.nodes.length === 1);
      history.forEach(assertFigures);
      let last = await snapshots.next();
      for (let i = 0; i < 2; i += 1) {
        const next = await snapshots.next();
        assert.equal(next.length, 1, "exactly one argument: snapshots carry no offset");
        assertFigures(next[0]);
        assert.ok(Array.isArray(next[0].nodes) && next[0].nodes.length === 1);
        const apart = time(next[0]) - time(last[0]);
        assert.ok(Math.abs(apart - INTERVAL_MS) < 500, `${apart} ms apart`);
        last = next;
      }
      assert.ok(Math.abs(Date.now() - time(last[0])) < 1_000, "taken fresh");
    });

    it("each snapshot has the figures of now, not those of the cache", async () => {
      const root = await server.connect("root", "admin");
      const { snapshots } = await subscribe(root);
      const [before] = await snapshots.next();
      const alice = await server.connect("alice");
      for (let i = 0; i < 3; i += 1) assert.ok((await alice.say({ text: `${i}`, guildId: GUILD })).ok);
      const [now] = await snapshots.next();
      assert.equal(now.chat.messages - before.chat.messages, 3);
      assert.ok(now.connections.total > before.connections.total);
      assert.equal(now.nodes[0].connections, now.connections.current);
    });

    it("tells how long the requests of the last ten seconds took, and nothing when there were none", async (t) => {
      const fresh = await started();
      t.after(() => fresh.stop());
      const { snapshots } = await subscribe(await fresh.connect("root", "admin"));
      assert.ok(!("requestP95Ms" in (await snapshots.next())[0].latency), "there was none");
      await request(`${fresh.url}/api/health`);
      const [{ latency }] = await snapshots.next();
      assert.ok(latency.requestP95Ms > 0 && latency.requestP95Ms < 5_000, JSON.stringify(latency));
      for (let i = 0; i < 6; i += 1) await snapshots.next();
      assert.ok(!("requestP95Ms" in (await snapshots.next())[0].latency), "that was a while ago");
    });

    it("the snapshot of the answer agrees with itself", async (t) => {
      const fresh = await started();
      t.after(() => fresh.stop());
      const { snapshot } = await subscribe(await fresh.connect("root", "admin"));
      assert.equal(snapshot.nodes[0].connections, snapshot.connections.current);
    });

    it("the snapshot of the answer counts who asks", async (t) => {
      const fresh = await started();
      t.after(() => fresh.stop());
      const { snapshot } = await subscribe(await fresh.connect("root", "admin"));
      assert.deepEqual({ ...snapshot.connections, rooms: 0 }, { current: 1, total: 1, rooms: 0 });
    });

    it("the history grows without anybody who looks, and is there for the next one", async (t) => {
      const quiet = await started();
      t.after(() => quiet.stop());
      await pause(INTERVAL_MS + 500);
      const first = await subscribe(await quiet.connect("root", "admin"));
      assert.ok(first.history.length >= 2, `${first.history.length} samples`);
      const [seen] = await first.snapshots.next();
      const second = await subscribe(await quiet.connect("other", "admin"));
      assert.ok(second.history.length > first.history.length, `${first.history.length}, then ${second.history.length}`);
      const times = second.history.map(time);
      assert.deepEqual(times, [...times].sort((a, b) => a - b), "oldest first");
      assert.equal(new Set(times).size, times.length, "nothing twice");
      for (const sample of first.history) assert.ok(times.includes(time(sample)), `${sample.generatedAt} is lost`);
      assert.ok(times.includes(time(seen)), "what was sent is in the history");
    });

    it("twice is once: a second subscription brings no second copy", async () => {
      const root = await server.connect("root", "admin");
      const { snapshots } = await subscribe(root);
      assert.equal((await root.ask("diag:subscribe", {})).ok, true);
      const got = (await snapshots.take(2)).map(([snapshot]) => snapshot.generatedAt);
      assert.notEqual(got[0], got[1]);
      assert.equal((await root.ask("diag:unsubscribe", {})).ok, true);
      await pause(SILENCE_MS);
      assert.deepEqual(snapshots.waiting, [], "and one unsubscription ends it");
    });

    it("diag:unsubscribe ends the snapshots of that socket only", async () => {
      const [root, other] = [await server.connect("root", "admin"), await server.connect("other", "admin")];
      const [mine, others] = [await subscribe(root), await subscribe(other)];
      await mine.snapshots.next();
      await others.snapshots.next();
      assert.deepEqual(await root.ask("diag:unsubscribe", {}), { ok: true });
      const [next] = await others.snapshots.next();
      assertFigures(next);
      await others.snapshots.next();
      assert.deepEqual(mine.snapshots.waiting, []);
    });

    it("diag:unsubscribe without a subscription is no error", async () => {
      const root = await server.connect("root", "admin");
      assert.deepEqual(await root.ask("diag:unsubscribe", {}), { ok: true });
    });

    it("works without a payload and without an ack", async () => {
      const root = await server.connect("root", "admin");
      assert.equal((await root.ask("diag:subscribe")).ok, true);
      const other = await server.connect("other", "admin");
      const snapshots = listen(other, "diag:snapshot");
      other.socket.emit("diag:subscribe", {});
      assert.equal((await snapshots.next()).length, 1);
    });

    it("over polling too", async () => {
      const root = await server.connect("root", "admin", { transports: ["polling"] });
      const { snapshots } = await subscribe(root);
      assertFigures((await snapshots.next())[0]);
    });

    for (const role of ["member", "club"]) {
      it(`a ${role} gets nothing but the refusal`, async () => {
        const root = await server.connect("root", "admin");
        const alice = await server.connect("alice", role);
        const [snapshots, entries] = [listen(alice, "diag:snapshot"), listen(alice, "log:entries")];
        for (const event of ["diag:subscribe", "diag:unsubscribe", "logs:subscribe", "logs:unsubscribe"]) {
          for (const args of [[{}], [], [{ level: "debug" }], ["x"]]) assert.deepEqual(await alice.ask(event, ...args), FORBIDDEN, event);
        }
        const looking = await subscribe(root);
        await looking.snapshots.take(2);
        assert.deepEqual([snapshots.waiting, entries.waiting], [[], []]);
      });
    }

    it("a member cannot get into the room by the name of a guild", async () => {
      const alice = await server.connect("alice");
      for (const guildId of ["diag", "admins"]) {
        assert.equal((await alice.say({ text: "x", guildId })).code, "guild_forbidden");
      }
    });

    it("nobody hears what a client sends under the server's names", async () => {
      const [root, alice] = [await server.connect("root", "admin"), await server.connect("alice")];
      const { snapshots } = await subscribe(root);
      alice.socket.emit("diag:snapshot", { fake: true });
      alice.socket.emit("log:entries", { entries: [] });
      const got = await snapshots.take(2);
      got.forEach(([snapshot]) => assert.ok(!("fake" in snapshot)));
    });
  });

  describe("an admin who is none any more", { concurrency: true }, () => {
    /** Both subscriptions of a user who is an admin by the session. */
    const following = async (server) => {
      const risen = await server.connect("risen");
      const { snapshots } = await subscribe(risen);
      const entries = listen(risen, "log:entries");
      assert.equal((await risen.ask("logs:subscribe", { level: "info" })).ok, true);
      await snapshots.next();
      return { risen, snapshots, entries };
    };
    const drain = async (queue) => {
      while (queue.waiting.length > 0) await queue.next();
    };

    it("gets no more snapshots and no more of the log, and stays connected", async (t) => {
      const server = await started();
      t.after(() => server.stop());
      const { risen, snapshots, entries } = await following(server);
      const root = await server.connect("root", "admin");
      const others = await subscribe(root);
      server.changeSessions({ ...sessions, risen: IN_GUILD });
      await eventually(async () => (await risen.ask("diag:subscribe", {})).code === "forbidden", "the change", EFFECT_MS);
      // One that was on its way may still come.
      await pause(100);
      await drain(snapshots);
      await drain(entries);
      const alice = await server.connect("alice");
      alice.close();
      await others.snapshots.take(2);
      assert.deepEqual(snapshots.waiting, []);
      assert.deepEqual(entries.waiting, []);
      assert.deepEqual(risen.history, [["connect"]]);
      for (const event of ["logs:subscribe", "diag:unsubscribe", "logs:unsubscribe", "connections:list"]) {
        assert.deepEqual(await risen.ask(event, {}), FORBIDDEN, event);
      }
    });

    it("whose role comes back has to ask again", async (t) => {
      const server = await started();
      t.after(() => server.stop());
      const { risen, snapshots, entries } = await following(server);
      server.changeSessions({ ...sessions, risen: IN_GUILD });
      await eventually(async () => (await risen.ask("connections:list", {})).code === "forbidden", "the loss", EFFECT_MS);
      await pause(SILENCE_MS);
      server.changeSessions(sessions);
      await eventually(async () => (await risen.ask("connections:list", {})).ok, "the return", EFFECT_MS);
      await drain(snapshots);
      await drain(entries);
      (await server.connect("alice")).close();
      await pause(SILENCE_MS);
      assert.deepEqual([snapshots.waiting, entries.waiting], [[], []]);
      assert.equal((await risen.ask("diag:subscribe", {})).ok, true);
      assertFigures((await snapshots.next())[0]);
    });
  });

  describe("a subscriber that was cut off and comes back", { concurrency: true }, () => {
    const RECONNECTING = { reconnection: true, reconnectionDelay: 2_600, reconnectionDelayMax: 2_600, randomizationFactor: 0 };

    it("as the same socket gets no snapshot of the time between, but what it missed of the chat", async (t) => {
      const server = await started();
      t.after(() => server.stop());
      const alice = await server.connect("alice");
      const root = await server.connect("root", "admin", RECONNECTING);
      assert.ok((await alice.say({ text: "before", guildId: GUILD })).ok);
      assert.equal((await root.messages.next()).text, "before");
      const { snapshots } = await subscribe(root);
      const entries = listen(root, "log:entries");
      assert.equal((await root.ask("logs:subscribe", { level: "info", backlog: 0 })).ok, true);
      await snapshots.next();
      const { id } = root.socket;
      root.socket.io.engine.close();
      await root.life("disconnect");
      assert.ok((await alice.say({ text: "missed", guildId: GUILD })).ok);
      (await server.connect("alice")).close();
      await pause(50);
      assert.deepEqual(snapshots.waiting, []);
      const left = Date.now();
      await root.life("connect");
      const back = Date.now();
      assert.ok(root.socket.recovered);
      assert.equal(root.socket.id, id);
      assert.equal((await root.messages.next()).text, "missed");
      await pause(SILENCE_MS);
      for (const args of snapshots.waiting) {
        assert.equal(args.length, 1);
        assert.ok(time(args[0]) >= back - 50, `a snapshot of ${back - time(args[0])} ms before the return`);
      }
      for (const [{ entries: some }] of entries.waiting) {
        for (const { ts, message } of some) {
          const at = Date.parse(ts);
          assert.ok(at < left || at >= back - 50, `an entry of the time between: ${message}`);
        }
      }
    });

    it("but is no admin any more gets nothing of this", async (t) => {
      const server = await started();
      t.after(() => server.stop());
      const risen = await server.connect("risen", "member", { ...RECONNECTING, reconnectionDelay: 700, reconnectionDelayMax: 700 });
      const { snapshots } = await subscribe(risen);
      const entries = listen(risen, "log:entries");
      assert.equal((await risen.ask("logs:subscribe", { level: "info", backlog: 0 })).ok, true);
      await snapshots.next();
      risen.socket.io.engine.close();
      await risen.life("disconnect");
      while (entries.waiting.length > 0) await entries.next();
      server.changeSessions({ ...sessions, risen: IN_GUILD });
      await risen.life("connect");
      assert.deepEqual(await risen.ask("connections:list", {}), FORBIDDEN);
      (await server.connect("alice")).close();
      await pause(SILENCE_MS);
      assert.deepEqual([snapshots.waiting, entries.waiting], [[], []]);
    });

    it("without recovery is a new socket, which has to ask again", async (t) => {
      const server = await started({ env: { RECOVERY: "off" } });
      t.after(() => server.stop());
      const root = await server.connect("root", "admin", { ...RECONNECTING, reconnectionDelay: 100, reconnectionDelayMax: 100 });
      const { snapshots } = await subscribe(root);
      assert.equal((await snapshots.next()).length, 1);
      root.socket.io.engine.close();
      await root.life("disconnect");
      await root.life("connect");
      await pause(SILENCE_MS);
      assert.deepEqual(snapshots.waiting, []);
      assert.equal((await root.ask("diag:subscribe", {})).ok, true);
      assert.equal((await snapshots.next()).length, 1);
    });
  });
});
