// Engine.IO v4 by hand: handshakes, HTTP errors, payloads, heartbeat, closing, upgrade.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { pause, within } from "./lib/deadline.mjs";
import { request } from "./lib/http.mjs";
import { startSuite } from "./lib/program.mjs";
import { Polling, RawSocket, SID, refusedUpgrade } from "./lib/wire.mjs";

const LIMIT = 1_000_000;
const ERRORS = ["Transport unknown", "Session ID unknown", "Bad handshake method", "Bad request", "Forbidden", "Unsupported protocol version"];
const error = (code) => ({ status: 400, body: JSON.stringify({ code, message: ERRORS[code] }) });
const unknown = { ...error(1) };

let echo;
let sockets = [];
before(async () => (echo = await startSuite("engine")));
after(() => echo.stop());
afterEach(() => {
  sockets.forEach((socket) => socket.close());
  sockets = [];
});

const keep = (socket) => {
  sockets.push(socket);
  return socket;
};
const opened = async (options) => keep(await RawSocket.engine(echo, options));
const ask = async (query, method = "GET", headers = {}) => {
  const { status, body } = await request(`${echo.url}/engine.io/${query}`, { method, headers });
  return { status, body };
};
const answer = async (promise) => {
  const { status, body } = await promise;
  return { status, body };
};

const probe = async (server, session) => keep(await RawSocket.probe(server, session));

describe("handshake", () => {
  const openPacket = (sid, upgrades) =>
    `{"sid":"${sid}","upgrades":${upgrades},"pingInterval":300,"pingTimeout":200,"maxPayload":${LIMIT}}`;

  it("over polling", async () => {
    const { status, headers, body } = await request(`${echo.url}/engine.io/?EIO=4&transport=polling`);
    assert.equal(status, 200);
    assert.equal(headers["content-type"].toLowerCase(), "text/plain; charset=utf-8");
    assert.equal(headers["cache-control"], "no-store");
    assert.equal(headers["set-cookie"], undefined);
    const { sid } = JSON.parse(body.slice(1));
    assert.match(sid, SID);
    assert.equal(body, `0${openPacket(sid, '["websocket"]')}`);
  });

  it("over WebSocket", async () => {
    const socket = keep(new RawSocket(echo));
    const open = await socket.next();
    const { sid } = JSON.parse(open.slice(1));
    assert.match(sid, SID);
    assert.equal(open, `0${openPacket(sid, "[]")}`);
  });

  it("gives every session another id", async () => {
    const sessions = await Promise.all(Array.from({ length: 20 }, () => Polling.open(echo)));
    assert.equal(new Set(sessions.map(({ sid }) => sid)).size, 20);
  });

  const refused = [
    // [query, method, code], in the order of the checks: each has later faults as well
    ["", "GET", 0],
    ["?EIO=4", "GET", 0],
    ["?EIO=4&transport=abc", "GET", 0],
    ["?EIO=4&transport=", "GET", 0],
    ["?EIO=4&transport=webtransport", "GET", 0],
    ["?EIO=4&transport=__proto__", "GET", 0],
    ["?transport=abc&sid=nope", "POST", 0],
    ["?EIO=4&transport=polling&sid=nope", "GET", 1],
    ["?EIO=4&transport=polling&sid=nope", "POST", 1],
    ["?EIO=4&transport=polling&sid=__proto__", "GET", 1],
    ["?EIO=4&transport=websocket&sid=nope", "GET", 1],
    ["?transport=polling&sid=nope", "PUT", 1],
    ["?EIO=4&transport=polling", "POST", 2],
    ["?EIO=4&transport=polling", "PUT", 2],
    ["?EIO=4&transport=polling", "DELETE", 2],
    ["?transport=websocket", "POST", 2],
    ["?EIO=4&transport=websocket", "GET", 3],
    ["?EIO=3&transport=websocket", "GET", 3],
    ["?transport=polling", "GET", 5],
    ["?EIO=abc&transport=polling", "GET", 5],
    ["?EIO=3&transport=polling", "GET", 5],
    ["?EIO=5&transport=polling", "GET", 5],
    ["?EIO=&transport=polling", "GET", 5],
  ];
  for (const [query, method, code] of refused) {
    it(`${method} ${query || "without a query"}: ${code} ${ERRORS[code]}`, async () => {
      const answer = await request(`${echo.url}/engine.io/${query}`, { method });
      assert.match(answer.headers["content-type"], /^application\/json/);
      assert.deepEqual({ status: answer.status, body: answer.body }, error(code));
    });
  }

  const upgrades = [
    [{ transport: "abc" }, 0],
    [{ sid: "nope" }, 1],
    [{ EIO: "abc" }, 5],
    [{ EIO: "3" }, 5],
  ];
  for (const [query, code] of upgrades) {
    it(`a WebSocket with ${JSON.stringify(query)}: ${ERRORS[code]}`, async () => {
      assert.deepEqual(await answer(refusedUpgrade(echo, { query })), { status: 400, body: ERRORS[code] });
    });
  }

  it("a known sid with another transport or another EIO is a bad request", async () => {
    const session = await Polling.open(echo);
    assert.deepEqual(await ask(`?EIO=4&transport=websocket&sid=${session.sid}`), error(3));
    assert.deepEqual(await ask(`?EIO=3&transport=polling&sid=${session.sid}`), error(3));
    const socket = await opened();
    assert.deepEqual(await ask(`?EIO=4&transport=polling&sid=${socket.handshake.sid}`), error(3));
    socket.send("4alive");
    assert.equal(await socket.next(), "4alive");
  });

  it("allows every origin here", async () => {
    const { headers } = await request(`${echo.url}/engine.io/?EIO=4&transport=polling`, { headers: { origin: "https://a.example" } });
    assert.ok(["*", "https://a.example"].includes(headers["access-control-allow-origin"]));
  });
});

