// The figures over HTTP: /api/diag, /api/diagnostics and /metrics, who may see them and whether they are right.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { Admin, GUILD, IN_GUILD, OTHER, SECRET, guild, person } from "./lib/admin.mjs";
import { eventually, pause, within } from "./lib/deadline.mjs";
import { request } from "./lib/http.mjs";
import { nested, now, sign } from "./lib/jwt.mjs";
import { ADMIN_SERVER, Program } from "./lib/program.mjs";
import { parse } from "./lib/prometheus.mjs";
import { RawSocket } from "./lib/wire.mjs";

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const DAY_MS = 86_400_000;
const day = (offset = 0) => new Date(Date.now() + offset * DAY_MS).toISOString().slice(0, 10);
const sessions = {
  alice: IN_GUILD,
  both: { guilds: [guild(GUILD, "Slime HQ"), guild(OTHER, "Other Place")] },
};

async function started(t, options) {
  const server = await Admin.start({ sessions, ...options });
  t.after(() => server.stop());
  return server;
}

const get = (server, route, headers = {}) => request(server.url + route, { headers });
const as = (server, who, role) => ({ cookie: server.cookie(who, role) });
const json = async (answer) => {
  const { status, headers, body } = await answer;
  assert.match(headers["content-type"], /^application\/json/);
  return { status, ...JSON.parse(body) };
};
const diag = (server, who, role) => json(get(server, "/api/diag", who ? as(server, who, role) : {}));
const figures = (server, who = "root", role = "admin") => json(get(server, "/api/diagnostics", as(server, who, role)));

/** Puts files into a tree of uploads: {"<guild>/<day>/<name>"}. */
function upload(root, ...files) {
  for (const file of files) {
    const full = path.join(root, file);
    mkdirSync(path.dirname(full), { recursive: true });
    writeFileSync(full, "");
  }
}

const count = (value) => assert.ok(Number.isSafeInteger(value) && value >= 0, `${value} is no count`);
const amount = (value) => assert.ok(Number.isFinite(value) && value >= 0, `${value} is no amount`);
const megabytes = (value) => assert.ok(Number.isFinite(value) && value > 0 && value < 1_000_000, `${value} MB`);

