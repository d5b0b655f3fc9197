// The program: flags, exit codes, subcommands, secrets, signals, limits.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import net from "node:net";
import { describe, it } from "node:test";
import { Admin, GUILD, IN_GUILD, OLD_SECRET, SECRET, person } from "./lib/admin.mjs";
import { eventually, within } from "./lib/deadline.mjs";
import { request } from "./lib/http.mjs";
import { nested, now, sign, verify } from "./lib/jwt.mjs";
import { ADMIN_SERVER, Program, run } from "./lib/program.mjs";
import { RawSocket, refusedUpgrade } from "./lib/wire.mjs";

const SESSIONS = { alice: IN_GUILD };
const LISTEN = ["--listen", "127.0.0.1:0"];
const POLL = "/socket.io/?EIO=4&transport=polling";

async function started(t, options) {
  const server = await Admin.start({ sessions: SESSIONS, ...options });
  t.after(() => server.stop());
  return server;
}

describe("a start that fails", () => {
  const wrong = [["--no-such-flag"], ["--listen"], ["--listen", "nowhere"], ["--chat-audience", "world"], ["--chat-rate", "often"], ["--ping-interval-ms", "x"], ["no-such-command"]];
  for (const args of wrong) {
    it(`${args.join(" ")}: exits with 2 and says why`, async () => {
      const { code, stdout, stderr } = await run(ADMIN_SERVER, args, { JWT_SECRET: SECRET });
      assert.equal(code, 2);
      assert.notEqual(stderr.trim(), "");
      assert.doesNotMatch(stdout, /listening on/);
    });
  }

  it("a port in use: exits with 1 and one line", async (t) => {
    const taken = net.createServer().listen(0, "127.0.0.1");
    t.after(() => taken.close());
    await new Promise((resolve) => taken.on("listening", resolve));
    const address = `127.0.0.1:${taken.address().port}`;
    const { code, stdout, stderr } = await run(ADMIN_SERVER, ["--listen", address], { JWT_SECRET: SECRET });
    assert.equal(code, 1);
    const lines = `${stdout}${stderr}`.split("\n").filter((line) => line.trim() !== "");
    assert.equal(lines.length, 1, lines.join("\n"));
    assert.ok(lines[0].includes(address), lines[0]);
  });

  /** Ends badly, in 1 or 2, says something that matches, and never the secret. */
  async function refuses(args, env, expected, secret) {
    const { code, stdout, stderr } = await run(ADMIN_SERVER, args, env);
    assert.ok(code === 1 || code === 2, `exit code ${code}`);
    assert.match(stderr, expected);
    assert.doesNotMatch(stdout, /listening on/);
    if (secret) assert.ok(!`${stdout}${stderr}`.includes(secret), "the secret was printed");
  }

  const short = "x".repeat(31);
  it("a secret of 31 bytes", () => refuses(LISTEN, { JWT_SECRET: short }, /32/, short));
  it("a second secret of 31 bytes", () => refuses(LISTEN, { JWT_SECRET: `${SECRET},${short}` }, /32/, short));
  it("a short secret on the command line", () => refuses([...LISTEN, "--jwt-secret", short], {}, /32/, short));
  it("32 bytes are enough", async (t) => {
    await started(t, { secret: "y".repeat(32) });
  });

  for (const listen of ["0.0.0.0:0", "[::]:0"]) {
    it(`the demo mode on ${listen}`, () => refuses(["--listen", listen], {}, /JWT_SECRET/));
  }

  for (const flag of ["--sessions", "--broker", "--authenticator", "--metrics"]) {
    it(`an unknown scheme in ${flag} names the Cargo feature, not the password`, () =>
      refuses([...LISTEN, flag, "mongodb://user:hunter2@db/x"], { JWT_SECRET: SECRET }, /feature[\s\S]*mongodb|mongodb[\s\S]*feature/i, "hunter2"));
  }

  it("a sessions file that is not there", () =>
    refuses([...LISTEN, "--sessions-file", "/nowhere/sessions.json"], { JWT_SECRET: SECRET }, /\/nowhere\/sessions\.json/));
  it("a secret file that is not there", () =>
    refuses([...LISTEN, "--jwt-secret-file", "/nowhere/secret"], {}, /\/nowhere\/secret/));
  it("a certificate without a key", () =>
    refuses([...LISTEN, "--tls-cert", "/nowhere/cert.pem"], { JWT_SECRET: SECRET }, /tls-key/i));
});

