// How sessions end: every request is answered, nothing that was sent is lost, and a shutdown leaves nobody behind.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Admin, GUILD, IN_GUILD } from "./lib/admin.mjs";
import { eventually, pause, within } from "./lib/deadline.mjs";
import { RawHttp, request } from "./lib/http.mjs";
import { startSuite } from "./lib/program.mjs";
import { Polling, RawSocket } from "./lib/wire.mjs";

const UNKNOWN = 400;

describe("a POST that is on its way when its session ends", () => {
  let echo;
  before(async () => (echo = await startSuite("engine")));
  after(() => echo.stop());

  const ends = {
    // The suite's heartbeat: 300 ms until the ping, 200 ms for the pong.
    "by the heartbeat": () => pause(700),
    "by another POST": (session) => session.post("4other"),
    "by a second GET": (session) => Promise.all([session.get(), session.get()]),
    "by an aborted GET": async (session) => {
      const abort = new AbortController();
      const poll = session.get({ signal: abort.signal });
      setTimeout(() => abort.abort(), 50);
      await poll.catch(() => {});
    },
  };
  for (const [what, end] of Object.entries(ends)) {
    it(`${what} is answered with 400`, async (t) => {
      const session = await Polling.open(echo);
      const slow = new RawHttp(echo.url);
      t.after(() => slow.close());
      await slow.write(`POST ${session.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n4he`);
      await pause(50);
      await end(session);
      await eventually(async () => (await session.get()).status === UNKNOWN, "the end of the session");
      await slow.write("ll");
      assert.equal(await slow.status(), 400);
    });
  }
});

describe("requests that race with the end of their session", () => {
  let echo;
  before(async () => (echo = await startSuite("engine")));
  after(() => echo.stop());

  const ends = { "the client closes": "1", "a packet is invalid": "7" };
  for (const [what, last] of Object.entries(ends)) {
    it(`are all answered when ${what}`, async () => {
      for (let round = 0; round < 40; round++) {
        const session = await Polling.open(echo);
        const requests = [session.get(), session.post(last), session.get(), session.post("4late"), session.get()];
        const answers = await Promise.all(requests.map((answer) => within(answer, `an answer in round ${round}`, 3_000)));
        for (const { status } of answers) assert.ok(status === 200 || status === 400, `status ${status} in round ${round}`);
        assert.equal((await session.get()).status, UNKNOWN);
      }
    });
  }

  it("are all answered when the heartbeat ends it", async () => {
    // Posts without a pause, so that some are in every moment of the end.
    const posting = async (session, until) => {
      while (Date.now() < until) {
        const { status } = await within(session.post("4x"), "an answer", 3_000);
        if (status === UNKNOWN) return;
        assert.equal(status, 200);
      }
      throw new Error("the session did not end");
    };
    const sessions = await Promise.all(Array.from({ length: 20 }, () => Polling.open(echo)));
    await Promise.all(sessions.map((session) => posting(session, Date.now() + 4_000)));
  });
});

describe("an event right before the server closes", () => {
  let suite;
  before(async () => (suite = await startSuite("socket")));
  after(() => suite.stop());

  const connected = async () => {
    const session = await Polling.open(suite);
    await session.post("40");
    await session.packets(2);
    return session;
  };
  /** All packets until the session is over. */
  const rest = async (session, first) => {
    const found = [];
    for (let answer = await first; answer.status === 200; answer = await session.get()) found.push(...answer.body.split("\x1e"));
    return found.filter((packet) => packet !== "2" && packet !== "6");
  };

  it("comes with the poll that hangs, and the close with the next", async () => {
    for (let i = 0; i < 50; i++) {
      const session = await connected();
      const poll = session.get();
      await session.post(`42["bye",${i}]`);
      // The stock client forgets an event that comes in one answer with the close.
      assert.doesNotMatch((await poll).body, /\x1e1$/);
      assert.deepEqual(await rest(session, poll), [`42["last",${i}]`, "1"]);
    }
  });

  it("waits for the next poll", async () => {
    for (let i = 0; i < 50; i++) {
      const session = await connected();
      await session.post(`42["bye",${i}]`);
      assert.deepEqual(await rest(session, session.get()), [`42["last",${i}]`, "1"]);
    }
  });

  it("is whole, however large", async () => {
    const text = "a".repeat(900_000);
    const session = await connected();
    await session.post(`42["bye","${text}"]`);
    assert.deepEqual(await rest(session, session.get()), [`42["last","${text}"]`, "1"]);
    const socket = await RawSocket.connected(suite, { welcome: 1 });
    socket.send(`42["bye","${text}"]`);
    assert.equal(await socket.next(), `42["last","${text}"]`);
    await socket.end();
  });
});