describe("figures over HTTP", { concurrency: true }, () => {
  describe("GET /api/diag", () => {
    const uploads = mkdtempSync(path.join(os.tmpdir(), "slimy-uploads-"));
    let server;
    before(async () => {
      upload(uploads, `${GUILD}/${day()}/a.thumb.jpg`, `${GUILD}/${day()}/b.thumb.jpg`, `${GUILD}/${day(-1)}/c.thumb.jpg`);
      upload(uploads, ...["d", "e", "f"].map((name) => `${OTHER}/2020-02-29/${name}.thumb.jpg`));
      // None of these is an upload.
      upload(uploads, `${GUILD}/${day()}/a.jpg`, `${GUILD}/${day()}/a.thumb.png`, `${GUILD}/${day()}/athumb.jpg`, `${GUILD}/${day()}/a.thumb.jpg.tmp`);
      upload(uploads, `${GUILD}/x.thumb.jpg`, "x.thumb.jpg", `${GUILD}/not-a-day/x.thumb.jpg`, `${GUILD}/${day()}/deeper/x.thumb.jpg`);
      server = await Admin.start({ sessions, args: ["--metrics", "process:", "--metrics", `uploads:${uploads}`] });
    });
    after(async () => {
      await server.stop();
      rmSync(uploads, { recursive: true, force: true });
    });

    it("tells nobody anything without a valid token", async () => {
      const nothing = { status: 200, ok: true, authenticated: false };
      assert.deepEqual(await diag(server), nothing);
      const wrong = [
        sign(nested(person("alice"), { exp: now() - 5 }), SECRET),
        sign(nested(person("root", "admin")), "another-secret-that-is-long-enough-too"),
        "a.b.c",
      ];
      for (const token of wrong) assert.deepEqual(await json(get(server, "/api/diag", { cookie: `slimy_admin_token=${token}` })), nothing);
      const other = { authorization: `Bearer ${sign(nested(person("root", "admin")), SECRET)}` };
      assert.deepEqual(await json(get(server, "/api/diag", other)), nothing);
    });

    it("has the shape of the contract, and nothing more", async () => {
      const { status, ok, authenticated, admin, uploads, ...rest } = await diag(server, "alice");
      assert.deepEqual({ status, ok, authenticated, rest }, { status: 200, ok: true, authenticated: true, rest: {} });
      assert.deepEqual(Object.keys(admin).sort(), ["hostname", "memory", "pid", "runtime", "uptimeSec"]);
      count(admin.uptimeSec);
      assert.deepEqual(Object.keys(admin.memory).sort(), ["heapUsedMb", "rssMb"]);
      Object.values(admin.memory).forEach(megabytes);
      assert.match(admin.runtime, /^slimy-rt \d+\.\d+\.\d+$/);
      assert.equal(admin.hostname, os.hostname());
      count(admin.pid);
      assert.deepEqual(Object.keys(uploads).sort(), ["byGuild", "today", "total"]);
    });

    const visible = {
      "a member its guild": ["alice", "member", { [GUILD]: 3 }],
      "a member of two guilds both": ["both", "member", { [GUILD]: 3, [OTHER]: 3 }],
      "a club member its guild": ["alice", "club", { [GUILD]: 3 }],
      "a user without guilds none": ["nobody", "member", {}],
      "an admin all": ["root", "admin", { [GUILD]: 3, [OTHER]: 3 }],
      "an owner all": ["boss", "owner", { [GUILD]: 3, [OTHER]: 3 }],
    };
    for (const [what, [who, role, byGuild]] of Object.entries(visible)) {
      it(`shows ${what}`, async () => assert.deepEqual((await diag(server, who, role)).uploads.byGuild, byGuild));
    }

    it("counts thumbnails only, and today by the UTC day", async () => {
      const { uploads } = await diag(server, "root", "admin");
      assert.deepEqual({ total: uploads.total, today: uploads.today }, { total: 6, today: 2 });
    });

    it("counts the same in /api/diagnostics, without the guilds", async () => {
      assert.deepEqual((await figures(server)).uploads, { total: 6, today: 2 });
    });
  });

  describe("GET /api/diagnostics", { concurrency: false }, () => {
    let server;
    before(async () => (server = await Admin.start({ sessions, args: ["--diagnostics-cache", "1s"] })));
    after(() => server.stop());
    afterEach(() => server.closeClients());

    /** The first figures that are computed after this call. */
    const fresh = async () => {
      const { generatedAt } = await figures(server);
      return eventually(async () => {
        const next = await figures(server);
        return next.generatedAt !== generatedAt && next;
      }, "new figures", 3_000);
    };

    it("is refused without a valid token", async () => {
      const cases = { AUTH_REQUIRED: {}, TOKEN_EXPIRED: { cookie: server.cookie(sign(nested(person("alice"), { exp: now() - 5 }), SECRET)) } };
      for (const [code, headers] of Object.entries(cases)) {
        const { status, ok, error } = await json(get(server, "/api/diagnostics", headers));
        assert.deepEqual([status, ok, error.code], [401, false, code]);
      }
    });

    it("has its whole shape in the first answer of all", async (t) => {
      const server = await started(t);
      const { requests } = await figures(server);
      assert.deepEqual(Object.keys(requests).sort(), ["errors", "p50Ms", "p95Ms", "p99Ms", "statusCodes", "total"]);
      assert.deepEqual(requests.statusCodes, {});
    });

    it("is for every valid token, also of a user without guilds", async () => {
      for (const [who, role] of [["alice", "member"], ["nobody", "member"], ["root", "admin"]]) {
        assert.equal((await figures(server, who, role)).status, 200);
      }
    });

    it("has the shape and the types of the contract", async () => {
      await server.connect("alice");
      const { status, ...found } = await fresh();
      assert.equal(status, 200);
      const keys = ["ok", "pid", "runtime", "host", "uptimeSec", "uptimeHuman", "memory", "connections", "chat", "requests", "nodes", "generatedAt"];
      for (const key of keys) assert.ok(key in found, `${key} is missing`);
      assert.equal(found.ok, true);
      count(found.pid);
      assert.match(found.runtime, /^slimy-rt \d+\.\d+\.\d+$/);
      assert.equal(found.host, os.hostname());
      count(found.uptimeSec);
      assert.match(found.uptimeHuman, /^((([1-9]\d*)d )?(([1-9]|1\d|2[0-3])h )?(([1-9]|[1-5]\d)m )?)([0-9]|[1-5]\d)s$/);
      assert.deepEqual(Object.keys(found.memory).sort(), ["heapTotalMB", "heapUsedMB", "rssMB"]);
      Object.values(found.memory).forEach(megabytes);
      assert.ok(found.memory.heapUsedMB <= found.memory.heapTotalMB);
      assert.deepEqual(Object.keys(found.connections).sort(), ["current", "rooms", "total"]);
      Object.values(found.connections).forEach(count);
      count(found.chat.messages);
      const { statusCodes, p50Ms, p95Ms, p99Ms, total, errors } = found.requests;
      [total, errors].forEach(count);
      [p50Ms, p95Ms, p99Ms].forEach(amount);
      assert.ok(p50Ms <= p95Ms && p95Ms <= p99Ms, `${p50Ms} ${p95Ms} ${p99Ms}`);
      assert.equal(typeof statusCodes, "object");
      for (const [code, times] of Object.entries(statusCodes)) {
        assert.match(code, /^[1-5]\d\d$/);
        count(times);
      }
      assert.equal(found.nodes.length, 1);
      assert.match(found.nodes[0].id, /./);
      count(found.nodes[0].connections);
      count(found.nodes[0].uptimeSec);
      assert.match(found.generatedAt, ISO);
      assert.ok(Math.abs(Date.now() - Date.parse(found.generatedAt)) < 5_000);
      assert.ok(!("degraded" in found), "nothing is degraded");
    });

    it("counts connections and messages as they are", async () => {
      const before = await fresh();
      const alice = await server.connect("alice");
      const other = await server.connect("both", "member", { transports: ["polling"] });
      const { messageId } = await alice.say({ text: "one", guildId: GUILD, messageId: "counted-1" });
      assert.equal(messageId, "counted-1");
      await alice.say({ text: "one", guildId: GUILD, messageId: "counted-1" });
      await alice.say({ text: "", guildId: GUILD });
      await other.say({ text: "two", guildId: GUILD });
      const now = await fresh();
      assert.equal(now.connections.total - before.connections.total, 2);
      assert.equal(now.connections.current, 2);
      assert.equal(now.chat.messages - before.chat.messages, 2, "a retry and a refusal are no messages");
      assert.equal(now.nodes[0].connections, 2);
      assert.ok(now.connections.rooms >= 2, `${now.connections.rooms} rooms`);
      alice.close();
      other.close();
      await eventually(async () => (await figures(server)).connections.current === 0, "the end of both");
      assert.equal((await figures(server)).connections.total - before.connections.total, 2);
    });

    it("counts requests by status code", async () => {
      const before = await fresh();
      for (let i = 0; i < 3; i += 1) await get(server, "/api/nope");
      for (let i = 0; i < 2; i += 1) await get(server, "/api/auth/me");
      for (let i = 0; i < 4; i += 1) await get(server, "/api/live");
      const now = await fresh();
      const more = (code) => (now.requests.statusCodes[code] ?? 0) - (before.requests.statusCodes[code] ?? 0);
      assert.deepEqual({ 404: more(404), 401: more(401), 204: more(204) }, { 404: 3, 401: 2, 204: 4 });
      const sum = Object.values(now.requests.statusCodes).reduce((a, b) => a + b, 0);
      assert.equal(now.requests.total, sum);
      assert.ok(now.requests.total - before.requests.total >= 9);
    });

    it("has a request id and is not stored, and neither is /api/diag or /metrics", async () => {
      for (const route of ["/api/diag", "/api/diagnostics", "/metrics"]) {
        const [one, two] = [await get(server, route, as(server, "root", "admin")), await get(server, route, as(server, "root", "admin"))];
        assert.equal(one.status, 200, route);
        assert.equal(one.headers["cache-control"], "no-store");
        assert.equal(one.headers["x-content-type-options"], "nosniff");
        assert.match(one.headers["x-request-id"], /^[\x21-\x7e]{1,128}$/);
        assert.notEqual(one.headers["x-request-id"], two.headers["x-request-id"], "an answer from the cache has an id of its own");
        const named = await get(server, route, { ...as(server, "root", "admin"), "x-request-id": "my-own-id" });
        assert.equal(named.headers["x-request-id"], "my-own-id");
      }
    });

    it("is refused to a page from elsewhere", async () => {
      for (const route of ["/api/diag", "/api/diagnostics"]) {
        const { status, headers } = await get(server, route, { ...as(server, "root", "admin"), origin: "http://evil.example" });
        assert.equal(status, 403);
        assert.equal(headers["access-control-allow-origin"], undefined);
      }
    });

    it("is computed once for fifty that ask at once, and again after the cache time", async () => {
      const { generatedAt } = await fresh();
      const again = await figures(server, "alice", "member");
      assert.equal(again.generatedAt, generatedAt, "told again within the cache time, to others too");
      await pause(1_100);
      const bodies = await Promise.all(Array.from({ length: 50 }, async () => (await get(server, "/api/diagnostics", as(server, "alice"))).body));
      assert.equal(new Set(bodies).size, 1);
      assert.ok(Date.parse(JSON.parse(bodies[0]).generatedAt) - Date.parse(generatedAt) >= 1_000);
    });
  });

  describe("the cache", () => {
    it("keeps figures for 30 s by default", async (t) => {
      const server = await started(t);
      const first = await figures(server);
      await server.connect("alice");
      await pause(1_300);
      assert.deepEqual(await figures(server), first);
    });

    it("of the uploads is its own: a tree is not walked for every question", async (t) => {
      const folder = await started(t, { secret: null });
      const root = folder.file("uploads");
      upload(root, `${GUILD}/${day()}/a.thumb.jpg`);
      const server = await started(t, { args: ["--metrics", `uploads:${root}`, "--diagnostics-cache", "1s"] });
      const first = await figures(server);
      assert.deepEqual(first.uploads, { total: 1, today: 1 });
      upload(root, `${GUILD}/${day()}/b.thumb.jpg`);
      const second = await eventually(async () => {
        const found = await figures(server);
        return found.generatedAt !== first.generatedAt && found;
      }, "new figures");
      assert.deepEqual(second.uploads, first.uploads);
      assert.equal((await diag(server, "alice")).uploads.byGuild[GUILD], 1);
    });
  });

  describe("sources that fail", () => {
    it("one among several is named, and the rest is answered", async (t) => {
      const server = await started(t, { args: ["--metrics", "process:", "--metrics", "uploads:/nowhere/at/all"] });
      const found = await figures(server);
      assert.equal(found.status, 200);
      assert.equal(found.ok, true);
      assert.deepEqual(found.degraded, ["uploads"]);
      assert.ok(!("uploads" in found), "its fields are left out");
      megabytes(found.memory.rssMB);
      assert.ok(!JSON.stringify(found).includes("nowhere"), "the cause stays here");
    });

    it("with no other source it is 500 diagnostics_failed, without the cause", async (t) => {
      const server = await started(t, { args: ["--metrics", "uploads:/nowhere/at/all"] });
      const { status, headers, body } = await get(server, "/api/diagnostics", as(server, "root", "admin"));
      assert.equal(status, 500);
      assert.match(headers["content-type"], /^application\/json/);
      assert.equal(headers["cache-control"], "no-store");
      const { ok, error, message, ...rest } = JSON.parse(body);
      assert.deepEqual({ ok, error, rest }, { ok: false, error: "diagnostics_failed", rest: {} });
      assert.equal(typeof message, "string");
      assert.ok(!body.includes("nowhere"), body);
    });

    it("the failure is not kept once the source answers again", async (t) => {
      const folder = await started(t, { secret: null });
      const root = folder.file("late");
      const server = await started(t, { args: ["--metrics", `uploads:${root}`, "--diagnostics-cache", "1s"] });
      assert.equal((await figures(server)).status, 500);
      upload(root, `${GUILD}/${day()}/a.thumb.jpg`);
      await eventually(async () => (await figures(server)).status === 200, "figures", 4_000);
      assert.deepEqual((await figures(server)).uploads, { total: 1, today: 1 });
    });

    it("errors of the server are counted as errors", async (t) => {
      const server = await started(t, { args: ["--metrics", "process:", "--metrics", "uploads:/nowhere", "--diagnostics-cache", "1s"] });
      assert.equal((await figures(server)).requests.errors, 0);
      for (let i = 0; i < 2; i += 1) assert.equal((await get(server, "/api/status")).status, 503);
      const { requests } = await eventually(async () => {
        const found = await figures(server);
        return found.requests.statusCodes?.["503"] === 2 && found;
      }, "the count of 503");
      assert.equal(requests.errors, 2);
    });

    it("one that never answers holds nobody up for long", async (t) => {
      const silent = net.createServer(() => {});
      await new Promise((resolve) => silent.listen(0, "127.0.0.1", resolve));
      t.after(() => silent.close());
      silent.unref();
      const url = `redis://127.0.0.1:${silent.address().port}`;
      const server = await started(t, { args: ["--metrics", "process:", "--metrics", url] });
      const answers = await Promise.all(Array.from({ length: 50 }, () => figures(server, "alice", "member")));
      assert.equal(new Set(answers.map(({ generatedAt }) => generatedAt)).size, 1, "fifty wait for one computation");
      const [found] = answers;
      assert.equal(found.status, 200);
      assert.equal(found.degraded.length, 1);
      megabytes(found.memory.rssMB);
    });
  });

  describe("GET /metrics", () => {
    const TOKEN = "the-token-of-the-scraper-0123456789";
    let open;
    let closed;
    before(async () => {
      open = await Admin.start({ sessions });
      closed = await Admin.start({ sessions, args: ["--metrics-token", TOKEN] });
    });
    after(() => Promise.all([open.stop(), closed.stop()]));

    it("is for this machine, without a token", async () => {
      const { status, headers } = await get(open, "/metrics");
      assert.equal(status, 200);
      assert.match(headers["content-type"], /^text\/plain; version=0\.0\.4/);
    });

    const forwarding = { "x-forwarded-for": "127.0.0.1", forwarded: "for=127.0.0.1", "x-forwarded-proto": "https", "x-forwarded-host": "localhost", "x-real-ip": "127.0.0.1" };
    for (const [name, value] of Object.entries(forwarding)) {
      it(`is refused to a request with ${name}, whoever is logged in`, async () => {
        const { status, body } = await get(open, "/metrics", { ...as(open, "root", "admin"), [name]: value });
        assert.equal(status, 403, body);
        assert.ok(!body.includes("slimy_"));
        assert.equal(JSON.parse(body).error.code, "FORBIDDEN");
      });
    }

    it("is refused to what a trusted proxy forwards", async (t) => {
      const server = await started(t, { args: ["--trusted-proxies", "127.0.0.0/8"] });
      for (const address of ["127.0.0.1", "203.0.113.5", ""]) {
        assert.equal((await get(server, "/metrics", { "x-forwarded-for": address })).status, 403, address);
      }
    });

    const outside = Object.values(os.networkInterfaces()).flat().find(({ family, internal }) => family === "IPv4" && !internal);
    it("is refused to another address than the loopback one", { skip: !outside && "the machine has no other address" }, async (t) => {
      const program = new Program(ADMIN_SERVER, ["--listen", "0.0.0.0:0"], { JWT_SECRET: SECRET });
      t.after(() => program.stop());
      const { port } = new URL(await program.listening());
      assert.equal((await request(`http://127.0.0.1:${port}/metrics`)).status, 200);
      const { status, body } = await request(`http://${outside.address}:${port}/metrics`);
      assert.equal(status, 403);
      assert.ok(!body.includes("slimy_"));
    });

    it("with a token: is for its bearer, from wherever", async () => {
      for (const headers of [{}, { "x-forwarded-for": "203.0.113.5" }]) {
        const { status, body } = await get(closed, "/metrics", { authorization: `Bearer ${TOKEN}`, ...headers });
        assert.equal(status, 200);
        parse(body);
      }
    });

    const wrong = {
      "no token": {},
      "another token": { authorization: "Bearer the-token-of-the-scraper-0123456780" },
      "the start of the token": { authorization: `Bearer ${TOKEN.slice(0, -1)}` },
      "the token and more": { authorization: `Bearer ${TOKEN}x` },
      "an empty token": { authorization: "Bearer " },
      "the token without its scheme": { authorization: TOKEN },
      "the token as a password": { authorization: `Basic ${Buffer.from(`x:${TOKEN}`).toString("base64")}` },
      "the token as a cookie": { cookie: `slimy_admin_token=${TOKEN}` },
    };
    for (const [what, headers] of Object.entries(wrong)) {
      it(`with a token: is refused to ${what}`, async () => {
        const { status, body } = await get(closed, "/metrics", headers);
        assert.equal(status, 401, body);
        assert.equal(JSON.parse(body).error.code, "AUTH_REQUIRED");
        assert.ok(!body.includes("slimy_"));
      });
    }

    it("with a token: is refused to an admin, and to the token in the query", async () => {
      for (const [route, headers] of [["/metrics", as(closed, "root", "admin")], [`/metrics?token=${TOKEN}`, {}]]) {
        const { status, body } = await get(closed, route, headers);
        assert.equal(status, 401);
        assert.ok(!body.includes("slimy_"));
      }
    });

    it("is in the text format, strictly, and the same figures as elsewhere", async (t) => {
      const server = await started(t);
      const alice = await server.connect("alice");
      await alice.say({ text: "hello", guildId: GUILD });
      await get(server, "/api/nope");
      const found = await figures(server);
      const families = parse((await get(server, "/metrics")).body);
      for (const type of ["counter", "gauge", "histogram"]) {
        assert.ok([...families.values()].some((family) => family.type === type), `no ${type}`);
      }
      const values = [...families.values()].flatMap(({ samples }) => samples);
      const value = (name, labels = {}) => {
        const wanted = Object.entries(labels);
        return values.find((sample) => sample.name === name && wanted.every(([k, v]) => sample.labels.get(k) === v))?.value;
      };
      assert.equal(value("slimy_connections"), found.connections.current);
      assert.equal(value("slimy_connections_total"), found.connections.total);
      assert.equal(value("slimy_rooms"), found.connections.rooms);
      assert.equal(value("slimy_chat_messages_total"), 1);
      assert.equal(value("slimy_http_requests_total", { code: "404" }), 1);
      assert.equal(value("slimy_event_duration_seconds_count", { event: "chat:message" }), 1);
    });

    it("counters do not go down", async () => {
      const counters = async () => {
        const families = [...parse((await get(open, "/metrics")).body).values()].filter(({ type }) => type === "counter");
        return new Map(families.flatMap(({ samples }) => samples.map((s) => [s.name + JSON.stringify([...s.labels]), s.value])));
      };
      const first = await counters();
      const alice = await open.connect("alice");
      await alice.say({ text: "x", guildId: GUILD });
      alice.close();
      await get(open, "/api/nope");
      const second = await counters();
      for (const [name, before] of first) assert.ok(second.get(name) >= before, `${name}: ${before}, then ${second.get(name)}`);
    });

    it("has no word that a client chose", async (t) => {
      const server = await started(t);
      const families = async () => parse((await get(server, "/metrics")).body);
      const before = await families();
      const WORD = "zzyzx";
      const alice = await server.connect("alice");
      for (const name of [WORD, `${WORD}"} 1\nslimy_evil 1`, `${WORD}\\`, `diag:${WORD}`, "__proto__"]) alice.socket.emit(name, WORD);
      await alice.say({ text: WORD, guildId: GUILD, messageId: WORD });
      for (const route of [`/api/${WORD}`, `/${WORD}`, `/socket.io/${WORD}`, `/api/diag?${WORD}=${WORD}`]) {
        await get(server, route, { "x-request-id": WORD, "user-agent": WORD, referer: `http://${WORD}.example/`, host: `${WORD}.example` });
      }
      await request(`${server.url}/api/diag`, { method: "PURGE", headers: { origin: `http://${WORD}.example` } });
      await get(server, `/socket.io/?EIO=4&transport=${WORD}`);
      await get(server, `/socket.io/?EIO=${WORD}&transport=polling&sid=${WORD}`);
      const raw = await RawSocket.engine(server, { headers: as(server, "alice") });
      raw.send(`40/${WORD},`);
      assert.match(await raw.next(), new RegExp(`^44/${WORD},`));
      raw.close();
      const long = await RawSocket.connected(server, { headers: as(server, "alice") });
      long.send(`42["${WORD.repeat(50)}"]`);
      long.close();
      await server.refusal(`slimy_admin_token=${WORD}`);
      await within(alice.ask("chat:message", { text: "last", guildId: GUILD }), "the last ack");
      const found = await get(server, "/metrics");
      const after = parse(found.body);
      assert.ok(!found.body.includes(WORD), found.body.split("\n").find((line) => line.includes(WORD)));
      for (const text of ["evil", "PURGE", "__proto__", "alice", GUILD]) assert.ok(!found.body.includes(text), text);
      assert.deepEqual([...after.keys()].sort(), [...before.keys()].sort());
    });
  });
});
