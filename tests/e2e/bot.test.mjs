// The bot: when it is asked, what it is sent, and who hears what becomes of it.
import assert from "node:assert/strict";
import http from "node:http";
import { after, afterEach, before, describe, it } from "node:test";
import { Admin, GUILD, IN_GUILD, IN_OTHER } from "./lib/admin.mjs";
import { Queue } from "./lib/deadline.mjs";

const TS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const BOT = { id: "bot", name: "slimy.ai", role: "bot", color: "#22c55e" };
const SYSTEM = { id: "system", name: "Slime Chat", role: "bot", color: "#22c55e" };
const NOT_CONFIGURED = "OpenAI integration is not configured yet, but your message was received.";
const NOTHING_SAID = "I'm not sure how to reply just yet, but I'm listening.";
const UNREACHABLE = "We couldn't reach slimy.ai right now. Try again shortly.";
const KEY = "sk-e2e-key-that-must-not-be-logged";
const SESSIONS = { alice: IN_GUILD, bob: IN_GUILD, carol: IN_GUILD, olga: IN_OTHER };

let server;
const useServer = (options) => {
  before(async () => {
    const { args = [], env } = options?.() ?? {};
    server = await Admin.start({ sessions: SESSIONS, args: ["--chat-rate", "1000/1s", ...args], env });
  });
  after(() => server.stop());
  afterEach(() => server.closeClients());
};

/** Checks a bot's message field by field, in the order of the keys. */
function assertReply(message, { messageId, text, adminOnly = false, guildId = GUILD }) {
  assert.match(message.ts, TS);
  const expected = { messageId: `${messageId}-bot`, guildId, adminOnly, text, ts: message.ts, from: BOT };
  assert.equal(JSON.stringify(message), JSON.stringify(expected));
}

function assertFailed(message, messageId) {
  const { ts, ...rest } = message;
  assert.match(ts, TS);
  assert.deepEqual(rest, {
    messageId: `${messageId}-bot-error`,
    guildId: GUILD,
    text: UNREACHABLE,
    from: SYSTEM,
    error: "bot_unavailable",
  });
}

describe("without a key", () => {
  useServer();

  const asked = [
    ["requestBot", { text: "hello", requestBot: true }],
    ["@slimy", { text: "@slimy hello" }],
    ["@slimy.ai", { text: "hello @slimy.ai" }],
    ["@SLIMY.AI", { text: "hey @SLIMY.AI, you" }],
    ["@Slimy with requestBot false", { text: "@Slimy?", requestBot: false }],
  ];
  for (const [what, payload] of asked) {
    it(`${what} is answered to the guild, after the message`, async () => {
      const [alice, bob, root] = [await server.connect("alice"), await server.connect("bob"), await server.connect("root", "admin")];
      const { messageId } = await alice.say({ guildId: GUILD, ...payload });
      for (const client of [alice, bob, root]) {
        assert.equal((await client.messages.next()).messageId, messageId);
        assertReply(await client.messages.next(), { messageId, text: NOT_CONFIGURED });
      }
    });
  }

  for (const text of ["slimy hello", "hello slimy.ai", "@ slimy", "mail to a@b.c"]) {
    it(`${text} is not for the bot`, async () => {
      const alice = await server.connect("alice");
      await alice.say({ text, guildId: GUILD });
      await alice.say({ text: "asked", guildId: GUILD, requestBot: true });
      assert.deepEqual((await alice.messages.take(3)).map((message) => message.text), [text, "asked", NOT_CONFIGURED]);
    });
  }

  it("the answer to an admin-only message stays with the admins", async () => {
    const [root, second] = [await server.connect("root", "admin"), await server.connect("second", "admin")];
    const alice = await server.connect("alice");
    const { messageId } = await root.say({ text: "@slimy", guildId: GUILD, adminOnly: true });
    for (const client of [root, second]) {
      assert.equal((await client.messages.next()).adminOnly, true);
      assertReply(await client.messages.next(), { messageId, text: NOT_CONFIGURED, adminOnly: true });
    }
    await root.say({ text: "public", guildId: GUILD });
    assert.equal((await alice.messages.next()).text, "public");
  });

  it("the answer stays in the guild", async () => {
    const [alice, olga, root] = [await server.connect("alice"), await server.connect("olga"), await server.connect("root", "admin")];
    await alice.say({ text: "@slimy", guildId: GUILD });
    await alice.messages.take(2);
    await root.say({ text: "elsewhere", guildId: IN_OTHER.guilds[0].id });
    assert.equal((await olga.messages.next()).text, "elsewhere");
  });

  it("a refused message asks nobody", async () => {
    const alice = await server.connect("alice");
    await alice.say({ text: "@slimy", guildId: GUILD, adminOnly: true });
    await alice.say({ text: "next", guildId: GUILD });
    assert.equal((await alice.messages.next()).text, "next");
  });
});

