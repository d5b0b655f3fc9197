// A real browser on a running admin-server: people with pages of their own, and what every page has to satisfy.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { chromium } from "playwright-core";

const CHROMIUM = process.env.CHROMIUM_BIN ?? "/usr/bin/chromium";
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** Where pictures of the page go; without it, none are made. */
const SCREENSHOTS = process.env.SCREENSHOTS;

export class Browser {
  #contexts = [];
  #browser;

  static async start() {
    const browser = new Browser();
    // As root in a container there is no sandbox to be had.
    browser.#browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
    return browser;
  }

  /** A page of a browser profile of its own; `cookie` is a Cookie header for `url`. */
  async person(url, { cookie, ...options } = {}) {
    const context = await this.#browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    this.#contexts.push(context);
    if (cookie) {
      const [name, value] = cookie.split(/=(.*)/s);
      await context.addCookies([{ name, value, url, httpOnly: true, sameSite: "Lax" }]);
    }
    return Person.open(context, url);
  }

  async closePeople() {
    await Promise.all(this.#contexts.splice(0).map((context) => context.close()));
  }

  async stop() {
    await this.#browser.close();
  }
}

export class Person {
  /** What the page's console said that is no good. */
  complaints = [];
  /** Requests to other places than the server. */
  strangers = [];

  static async open(context, url) {
    const person = new Person();
    person.url = url;
    person.page = await context.newPage();
    person.page.setDefaultTimeout(10_000);
    person.page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) person.complaints.push(message.text());
    });
    person.page.on("pageerror", (error) => person.complaints.push(String(error)));
    person.page.on("request", (request) => {
      const asked = request.url();
      const own = [url, url.replace(/^http/, "ws"), "data:", "blob:"].some((start) => asked.startsWith(start));
      if (!own) person.strangers.push(asked);
    });
    return person;
  }

  async goto(where) {
    await this.page.goto(new URL(where, this.url).href);
    return this;
  }

  /** Clicks on a demo user. */
  async loginAs(role) {
    await this.goto("/login");
    await this.page.getByRole("button", { name: role, exact: true }).click();
    await this.page.getByLabel("Message", { exact: true }).waitFor();
    return this;
  }

  async say(text) {
    const box = this.page.getByLabel("Message", { exact: true });
    await box.fill(text);
    await box.press("Enter");
  }

  /** Waits for a text that is shown. */
  sees(text, options) {
    return this.page.getByText(text, { exact: true, ...options }).first().waitFor();
  }

  /** No violation of the rules that axe knows. */
  async assertAccessible() {
    await this.page.evaluate(AXE);
    const violations = await this.page.evaluate(async () => {
      const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"] });
      return violations.map(({ id, help, nodes }) => ({ id, help, nodes: nodes.slice(0, 3).map((n) => n.html.slice(0, 200)) }));
    });
    assert.deepEqual(violations, [], JSON.stringify(violations, null, 1));
  }

  /** Nothing in the console, and no request to anybody else. `allowed`: what a test brought about itself. */
  assertQuiet(allowed = []) {
    const complaints = this.complaints.filter((text) => !allowed.some((pattern) => pattern.test(text)));
    assert.deepEqual(complaints, []);
    assert.deepEqual(this.strangers, []);
  }

  async picture(name) {
    if (!SCREENSHOTS) return;
    mkdirSync(SCREENSHOTS, { recursive: true });
    await this.page.screenshot({ path: path.join(SCREENSHOTS, `${name}.png`) });
  }

  /**
   * For how long the page's thread kept a key or a click waiting, or was at all busy with one thing, while `act` ran, in ms. When the picture comes
   * is not in it: that is the browser's own pace, which without a screen and beside other programs says nothing about the page.
   */
  async slowestInteraction(act) {
    await this.page.evaluate(() => {
      globalThis.slowest = 0;
      const note = (ms) => (globalThis.slowest = Math.max(globalThis.slowest, ms));
      const events = new PerformanceObserver((list) =>
        list.getEntries().forEach((entry) => note(entry.processingEnd - entry.startTime)),
      );
      events.observe({ type: "event", durationThreshold: 16 });
      const tasks = new PerformanceObserver((list) => list.getEntries().forEach((entry) => note(entry.duration)));
      tasks.observe({ type: "longtask" });
    });
    await act();
    // Both are told afterwards.
    await this.page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 1_000)));
    return this.page.evaluate(() => globalThis.slowest);
  }
}