describe("a shutdown", () => {
  const started = async (t, options) => {
    const server = await Admin.start({ sessions: { alice: IN_GUILD }, ...options });
    t.after(() => server.stop());
    return server;
  };
  const exits = (server, ms) =>
    within(server.program.exited, "the exit", ms).then((end) => assert.deepEqual(end, { code: 0, signal: null }));

  for (const moment of ["connect", "upgrading", "upgrade"]) {
    it(`at the moment of ${moment}: clients with polling and WebSocket come back by themselves`, async (t) => {
      const first = await started(t);
      const backoff = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 200 };
      const options = { cookie: first.cookie("alice"), transports: ["polling", "websocket"], ...backoff };
      const clients = Array.from({ length: 20 }, () => first.client(options));
      const reached = ({ socket }) =>
        new Promise((resolve) => {
          if (moment === "connect") socket.once("connect", resolve);
          else socket.io.once("open", () => socket.io.engine.once(moment, resolve));
        });
      await within(Promise.all(clients.map(reached)), moment);
      first.program.kill("SIGTERM");
      await exits(first, 5_000);
      const before = clients.map(({ history }) => history.length);
      const second = await started(t, { port: first.port });
      assert.equal(second.port, first.port);
      const back = ({ history }, i) => history.slice(before[i]).some(([event]) => event === "connect");
      await eventually(() => clients.every(back), "the return of all", 10_000).catch((error) => {
        const lost = clients.filter((client, i) => !back(client, i)).map(({ history }) => JSON.stringify(history));
        throw new Error(`${error.message}; not back: ${lost.join("\n")}`);
      });
      for (const client of clients.slice(0, 5)) assert.equal((await client.say({ text: "back", guildId: GUILD })).ok, true);
    });
  }

  it("does not wait for polling clients that are silent", async (t) => {
    const server = await started(t);
    const headers = { cookie: server.cookie("alice") };
    for (let i = 0; i < 5; i++) {
      await Polling.open(server, headers);
      await (await Polling.open(server, headers)).post("40");
      const heard = await Polling.open(server, headers);
      await heard.post("40");
      await heard.packets(1);
    }
    server.program.kill("SIGTERM");
    await exits(server, 5_000);
  });

  it("answers the polls that hang", async (t) => {
    const server = await started(t);
    const session = await Polling.open(server, { cookie: server.cookie("alice") });
    await session.post("40");
    await session.packets(1);
    const poll = session.get();
    await pause(50);
    server.program.kill("SIGTERM");
    assert.deepEqual({ status: (await poll).status, body: (await poll).body }, { status: 200, body: "1" });
    await exits(server, 5_000);
  });

  it("makes /api/ready answer 503 to who is still connected", async (t) => {
    const server = await started(t);
    assert.equal((await request(`${server.url}/api/ready`)).status, 204);
    const slow = new RawHttp(server.url);
    t.after(() => slow.close());
    await slow.write("GET /api/ready HTTP/1.1\r\nHost: 127.0.0.1\r\n");
    await pause(50);
    server.program.kill("SIGTERM");
    const refused = () => request(`${server.url}/api/live`).then(() => false, () => true);
    await eventually(refused, "the closed listener");
    await slow.write("\r\n");
    assert.equal(await slow.status(), 503);
    await exits(server, 10_000);
  });
});
