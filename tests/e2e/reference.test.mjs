// The examples of the book's reference, executed: what the program answers has the shape that the page shows.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { Admin, GUILD } from "./lib/admin.mjs";
import { Queue, eventually } from "./lib/deadline.mjs";
import { post, request } from "./lib/http.mjs";

/** Objects whose keys are data: each has values of one shape, or of none that a page could fix. */
const MAPS = new Set(["statusCodes", "byGuild"]);
const FREE = new Set(["fields"]);
/** Keys that are left out when there is nothing to tell. */
const OPTIONAL = new Set(["requestP95Ms"]);

/** Where `actual` has another shape than `example`: other keys or other types; of arrays the first elements count. */
function difference(actual, example, path = "") {
  const kind = (value) => (Array.isArray(value) ? "array" : value === null ? "null" : typeof value);
  if (kind(actual) !== kind(example)) return `${path || "it"} is ${kind(actual)}, and ${kind(example)} on the page`;
  if (kind(example) === "array") {
    if (example.length === 0 || actual.length === 0) return actual.length === example.length ? undefined : `${path} is empty on one side`;
    return difference(actual[0], example[0], `${path}[0]`);
  }
  if (kind(example) !== "object") return undefined;
  const name = path.split(".").at(-1);
  if (FREE.has(name)) return undefined;
  if (MAPS.has(name)) return difference(Object.values(actual), Object.values(example), path);
  const keys = (value) => Object.keys(value).filter((key) => !OPTIONAL.has(key)).sort().join(", ");
  if (keys(actual) !== keys(example)) return `${path || "it"} has the keys ${keys(actual)}, and ${keys(example)} on the page`;
  for (const key of Object.keys(example).filter((key) => key in actual)) {
    const found = difference(actual[key], example[key], path === "" ? key : `${path}.${key}`);
    if (found) return found;
  }
  return undefined;
}

/** The examples of a page, by their names. */
function examplesOf(page) {
  const text = readFileSync(new URL(`../../book/src/reference/${page}.md`, import.meta.url), "utf8");
  const marked = [...text.matchAll(/^<!-- example: (.*) -->\n```json\n([\s\S]*?)\n```$/gm)];
  assert.equal(marked.length, text.match(/<!-- example:/g).length, "each mark has a block of JSON below it");
  const examples = new Map(marked.map(([, name, json]) => [name, JSON.parse(json)]));
  assert.equal(examples.size, marked.length, "each name is there once");
  return examples;
}

/** A test for each example that is an answer; `executed` says how to get it, `sent` which examples are sent on the way. */
function compare(page, examples, executed, sent = []) {
  it("are all executed", () => {
    assert.deepEqual([...examples.keys()].sort(), [...Object.keys(executed), ...sent].sort());
  });
  for (const [name, execute] of Object.entries(executed)) {
    it(name, async () => {
      const found = difference(await execute(), examples.get(name));
      assert.equal(found, undefined, `${page}.md, ${name}`);
    });
  }
}

it("shapes are told apart", () => {
  assert.equal(difference({ a: [{ b: 1 }], fields: { x: 1 } }, { a: [{ b: 2 }, 5], fields: {} }), undefined);
  assert.match(difference({ a: 1 }, { a: "1" }), /^a is number/);
  assert.match(difference({ a: { b: null } }, { a: { b: 1 } }), /^a\.b is null/);
  assert.match(difference({ a: [{}] }, { a: [{ b: 1 }] }), /^a\[0\] has the keys/);
  assert.match(difference([], [1]), /empty/);
  assert.match(difference({ byGuild: { 1: "x" } }, { byGuild: { 2: 5 } }), /^byGuild\[0\] is string/);
});

let folder;
let server;
let degraded;
const json = async (url, options) => JSON.parse((await request(url, options)).body);
const login = async (user) => (await post(`${server.url}/api/auth/demo`, { user })).headers["set-cookie"][0].split(";")[0];
const connected = async (user) => server.client({ cookie: await login(user) }).connected();

