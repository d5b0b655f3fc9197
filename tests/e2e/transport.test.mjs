// Stock clients over every transport: upgrade, binary, acks, big payloads, reconnection, limits.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { Admin, GUILD, IN_GUILD } from "./lib/admin.mjs";
import { Client } from "./lib/client.mjs";
import { Queue, eventually, within } from "./lib/deadline.mjs";
import { startSuite } from "./lib/program.mjs";
import { RawSocket } from "./lib/wire.mjs";

const TRANSPORTS = {
  "polling only": { transports: ["polling"] },
  "polling, then WebSocket": { transports: ["polling", "websocket"] },
  "WebSocket only": { transports: ["websocket"] },
  "WebSocket first": { transports: ["websocket", "polling"] },
};

/** A stock client of the suite's Socket.IO server, whose echoes can be waited for. */
function echoing(suite, options) {
  const client = new Client(suite.url, options);
  client.auths = new Queue("auth");
  client.echoes = new Queue("message-back");
  client.socket.on("auth", (auth) => client.auths.push(auth));
  client.socket.on("message-back", (...args) => client.echoes.push(args));
  return client;
}

const upgraded = (client) =>
  eventually(() => client.socket.io.engine?.transport.name === "websocket", "the upgrade");

for (const [what, options] of Object.entries(TRANSPORTS)) {
  describe(`the protocol suite's server over ${what}`, () => {
    let suite;
    let client;
    before(async () => (suite = await startSuite("socket")));
    after(() => suite.stop());
    afterEach(() => client.close());

    const connect = async (extra) => {
      client = await echoing(suite, { ...options, ...extra }).connected();
      return client;
    };

    it("sends the handshake's auth", async () => {
      await connect({ auth: { token: "1 2 3", deep: { list: [1, null] } } });
      assert.deepEqual(await client.auths.next(), { token: "1 2 3", deep: { list: [1, null] } });
    });

    it("echoes arguments of every kind", async () => {
      await connect();
      const args = [1, -2.5, "", "text €😀", true, null, [], { a: { b: [1, "2", { c: null }] } }];
      client.socket.emit("message", ...args);
      assert.deepEqual(await client.echoes.next(), args);
    });

    it("echoes binary, deep inside too", async () => {
      await connect();
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
      client.socket.emit("message", bytes, { inner: [Buffer.from([]), { last: Buffer.from("x") }], plain: 1 });
      const [whole, object] = await client.echoes.next();
      assert.deepEqual(Buffer.from(whole), bytes);
      assert.equal(Buffer.from(object.inner[0]).length, 0);
      assert.equal(Buffer.from(object.inner[1].last).toString(), "x");
      assert.equal(object.plain, 1);
    });

    it("acks, plain and binary", async () => {
      await connect();
      const plain = new Promise((resolve) => client.socket.emit("message-with-ack", 1, { a: "b" }, (...args) => resolve(args)));
      assert.deepEqual(await within(plain, "an ack"), [1, { a: "b" }]);
      const binary = new Promise((resolve) => client.socket.emit("message-with-ack", Buffer.from([1, 2, 3]), resolve));
      assert.deepEqual(Buffer.from(await within(binary, "a binary ack")), Buffer.from([1, 2, 3]));
    });

    it("acknowledges what the server asks, plain and binary", async () => {
      await connect();
      const answers = new Queue("answer");
      client.socket.on("answer", (...args) => answers.push(args));
      client.socket.on("question", (...args) => args.pop()(...args, "yes"));
      client.socket.emit("ask", 1, { a: ["b"] });
      assert.deepEqual(await answers.next(), [1, { a: ["b"] }, "yes"]);
      client.socket.emit("ask", Buffer.from([1, 2, 3]));
      const [bytes, yes] = await answers.next();
      assert.deepEqual([Buffer.from(bytes), yes], [Buffer.from([1, 2, 3]), "yes"]);
      client.socket.emit("ask");
      assert.deepEqual(await answers.next(), ["yes"]);
    });

    it("does not wait forever for an acknowledgement", async () => {
      await connect();
      const answer = new Promise((resolve) => client.socket.on("answer", resolve));
      client.socket.emit("ask", "anyone?");
      assert.match(await within(answer, "the timeout", 3_000), /^error: /);
    });

    it("gets what was sent right before the server closes", async () => {
      for (let i = 0; i < 50; i++) {
        await connect();
        const last = new Promise((resolve) => client.socket.on("last", resolve));
        client.socket.emit("bye", i);
        assert.equal(await within(last, `the last event of connection ${i}`), i);
        assert.equal(await client.life("disconnect"), "transport close");
      }
    });

    it("keeps the order of 300 events, across the upgrade as well", async () => {
      await connect();
      for (let i = 0; i < 300; i++) client.socket.emit("message", i);
      const echoes = await client.echoes.take(300);
      assert.deepEqual(echoes.map(([i]) => i), Array.from({ length: 300 }, (_, i) => i));
      if (options.transports.length > 1) await upgraded(client);
      assert.deepEqual(client.history, [["connect"]]);
    });

    it("echoes 900,000 characters and as many bytes", async () => {
      await connect();
      const text = "é".repeat(10) + "a".repeat(899_980);
      client.socket.emit("message", text);
      assert.equal((await client.echoes.next())[0], text);
      const bytes = Buffer.alloc(700_000, 7);
      client.socket.emit("message", bytes);
      assert.ok(Buffer.from((await client.echoes.next())[0]).equals(bytes));
    });

    it("answers heartbeats for as long as they come", async () => {
      await connect();
      const pings = new Queue("ping");
      client.socket.io.on("ping", () => pings.push("ping"));
      await pings.take(4);
      client.socket.emit("message", "alive");
      assert.deepEqual(await client.echoes.next(), ["alive"]);
      assert.deepEqual(client.history, [["connect"]]);
    });

    it("serves a second namespace over the same connection", async () => {
      await connect();
      const custom = client.socket.io.socket("/custom", { auth: { ns: "custom" } });
      const auth = new Promise((resolve) => custom.on("auth", resolve));
      assert.deepEqual(await within(auth, "the auth of /custom"), { ns: "custom" });
      assert.notEqual(custom.id, client.socket.id);
      custom.disconnect();
      client.socket.emit("message", "main still works");
      assert.deepEqual(await client.echoes.next(), ["main still works"]);
    });

    it("closes on a payload over the limit", async () => {
      await connect();
      client.socket.emit("message", "a".repeat(1_100_000));
      assert.match(await client.life("disconnect"), /^transport (close|error)$/);
    });
  });

  describe(`the chat over ${what}`, () => {
    let server;
    before(async () => (server = await Admin.start({ sessions: { alice: IN_GUILD, bob: IN_GUILD } })));
    after(() => server.stop());

    it("reaches the other transports in the same words", async () => {
      const alice = await server.connect("alice", "member", options);
      const others = [];
      for (const other of Object.values(TRANSPORTS)) others.push(await server.connect("bob", "member", other));
      await alice.say({ text: "to all", guildId: GUILD });
      const heard = await Promise.all([alice, ...others].map((client) => client.messages.next()));
      for (const message of heard) assert.deepEqual(message, heard[0]);
      if (options.transports.length > 1) {
        await upgraded(alice);
        assert.equal((await alice.say({ text: "after the upgrade", guildId: GUILD })).ok, true);
      }
    });
  });
}