describe("messages", () => {
  const payloads = {
    "one text": ["4hello"],
    "three texts": ["4one", "4two", "4three"],
    "an empty text": ["4"],
    "text of every plane": ["4é€😀\u2028\0"],
    "text and binary": ["4hello", "bAQIDBA=="],
    "binary of every length": ["b", "bAQ==", "bAQI=", "bAQID"],
    "text that looks like something else": ["42probe", "4b", "40"],
  };
  for (const [what, packets] of Object.entries(payloads)) {
    it(`over polling: ${what}`, async () => {
      const session = await Polling.open(echo);
      const { status, headers, body } = await session.post(packets.join("\x1e"));
      assert.deepEqual({ status, body }, { status: 200, body: "ok" });
      assert.match(headers["content-type"], /^text\/html/);
      assert.equal(headers["cache-control"], "no-store");
      const poll = await session.get();
      assert.equal(poll.status, 200);
      assert.equal(poll.headers["content-type"].toLowerCase(), "text/plain; charset=utf-8");
      assert.equal(poll.headers["cache-control"], "no-store");
      assert.equal(poll.body, packets.join("\x1e"));
    });
  }

  it("over WebSocket, text and binary in order", async () => {
    const socket = await opened();
    const sent = ["4hello", Buffer.from([1, 2, 3, 4]), "4", "4é€😀\0", Buffer.alloc(0), Buffer.from([0xff]), "4end"];
    for (const data of sent) socket.send(data);
    assert.deepEqual(await socket.frames.take(sent.length), sent);
  });

  it("over WebSocket, in fragments", async () => {
    const socket = await opened();
    socket.send("4he", { fin: false });
    socket.send("l", { fin: false });
    socket.send("lo", { fin: true });
    assert.equal(await socket.next(), "4hello");
    assert.equal(await socket.controlPing("abc"), "abc");
  });

  it("up to the limit, over both", async () => {
    const largest = `4${"a".repeat(LIMIT - 1)}`;
    const session = await Polling.open(echo);
    assert.equal((await session.post(largest)).status, 200);
    assert.equal((await session.packets(1))[0], largest);
    const socket = await opened();
    socket.send(largest);
    assert.equal(await socket.next(), largest);
    socket.send(Buffer.alloc(LIMIT, 1));
    assert.equal((await socket.next()).length, LIMIT);
  });

  const broken = { "an unknown type": "abc", "nothing": "", "an empty packet": "4a\x1e\x1e4b", "a digit too high": "7", "a ping": "2" };
  for (const [what, packet] of Object.entries(broken)) {
    it(`${what} closes a polling session`, async () => {
      const session = await Polling.open(echo);
      // What the post is answered is left open; its connection may even be cut.
      await session.post(packet).catch(() => {});
      assert.deepEqual(await answer(session.get()), unknown);
    });

    if (what === "an empty packet") continue;
    it(`${what} closes a WebSocket`, async () => {
      const socket = await opened({ answerPings: false });
      socket.send(packet);
      await socket.end(250); // before a heartbeat could be the reason
    });
  }
});