describe("where it listens", () => {
  const variables = [
    { ADMIN_LISTEN: "127.0.0.1:0" },
    { HOST: "127.0.0.1", PORT: "0" },
    { ADMIN_API_HOST: "127.0.0.1", ADMIN_API_PORT: "0" },
    { ADMIN_LISTEN: "127.0.0.1:0", HOST: "192.0.2.1", PORT: "1" },
  ];
  for (const env of variables) {
    it(`by ${Object.keys(env).join(" and ")}`, async (t) => {
      const program = new Program(ADMIN_SERVER, [], { JWT_SECRET: SECRET, ...env });
      t.after(() => program.stop());
      const url = await program.listening();
      assert.match(program.stdout, /^listening on http:\/\/127\.0\.0\.1:[1-9]\d*$/m);
      assert.equal((await request(`${url}/api/live`)).status, 204);
    });
  }

  it("on IPv6 too", async (t) => {
    const program = new Program(ADMIN_SERVER, ["--listen", "[::1]:0"], { JWT_SECRET: SECRET });
    t.after(() => program.stop());
    assert.match(await program.listening(), /^http:\/\/\[::1\]:\d+$/);
  });
});

describe("secrets", () => {
  const alice = (secret) => `slimy_admin_token=${sign(nested(person("alice")), secret)}`;

  it("from a file, without its line end", async (t) => {
    const folder = await started(t);
    writeFileSync(folder.file("secret"), `${OLD_SECRET}\n`);
    const server = await started(t, { secret: null, args: ["--jwt-secret-file", folder.file("secret")], env: { SESSIONS_FILE: folder.file("sessions.json") } });
    await server.client({ cookie: alice(OLD_SECRET) }).connected();
    assert.equal((await server.refusal(alice(SECRET))).message, "not_authorized");
  });

  it("on the command line are accepted with a warning, which does not repeat them", async (t) => {
    const sessions = await started(t);
    const env = { SESSIONS_FILE: sessions.file("sessions.json") };
    const server = await started(t, { secret: null, args: ["--jwt-secret", OLD_SECRET], env });
    await server.client({ cookie: alice(OLD_SECRET) }).connected();
    const said = server.program.stdout + server.program.stderr;
    assert.match(said, /warn/i);
    assert.match(said, /jwt-secret/);
    assert.ok(!said.includes(OLD_SECRET));
  });

  it("in the environment are no reason for one", async (t) => {
    const server = await started(t);
    assert.doesNotMatch(server.program.stdout + server.program.stderr, /warn/i);
  });

  it("rotate: the first signs, all verify", async (t) => {
    const server = await started(t, { secret: `${SECRET},${OLD_SECRET}` });
    await server.client({ cookie: alice(SECRET) }).connected();
    await server.client({ cookie: alice(OLD_SECRET) }).connected();
    const { stdout } = await run(ADMIN_SERVER, ["token", "--user", "alice"], { JWT_SECRET: `${SECRET},${OLD_SECRET}` });
    assert.ok(verify(stdout.trim().slice("slimy_admin_token=".length), SECRET));
  });
});

describe("admin-server token", () => {
  const token = (...args) => run(ADMIN_SERVER, ["token", ...args], { JWT_SECRET: SECRET });
  const LINE = /^slimy_admin_token=([\w-]+\.[\w-]+\.[\w-]+)\n$/;

  it("prints one that verifies and connects", async (t) => {
    const { code, stdout } = await token("--user", "u1", "--name", "Alice", "--role", "admin");
    assert.equal(code, 0);
    const claims = verify(LINE.exec(stdout)[1], SECRET);
    assert.ok(Math.abs(claims.exp - claims.iat - 12 * 3_600) <= 1, "12 h by default");
    assert.ok(Math.abs(claims.iat - now()) <= 5);
    const server = await started(t);
    const client = await server.client({ cookie: stdout.trim() }).connected();
    await client.say({ text: "x", guildId: GUILD });
    assert.deepEqual((await client.messages.next()).from, { id: "u1", name: "Alice", role: "admin", color: "#ef4444" });
  });

  for (const [ttl, seconds] of [["90s", 90], ["15m", 900], ["2h", 7_200], ["1d", 86_400]]) {
    it(`--ttl ${ttl}`, async () => {
      const { stdout } = await token("--user", "u1", "--name", "Alice", "--role", "member", "--ttl", ttl);
      const { exp, iat } = verify(LINE.exec(stdout)[1], SECRET);
      assert.ok(Math.abs(exp - iat - seconds) <= 1);
    });
  }

  it("without a secret says which variable to set", async () => {
    const { code, stderr } = await run(ADMIN_SERVER, ["token", "--user", "u1"], {});
    assert.notEqual(code, 0);
    assert.match(stderr, /JWT_SECRET/);
  });

  for (const args of [[], ["--user", "u1", "--role", "king"], ["--user", "u1", "--ttl", "soon"], ["--user", "u1", "--ttl", "0s"]]) {
    it(`with ${args.join(" ") || "no user"} exits with 2`, async () => assert.equal((await token(...args)).code, 2));
  }
});

