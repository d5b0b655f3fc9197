// The program's log as it happens: logs:subscribe, what it shows, what it never shows, and whom it must not slow down.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import WebSocket from "ws";
import { Admin, GUILD, IN_GUILD, SECRET, person } from "./lib/admin.mjs";
import { DEADLINE_MS, Queue, eventually, pause, within } from "./lib/deadline.mjs";
import { request } from "./lib/http.mjs";
import { nested, now, sign } from "./lib/jwt.mjs";
import { ADMIN_SERVER, Program } from "./lib/program.mjs";

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const LEVELS = ["trace", "debug", "info", "warn", "error"];
/** Long enough for several batches. */
const SILENCE_MS = 800;
const sessions = { alice: IN_GUILD };
const started = (options) => Admin.start({ sessions, ...options });
const stopped = async (t, options) => {
  const server = await started(options);
  t.after(() => server.stop());
  return server;
};
const get = (server, route, headers = {}) => request(server.url + route, { headers });

/** Follows the log: `entries` is what has come, backlog included; `batches` how it came. */
class Follower {
  entries = [];
  batches = [];
  dropped = 0;

  static async of(client, wanted = {}) {
    const follower = new Follower();
    follower.client = client;
    client.socket.on("log:entries", (...args) => follower.#take(args));
    follower.ack = await client.ask("logs:subscribe", { level: "info", ...wanted });
    assert.equal(follower.ack.ok, true, JSON.stringify(follower.ack));
    follower.backlog = follower.ack.entries;
    return follower;
  }

  static async start(server, wanted, options) {
    return Follower.of(await server.connect("root", "admin", options), wanted);
  }

  #take(args) {
    this.batches.push({ args, at: Date.now() });
    this.entries.push(...args[0].entries);
    this.dropped += args[0].dropped;
  }

  /** The first new entry that `wanted` accepts. */
  find(wanted, what = "a log entry") {
    return eventually(() => this.entries.find(wanted), what);
  }

  clear() {
    this.entries.length = 0;
    this.batches.length = 0;
    this.dropped = 0;
  }
}

const about = (message, userId) => (entry) => entry.message === message && entry.userId === userId;
/** Makes an entry that only debug shows. */
const somethingForDebug = (server) => get(server, "/socket.io/?EIO=4&transport=polling&sid=unknown");
/** Makes an entry of level error. */
const somethingWrong = (server) => {
  writeFileSync(server.file("sessions.json"), "{ broken");
  server.program.kill("SIGHUP");
};

function assertEntry(entry) {
  const known = ["ts", "level", "target", "message", "fields", "requestId", "userId"];
  for (const key of Object.keys(entry)) assert.ok(known.includes(key), key);
  assert.match(entry.ts, ISO);
  assert.ok(LEVELS.includes(entry.level), entry.level);
  for (const key of ["target", "message"]) assert.ok(typeof entry[key] === "string" && entry[key] !== "", key);
  assert.ok(entry.fields !== null && typeof entry.fields === "object" && !Array.isArray(entry.fields));
  for (const key of ["requestId", "userId"]) if (key in entry) assert.ok(typeof entry[key] === "string" && entry[key] !== "", key);
}

const PASSWORD = "the-password-of-the-store";

/** A server whose session store nobody runs: who asks for a session gets a server error. Answers the program, the error's line, and the token that was sent. */
async function unreachable(t) {
  const variables = { JWT_SECRET: SECRET, SESSIONS_URL: `redis://:${PASSWORD}@127.0.0.1:9/0` };
  const program = new Program(ADMIN_SERVER, ["--listen", "127.0.0.1:0"], variables);
  t.after(() => program.stop());
  const url = await program.listening();
  const token = sign(nested(person("alice")), SECRET);
  const headers = { cookie: `slimy_admin_token=${token}`, authorization: `Bearer ${token}`, "x-request-id": "request-4712" };
  const { status, body } = await request(`${url}/api/auth/me?page=9&token=${token}`, { headers });
  assert.equal(status, 503, body);
  assert.ok(!body.includes("redis") && !body.includes("127.0.0.1"), body);
  const line = await eventually(
    () => program.stderr.split("\n").slice(0, -1).find((text) => text.includes("request-4712")),
    "the log of the error",
  );
  return { program, line, token };
}