describe("heartbeat", () => {
  it("over polling", async () => {
    const session = await Polling.open(echo);
    for (let i = 0; i < 3; i++) {
      assert.deepEqual(await answer(session.get()), { status: 200, body: "2" });
      assert.deepEqual(await answer(session.post("3")), { status: 200, body: "ok" });
    }
  });

  it("over WebSocket", async () => {
    const socket = await opened({ answerPings: false });
    for (let i = 0; i < 3; i++) {
      assert.equal(await socket.next(), "2");
      socket.send("3");
    }
  });

  it("without a pong a WebSocket is closed, not before 500 ms", async () => {
    const begin = Date.now();
    const socket = await opened({ answerPings: false });
    await socket.end();
    const lived = Date.now() - begin;
    assert.ok(lived >= 450 && lived <= 2_000, `${lived} ms`);
  });

  it("without a pong a polling session is closed, and a poll that hangs is let go", async () => {
    const session = await Polling.open(echo);
    assert.equal((await session.get()).body, "2");
    const hanging = await answer(session.get()).catch(() => "cut");
    assert.notEqual(hanging.body, "2");
    assert.deepEqual(await answer(session.get()), unknown);
  });
});

describe("closing", () => {
  it("a polling session: the poll that hangs gets a noop", async () => {
    const session = await Polling.open(echo);
    const poll = answer(session.get());
    // They are two connections: the later request could overtake.
    await pause(50);
    assert.deepEqual(await answer(session.post("1")), { status: 200, body: "ok" });
    assert.deepEqual(await poll, { status: 200, body: "6" });
    assert.deepEqual(await answer(session.get()), unknown);
  });

  it("a WebSocket", async () => {
    const socket = await opened({ answerPings: false });
    socket.send("1");
    await socket.end(250);
    assert.deepEqual(await ask(`?EIO=4&transport=polling&sid=${socket.handshake.sid}`), unknown);
  });
});

describe("upgrade", () => {
  it("with a poll that hangs", async () => {
    const session = await Polling.open(echo);
    const socket = await probe(echo, session);
    assert.deepEqual(await answer(session.get()), { status: 200, body: "6" });
    socket.send("5");
    socket.send("4hello");
    assert.equal(await socket.next(), "4hello");
  });

  it("refuses HTTP with that sid afterwards", async () => {
    const session = await Polling.open(echo);
    const socket = await probe(echo, session);
    socket.send("5");
    socket.send("4hello");
    assert.equal(await socket.next(), "4hello");
    assert.deepEqual(await answer(session.get()), error(3));
    assert.deepEqual(await answer(session.post("4x")), error(3));
    socket.send("4again");
    assert.equal(await socket.next(), "4again");
  });

  it("closes a second WebSocket with that sid afterwards", async () => {
    const session = await Polling.open(echo);
    const socket = await probe(echo, session);
    socket.send("5");
    socket.send("4hello");
    assert.equal(await socket.next(), "4hello");
    const second = keep(new RawSocket(echo, { query: { sid: session.sid } }));
    await second.end();
    socket.send("4again");
    assert.equal(await socket.next(), "4again");
  });

  it("loses nothing that was on its way", async () => {
    const session = await Polling.open(echo);
    const socket = await probe(echo, session);
    await session.post("4before");
    assert.deepEqual(await session.packets(1), ["4before"]);
    await session.post("4pending");
    socket.send("5");
    assert.equal(await socket.next(), "4pending");
  });

  it("takes a large message right behind the 5", async () => {
    const session = await Polling.open(echo);
    const socket = await probe(echo, session);
    const large = `4${"a".repeat(500_000)}`;
    socket.send("5");
    socket.send(large);
    socket.send("4next");
    assert.equal(await socket.next(), large);
    assert.equal(await socket.next(), "4next");
  });

  const wrong = { "no probe": ["4hello"], "another word": ["2pro"], "a message after the probe": ["2probe", "4hello"] };
  for (const [what, frames] of Object.entries(wrong)) {
    it(`${what} closes the new transport only`, async () => {
      const session = await Polling.open(echo);
      const socket = keep(new RawSocket(echo, { query: { sid: session.sid } }));
      await within(socket.opened, "the second transport");
      frames.forEach((frame) => socket.send(frame));
      await socket.end();
      assert.equal((await session.post("4alive")).status, 200);
      assert.deepEqual(await session.packets(1), ["4alive"]);
    });
  }
});
