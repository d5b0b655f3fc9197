import assert from "node:assert/strict";
import { test } from "node:test";
import { io } from "socket.io-client";

const url = process.env.DESK_URL ?? "http://127.0.0.1:3090";
const codes = { agent: process.env.AGENT_CODE, guest: process.env.GUEST_CODE };

/** The next time that `event` comes. */
const next = (socket, event) => new Promise((resolve) => socket.once(event, resolve));

test("a guest and an agent talk", { timeout: 10_000 }, async (t) => {
  const agent = io(url, { auth: { name: "ada", code: codes.agent }, forceNew: true });
  const guest = io(url, { auth: { name: "gus", code: codes.guest }, forceNew: true });
  t.after(() => [agent, guest].forEach((socket) => socket.disconnect()));
  await Promise.all([next(agent, "connect"), next(guest, "connect")]);

  const opened = next(agent, "opened");
  const ticket = await guest.emitWithAck("open", { subject: "no tea" });
  assert.equal((await opened).id, ticket.id);
  await agent.emitWithAck("watch", ticket.id);

  const said = next(agent, "said");
  assert.equal(await guest.emitWithAck("say", { ticket: ticket.id, text: "help" }), true);
  assert.deepEqual(await said, { ticket: ticket.id, from: "gus", text: "help" });
});

test("who has no code stays out", { timeout: 10_000 }, async (t) => {
  const socket = io(url, { auth: { name: "eve", code: "guess" }, forceNew: true });
  t.after(() => socket.disconnect());
  const error = await next(socket, "connect_error");
  assert.equal(error.message, "not_authorized");
});