/** An OpenAI-compatible endpoint: each question waits in `questions` until the test answers it. */
class Endpoint {
  questions = new Queue("a question to the endpoint");

  async start() {
    this.server = http.createServer((request, response) => {
      let body = "";
      request.setEncoding("utf8").on("data", (text) => (body += text));
      request.on("end", () => this.questions.push({ request, body, response }));
    });
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${this.server.address().port}/v1`;
    return this;
  }

  stop() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }
}

const send = ({ response }, status, body) => {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
};
const completion = (content) => ({
  id: "c1",
  object: "chat.completion",
  choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
});

let endpoint;
const useEndpoint = (...args) => {
  before(async () => (endpoint = await new Endpoint().start()));
  after(() => endpoint.stop());
  useServer(() => ({
    args: ["--openai-base-url", endpoint.url, "--openai-model", "slime-1", ...args],
    env: { OPENAI_API_KEY: KEY },
  }));
};

describe("with an endpoint", () => {
  useEndpoint();

  it("is sent exactly what the contract says, and its answer is broadcast", async () => {
    const [alice, bob] = [await server.connect("alice"), await server.connect("bob")];
    const { messageId } = await alice.say({ text: "@slimy what is slime?", guildId: GUILD });
    const question = await endpoint.questions.next();
    assert.equal(question.request.method, "POST");
    assert.equal(question.request.url, "/v1/chat/completions");
    assert.equal(question.request.headers.authorization, `Bearer ${KEY}`);
    assert.match(question.request.headers["content-type"], /^application\/json/);
    const { messages, ...rest } = JSON.parse(question.body);
    assert.equal(rest.model, "slime-1");
    assert.equal(rest.max_tokens, 180);
    assert.ok(Math.abs(rest.temperature - 0.7) < 1e-6);
    assert.deepEqual(messages.map(({ role }) => role), ["system", "user"]);
    assert.ok(messages[0].content.includes("Slime HQ") || messages[0].content.includes(GUILD), messages[0].content);
    assert.equal(messages[1].content, "@slimy what is slime?");
    send(question, 200, completion(" Goo. "));
    for (const client of [alice, bob]) {
      await client.messages.next();
      const reply = await client.messages.next();
      assert.equal(reply.text.trim(), "Goo.");
      assertReply(reply, { messageId, text: reply.text });
    }
  });

  it("does not hold up what the sender does next", async () => {
    const alice = await server.connect("alice");
    await alice.say({ text: "slow", guildId: GUILD, messageId: "slow", requestBot: true });
    const question = await endpoint.questions.next();
    assert.equal((await alice.say({ text: "meanwhile", guildId: GUILD })).ok, true);
    assert.deepEqual((await alice.messages.take(2)).map(({ text }) => text), ["slow", "meanwhile"]);
    send(question, 200, completion("done"));
    assertReply(await alice.messages.next(), { messageId: "slow", text: "done" });
  });

  for (const [what, content] of [["empty", ""], ["blank", " \n "]]) {
    it(`an ${what} answer becomes a sentence`, async () => {
      const alice = await server.connect("alice");
      const { messageId } = await alice.say({ text: "@slimy", guildId: GUILD });
      send(await endpoint.questions.next(), 200, completion(content));
      await alice.messages.next();
      assertReply(await alice.messages.next(), { messageId, text: NOTHING_SAID });
    });
  }

  const failures = [
    ["status 500", (question) => send(question, 500, { error: { message: KEY } })],
    ["status 401", (question) => send(question, 401, { error: {} })],
    ["status 429", (question) => send(question, 429, { error: {} })],
    ["what is no JSON", (question) => send(question, 200, "<html>")],
    ["JSON of another shape", (question) => send(question, 200, { choices: "none" })],
    ["a cut connection", ({ response }) => response.socket.destroy()],
  ];
  for (const [what, fail] of failures) {
    it(`after ${what} only the asking socket is told`, async () => {
      const [alice, twin, bob] = [await server.connect("alice"), await server.connect("alice"), await server.connect("bob")];
      const { messageId } = await alice.say({ text: "@slimy", guildId: GUILD });
      fail(await endpoint.questions.next());
      await alice.messages.next();
      assertFailed(await alice.messages.next(), messageId);
      await bob.say({ text: "next", guildId: GUILD });
      for (const client of [twin, bob]) {
        assert.deepEqual((await client.messages.take(2)).map(({ text }) => text), ["@slimy", "next"]);
      }
    });
  }

  it("one question per user is open: another fails at once, another user's does not", async () => {
    const [alice, twin, bob] = [await server.connect("alice"), await server.connect("alice"), await server.connect("bob")];
    await alice.say({ text: "first", guildId: GUILD, messageId: "first", requestBot: true });
    const first = await endpoint.questions.next();
    await twin.say({ text: "second", guildId: GUILD, messageId: "second", requestBot: true });
    await twin.messages.take(2);
    assertFailed(await twin.messages.next(), "second");
    await bob.say({ text: "third", guildId: GUILD, messageId: "third", requestBot: true });
    const third = await endpoint.questions.next();
    assert.match(third.body, /third/);
    send(third, 200, completion("to bob"));
    send(first, 200, completion("to alice"));
    const heard = await alice.messages.take(5);
    const ids = heard.map(({ messageId }) => messageId).sort();
    assert.deepEqual(ids, ["first", "first-bot", "second", "third", "third-bot"]);
    assert.deepEqual(alice.messages.waiting, []);
    // Answered, so the user may ask again.
    await alice.say({ text: "again", guildId: GUILD, messageId: "again", requestBot: true });
    send(await endpoint.questions.next(), 200, completion("yes"));
    assert.equal((await alice.messages.next()).messageId, "again");
    assertReply(await alice.messages.next(), { messageId: "again", text: "yes" });
  });

  it("never writes the key into the log", () => {
    assert.ok(!(server.program.stdout + server.program.stderr).includes(KEY));
  });
});

describe("an endpoint that hangs", () => {
  useEndpoint("--openai-timeout-ms", "300");

  it("is given up after the timeout", async () => {
    const [alice, bob] = [await server.connect("alice"), await server.connect("bob")];
    const { messageId } = await alice.say({ text: "@slimy", guildId: GUILD });
    await endpoint.questions.next();
    await alice.messages.next();
    assertFailed(await alice.messages.next(2_000), messageId);
    await alice.say({ text: "next", guildId: GUILD });
    assert.deepEqual((await bob.messages.take(2)).map(({ text }) => text), ["@slimy", "next"]);
  });
});

describe("more questions than the node keeps open", () => {
  useEndpoint("--bot-max-open", "1");

  it("fail at once, for the asking socket only", async () => {
    const [alice, bob, carol] = [await server.connect("alice"), await server.connect("bob"), await server.connect("carol")];
    await alice.say({ text: "one", guildId: GUILD, messageId: "one", requestBot: true });
    const open = await endpoint.questions.next();
    await bob.say({ text: "two", guildId: GUILD, messageId: "two", requestBot: true });
    await bob.messages.take(2);
    assertFailed(await bob.messages.next(), "two");
    send(open, 200, completion("yes"));
    const heard = await carol.messages.take(3);
    assert.deepEqual(heard.map(({ messageId }) => messageId), ["one", "two", "one-bot"]);
  });
});

describe("an endpoint that nobody serves", () => {
  useServer(() => ({ args: ["--openai-base-url", "http://127.0.0.1:9/v1"], env: { OPENAI_API_KEY: KEY } }));

  it("fails for the asking socket", async () => {
    const alice = await server.connect("alice");
    const { messageId } = await alice.say({ text: "@slimy", guildId: GUILD });
    await alice.messages.next();
    assertFailed(await alice.messages.next(), messageId);
  });
});