describe("reconnection", () => {
  for (const [what, options] of Object.entries(TRANSPORTS)) {
    it(`after the server was killed and started again, over ${what}`, async (t) => {
      const first = await startSuite("socket");
      t.after(() => first.stop());
      const backoff = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 100 };
      const client = await echoing(first, { ...options, ...backoff }).connected();
      t.after(() => client.close());
      const { id } = client.socket;
      await first.stop();
      assert.match(await client.life("disconnect"), /^transport (close|error)$/);
      const second = await startSuite("socket", first.port);
      t.after(() => second.stop());
      await eventually(() => client.socket.connected, "the reconnection");
      assert.notEqual(client.socket.id, id);
      client.socket.emit("message", "back");
      assert.deepEqual(await client.echoes.next(), ["back"]);
    });
  }
});

describe("configured limits", () => {
  const start = async (t, ...args) => {
    const server = await Admin.start({ sessions: { alice: IN_GUILD }, args });
    t.after(() => server.stop());
    return server;
  };

  it("the open packet tells them", async (t) => {
    const flags = ["--ping-interval-ms", "1234", "--ping-timeout-ms", "567", "--max-payload", "5000"];
    const server = await start(t, ...flags);
    const { sid, ...rest } = (await RawSocket.engine(server)).handshake;
    assert.equal(sid.length, 20);
    assert.deepEqual(rest, { upgrades: [], pingInterval: 1234, pingTimeout: 567, maxPayload: 5000 });
  });

  it("the defaults", async (t) => {
    const server = await start(t);
    const { sid, ...rest } = (await RawSocket.engine(server)).handshake;
    assert.equal(sid.length, 20);
    assert.deepEqual(rest, { upgrades: [], pingInterval: 25_000, pingTimeout: 20_000, maxPayload: 1_000_000 });
  });

  it("no pong: the connection is closed", async (t) => {
    const server = await start(t, "--ping-interval-ms", "200", "--ping-timeout-ms", "200");
    const socket = await RawSocket.engine(server, { answerPings: false });
    const opened = Date.now();
    assert.equal(await socket.next(), "2");
    await socket.end(3_000);
    const lived = Date.now() - opened;
    assert.ok(lived >= 350 && lived <= 2_000, `${lived} ms`);
  });

  it("no CONNECT: the connection is closed", async (t) => {
    const server = await start(t, "--connect-timeout-ms", "300");
    const opened = Date.now();
    const socket = await RawSocket.engine(server);
    await socket.end(3_000);
    const lived = Date.now() - opened;
    assert.ok(lived >= 250 && lived <= 2_000, `${lived} ms`);
  });

  it("a payload over --max-payload closes a WebSocket with 1009", async (t) => {
    const server = await start(t, "--max-payload", "5000");
    const socket = await server.raw("alice");
    socket.send(`42["x","${"a".repeat(4_000)}"]`);
    socket.send(`421["chat:message",{"text":"","guildId":""}]`);
    assert.match(await socket.next(), /^431\[\{"error"/);
    socket.send(`42["x","${"a".repeat(5_000)}"]`);
    assert.equal((await socket.end()).code, 1009);
  });

  it("more packets than --packet-rate close the connection, fewer do not", async (t) => {
    const server = await start(t, "--packet-rate", "20/1s");
    const calm = await server.raw("alice");
    for (let i = 0; i < 15; i++) calm.send('42["x"]');
    calm.send(`421["chat:message",{"text":"","guildId":""}]`);
    assert.match(await calm.next(), /^431\[\{"error"/);
    const hasty = await server.raw("alice");
    for (let i = 0; i < 200; i++) hasty.send('42["x"]');
    await hasty.end();
    assert.equal(calm.open, true);
  });

  it("--packet-rate 0 is no limit", async (t) => {
    const server = await start(t, "--packet-rate", "0");
    const socket = await server.raw("alice");
    for (let i = 0; i < 3_000; i++) socket.send('42["x"]');
    socket.send(`421["chat:message",{"text":"","guildId":""}]`);
    assert.match(await socket.next(10_000), /^431\[\{"error"/);
  });
});
