import { expect, it } from "vitest";
import { bannerText } from "./banner";

it("is silent when all is well", () => {
  expect(bannerText({ status: "connected" })).toBeUndefined();
});

it("says what happened", () => {
  expect(bannerText({ status: "reconnecting" })).toMatch("lost");
  expect(bannerText({ status: "reconnecting", reason: "server_error" })).toMatch("cannot check");
  expect(bannerText({ status: "ended", reason: "expired" })).toMatch("expired");
  expect(bannerText({ status: "ended", reason: "revoked" })).toMatch("session has ended");
  expect(bannerText({ status: "ended", reason: "disconnected" })).toMatch("ended the connection");
  expect(bannerText({ status: "refused", reason: "no_guild_context" })).toMatch("no guild");
});