describe("the log", { concurrency: true }, () => {
  describe("logs:subscribe", { concurrency: false }, () => {
    let server;
    before(async () => (server = await started()));
    after(() => server.stop());

    it("answers with what was before, and brings what comes, in batches of one argument", async () => {
      (await server.connect("alice")).close();
      await pause(100);
      const follower = await Follower.start(server, { backlog: 200 });
      const { ok, entries, ...rest } = follower.ack;
      assert.deepEqual({ ok, rest }, { ok: true, rest: {} });
      entries.forEach(assertEntry);
      assert.ok(entries.some(about("connected", "alice")), "the backlog");
      const times = entries.map(({ ts }) => ts);
      assert.deepEqual(times, [...times].sort(), "oldest first");
      const alice = await server.connect("alice");
      const { id } = alice.socket;
      const entry = await follower.find((e) => e.message === "connected" && Object.values(e.fields).includes(id));
      assertEntry(entry);
      for (const { args } of follower.batches) {
        assert.equal(args.length, 1);
        assert.deepEqual(Object.keys(args[0]).sort(), ["dropped", "entries"]);
        assert.equal(args[0].dropped, 0);
        assert.ok(args[0].entries.length > 0, "an empty batch");
        args[0].entries.forEach(assertEntry);
      }
      const seen = entries.filter((e) => Object.values(e.fields).includes(id));
      assert.deepEqual(seen, [], "nothing both before and after");
    });

    it("what happens at once comes at once", async () => {
      const follower = await Follower.start(server, { backlog: 0 });
      await pause(300);
      follower.clear();
      await Promise.all(Array.from({ length: 20 }, () => server.connect("alice")));
      await eventually(() => follower.entries.filter(about("connected", "alice")).length === 20, "all of them");
      assert.ok(follower.batches.length <= 3, `${follower.batches.length} batches for 20 entries`);
      server.closeClients();
    });

    it("a backlog has as many as were asked for, the newest ones", async () => {
      for (let i = 0; i < 5; i += 1) await server.connect("alice");
      const client = await server.connect("root", "admin");
      const last = async (backlog) => (await client.ask("logs:subscribe", { level: "info", backlog })).entries;
      assert.deepEqual(await last(0), []);
      const all = await last(1_000);
      assert.ok(all.length > 5);
      assert.deepEqual(await last(3), all.slice(-3));
      assert.deepEqual(await last(1), all.slice(-1));
      server.closeClients();
    });

    it("a later subscription takes the place of the earlier one", async () => {
      const follower = await Follower.start(server, { backlog: 0 });
      assert.equal((await follower.client.ask("logs:subscribe", { level: "error", backlog: 0 })).ok, true);
      await pause(300);
      follower.clear();
      (await server.connect("alice")).close();
      await pause(SILENCE_MS);
      assert.deepEqual(follower.entries, []);
    });

    it("logs:unsubscribe ends it, once and for that socket only", async () => {
      const follower = await Follower.start(server, { backlog: 0 });
      const other = await Follower.start(server, { backlog: 0 });
      assert.deepEqual(await follower.client.ask("logs:unsubscribe", {}), { ok: true });
      assert.deepEqual(await follower.client.ask("logs:unsubscribe", {}), { ok: true });
      await pause(50);
      follower.clear();
      const { id } = (await server.connect("alice")).socket;
      await other.find(({ fields }) => Object.values(fields).includes(id));
      await pause(300);
      assert.deepEqual(follower.entries, []);
    });

    const refused = {
      "a level that is none": { level: "loud" },
      "a level in capitals": { level: "INFO " },
      "a number as level": { level: 3 },
      "a list as level": { level: ["info"] },
      "a number as target": { level: "info", target: 1 },
      "a target of 201 characters": { level: "info", target: "x".repeat(201) },
      "an object as text": { level: "info", text: {} },
      "a text of 201 characters": { level: "info", text: "ä".repeat(201) },
      "a backlog of 1,001": { level: "info", backlog: 1_001 },
      "a backlog below nothing": { level: "info", backlog: -1 },
      "a broken backlog": { level: "info", backlog: 1.5 },
      "a backlog as text": { level: "info", backlog: "200" },
      "an enormous backlog": { level: "info", backlog: 1e300 },
      "a text": "info",
      "a number": 7,
      "a truth": true,
      "a list": ["info"],
      "an empty list": [],
    };
    describe("that is wrong", { concurrency: true }, () => {
      for (const [what, payload] of Object.entries(refused)) {
        it(`${what} is an invalid request`, async () => {
          const client = await server.connect("root", "admin");
          const batches = new Queue("log:entries");
          client.socket.on("log:entries", (batch) => batches.push(batch));
          const { error, code, ...rest } = await client.ask("logs:subscribe", payload);
          assert.deepEqual({ code, rest }, { code: "invalid_request", rest: {} });
          assert.equal(typeof error, "string");
          (await server.connect("alice")).close();
          await pause(350);
          assert.deepEqual(batches.waiting, [], "a refused subscription brings nothing");
        });
      }
    });

    it("a refusal says nothing about the inside of the program", async () => {
      const client = await server.connect("root", "admin");
      for (const payload of Object.values(refused)) {
        const { error } = await client.ask("logs:subscribe", payload);
        assert.doesNotMatch(error, /struct|\bu\d\d\b|\bi\d\d\b|line \d+|column \d+|serde|::/, JSON.stringify(payload)?.slice(0, 60));
      }
    });

    it("the bounds themselves are allowed", async () => {
      const client = await server.connect("root", "admin");
      const allowed = [
        { level: "info", backlog: 1_000 },
        { level: "info", text: "ä".repeat(200) },
        { level: "info", text: "𝕏".repeat(200) },
        { level: "info", target: "x".repeat(200) },
        ...LEVELS.map((level) => ({ level, backlog: 0 })),
      ];
      for (const payload of allowed) assert.equal((await client.ask("logs:subscribe", payload)).ok, true, JSON.stringify(payload));
    });
  });

  describe("what is asked for", { concurrency: true }, () => {
    it("a level brings that level and what is graver", async (t) => {
      const server = await stopped(t);
      const at = Object.fromEntries(await Promise.all(LEVELS.map(async (level) => [level, await Follower.start(server, { level, backlog: 0 })])));
      await somethingForDebug(server);
      await server.connect("alice");
      somethingWrong(server);
      await at.error.find(({ level }) => level === "error");
      await at.info.find(about("connected", "alice"));
      await at.debug.find(({ level }) => level === "debug");
      await at.info.find(({ level }) => level === "error");
      await at.debug.find(({ level }) => level === "error");
      await pause(300);
      for (const level of LEVELS) {
        const lowest = LEVELS.indexOf(level);
        for (const entry of at[level].entries) assert.ok(LEVELS.indexOf(entry.level) >= lowest, `${entry.level} for ${level}`);
      }
      assert.ok(!at.warn.entries.some(about("connected", "alice")));
    });

    it("a target is the start of an entry's target", async (t) => {
      const server = await stopped(t);
      const all = await Follower.start(server);
      await server.connect("alice");
      const { target } = await all.find(about("connected", "alice"));
      const length = target.length;
      const [start, whole, end, other] = await Promise.all(
        [target.slice(0, 5), target, target.slice(1), `${target}x`].map((wanted) => Follower.start(server, { target: wanted, backlog: 0 })),
      );
      assert.ok(length > 5);
      const { id } = (await server.connect("alice")).socket;
      const mine = ({ fields }) => Object.values(fields).includes(id);
      await start.find(mine);
      await whole.find(mine);
      assert.deepEqual([...end.entries, ...other.entries], []);
      somethingWrong(server);
      await all.find(({ level }) => level === "error");
      await pause(300);
      assert.ok(whole.entries.every((entry) => entry.target.startsWith(target)));
      const filtered = await all.client.ask("logs:subscribe", { level: "info", target: `${target}x` });
      assert.deepEqual(filtered.entries, [], "the backlog is filtered too");
    });

    it("a text is found in any case, in message and fields", async (t) => {
      const server = await stopped(t, { sessions: { ...sessions, marvin: IN_GUILD } });
      const wanted = ["CONNECTED", "mArViN", "127.0.0.1", "user=marvin", "nothing has this"];
      const [message, user, address, field, none] = await Promise.all(wanted.map((text) => Follower.start(server, { text, backlog: 0 })));
      await server.connect("marvin");
      await server.connect("alice");
      await message.find(about("connected", "alice"));
      await user.find(about("connected", "marvin"));
      await address.find(about("connected", "alice"));
      await field.find(about("connected", "marvin"));
      await pause(300);
      for (const { entries } of [user, field]) assert.ok(!entries.some(({ userId }) => userId === "alice"));
      assert.deepEqual(none.entries, []);
      const { entries } = await none.client.ask("logs:subscribe", { level: "info", text: "MARVIN" });
      assert.ok(entries.length > 0 && entries.every((entry) => JSON.stringify(entry).includes("marvin")), "the backlog too");
    });

    it("what a client chose neither begins a line of the program's own log nor commands a terminal", async (t) => {
      const server = await stopped(t);
      const forger = "x\nERROR a lie\u001b[31m";
      await server.connect(sign(nested({ id: forger, role: "admin" }), SECRET));
      await eventually(() => server.program.stderr.includes(String.raw`user=x\nERROR a lie\u{1b}[31m`), "the line");
      assert.ok(!server.program.stderr.includes("\u001b") && !/^ERROR a lie/m.test(server.program.stderr));
    });

    it("a text is no pattern", async (t) => {
      const server = await stopped(t);
      const [pattern, wild] = await Promise.all([".*", "conn%"].map((text) => Follower.start(server, { text, backlog: 1_000 })));
      (await server.connect("alice")).close();
      await pause(SILENCE_MS);
      assert.deepEqual([...pattern.backlog, ...pattern.entries, ...wild.backlog, ...wild.entries], []);
    });

    it("debug is kept only while somebody wants it", async (t) => {
      const server = await stopped(t);
      const client = await server.connect("root", "admin");
      const debug = async () => {
        const { entries } = await client.ask("logs:subscribe", { level: "debug", backlog: 1_000 });
        return entries.filter(({ level }) => level === "debug").length;
      };
      await somethingForDebug(server);
      assert.equal(await debug(), 0, "before anybody wanted it");
      await somethingForDebug(server);
      await eventually(async () => (await debug()) === 1, "an entry while somebody wants it");
      await client.ask("logs:unsubscribe", {});
      await somethingForDebug(server);
      assert.equal(await debug(), 1, "after nobody wanted it");
      const other = await Follower.start(server, { level: "trace", backlog: 0 });
      await client.ask("logs:unsubscribe", {});
      await somethingForDebug(server);
      await other.find(({ level }) => level === "debug");
      other.client.close();
      await eventually(async () => {
        const { entries } = await client.ask("logs:subscribe", { level: "info", backlog: 5 });
        return entries.filter(({ message }) => message === "disconnected").length === 1;
      }, "the end of the other");
      await pause(400);
      await somethingForDebug(server);
      assert.equal(await debug(), 2, "after the one who wanted it has gone");
      assert.ok(!/DEBUG|TRACE/.test(server.program.stderr), "what a subscriber wants does not fill the program's own log");
    });
  });

  describe("what is logged", { concurrency: true }, () => {
    it("connects and disconnects, with user, address, socket and reason", async (t) => {
      const server = await stopped(t);
      const follower = await Follower.start(server, { backlog: 0 });
      const ways = {
        "by itself": (client) => client.socket.disconnect(),
        "cut off": (client) => client.socket.io.engine.close(),
      };
      const reasons = new Set();
      for (const [way, leave] of Object.entries(ways)) {
        const alice = await server.connect("alice");
        const { id } = alice.socket;
        leave(alice);
        const of = (message) => (entry) => entry.message === message && Object.values(entry.fields).includes(id);
        for (const message of ["connected", "disconnected"]) {
          const entry = await follower.find(of(message), `${message} ${way}`);
          assert.equal(entry.level, "info");
          assert.equal(entry.userId, "alice");
          assert.ok(Object.values(entry.fields).some((value) => /^127\.0\.0\.1(:\d+)?$/.test(value)), "the address");
        }
        const { fields } = follower.entries.find(of("disconnected"));
        assert.ok(typeof fields.reason === "string" && fields.reason !== "", "the reason");
        reasons.add(fields.reason);
      }
      assert.equal(reasons.size, 2, [...reasons].join());
    });

    it("the address that a trusted proxy tells", async (t) => {
      const server = await stopped(t, { args: ["--trusted-proxies", "127.0.0.0/8"] });
      const follower = await Follower.start(server, { backlog: 0 });
      const client = server.client({ cookie: server.cookie("alice"), headers: { "x-forwarded-for": "203.0.113.9" } });
      await client.connected();
      const entry = await follower.find(about("connected", "alice"));
      assert.ok(Object.values(entry.fields).includes("203.0.113.9"), JSON.stringify(entry.fields));
    });

    const refusals = {
      not_authorized: (server) => `slimy_admin_token=${sign(nested(person("alice"), { exp: now() - 9 }), SECRET)}`,
      no_guild_context: (server) => server.cookie("stranger"),
    };
    for (const [code, cookie] of Object.entries(refusals)) {
      it(`a refusal: ${code}, at info, with the address`, async (t) => {
        const server = await stopped(t);
        const follower = await Follower.start(server, { backlog: 0 });
        assert.equal((await server.refusal(cookie(server))).message, code);
        const entry = await follower.find(({ fields }) => Object.values(fields).includes(code));
        assert.equal(entry.level, "info");
        assert.ok(Object.values(entry.fields).includes("127.0.0.1"));
      });
    }

    it("a refusal of a user who is known, with the user's id", async (t) => {
      const server = await stopped(t);
      const follower = await Follower.start(server, { backlog: 0 });
      await server.refusal(server.cookie("stranger"));
      const entry = await follower.find(({ fields }) => Object.values(fields).includes("no_guild_context"));
      assert.equal(entry.userId, "stranger");
    });

    it("a refusal, with the socket's id", async (t) => {
      const server = await stopped(t);
      const follower = await Follower.start(server, { backlog: 0 });
      await server.refusal(server.cookie("stranger"));
      const entry = await follower.find(({ fields }) => Object.values(fields).includes("no_guild_context"));
      assert.match(entry.fields.socket ?? "", /^[A-Za-z0-9_-]{20}$/, JSON.stringify(entry.fields));
    });

    it("a server error, with request, path, query and cause", async (t) => {
      const { line } = await unreachable(t);
      for (const part of ["ERROR", "GET", "/api/auth/me", "page=9", "Connection refused"]) assert.ok(line.includes(part), `${part} is not in ${line}`);
    });

    it("a server error, with the user", async (t) => {
      const { line } = await unreachable(t);
      assert.ok(line.includes("alice"), line);
    });

    it("figures that cannot be told, with request, user, path, query and cause", async (t) => {
      const server = await stopped(t, { args: ["--metrics", "uploads:/nowhere/at/all"] });
      const follower = await Follower.start(server, { backlog: 0 });
      const headers = { cookie: server.cookie("root", "admin"), "x-request-id": "request-4711" };
      assert.equal((await get(server, "/api/diagnostics?page=9", headers)).status, 500);
      const entry = await follower.find(({ requestId }) => requestId === "request-4711", "an entry with the request's id");
      assertEntry(entry);
      assert.equal(entry.userId, "root");
      const text = JSON.stringify(entry);
      for (const part of ["GET", "/api/diagnostics", "page=9", "/nowhere/at/all"]) assert.ok(text.includes(part), `${part} is not in ${text}`);
    });
  });

  describe("secrets", { concurrency: true }, () => {
    it("are nowhere in the log, however they come", async (t) => {
      const METRICS = "metrics-token-metrics-token";
      const server = await stopped(t, { args: ["--metrics", "uploads:/nowhere/at/all"], env: { METRICS_TOKEN: METRICS, OPENAI_API_KEY: "sk-openai-key-of-the-tests-1234567890" } });
      const follower = await Follower.start(server, { level: "trace", backlog: 1_000 });
      const right = sign(nested(person("ruth", "admin")), SECRET);
      const wrong = [
        sign(nested(person("mallory", "admin")), "another-secret-that-is-long-enough-too"),
        sign(nested(person("alice"), { exp: now() - 60 }), SECRET),
        `${right}x`,
        `${sign(nested(person("alice")), SECRET, { header: { alg: "none" }, signedWith: "none" })}unsigned`,
        "opaque-token-0123456789abcdef",
      ];
      const tokens = [right, ...wrong];
      const alice = await server.connect("alice");
      for (const token of tokens) {
        const places = {
          cookie: `slimy_admin_token=${token}`,
          authorization: `Bearer ${token}`,
          referer: `${server.url}/?token=${token}`,
          "x-csrf-token": token,
        };
        for (const [name, value] of Object.entries(places)) {
          await get(server, `/api/diagnostics?token=${token}&access_token=${token}&slimy_admin_token=${token}`, { [name]: value });
          await get(server, "/metrics", { [name]: value });
          await get(server, `/socket.io/?EIO=4&transport=polling&sid=${token}&token=${token}`, { [name]: value });
        }
        const client = server.client({ cookie: token === right ? places.cookie : `a=b; ${places.cookie}`, query: { token }, auth: { token } });
        await within(new Promise((resolve) => client.socket.once("connect", resolve).once("connect_error", resolve)), "an outcome");
        await server.client({ auth: { token }, query: { token }, headers: { authorization: `Bearer ${token}` } }).refused();
        await request(`${server.url}/api/auth/logout`, { method: "POST", headers: { cookie: `slimy_admin_token=${token}` } });
        alice.socket.emit("token", token);
        await alice.say({ text: token, guildId: GUILD, messageId: token });
      }
      (await server.connect("alice")).close();
      const last = follower.entries.length;
      await eventually(() => follower.entries.slice(last).some(about("disconnected", "alice")), "the last entry");
      await pause(300);
      const log = JSON.stringify([follower.backlog, follower.entries]) + server.program.stderr + server.program.stdout;
      const secrets = [SECRET, METRICS, "sk-openai-key", "another-secret", ...tokens.flatMap((token) => token.split(".").filter((part) => part.length > 15))];
      // The header of a token is the same in all of them, and no secret.
      const header = right.split(".")[0];
      for (const secret of secrets.filter((part) => part !== header)) assert.ok(!log.includes(secret), `the log has ${secret.slice(0, 12)}…`);
      assert.doesNotMatch(log, /slimy_admin_token=(?!redacted)/);
    });

    it("not in the words of a server error either", async (t) => {
      const { token, program } = await unreachable(t);
      for (const secret of [...token.split(".").slice(1), SECRET, PASSWORD]) assert.ok(!program.stderr.includes(secret), secret.slice(0, 12));
    });
  });

  describe("many and slow followers", { concurrency: true }, () => {
    it("sending the log is not logged: at trace nothing happens while nothing happens", async (t) => {
      const server = await stopped(t);
      const followers = await Promise.all([1, 2, 3].map(() => Follower.start(server, { level: "trace", backlog: 0 })));
      // One of them polls, so that its batches are HTTP requests.
      followers.push(await Follower.start(server, { level: "trace", backlog: 0 }, { transports: ["polling"] }));
      await server.connect("alice");
      await Promise.all(followers.map((follower) => follower.find(about("connected", "alice"))));
      await pause(500);
      followers.forEach((follower) => follower.clear());
      await pause(3_000);
      for (const { entries } of followers) assert.ok(entries.length <= 3, `${entries.length} entries: ${JSON.stringify(entries.slice(0, 4))}`);
    });

    it("64 may follow; the next is told so, until one has left", async (t) => {
      const server = await stopped(t, { env: { RECOVERY: "2m" } });
      const subscribe = (client) => client.ask("logs:subscribe", { level: "info", backlog: 0 });
      const clients = await Promise.all(Array.from({ length: 66 }, () => server.connect("root", "admin")));
      const [late, later] = clients.splice(64);
      for (const client of clients) assert.equal((await subscribe(client)).ok, true);
      const { error, code, ...rest } = await subscribe(late);
      assert.deepEqual([typeof error, typeof code, rest], ["string", "string", {}]);
      assert.equal((await subscribe(clients[0])).ok, true, "who follows already may ask again");
      assert.equal((await subscribe(late)).ok, undefined);
      assert.deepEqual(await clients[0].ask("logs:unsubscribe", {}), { ok: true });
      assert.equal((await subscribe(late)).ok, true, "a place that was given up");
      assert.equal((await subscribe(later)).ok, undefined);
      clients[1].close();
      await eventually(async () => (await subscribe(later)).ok, "the place of one who has left");
      clients[2].socket.io.engine.close();
      await eventually(async () => (await subscribe(clients[0])).ok, "the place of one who was cut off, and may yet come back");
    });

    /** Connects and disconnects so many times as alice; each makes two entries. */
    const noise = async (server, times, who = "alice") => {
      const alice = await server.raw(who);
      let connected = 0;
      for (let i = 0; i < times; i += 1) {
        alice.send("41");
        alice.send("40");
      }
      while (connected < times) if ((await alice.next(20_000)).startsWith("40")) connected += 1;
      alice.close();
    };

    it("what is too much is counted: entries and dropped make the whole", async (t) => {
      const server = await stopped(t, { args: ["--packet-rate", "0"] });
      const follower = await Follower.start(server, { text: "alice", backlog: 0 });
      const everything = await Follower.start(server, { backlog: 0 });
      await pause(300);
      everything.clear();
      follower.clear();
      const TIMES = 8_000;
      await noise(server, TIMES);
      const all = 2 * TIMES + 2;
      await eventually(() => everything.entries.length + everything.dropped >= all, "the end of the noise", 10_000);
      await pause(300);
      assert.equal(everything.entries.length + everything.dropped, all);
      assert.ok(follower.entries.length + follower.dropped <= all, "nothing is counted that was not there");
      for (const { args } of everything.batches) assert.ok(args[0].entries.length <= 1_000 && args[0].dropped >= 0);
    });

    it("one that does not read harms nobody, and learns what it has missed", async (t) => {
      // Long enough that what waits does not fit into the buffers below.
      const LONG = "a".repeat(120);
      const server = await stopped(t, { args: ["--packet-rate", "0"], sessions: { [LONG]: IN_GUILD } });
      const good = await Follower.start(server, { backlog: 0 });
      const slow = new WebSocket(`${server.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`, { headers: { cookie: server.cookie("snail", "admin") } });
      t.after(() => slow.terminate());
      const frames = new Queue("a frame");
      slow.on("message", (data) => {
        const text = data.toString();
        if (text === "2") slow.send("3");
        else frames.push(text);
      });
      assert.match(await frames.next(), /^0/);
      slow.send("40");
      assert.match(await frames.next(), /^40/);
      slow.send('420["logs:subscribe",{"level":"info","backlog":0}]');
      assert.match(await frames.next(), /^430\[\{"entries":\[\],"ok":true\}\]|^430\[\{"ok":true,"entries":\[\]\}\]/);
      await good.find(about("connected", "snail"));
      await pause(300);
      good.clear();
      while (frames.waiting.length > 0) await frames.next();
      slow.pause();
      const bob = await server.connect("root", "admin");
      const TIMES = 10_000;
      const finished = noise(server, TIMES, LONG);
      const waits = [];
      for (let i = 0; i < 10; i += 1) {
        const at = Date.now();
        assert.ok((await bob.say({ text: `${i}`, guildId: GUILD })).ok);
        waits.push(Date.now() - at);
        await pause(50);
      }
      assert.ok(Math.max(...waits) < 1_500, `the chat waited ${Math.max(...waits)} ms`);
      await finished;
      const all = 2 * TIMES + 3;
      await eventually(() => good.entries.length + good.dropped >= all, "the good one's entries", 10_000);
      const { connections } = await bob.ask("connections:list", { text: "snail" });
      assert.ok(connections[0].pendingBytes > 0, "it is behind indeed");
      slow.resume();
      let seen = 0;
      while (seen < all) {
        const frame = await frames.next(DEADLINE_MS).catch(() => assert.fail(`${seen} of ${all} entries came or were counted as dropped`));
        if (!frame.startsWith('42["log:entries"')) continue;
        const [, { entries, dropped }] = JSON.parse(frame.slice(2));
        seen += entries.length + dropped;
      }
      assert.equal(seen, all);
    });
  });
});
