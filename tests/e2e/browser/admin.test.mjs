// What only administrators see: diagnostics, the log, and who is connected.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import WebSocket from "ws";
import { Admin, GUILD, IN_GUILD, person, SECRET } from "../lib/admin.mjs";
import { eventually } from "../lib/deadline.mjs";
import { nested, sign } from "../lib/jwt.mjs";
import { Browser } from "./lib.mjs";

const SESSIONS = { root: IN_GUILD, alice: IN_GUILD, bob: IN_GUILD };
const AWAY = [/ERR_CONNECTION_REFUSED/, /WebSocket connection to .* failed/, /Failed to load resource/];
/** How many lines the log's test makes: all of them when there is time. */
const LINES = process.env.SOAK ? 100_000 : 30_000;

let browser, server;
before(async () => (browser = await Browser.start()));
after(() => browser.stop());
beforeEach(async () => (server = await Admin.start({ sessions: SESSIONS, args: ["--packet-rate", "0"] })));
afterEach(async () => {
  await browser.closePeople();
  await server.stop();
});

/** Has the server log so many lines: a client without a login asks to be let in again and again. */
async function makeLines(count) {
  const socket = new WebSocket(`${server.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
  await once(socket, "open");
  let [asked, refused] = [0, 0];
  const ask = () => asked < count && (asked++, socket.send("40"));
  for (let number = 0; number < 200; number++) ask();
  await new Promise((resolve, reject) => {
    socket.on("close", () => reject(new Error(`closed after ${refused} refusals`)));
    socket.on("message", (data) => {
      if (!String(data).startsWith("44")) return;
      refused++;
      ask();
      if (refused === count) resolve();
    });
  });
  socket.terminate();
}

const root = (options) => browser.person(server.url, { cookie: server.cookie("root", "admin"), ...options });
const alice = () => browser.person(server.url, { cookie: server.cookie("alice") });

describe("a screen whose file does not come", () => {
  it("leaves the rest of the page as it is, and is asked for again", async () => {
    const admin = await root();
    await admin.page.route(/LogsPage/, (route) => route.abort());
    await admin.goto("/");
    await admin.say("still here");
    await admin.page.getByRole("link", { name: "Logs" }).click();
    await admin.sees("Logs could not be loaded");
    await admin.page.getByRole("button", { name: "Reload the page" }).waitFor();
    await admin.assertAccessible();
    await admin.page.unroute(/LogsPage/);
    await admin.page.getByRole("button", { name: "Try again" }).click();
    await admin.page.getByRole("button", { name: "Pause" }).waitFor();
    await admin.page.getByRole("link", { name: "Chat" }).click();
    await admin.sees("still here");
    admin.assertQuiet([...AWAY, /NotLoaded/]);
  });

  it("is there all the same when it was loaded before the server went away", async () => {
    const admin = await root();
    const loaded = admin.page.waitForResponse(/LogsPage/);
    await admin.goto("/");
    await (await loaded).finished();
    await admin.page.context().setOffline(true);
    await admin.page.getByRole("link", { name: "Logs" }).click();
    await admin.page.getByRole("button", { name: "Pause" }).waitFor();
    admin.assertQuiet(AWAY);
  });

  it("offers to reload when the server has another version of the page", async () => {
    const admin = await root();
    await admin.goto("/");
    await admin.page.route(/LogsPage/, (route) => route.fulfill({ status: 404 }));
    await admin.page.route(server.url + "/", (route) => route.fulfill({ contentType: "text/html", body: "another page" }));
    await admin.page.getByRole("link", { name: "Logs" }).click();
    await admin.sees(/another version/, { exact: false });
    assert.equal(await admin.page.getByRole("button", { name: "Try again" }).count(), 0);
    await admin.page.getByRole("button", { name: "Reload the page" }).waitFor();
    admin.assertQuiet([...AWAY, /NotLoaded/]);
  });
});

describe("diagnostics", () => {
  it("shows figures that live, in tiles, charts and tables", async () => {
    const member = await server.connect("bob");
    await member.say({ text: "something", guildId: GUILD });
    const admin = await root();
    await admin.goto("/diagnostics");
    await admin.page.getByText("live", { exact: true }).first().waitFor();
    await eventually(async () => (await admin.page.locator("canvas").count()) >= 5, "the charts");
    const tile = admin.page.getByRole("main").getByText("Connections", { exact: true }).first().locator("xpath=..");
    await eventually(async () => /\b2\b/.test(await tile.innerText()), "two connections");
    const messages = admin.page.getByRole("listitem").filter({ hasText: "/min" });
    await eventually(async () => /\b1 \/min/.test((await messages.innerText()).replaceAll("\n", " ")), "the one message");
    await admin.page.getByText(/MB/).first().waitFor();
    await admin.page.getByText("slimy-rt", { exact: false }).first().waitFor();
    await admin.assertAccessible();
    await admin.picture("diagnostics");
    admin.assertQuiet();
  });

  it("a member sees its widget and card, and no live figures", async () => {
    const member = await alice();
    await member.goto("/diagnostics");
    await member.page.getByText(/MB/).first().waitFor();
    assert.equal(await member.page.locator("canvas").count(), 0);
    await member.assertAccessible();
    member.assertQuiet();
  });

  it("figures that are old are marked", async () => {
    const admin = await root();
    await admin.goto("/diagnostics");
    await admin.page.getByText("live", { exact: true }).first().waitFor();
    await server.stop();
    await admin.page.getByText(/stale/i).first().waitFor({ timeout: 15_000 });
    await admin.assertAccessible();
    admin.assertQuiet(AWAY);
  });

  it("a panel says of when its figures are, and marks them when it cannot get newer ones", async () => {
    const member = await alice();
    await member.goto("/diagnostics");
    const panel = member.page.getByRole("region", { name: "Server" });
    await panel.getByText(/^as of \d\d:\d\d:\d\d$/).waitFor();
    await member.page.route("**/api/diag", (route) => route.abort());
    // Whoever comes back to the page has it ask at once.
    const stale = () => member.page.evaluate(() => dispatchEvent(new Event("focus"))).then(() => panel.getByText("stale").isVisible());
    await eventually(stale, "the panel is marked", 10_000);
    await panel.getByText(/MB/).first().waitFor();
    await member.assertAccessible();
    await member.page.unroute("**/api/diag");
    await panel.getByRole("button", { name: "Try again" }).click();
    await panel.getByText("stale").waitFor({ state: "detached" });
    member.assertQuiet(AWAY);
  });

  it("leaves no gaps in its rows, and shows who one is", async () => {
    const admin = await browser.person(server.url, { cookie: server.cookie("alexandria", "admin") });
    await admin.goto("/diagnostics");
    for (const width of [360, 768, 1024, 1280, 1920]) {
      await admin.page.setViewportSize({ width, height: 800 });
      for (const cells of [".diagnostics-tile", ".diagnostics-chart"]) {
        const tops = await admin.page.locator(cells).evaluateAll((all) => all.map((one) => one.getBoundingClientRect().top));
        const [first, last] = [tops[0], tops.at(-1)].map((top) => tops.filter((other) => other === top).length);
        assert.equal(last, first, `${cells} at ${width} pixels`);
      }
      const hidden = await admin.page.getByTitle("Alexandria").evaluate((name) => name.scrollWidth - name.clientWidth);
      assert.ok(hidden <= 0, `the name at ${width} pixels`);
    }
  });

  it("is dark where that is preferred, and fits a telephone", async () => {
    for (const options of [{ colorScheme: "dark" }, { viewport: { width: 360, height: 740 } }]) {
      const admin = await root(options);
      for (const screen of ["/", "/diagnostics", "/logs", "/connections"]) {
        await admin.goto(screen);
        await admin.page.getByRole("main").waitFor();
        await admin.page.waitForLoadState("networkidle");
        await admin.assertAccessible();
        const overflow = await admin.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflow <= 0, `${screen} is ${overflow} pixels too wide`);
      }
      if (options.colorScheme) {
        await admin.goto("/diagnostics");
        await admin.page.locator("canvas").first().waitFor();
        await admin.picture("diagnostics-dark");
      }
      admin.assertQuiet();
    }
  });
});

describe("the log", () => {
  it("streams, pauses, and has its filter in the address", async () => {
    const admin = await root();
    await admin.goto("/logs?text=alice");
    assert.equal(await admin.page.getByLabel("Text").inputValue(), "alice");
    const client = await server.connect("alice");
    await admin.page.getByText("connected", { exact: false }).first().waitFor();
    await admin.page.getByRole("button", { name: "Pause" }).click();
    client.close();
    await admin.page.getByRole("button", { name: /Paused · \d+ new/ }).waitFor();
    await admin.assertAccessible();
    await admin.page.getByRole("button", { name: "Resume" }).click();
    await admin.page.getByText("disconnected", { exact: false }).first().waitFor();
    await admin.page.getByLabel("Text").fill("nothing has this");
    await eventually(() => new URL(admin.page.url()).searchParams.get("text") === "nothing has this", "the filter in the address");
    await admin.page.getByText("No lines").waitFor();
    await admin.page.getByLabel("Level").selectOption("error");
    await eventually(() => new URL(admin.page.url()).searchParams.get("level") === "error", "the level in the address");
    await admin.page.getByRole("link", { name: "Logs" }).click();
    assert.equal(new URL(admin.page.url()).searchParams.get("level"), "error", "the way to where we are leads nowhere else");
    await admin.page.getByRole("link", { name: "Diagnostics" }).click();
    await admin.page.getByRole("link", { name: "Logs" }).click();
    assert.equal(await admin.page.getByLabel("Level").inputValue(), "error", "the filter is there again");
    assert.equal(new URL(admin.page.url()).searchParams.get("text"), "nothing has this");
    admin.assertQuiet();
  });

  it("keeps what is here through a search, a pause and a reader's place, and the focus", async () => {
    const admin = await root();
    await admin.goto("/logs");
    await makeLines(200);
    const { page } = admin;
    const counted = page.locator(".logs-counts");
    const lines = async () => Number((await counted.innerText()).replace(/ line.*/s, "").replaceAll(",", ""));
    await eventually(async () => (await lines()) >= 200, "the lines");
    const before = await lines();
    await page.getByRole("button", { name: "Pause" }).click();
    await page.locator(".logs-scroll").evaluate((box) => (box.scrollTop = 1_000));
    // The row at the top; none before the page has made those that are in sight now.
    const read = () =>
      page.locator(".logs-scroll").evaluate((box) => {
        const { top } = box.getBoundingClientRect();
        const isThere = (row) => row.getBoundingClientRect().top <= top && row.getBoundingClientRect().bottom > top;
        return [...box.querySelectorAll(".logs-row")].find(isThere)?.textContent;
      });
    const reading = await eventually(read, "the row at the top");
    await page.getByLabel("Text").fill("user=root");
    await eventually(async () => (await lines()) < 20, "the search");
    await page.getByLabel("Text").fill("");
    await eventually(async () => (await lines()) === before, "all lines");
    await eventually(async () => (await read()) === reading, "what was being read");
    await server.connect("alice");
    await page.getByRole("button", { name: /Paused · \d+ new/ }).click();
    const focused = () => page.evaluate(() => document.activeElement.getAttribute("aria-label"));
    assert.equal(await focused(), "Log lines");
    await page.getByRole("button", { name: "Jump to the end" }).click();
    assert.equal(await focused(), "Log lines");
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByRole("button", { name: "Clear" }).click();
    await eventually(async () => (await lines()) === 0, "no lines");
    await page.getByRole("button", { name: "Resume" }).waitFor();
    admin.assertQuiet();
  });

  it("says where lines may be missing after another process took over", async () => {
    const admin = await root();
    await admin.goto("/logs");
    await admin.page.locator(".logs-row").first().waitFor();
    const { port } = server;
    await server.stop();
    server = await Admin.start({ sessions: SESSIONS, port });
    await admin.page.getByText(/Lines may be missing from/).waitFor({ timeout: 30_000 });
    await admin.assertAccessible();
    admin.assertQuiet(AWAY);
  });

  it("shows the fields of a line", async () => {
    const admin = await root();
    await admin.goto("/logs");
    await server.connect("alice");
    const line = admin.page.locator("[class*=logs-row]").filter({ hasText: /connected/ }).last();
    await line.getByRole("button").first().click();
    await admin.page.getByText("address").first().waitFor();
    await admin.assertAccessible();
    await admin.picture("logs");
  });

  it("is for administrators only", async () => {
    const member = await alice();
    for (const screen of ["/logs", "/connections"]) {
      await member.goto(screen);
      await member.page.getByText(/administrators only/i).first().waitFor();
      await member.assertAccessible();
    }
    member.assertQuiet();
  });

  it(`stays responsive with ${LINES} lines`, async () => {
    const admin = await root();
    await admin.goto("/logs");
    await admin.page.getByRole("button", { name: "Pause" }).waitFor();
    await makeLines(LINES);
    const counted = admin.page.getByText(/[\d,.\s]+ lines · /);
    const total = async () => (await counted.innerText()).replace(/[^\d·]/g, "").split("·").reduce((all, part) => all + Number(part), 0);
    await eventually(async () => (await total()) >= LINES, "all lines, shown or dropped", 60_000);
    const slowest = await admin.slowestInteraction(async () => {
      await admin.page.getByRole("button", { name: "Pause" }).click();
      await admin.page.getByLabel("Text").pressSequentially("refused", { delay: 30 });
      await admin.page.getByRole("button", { name: "Resume" }).click();
    });
    assert.ok(slowest < 100, `an interaction took ${slowest} ms`);
    admin.assertQuiet();
  });
});

describe("connections", () => {
  it("lists them, and disconnects one, which is in the log with who did it", async () => {
    const admin = await root();
    const victim = await server.connect("bob");
    await admin.goto("/connections");
    const row = admin.page.getByRole("row").filter({ hasText: "Bob" });
    await row.waitFor();
    await admin.assertAccessible();
    await admin.picture("connections");
    await row.getByRole("button", { name: /Disconnect/ }).click();
    const dialog = admin.page.getByRole("dialog");
    await admin.assertAccessible();
    await dialog.getByRole("button", { name: /Disconnect/ }).click();
    assert.equal(await victim.life("disconnect"), "io server disconnect");
    await eventually(async () => (await row.count()) === 0, "the row is gone");
    assert.match(server.program.stderr, /an administrator disconnects a client.*by=root/);
    admin.assertQuiet();
  });

  it("names of any length cover nothing, and turn no text around", async () => {
    const named = (id, globalName) => server.cookie(sign(nested({ ...person(id), globalName }), SECRET));
    for (const cookie of [named("alice", "M".repeat(200)), named("bob", "Wolfgang Amadeus Mozart von Salz")]) await server.client({ cookie }).connected();
    for (const options of [{}, { viewport: { width: 360, height: 740 } }]) {
      const admin = await root(options);
      await admin.goto("/connections?text=guild");
      await admin.page.getByRole("row").filter({ hasText: "MMMM" }).waitFor();
      await admin.page.locator(".connections-scroll").evaluate((box) => (box.scrollLeft = box.scrollWidth));
      for (const name of [/^Disconnect MMMM/, /^Disconnect Wolfgang.*socket ......$/]) {
        await admin.page.getByRole("button", { name }).click();
        assert.ok(await admin.page.getByRole("dialog").locator("bdi").count());
        await admin.page.keyboard.press("Escape");
      }
      admin.assertQuiet();
    }
  });

  it("what was asked for is not cancelled, and a server that does not answer is told of", async () => {
    const admin = await root();
    await server.connect("bob");
    await admin.goto("/connections");
    await admin.page.getByRole("button", { name: /^Disconnect Bob/ }).click();
    const dialog = admin.page.getByRole("dialog");
    server.program.kill("SIGSTOP");
    try {
      await dialog.getByRole("button", { name: "Disconnect" }).click();
      await dialog.getByText(/does not take it back/).waitFor();
      await admin.assertAccessible();
      await dialog.getByRole("button", { name: "Close" }).click();
      await admin.page.getByText(/may have been done all the same/).waitFor({ timeout: 15_000 });
    } finally {
      server.program.kill("SIGCONT");
    }
    admin.assertQuiet();
  });

  it("ends the sessions of a user", async () => {
    const admin = await root();
    const victim = await server.connect("bob");
    await admin.goto("/connections");
    const row = admin.page.getByRole("row").filter({ hasText: "Bob" });
    await row.getByRole("button", { name: /Revoke/ }).click();
    await admin.page.getByRole("dialog").getByRole("button", { name: /Revoke/ }).click();
    assert.deepEqual(await victim.life("session:ended"), { reason: "revoked" });
    assert.match(server.program.stderr, /an administrator ended a user's sessions.*by=root/);
    admin.assertQuiet();
  });
});
