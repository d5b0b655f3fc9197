import { expect, it } from "vitest";
import { isFinal, nextState, NOT_CONNECTED, type ConnectionEvent } from "./connection";

const after = (...events: ConnectionEvent[]) => events.reduce(nextState, NOT_CONNECTED);
const connected: ConnectionEvent = { type: "connected", recovered: false };

it("counts the connects", () => {
  expect(after({ type: "attempt" })).toEqual({ status: "connecting", epoch: 0, recovered: false });
  expect(after(connected)).toEqual({ status: "connected", epoch: 1, recovered: false });
  expect(after(connected, { type: "lost", retryAt: 5 }, { type: "connected", recovered: true })).toEqual({
    status: "connected",
    epoch: 2,
    recovered: true,
  });
});

it("knows when the next attempt is due, and forgets it when it is made", () => {
  const lost = after(connected, { type: "lost", retryAt: 5, reason: "server_error" });
  expect(lost).toMatchObject({ status: "reconnecting", retryAt: 5, reason: "server_error", epoch: 1 });
  expect(nextState(lost, { type: "attempt" })).toEqual({ status: "reconnecting", epoch: 1, recovered: false });
});

it("keeps why the session ended when the disconnect follows", () => {
  const ended = after(connected, { type: "ended", reason: "expired" }, { type: "ended", reason: "disconnected" });
  expect(ended).toMatchObject({ status: "ended", reason: "expired" });
});

it("tells refusals that stay from those that pass", () => {
  expect(after({ type: "refused", reason: "not_authorized" })).toMatchObject({ status: "refused", reason: "not_authorized" });
  expect([isFinal("not_authorized"), isFinal("no_guild_context"), isFinal("server_error")]).toEqual([true, true, false]);
});
