// The examples of one file each, run as their first line says, with the stock client.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { io } from "socket.io-client";
import { within } from "./lib/deadline.mjs";
import { EXAMPLES, Program } from "./lib/program.mjs";

/** A running example and its clients. */
class Example {
  #clients = [];

  constructor(name) {
    this.name = name;
  }

  async start() {
    this.program = new Program(path.join(EXAMPLES, this.name), [], { ADDRESS: "127.0.0.1:0" });
    this.url = await this.program.listening();
  }

  /** A connected client, or the error with which it was refused. */
  async client(namespace, auth) {
    const socket = io(this.url + namespace, { auth, forceNew: true, reconnection: false });
    this.#clients.push(socket);
    const connected = new Promise((resolve) => {
      socket.on("connect", () => resolve(socket));
      socket.on("connect_error", resolve);
    });
    return within(connected, "an answer to CONNECT");
  }

  stop() {
    this.#clients.forEach((client) => client.disconnect());
    return this.program.stop();
  }
}

const ask = (socket, ...event) => within(socket.emitWithAck(...event), `the answer to ${event[0]}`);
const hear = (socket, event) => within(new Promise((resolve) => socket.once(event, resolve)), event);

function example(name, tests) {
  describe(name, () => {
    const running = new Example(name);
    before(() => running.start());
    after(() => running.stop());
    tests(running);
  });
}

example("quickstart", (server) => {
  it("lets in who knows the password, and tells everyone what one says", async () => {
    const refused = await server.client("/", { name: "eve", password: "sesame" });
    assert.equal(refused.message, "not_authorized");
    const auth = { password: "open sesame" };
    const ann = await server.client("/", { ...auth, name: "ann" });
    const bob = await server.client("/", { ...auth, name: "bob" });
    const heard = Promise.all([hear(ann, "said"), hear(bob, "said")]);
    assert.deepEqual(await ask(ann, "say", "hello"), { heard: 2 });
    assert.deepEqual(await heard, Array(2).fill({ from: "ann", text: "hello" }));
    assert.deepEqual(await ask(ann, "say", ""), { code: "empty", error: "say something" });
    assert.equal((await ask(ann, "say", 5)).code, "invalid_payload");
  });
});

example("axum-mount", (server) => {
  it("tells clients what the host's own routes do", async () => {
    const ann = await server.client("/");
    const order = hear(ann, "order");
    const answer = await fetch(`${server.url}/orders`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ item: "tea" }),
    });
    assert.equal(answer.status, 201);
    assert.deepEqual(await order, { item: "tea" });
  });
});

example("custom-authenticator", (server) => {
  it("knows users by their keys", async () => {
    const ann = await server.client("/", { key: "k-ann-1" });
    assert.deepEqual(await ask(ann, "whoami"), { user: "ann", role: "admin" });
    for (const auth of [undefined, {}, { key: "k-eve" }, { key: 5 }]) {
      assert.equal((await server.client("/", auth)).message, "not_authorized");
    }
  });

  it("keeps a namespace for administrators", async () => {
    const ann = await server.client("/admin", { key: "k-ann-1" });
    assert.equal((await ask(ann, "whoami")).role, "admin");
    const bob = await server.client("/admin", { key: "k-bob-1" });
    assert.equal(bob.message, "administrators only");
    assert.deepEqual(bob.data, { code: "not_admin" });
  });
});

example("multi-tenant-namespaces", (server) => {
  it("keeps tenants apart", async () => {
    const ann = await server.client("/tenants/acme", { user: "ann", tenant: "acme" });
    const bob = await server.client("/tenants/bolt", { user: "bob", tenant: "bolt" });
    const heard = [];
    bob.on("note", (note) => heard.push(note));
    const note = hear(ann, "note");
    assert.equal(await ask(ann, "note", "first"), 1);
    assert.deepEqual(await note, { tenant: "acme", from: "ann", text: "first" });
    assert.equal(await ask(bob, "note", "other"), 1, "counted by tenant");
    assert.deepEqual(heard, [{ tenant: "bolt", from: "bob", text: "other" }]);
    const eve = await server.client("/tenants/acme", { user: "eve", tenant: "bolt" });
    assert.equal(eve.message, "you do not belong to this tenant");
    assert.deepEqual(eve.data, { code: "wrong_tenant", tenant: "acme" });
    assert.equal((await server.client("/elsewhere", {})).message, "Invalid namespace");
  });
});

example("rooms-and-acks", (server) => {
  it("knows who is in a room, and asks them", async () => {
    const names = ["ann", "bob", "cy"];
    const [ann, bob, cy] = await Promise.all(names.map((name) => server.client("/", { name })));
    assert.deepEqual(await ask(ann, "join", "kitchen"), { members: ["ann"] });
    const joined = hear(ann, "joined");
    assert.deepEqual(await ask(bob, "join", "kitchen"), { members: ["ann", "bob"] });
    assert.deepEqual(await joined, { room: "kitchen", name: "bob" });
    await ask(cy, "join", "kitchen");
    ann.on("vote?", (question, answer) => answer(question === "Tea?"));
    bob.on("vote?", (_question, answer) => answer(false));
    // cy says nothing.
    const votes = ask(ann, "vote", "kitchen", "Tea?");
    assert.deepEqual(await ask(ann, "join", "hall"), { members: ["ann"] }, "the vote holds up nothing");
    assert.deepEqual(await votes, { yes: 1, no: 1, silent: 1 });
    const closed = Promise.all([ann, bob, cy].map((client) => hear(client, "closed")));
    ann.emit("close", "kitchen");
    assert.deepEqual(await closed, Array(3).fill("kitchen"));
    assert.deepEqual(await ask(bob, "join", "kitchen"), { members: ["bob"] });
    assert.equal((await ask(bob, "join", "")).code, "invalid_payload");
  });
});

describe("what the conformance kit proves", () => {
  for (const name of ["custom-session-store", "custom-broker"]) {
    it(name, { timeout: 60_000 }, async (t) => {
      const folder = mkdtempSync(path.join(tmpdir(), "examples-"));
      t.after(() => rmSync(folder, { recursive: true }));
      const program = new Program(path.join(EXAMPLES, name), [], { TMPDIR: folder });
      const { code } = await within(program.exited, "the report", 50_000);
      assert.equal(code, 0, program.stdout + program.stderr);
      assert.match(program.stdout, /^\w+: \d\d clauses hold, \d+ do not apply$/m);
    });
  }
});
