// The chat as people use it: two browsers, and a server that is slow to accept, away, or no longer lets them in.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { Admin, GUILD, IN_GUILD, OTHER, guild, person } from "../lib/admin.mjs";
import { eventually } from "../lib/deadline.mjs";
import { nested, now, sign } from "../lib/jwt.mjs";
import { SECRET } from "../lib/admin.mjs";
import { Browser } from "./lib.mjs";

const BOTH = { guilds: [guild(GUILD, "Slime HQ"), guild(OTHER, "Other Place")] };
const SESSIONS = { alice: IN_GUILD, bob: IN_GUILD, both: BOTH };
/** What the browser itself says of a server that is away. */
const AWAY = [/ERR_CONNECTION_REFUSED/, /WebSocket connection to .* failed/, /Failed to load resource/];

let browser;
before(async () => (browser = await Browser.start()));
after(() => browser.stop());
afterEach(() => browser.closePeople());

describe("two people in the demo", () => {
  let server;
  before(async () => (server = await Admin.start({ secret: null, env: { RECOVERY: "2m" } })));
  after(() => server.stop());

  it("log in with one click, and talk", async () => {
    const [admin, member] = [await browser.person(server.url), await browser.person(server.url)];
    await admin.goto("/login");
    for (const role of ["Admin", "Club", "Member"]) await admin.page.getByRole("button", { name: role, exact: true }).waitFor();
    await admin.assertAccessible();
    await admin.picture("login");
    await Promise.all([admin.loginAs("Admin"), member.loginAs("Member")]);
    await admin.say("Good morning!");
    await member.sees("Good morning!");
    await member.say("Good morning to you");
    await admin.sees("Good morning to you");
    for (const one of [admin, member]) {
      await one.assertAccessible();
      one.assertQuiet();
    }
  });

  it("what is for admins only is marked, and no member sees it", async () => {
    const [admin, member] = [await browser.person(server.url), await browser.person(server.url)];
    await Promise.all([admin.loginAs("Admin"), member.loginAs("Member")]);
    await admin.page.getByLabel("Admins only").check();
    await admin.say("between us");
    const row = admin.page.getByRole("article").filter({ hasText: "between us" });
    await row.getByText("Admins only").waitFor();
    await admin.page.getByLabel("Admins only").uncheck();
    await admin.say("for all");
    await member.sees("for all");
    assert.equal(await member.page.getByText("between us").count(), 0);
    assert.equal(await member.page.getByLabel("Admins only").count(), 0, "a member is not offered it");
    await admin.picture("chat");
  });

  it("the bot is asked and answers", async () => {
    const member = await (await browser.person(server.url)).loginAs("Member");
    await member.say("@slimy are you there?");
    await member.sees("OpenAI integration is not configured yet, but your message was received.");
  });

  it("who logs out is at the login, and returns to where it was", async () => {
    const admin = await (await browser.person(server.url)).loginAs("Admin");
    await admin.page.getByRole("button", { name: "Log out" }).click();
    await admin.page.getByRole("button", { name: "Admin", exact: true }).waitFor();
    await admin.goto("/logs");
    await admin.page.getByRole("button", { name: "Admin", exact: true }).click();
    await admin.page.getByRole("heading", { name: "Logs" }).waitFor();
    await admin.goto("/login?returnTo=%2F%2Fevil.example%2F");
    await admin.page.waitForURL((url) => url.origin === new URL(server.url).origin);
    admin.assertQuiet([/401/]);
  });

  it("the rate limit is told, with the time until a retry", async () => {
    const member = await (await browser.person(server.url)).loginAs("Club");
    for (let number = 0; number < 21; number++) await member.say(`number ${number}`);
    await member.page.getByText("Not sent. You are sending messages too quickly.").first().waitFor();
    await member.page.getByRole("button", { name: /^Retry in \d+ s$/ }).first().waitFor();
    await member.assertAccessible();
    const retry = member.page.getByRole("button", { name: "Retry", exact: true }).first();
    await retry.click({ timeout: 20_000 });
    await eventually(async () => (await member.page.getByText("Not sent.").count()) === 0, "the retry", 10_000);
  });
});

describe("keys", () => {
  it("Enter sends, Shift+Enter does not, Alt+Down is the next guild, and each has its draft", async () => {
    const server = await Admin.start({ sessions: SESSIONS });
    try {
      const both = await browser.person(server.url, { cookie: server.cookie("both") });
      await both.goto("/");
      const box = both.page.getByLabel("Message", { exact: true });
      await box.fill("one");
      await box.press("Shift+Enter");
      await box.pressSequentially("two");
      assert.equal(await box.inputValue(), "one\ntwo");
      await both.page.keyboard.press("Alt+ArrowDown");
      await eventually(async () => (await box.inputValue()) === "", "the other guild's draft");
      await both.page.keyboard.press("Alt+ArrowUp");
      await eventually(async () => (await box.inputValue()) === "one\ntwo", "the first guild's draft");
      both.assertQuiet();
    } finally {
      await server.stop();
    }
  });

  it("a guild that is not looked at counts what is unread", async () => {
    const server = await Admin.start({ sessions: SESSIONS });
    try {
      const both = await browser.person(server.url, { cookie: server.cookie("both") });
      await both.goto("/");
      await both.page.getByLabel("Message", { exact: true }).waitFor();
      const root = await server.connect("root", "admin");
      const shown = await both.page.getByRole("heading", { name: /Slime HQ|Other Place/ }).first().textContent();
      const elsewhere = shown.includes("Slime HQ") ? OTHER : GUILD;
      for (const text of ["a", "b", "c"]) await root.say({ text, guildId: elsewhere });
      const name = elsewhere === OTHER ? "Other Place" : "Slime HQ";
      await both.page.getByRole("button", { name: new RegExp(`${name}.*3`) }).waitFor();
      await eventually(async () => /3/.test(await both.page.title()), "the count in the title");
    } finally {
      await server.stop();
    }
  });
});

