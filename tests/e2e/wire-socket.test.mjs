// Socket.IO v5 by hand: connecting, namespaces, events, acks, binary, and everything that closes.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { eventually } from "./lib/deadline.mjs";
import { startSuite } from "./lib/program.mjs";
import { Polling, RawSocket, SID } from "./lib/wire.mjs";

let suite;
let socket;
before(async () => (suite = await startSuite("socket")));
after(() => suite.stop());
afterEach(() => socket?.close());

const engine = async (options) => (socket = await RawSocket.engine(suite, options));
/** Connected in `/`, its `auth` event read. */
const main = async () => {
  socket = await RawSocket.connected(suite, { welcome: 1 });
  assert.deepEqual(socket.welcome, ['42["auth",{}]']);
  return socket;
};
const sendAll = (frames) => frames.forEach((frame) => socket.send(frame));

describe("connecting", () => {
  const cases = [
    // [CONNECT, start of the reply, the auth event]
    ["40", "40", '42["auth",{}]'],
    ["40{}", "40", '42["auth",{}]'],
    ['40{"token":"123"}', "40", '42["auth",{"token":"123"}]'],
    ['40/,{"token":"123"}', "40", '42["auth",{"token":"123"}]'],
    ["40/custom,", "40/custom,", '42/custom,["auth",{}]'],
    ["40/custom", "40/custom,", '42/custom,["auth",{}]'],
    ['40/custom,{"token":"abc"}', "40/custom,", '42/custom,["auth",{"token":"abc"}]'],
    ['40{"é":{"😀":[1,2.5,null,true,"\\"\\\\"]}}', "40", '42["auth",{"é":{"😀":[1,2.5,null,true,"\\"\\\\"]}}]'],
  ];
  for (const [connect, start, auth] of cases) {
    it(connect, async () => {
      await engine();
      socket.send(connect);
      const reply = await socket.next();
      assert.ok(reply.startsWith(`${start}{`), reply);
      const { sid, ...rest } = JSON.parse(reply.slice(start.length));
      assert.deepEqual(rest, {});
      assert.match(sid, SID);
      assert.notEqual(sid, socket.handshake.sid, "the Engine.IO id is a credential");
      assert.equal(await socket.next(), auth);
    });
  }

  for (const name of ["/random", "/customs", "/CUSTOM", "/custom/", "/é"]) {
    for (const end of ["", ",", ",{}"]) {
      it(`40${name}${end} names no namespace, and the transport stays open`, async () => {
        await engine();
        socket.send(`40${name}${end}`);
        assert.equal(await socket.next(), `44${name},{"message":"Invalid namespace"}`);
        socket.send("40");
        assert.match(await socket.next(), /^40\{"sid":"/);
      });
    }
  }

  it("two namespaces have two ids", async () => {
    await main();
    socket.send("40/custom,");
    const reply = await socket.next();
    assert.notEqual(JSON.parse(reply.slice(10)).sid, socket.connection.sid);
  });

  it("over polling the reply and the event come in one payload or two", async () => {
    const session = await Polling.open(suite);
    assert.deepEqual((await session.post("40")).body, "ok");
    const [reply, auth] = await session.packets(2);
    assert.match(reply, /^40\{"sid":"[A-Za-z0-9_-]{20}"\}$/);
    assert.equal(auth, '42["auth",{}]');
  });

  it("over polling a CONNECT has at most 64 KiB, a later event the usual limit", async () => {
    const session = await Polling.open(suite);
    const connect = (length) => `40{"token":"${"a".repeat(length)}"}`;
    assert.equal((await session.post(connect(65_536))).status, 413);
    assert.equal((await session.post(connect(60_000))).body, "ok");
    assert.match((await session.packets(2))[0], /^40\{"sid":/);
    const text = "a".repeat(900_000);
    assert.equal((await session.post(`42["message","${text}"]`)).body, "ok");
    assert.deepEqual(await session.packets(1), [`42["message-back","${text}"]`]);
  });

  it("over WebSocket too, and the connection ends", async () => {
    await engine();
    socket.send(`40{"token":"${"a".repeat(65_536)}"}`);
    assert.equal((await socket.end(900)).code, 1009);
    await engine();
    socket.send(`40{"token":"${"a".repeat(60_000)}"}`);
    assert.match(await socket.next(), /^40\{"sid":/);
  });

  it("over polling, then the upgrade with a large event right behind it", async () => {
    const session = await Polling.open(suite);
    await session.post("40");
    await session.packets(2);
    socket = await RawSocket.probe(suite, session);
    const text = "a".repeat(500_000);
    for (const frame of ["5", `42["message","${text}"]`, '42["message","next"]']) socket.send(frame);
    assert.equal(await socket.next(), `42["message-back","${text}"]`);
    assert.equal(await socket.next(), '42["message-back","next"]');
  });

  it("nobody who connects nowhere stays longer than a second", async () => {
    const begin = Date.now();
    await engine();
    await socket.end();
    const lived = Date.now() - begin;
    assert.ok(lived >= 900 && lived <= 3_000, `${lived} ms`);
  });
});

describe("disconnecting", () => {
  it("from / leaves the transport open", async () => {
    await main();
    socket.close();
    socket = await RawSocket.connected(suite, { welcome: 1, answerPings: false });
    socket.send("41");
    assert.equal(await socket.next(), "2");
    assert.equal(socket.open, true);
  });

  it("from / one can come back, with another id", async () => {
    await main();
    sendAll(["41", "40"]);
    const { sid } = JSON.parse((await socket.next()).slice(2));
    assert.notEqual(sid, socket.connection.sid);
  });

  for (const leave of ["41/custom", "41/custom,"]) {
    it(`${leave} leaves / alone`, async () => {
      await main();
      socket.send("40/custom");
      await socket.frames.take(2);
      sendAll([leave, '42["message","message to main namespace"]']);
      assert.equal(await socket.next(), '42["message-back","message to main namespace"]');
    });
  }
});

describe("events and acks", () => {
  const deep = `${"[".repeat(100)}${"]".repeat(100)}`;
  const exchanges = [
    ['42["message"]', '42["message-back"]'],
    ['42["message",1,"2",{"3":[true]}]', '42["message-back",1,"2",{"3":[true]}]'],
    ['42/,["message",1]', '42["message-back",1]'],
    ['42["message","é€😀"]', '42["message-back","é€😀"]'],
    ['42["message","\\ud800"]', '42["message-back","\\ud800"]'],
    ['42["message",[],{},"",0,-1.5,null,false]', '42["message-back",[],{},"",0,-1.5,null,false]'],
    [`42["message",${deep}]`, `42["message-back",${deep}]`],
    ['42["message","],{\\"[1-"]', '42["message-back","],{\\"[1-"]'],
    ['42456["message-with-ack",1,"2",{"3":[false]}]', '43456[1,"2",{"3":[false]}]'],
    ['420["message-with-ack"]', "430[]"],
    ['429007199254740991["message-with-ack",1]', "439007199254740991[1]"],
  ];
  for (const [sent, expected] of exchanges) {
    it(sent.length < 80 ? sent : "100 levels deep", async () => {
      await main();
      socket.send(sent);
      assert.equal(await socket.next(), expected);
    });
  }

  const ignored = {
    "an event that nobody handles": '42["nobody",1]',
    "an event whose name is a number": '42[1,"x"]',
    "an ack that nobody waits for": "4399[1]",
    "an ack with no argument": "4399[]",
    "an event with the name of a method": '42["constructor"]',
  };
  for (const [what, frame] of Object.entries(ignored)) {
    it(`${what} is ignored`, async () => {
      await main();
      sendAll([frame, '42["message","next"]']);
      assert.equal(await socket.next(), '42["message-back","next"]');
    });
  }
});

describe("binary", () => {
  const holder = (num) => `{"_placeholder":true,"num":${num}}`;
  const [one, two] = [Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6])];

  const exchanges = [
    [[`451-["message",${holder(0)}]`, one], [`451-["message-back",${holder(0)}]`, one]],
    [[`452-["message",${holder(0)},${holder(1)}]`, one, two], [`452-["message-back",${holder(0)},${holder(1)}]`, one, two]],
    [[`452-789["message-with-ack",${holder(0)},${holder(1)}]`, one, two], [`462-789[${holder(0)},${holder(1)}]`, one, two]],
    [[`451-["message",{"a":[${holder(0)}]},1]`, Buffer.alloc(0)], [`451-["message-back",{"a":[${holder(0)}]},1]`, Buffer.alloc(0)]],
    [[`451-1["message-with-ack","x",${holder(0)}]`, one], [`461-1["x",${holder(0)}]`, one]],
  ];
  for (const [sent, expected] of exchanges) {
    it(sent[0], async () => {
      await main();
      sendAll(sent);
      assert.deepEqual(await socket.frames.take(expected.length), expected);
    });
  }

  it("ten attachments", async () => {
    await main();
    const holders = Array.from({ length: 10 }, (_, i) => holder(i)).join();
    const bytes = Array.from({ length: 10 }, (_, i) => Buffer.from([i]));
    sendAll([`4510-["message",${holders}]`, ...bytes]);
    assert.deepEqual(await socket.frames.take(11), [`4510-["message-back",${holders}]`, ...bytes]);
  });

  it("over polling", async () => {
    const session = await Polling.open(suite);
    await session.post("40");
    await session.packets(2);
    await session.post(`451-["message",${holder(0)}]\x1ebAQID`);
    assert.deepEqual(await session.packets(2), [`451-["message-back",${holder(0)}]`, "bAQID"]);
  });
});

describe("what closes the connection", () => {
  const holder = '{"_placeholder":true,"num":0}';
  const bytes = Buffer.from([1]);
  const nested = (depth) => `${"[".repeat(depth)}${"]".repeat(depth)}`;

  const closing = {
    "an unknown type": ["4abc"],
    "type 7": ["47"],
    "no type": ["4"],
    "a CONNECT_ERROR from a client": ['44{"message":"x"}'],
    "attachments without a number": ['45-["message"]'],
    "attachments that are no integer": [`451.5-["message",${holder}]`, bytes],
    "attachments that are a word": ['45x-["message"]'],
    "attachments without a dash": ['451["message"]'],
    "no attachment in a binary event": ['450-["message"]'],
    "eleven attachments": [`4511-["message",${holder}]`],
    "text while binary is awaited": [`451-["message",${holder}]`, '42["message"]'],
    "binary that nobody announced": [bytes],
    "binary after the last attachment": [`451-["message",${holder}]`, bytes, bytes],
    "a placeholder number that is a string": ['451-["message",{"_placeholder":true,"num":"0"}]', bytes],
    "a placeholder number out of range": ['451-["message",{"_placeholder":true,"num":1}]', bytes],
    "a negative placeholder number": ['451-["message",{"_placeholder":true,"num":-1}]', bytes],
    "a placeholder without a number": ['451-["message",{"_placeholder":true}]', bytes],
    "CONNECT with a list": ["40/custom,[]"],
    "CONNECT with a string": ['40/custom,"x"'],
    "CONNECT with broken JSON": ["40/custom,{"],
    "a second CONNECT": ["40"],
    "a second CONNECT with a payload": ['40{"token":"x"}'],
    "DISCONNECT with a payload": ["41{}"],
    "DISCONNECT with an argument": ['41["x"]'],
    "an event that is an object": ["42{}"],
    "an event that is a string": ['42"message"'],
    "an event without a payload": ["42"],
    "an empty event": ["42[]"],
    "an event named null": ["42[null]"],
    "an event named true": ["42[true]"],
    "an event named by an object": ["42[{}]"],
    "an event named by a list": ['42[["message"]]'],
    "an ack that is an object": ["431{}"],
    "an ack without a payload": ["431"],
    "an ack id that is no number": ['42abc["message-with-ack",1,"2",{"3":[false]}]'],
    "an ack id above 2^53 - 1": ['429007199254740992["message-with-ack",1]'],
    "an ack id of fifty digits": [`42${"9".repeat(50)}["message-with-ack",1]`],
    "JSON that stops": ['42["message"'],
    "JSON with something behind": ['42["message"]]'],
    "JSON nested 129 deep": [`42["message",${nested(129)}]`],
    "JSON nested 100,000 deep": [`42["message",${nested(100_000)}]`],
    "an event for a namespace not joined": ['42/custom,["message"]'],
    "an ack for a namespace not joined": ["43/custom,1[]"],
    "a DISCONNECT from a namespace not joined": ["41/custom,"],
    "an event after DISCONNECT": ["41", '42["message"]'],
  };
  for (const name of ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]) {
    closing[`an event with the reserved name ${name}`] = [`42["${name}"]`];
    closing[`a binary event with the reserved name ${name}`] = [`451-["${name}",${holder}]`, bytes];
  }
  for (const [what, frames] of Object.entries(closing)) {
    it(what, async () => {
      await main();
      sendAll(frames);
      await socket.end();
      assert.ok(!socket.frames.waiting.some((frame) => frame === '42["message-back"]'), "nothing was answered");
    });
  }

  it("an event before any CONNECT", async () => {
    await engine();
    socket.send('42["message"]');
    await socket.end(900); // before the connect timeout could be the reason
  });

  it("the same over polling: the session is over", async () => {
    const session = await Polling.open(suite);
    await session.post("40");
    await session.packets(2);
    await session.post("42[]").catch(() => {});
    // A close packet may come first.
    await eventually(async () => (await session.get()).status === 400, "the close", 250);
  });
});
