// Who one is, what one may see, and what happens on the page when that changes.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { Admin, GUILD, IN_GUILD, OTHER, guild } from "../lib/admin.mjs";
import { eventually } from "../lib/deadline.mjs";
import { Browser, Person } from "./lib.mjs";

const THIRD = "3398827717023252556";
const SESSIONS = {
  root: { ...IN_GUILD, role: "admin" },
  alice: { guilds: [guild(GUILD, "Slime HQ"), guild(OTHER, "Other Place")] },
  bob: IN_GUILD,
};
const AWAY = [/ERR_CONNECTION_REFUSED/, /WebSocket connection to .* failed/, /Failed to load resource/];

let browser, server;
before(async () => (browser = await Browser.start()));
after(() => browser.stop());
beforeEach(async () => (server = await Admin.start({ sessions: SESSIONS })));
afterEach(async () => {
  await browser.closePeople();
  await server.stop();
});

const open = async (who, options) => (await browser.person(server.url, { cookie: server.cookie(who), ...options })).goto("/");
const box = ({ page }) => page.getByLabel("Message", { exact: true });
const onlyAdmins = ({ page }) => page.getByLabel("Admins only");
/** As when the reader comes back to the page. */
const focus = ({ page }) => page.evaluate(() => void window.dispatchEvent(new Event("focus")));
const guilds = ({ page }) => page.getByRole("navigation", { name: "Guilds" }).getByRole("button").allInnerTexts();
const focused = ({ page }) => page.evaluate(() => document.activeElement.tagName);
const become = ({ page }, who) =>
  page.context().addCookies([{ name: "slimy_admin_token", value: server.cookie(who).split("=")[1], url: server.url, httpOnly: true }]);

describe("a text for admins only", () => {
  it("stays so with another screen, with a reload, and when it could not be sent", async () => {
    const [root, bob] = [await open("root"), await server.connect("bob")];
    await onlyAdmins(root).check();
    await box(root).fill("between us");
    await root.page.getByRole("link", { name: "Diagnostics" }).click();
    await root.page.getByRole("heading", { name: "Diagnostics", exact: true }).first().waitFor();
    await root.page.getByRole("link", { name: "Chat" }).click();
    assert.equal(await onlyAdmins(root).isChecked(), true);
    await root.page.reload();
    await box(root).waitFor();
    assert.deepEqual([await box(root).inputValue(), await onlyAdmins(root).isChecked()], ["between us", true]);
    server.changeSessions({ ...SESSIONS, root: IN_GUILD });
    await eventually(async () => {
      await root.say("between us");
      return (await root.page.getByText("Not sent. Only admins can send admin-only messages.").count()) > 0;
    }, "the refusal");
    // The refusal is how the page comes to know.
    await eventually(async () => (await root.page.getByRole("link", { name: "Logs" }).count()) === 0, "the menu of a member");
    await root.page.getByRole("button", { name: "Edit" }).first().click();
    await root.page.getByText(/for admins only, and you are none now/).waitFor();
    await box(root).press("Enter");
    await root.assertAccessible();
    await root.picture("chat-admins-only-member");
    assert.equal(await onlyAdmins(root).isChecked(), true);
    await onlyAdmins(root).click();
    assert.equal(await onlyAdmins(root).count(), 0);
    assert.equal(await focused(root), "TEXTAREA");
    await box(root).fill("for all");
    await box(root).press("Enter");
    assert.equal((await bob.messages.next()).text, "for all");
  });
});

describe("somebody else in the same browser", () => {
  it("gets a page of their own, and nothing of the one before", async () => {
    const root = await open("root");
    await onlyAdmins(root).check();
    await root.say("between us");
    await root.sees("between us");
    await box(root).fill("a draft");
    await become(root, "alice");
    const other = await (await Person.open(root.page.context(), server.url)).goto("/");
    await box(other).waitFor();
    await focus(root);
    await root.page.getByText("Alice", { exact: true }).first().waitFor();
    await box(root).waitFor();
    assert.equal(await root.page.getByText("between us").count(), 0);
    assert.equal(await box(root).inputValue(), "");
    assert.doesNotMatch(await root.page.evaluate(() => JSON.stringify(sessionStorage)), /root|a draft/);
    root.assertQuiet();
  });

  it("is not who sends what waits for the connection", async () => {
    const port = server.port;
    const bob = await open("bob");
    await bob.say("before");
    await bob.page.getByRole("article").filter({ hasText: "before" }).waitFor();
    await server.stop();
    await bob.page.getByText("The connection to the server is lost. Reconnecting…").waitFor();
    await bob.say("by Bob");
    await become(bob, "alice");
    server = await Admin.start({ sessions: SESSIONS, port });
    const root = await server.connect("root");
    await bob.page.getByText("Alice", { exact: true }).first().waitFor();
    await box(bob).waitFor();
    await bob.say("by Alice");
    const { text, from } = await root.messages.next();
    assert.deepEqual([text, from.id], ["by Alice", "alice"]);
    bob.assertQuiet(AWAY);
  });

  it("who is logged in is told so at the login, and led on", async () => {
    const root = await (await browser.person(server.url)).goto("/login?returnTo=/diagnostics");
    await root.page.getByText("You are not logged in.").waitFor();
    await become(root, "root");
    await focus(root);
    await root.page.getByText("You are logged in as Root.").waitFor();
    await root.assertAccessible();
    await root.picture("login-again");
    await root.page.getByRole("link", { name: "Go on" }).click();
    await root.page.getByRole("heading", { name: "Diagnostics", exact: true }).first().waitFor();
    root.assertQuiet();
  });
});

