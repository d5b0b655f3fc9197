// Two nodes over a Redis of their own: what an administrator of one sees and does on the other.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import { after, afterEach, before, describe, it } from "node:test";
import { Admin, IN_GUILD } from "./lib/admin.mjs";
import { eventually } from "./lib/deadline.mjs";

const SESSIONS = { root: IN_GUILD, alice: IN_GUILD, bob: IN_GUILD };

async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

const accepts = (port) =>
  new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
    socket.unref();
  });

let redis, one, two;
before(async () => {
  const port = await freePort();
  const path = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`;
  redis = spawn("redis-server", ["--port", port, "--bind", "127.0.0.1", "--save", ""], { env: { PATH: path }, stdio: "ignore" });
  process.on("exit", () => redis.kill("SIGKILL"));
  await eventually(() => accepts(port), "Redis listens");
  const url = `redis://127.0.0.1:${port}`;
  const node = () => Admin.start({ sessions: SESSIONS, args: ["--broker", url, "--sessions", url] });
  [one, two] = await Promise.all([node(), node()]);
});
after(async () => {
  await Promise.all([one.stop(), two.stop()]);
  redis.kill("SIGKILL");
});
afterEach(() => {
  one.closeClients();
  two.closeClients();
});

const ask = (client, event, payload = {}) => client.socket.timeout(5_000).emitWithAck(event, payload);

describe("an administrator of one node", () => {
  it("sees who is connected to the other, and disconnects them", async () => {
    const [root, alice] = [await one.connect("root", "admin"), await two.connect("alice")];
    const { ok, connections, total, missingNodes } = await ask(root, "connections:list");
    assert.deepEqual({ ok, total, missingNodes }, { ok: true, total: 2, missingNodes: 0 });
    const [mine, hers] = ["root", "alice"].map((id) => connections.find(({ userId }) => userId === id));
    assert.notEqual(mine.node, hers.node);
    assert.equal(hers.socketId, alice.socket.id);
    assert.deepEqual(await ask(root, "connections:disconnect", { socketId: hers.socketId }), { ok: true });
    assert.equal(await alice.life("disconnect"), "io server disconnect");
    const again = await ask(root, "connections:disconnect", { socketId: hers.socketId });
    assert.equal(again.code, "not_found");
  });

  it("ends a user's sessions on both", async () => {
    const root = await one.connect("root", "admin");
    const bobs = [await one.connect("bob"), await two.connect("bob")];
    assert.deepEqual(await ask(root, "sessions:revoke", { userId: "bob" }), { ok: true });
    for (const bob of bobs) assert.deepEqual(await bob.life("session:ended"), { reason: "revoked" });
  });

  it("sees the figures of both, and of itself alone when the other is gone", async () => {
    const root = await one.connect("root", "admin");
    const { snapshot } = await ask(root, "diag:subscribe");
    assert.equal(snapshot.nodes.length, 2);
    assert.deepEqual(snapshot.nodes.map((node) => node.self === true), [true, false]);
    const kind = ({ id, connections, uptimeSec }) => [typeof id, typeof connections, typeof uptimeSec];
    for (const node of snapshot.nodes) assert.deepEqual(kind(node), ["string", "number", "number"]);
    let last;
    root.socket.on("diag:snapshot", (figures) => (last = figures));
    await two.program.stop();
    await eventually(() => last?.nodes.length === 1, "the other node is gone", 15_000);
    const began = Date.now();
    const { connections } = await ask(root, "connections:list");
    assert.equal(connections.length, 1);
    assert.ok(Date.now() - began < 3_000, "nobody waits long for a node that is gone");
  });
});