before(async () => {
  // One that only has a folder: it is there before another counts what is in it.
  folder = await Admin.start();
  const uploads = `${folder.file("uploads")}/${GUILD}/2026-11-22`;
  mkdirSync(uploads, { recursive: true });
  writeFileSync(`${uploads}/a.thumb.jpg`, "");
  const sources = ["process:", `uploads:${folder.file("uploads")}`].flatMap((source) => ["--metrics", source]);
  server = await Admin.start({ secret: null, args: sources });
  degraded = await Admin.start({ args: ["--metrics", `uploads:${folder.file("nowhere")}`] });
});
after(() => Promise.all([folder, server, degraded].map((one) => one?.stop())));

describe("the examples of HTTP routes", () => {
  const examples = examplesOf("http");
  const get = async (path) => json(server.url + path, { headers: { cookie: await login("admin") } });
  compare("http", examples, {
    "GET /api/health": () => get("/api/health"),
    "GET /api/status": () => get("/api/status"),
    "GET /api/status, degraded": () => json(`${degraded.url}/api/status`),
    "GET /api/auth/me": () => get("/api/auth/me"),
    "POST /api/auth/demo, body": async () => {
      const body = examples.get("POST /api/auth/demo, body");
      assert.equal((await post(`${server.url}/api/auth/demo`, body)).status, 204);
      return body;
    },
    "POST /api/auth/demo, another user": async () => JSON.parse((await post(`${server.url}/api/auth/demo`, { user: "x" })).body),
    "GET /api/diag, not logged in": () => json(`${server.url}/api/diag`),
    "GET /api/diag": () => get("/api/diag"),
    "GET /api/diagnostics": () => get("/api/diagnostics"),
    "GET /api/diagnostics, failed": () => json(`${degraded.url}/api/diagnostics`, { headers: { cookie: degraded.cookie("alice", "admin") } }),
    "an error": () => get("/x"),
  });
});

describe("the examples of events", () => {
  const examples = examplesOf("events");
  const heard = new Map();
  let admin;
  let member;

  before(async () => {
    admin = await connected("admin");
    member = await connected("member");
    for (const event of ["diag:snapshot", "log:entries", "session:ended"]) {
      const queue = new Queue(event);
      heard.set(event, queue);
      (event === "session:ended" ? member : admin).socket.on(event, (payload) => queue.push(payload));
    }
  });

  /** The ack of an event that is sent with its payload on the page, as far as `payload` does not say otherwise. */
  const ask = (event, payload = {}, client = admin) => client.ask(event, { ...examples.get(`${event}, payload`), ...payload });
  const sent = ["chat:message", "logs:subscribe", "connections:list", "connections:disconnect", "sessions:revoke"];
  // In this order: the last one ends the member.
  const executed = {
    forbidden: () => member.ask("diag:subscribe"),
    "chat:message, ack": () => ask("chat:message", {}, member),
    "chat:message": () => member.messages.next(),
    "chat:message, refused": () => ask("chat:message", { text: " " }, member),
    "diag:subscribe, ack": async () => {
      // The first snapshots are from before the sources were asked.
      const known = async () => {
        const answer = await admin.ask("diag:subscribe");
        return answer.snapshot.uploads && answer.history.length > 0 && answer;
      };
      return eventually(known, "figures of uploads", 10_000);
    },
    "diag:snapshot": () => heard.get("diag:snapshot").next(),
    "diag:unsubscribe, ack": () => admin.ask("diag:unsubscribe"),
    "logs:subscribe, ack": () => ask("logs:subscribe"),
    "log:entries": async () => {
      await connected("club");
      return heard.get("log:entries").next();
    },
    "logs:subscribe, refused": () => ask("logs:subscribe", { backlog: 1001 }),
    "logs:unsubscribe, ack": () => admin.ask("logs:unsubscribe"),
    "connections:list, ack": () => ask("connections:list"),
    "connections:disconnect, ack": async () => {
      const club = await connected("club");
      return ask("connections:disconnect", { socketId: club.socket.id });
    },
    "connections:disconnect, refused": () => ask("connections:disconnect", { socketId: "nobody" }),
    "sessions:revoke, ack": () => ask("sessions:revoke"),
    "session:ended": () => heard.get("session:ended").next(),
  };
  compare("events", examples, executed, sent.map((event) => `${event}, payload`));
});
