// What no client may do, and what it costs. Against admin-server: with 25 s between pings nothing but the
// violation can be the reason of a close.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { Admin, IN_GUILD } from "./lib/admin.mjs";
import { eventually } from "./lib/deadline.mjs";
import { RawHttp } from "./lib/http.mjs";
import { Polling } from "./lib/wire.mjs";

const LIMIT = 1_000_000;
const unknown = { status: 400, body: '{"code":1,"message":"Session ID unknown"}' };

const answer = async (promise) => {
  const { status, body } = await promise;
  return { status, body };
};

let server;
let headers;
before(async () => {
  server = await Admin.start({ sessions: { alice: IN_GUILD } });
  headers = { cookie: server.cookie("alice") };
});
after(() => server.stop());
afterEach(() => server.closeClients());

/** A polling session that is connected in `/`, so that the whole limit holds. */
const connected = async () => {
  const session = await Polling.open(server, headers);
  assert.equal((await session.post("40")).body, "ok");
  assert.match((await session.packets(1))[0], /^40\{"sid"/);
  return session;
};
const gone = (session) => eventually(async () => (await session.post("3")).status === 400, "the close", 1_000);

describe("polling", () => {
  it("two polls at once: one gets a close packet, the other 400, and the session is over", async () => {
    const session = await connected();
    const polls = await Promise.all([answer(session.get()), answer(session.get())]);
    polls.sort((a, b) => a.status - b.status);
    assert.deepEqual(polls[0], { status: 200, body: "1" });
    assert.equal(polls[1].status, 400);
    assert.deepEqual(await answer(session.get()), unknown);
  });

  it("two posts at once: 400, and the session is over", async () => {
    const session = await connected();
    const first = new RawHttp(server.url);
    assert.equal(await first.expect(session.path, 10), 100);
    assert.equal((await session.post("3")).status, 400);
    assert.deepEqual(await answer(session.get()), unknown);
    first.close();
  });

  it("a poll that is aborted ends the session", async () => {
    const session = await connected();
    const poll = new RawHttp(server.url);
    await poll.write(`GET ${session.path} HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n\r\n`);
    poll.close();
    await gone(session);
  });

  it("a post over the limit gets 413, and the session goes on", async () => {
    const session = await connected();
    const post = new RawHttp(server.url);
    let status = await post.expect(session.path, LIMIT + 1);
    if (status === 100) {
      await post.write("a".repeat(LIMIT + 1));
      status = await post.status();
    }
    assert.equal(status, 413);
    post.close();
    assert.equal((await session.post("3")).status, 200);
  });

  it("a post of chunks over the limit gets 413, and the session goes on", async () => {
    const session = await connected();
    const post = new RawHttp(server.url);
    await post.write(`POST ${session.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n`);
    const chunk = `3e8\r\n${"a".repeat(1_000)}\r\n`;
    for (let sent = 0; sent <= LIMIT && !post.received && !post.over; sent += 1_000) await post.write(chunk);
    assert.equal(await post.status(), 413);
    post.close();
    assert.equal((await session.post("3")).status, 200);
  });
});

describe("WebSocket", () => {
  const frames = {
    "a text that is no UTF-8": [1007, (socket) => socket.send(Buffer.from([0x34, 0xff, 0xfe]), { binary: false })],
    "a frame without a mask": [1002, (socket) => socket.send("3", { mask: false })],
    "a message over the limit": [1009, (socket) => socket.send(`4${"a".repeat(LIMIT)}`)],
  };
  for (const [what, [code, send]] of Object.entries(frames)) {
    it(`${what} closes a WebSocket with ${code}`, async () => {
      const socket = await server.raw("alice");
      send(socket);
      assert.equal((await socket.end()).code, code);
    });
  }

  it("a message of 1,024 fragments is taken, one of more is not", async () => {
    const socket = await server.raw("alice");
    const fragments = (count) => {
      socket.send("42[", { fin: false });
      for (let i = 2; i < count; i++) socket.send(" ", { fin: false });
      socket.send('"x"]', { fin: true });
    };
    fragments(1_024);
    assert.equal(await socket.controlPing("alive"), "alive");
    fragments(1_025);
    await socket.end();
  });
});