describe("guilds that come and go", () => {
  it("are followed when something is said there, and when nothing can be", async () => {
    const alice = await open("alice");
    await alice.page.getByRole("button", { name: "Other Place" }).click();
    assert.equal(new URL(alice.page.url()).searchParams.get("guild"), OTHER);
    server.changeSessions({ ...SESSIONS, alice: { guilds: [guild(GUILD, "Slime HQ"), guild(THIRD, "Third Place")] } });
    const root = await server.connect("root");
    await eventually(async () => {
      await root.say({ text: "welcome", guildId: THIRD });
      return (await guilds(alice)).some((name) => name.startsWith("Third Place"));
    }, "the guild that was added");
    assert.equal((await guilds(alice)).some((name) => name.startsWith("Other Place")), false);
    server.changeSessions({ ...SESSIONS, alice: IN_GUILD });
    await alice.page.getByRole("button", { name: /Third Place/ }).click();
    await eventually(async () => {
      if ((await guilds(alice)).length === 1) return true;
      await alice.say("is anybody here?");
      return false;
    }, "the guild that was taken away");
    assert.equal(new URL(alice.page.url()).searchParams.get("guild"), GUILD);
    assert.equal(await alice.page.getByText("welcome").count(), 0);
    alice.assertQuiet();
  });

  it("are followed within a minute when nothing happens", async () => {
    await server.stop();
    // Only the page's time is put forward: no heartbeat may be due in it.
    server = await Admin.start({ sessions: SESSIONS, args: ["--ping-interval-ms", "86000000"] });
    const bob = await browser.person(server.url, { cookie: server.cookie("bob") });
    await bob.page.clock.install();
    await bob.goto("/");
    await box(bob).waitFor();
    server.changeSessions({ ...SESSIONS, bob: { ...SESSIONS.alice, role: "admin" } });
    await eventually(async () => {
      await bob.page.clock.fastForward(61_000);
      return (await guilds(bob)).length === 2;
    }, "the guild that was added");
    await bob.page.getByRole("link", { name: "Logs" }).waitFor();
    assert.equal(await bob.page.getByText("Connect now").count(), 0);
    bob.assertQuiet();
  });

  it("the one that is shown is so after a reload", async () => {
    const alice = await open("alice");
    await alice.page.getByRole("button", { name: "Other Place" }).click();
    await alice.page.getByRole("link", { name: "Diagnostics" }).click();
    await alice.page.getByRole("link", { name: "Chat" }).click();
    await alice.page.getByRole("heading", { name: /Other Place/ }).waitFor();
    await alice.page.reload();
    await alice.page.getByRole("heading", { name: /Other Place/ }).waitFor();
    await alice.goto(`/chat?guild=${THIRD}`);
    await alice.page.getByRole("heading", { name: /Slime HQ/ }).waitFor();
    alice.assertQuiet();
  });
});

describe("what the page does with a reader", () => {
  it("the focus is never lost with a button, and a failure is announced once", async () => {
    const port = server.port;
    const bob = await open("bob");
    await box(bob).waitFor();
    await server.stop();
    await bob.page.getByRole("button", { name: "Connect now" }).waitFor();
    for (const text of ["one", "two"]) await bob.say(text);
    await bob.page.getByRole("button", { name: "Discard" }).nth(1).waitFor({ timeout: 15_000 });
    assert.equal(await bob.page.getByRole("log").getByRole("alert").count(), 0);
    await bob.page.getByRole("alert").filter({ hasText: "could not be sent" }).waitFor({ state: "attached" });
    for (const name of ["Discard", "Retry"]) {
      await bob.page.getByRole("button", { name }).first().press("Enter");
      await eventually(async () => (await focused(bob)) === "DIV", `the focus after ${name}`);
    }
    const now = bob.page.getByRole("button", { name: "Connect now" });
    await now.press("Enter");
    assert.equal(await focused(bob), "BUTTON");
    server = await Admin.start({ sessions: SESSIONS, port });
    // The next attempt is at most twenty seconds away.
    await now.waitFor({ state: "detached", timeout: 30_000 });
    assert.equal(await focused(bob), "MAIN");
    bob.assertQuiet(AWAY);
  });

  it("writing from right to left stays where it is", async () => {
    const [bob, alice] = [await open("bob"), await server.connect("alice")];
    await box(bob).waitFor();
    await alice.say({ text: "שלום עולם", guildId: GUILD });
    await alice.say({ text: "\u202Eturned", guildId: GUILD });
    await bob.sees("שלום עולם");
    const direction = (text) => bob.page.getByText(text, { exact: true }).evaluate((node) => getComputedStyle(node).direction);
    assert.equal(await direction("שלום עולם"), "rtl");
    assert.equal(await direction("\u202Eturned"), "ltr");
    await box(bob).fill("שלום");
    assert.equal(await box(bob).evaluate((node) => getComputedStyle(node).direction), "rtl");
    await bob.picture("chat-directions");
  });
});