describe("a server that comes and goes", () => {
  it("killed and started again: the page says so, comes back, and says that something may be missing", async () => {
    let server = await Admin.start({ sessions: SESSIONS });
    const port = server.port;
    const alice = await browser.person(server.url, { cookie: server.cookie("alice") });
    await alice.goto("/");
    await alice.say("before");
    await alice.page.getByRole("article").filter({ hasText: "before" }).waitFor();
    await server.stop();
    await alice.page.getByText("The connection to the server is lost. Reconnecting…").waitFor();
    await alice.page.getByText(/Next attempt in \d+ s/).waitFor();
    await alice.assertAccessible();
    await alice.say("meanwhile");
    server = await Admin.start({ sessions: SESSIONS, port });
    try {
      await alice.page.getByText("You were disconnected. Messages may be missing.").waitFor({ timeout: 15_000 });
      const meanwhile = alice.page.getByRole("article").filter({ hasText: "meanwhile" });
      const retry = meanwhile.getByRole("button", { name: "Retry" });
      await eventually(async () => {
        if (await retry.count()) await retry.click();
        return (await meanwhile.getByText("Sending…").count()) === 0 && (await meanwhile.getByText("Not sent").count()) === 0;
      }, "what was said meanwhile is sent", 15_000);
      const bob = await server.connect("bob");
      await bob.say({ text: "after", guildId: GUILD });
      await alice.sees("after");
      alice.assertQuiet(AWAY);
    } finally {
      await server.stop();
    }
  });

  it("a login that runs out ends the session, and there is a way back", async () => {
    const server = await Admin.start({ sessions: SESSIONS });
    try {
      const token = sign(nested(person("alice"), { exp: now() + 4 }), SECRET);
      const alice = await browser.person(server.url, { cookie: server.cookie(token) });
      await alice.goto("/");
      await alice.page.getByText("Your login has expired.").waitFor({ timeout: 10_000 });
      await alice.page.getByRole("link", { name: "Log in again" }).click();
      await alice.page.getByText("admin-server token").first().waitFor();
      await alice.assertAccessible();
      alice.assertQuiet([/401/]);
    } finally {
      await server.stop();
    }
  });

  it("who may not connect is told why", async () => {
    const server = await Admin.start({ sessions: SESSIONS });
    try {
      const stranger = await browser.person(server.url, { cookie: server.cookie("nobody") });
      await stranger.goto("/");
      await stranger.page.getByText(/You belong to no guild yet/).waitFor();
      await stranger.assertAccessible();
    } finally {
      await server.stop();
    }
  });
});

describe("ten thousand messages", () => {
  it("leave the page responsive", async () => {
    const args = ["--chat-rate", "off", "--packet-rate", "0"];
    const server = await Admin.start({ sessions: SESSIONS, args });
    try {
      const alice = await browser.person(server.url, { cookie: server.cookie("alice") });
      await alice.goto("/");
      await alice.page.getByLabel("Message", { exact: true }).waitFor();
      const bob = await server.connect("bob");
      for (let block = 0; block < 100; block++) {
        const texts = Array.from({ length: 100 }, (_, at) => `message ${block * 100 + at + 1}`);
        await Promise.all(texts.map((text) => bob.say({ text, guildId: GUILD })));
      }
      await alice.sees("message 10000", { timeout: 30_000 });
      const rows = await alice.page.getByRole("article").count();
      assert.ok(rows < 200, `${rows} rows are in the document`);
      const list = alice.page.getByRole("log", { name: "Messages" });
      const slowest = await alice.slowestInteraction(async () => {
        const box = alice.page.getByLabel("Message", { exact: true });
        await box.pressSequentially("typing something", { delay: 20 });
        await list.evaluate((node) => (node.scrollTop = 0));
        await alice.page.getByRole("button", { name: /Jump to latest/ }).click();
        assert.equal(await alice.page.evaluate(() => document.activeElement.role), "log", "the focus is not lost with the button");
        await box.press("Enter");
      });
      assert.ok(slowest < 100, `an interaction took ${slowest} ms`);
      await alice.sees("typing something");
      alice.assertQuiet();
    } finally {
      await server.stop();
    }
  });
});