describe("admin-server sessions with memory:", () => {
  for (const args of [["list"], ["get", "u1"], ["delete", "u1"], ["revoke", "u1"]]) {
    it(`${args.join(" ")} refuses and points to the file and SIGHUP`, async () => {
      const { code, stderr } = await run(ADMIN_SERVER, ["sessions", ...args], { JWT_SECRET: SECRET });
      assert.notEqual(code, 0);
      assert.match(stderr, /SIGHUP/);
      assert.match(stderr, /sessions-file|SESSIONS_FILE/);
    });
  }
});

describe("SIGTERM", () => {
  for (const signal of ["SIGTERM", "SIGINT"]) {
    it(`${signal} closes the transports with 1001 and exits with 0 within 10 s`, async (t) => {
      const server = await started(t);
      const socket = await server.raw("alice");
      const client = await server.connect("alice");
      const polling = await server.connect("alice", "member", { transports: ["polling"] });
      server.program.kill(signal);
      assert.equal((await socket.end(10_000)).code, 1001);
      assert.match(await client.life("disconnect", 10_000), /^transport (close|error)$/);
      assert.match(await polling.life("disconnect", 10_000), /^transport (close|error)$/);
      assert.deepEqual(await within(server.program.exited, "the exit", 10_000), { code: 0, signal: null });
    });
  }

  it("with a client that reads nothing and a request that never ends, too", async (t) => {
    const server = await started(t);
    const idle = net.connect(server.port, "127.0.0.1");
    t.after(() => idle.destroy());
    idle.on("error", () => {});
    await new Promise((resolve) => idle.write("GET /api/health HTTP/1.1\r\nHost: x\r\n", resolve));
    await server.raw("alice");
    server.program.kill("SIGTERM");
    assert.deepEqual(await within(server.program.exited, "the exit", 10_500), { code: 0, signal: null });
  });

  it("lets stock clients come back by themselves to the next server", async (t) => {
    const first = await started(t);
    const backoff = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 100 };
    const clients = [await first.connect("alice", "member", backoff), await first.connect("alice", "member", { ...backoff, transports: ["polling", "websocket"] })];
    first.program.kill("SIGTERM");
    for (const client of clients) assert.match(await client.life("disconnect", 10_000), /^transport (close|error)$/);
    await within(first.program.exited, "the exit", 10_000);
    const second = await started(t, { port: first.port });
    for (const client of clients) await eventually(() => client.socket.connected, "the reconnection");
    assert.equal(second.port, first.port);
    assert.equal((await clients[0].say({ text: "back", guildId: GUILD })).ok, true);
  });
});

describe("limits on connections", () => {
  it("--max-connections: the next one gets 503, a place that is free again does not", async (t) => {
    const server = await started(t, { args: ["--max-connections", "2"] });
    const [first] = [await RawSocket.engine(server), await RawSocket.engine(server)];
    assert.equal((await refusedUpgrade(server)).status, 503);
    assert.equal((await request(server.url + POLL)).status, 503);
    assert.equal((await request(`${server.url}/api/live`)).status, 204);
    first.close();
    const free = async () => (await request(server.url + POLL)).status === 200;
    await eventually(free, "a free place");
  });

  it("--handshakes-per-second: a burst gets 503, and later ones pass", async (t) => {
    const server = await started(t, { args: ["--handshakes-per-second", "2"] });
    const statuses = [];
    for (let i = 0; i < 20; i++) statuses.push((await request(server.url + POLL)).status);
    assert.equal(statuses[0], 200);
    assert.ok(statuses.includes(503), statuses.join(" "));
    assert.ok(statuses.every((status) => status === 200 || status === 503), statuses.join(" "));
    await eventually(async () => (await request(server.url + POLL)).status === 200, "a handshake");
  });
});
