// The demo mode: no secret, no file, loopback only, one click to log in.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { Admin } from "./lib/admin.mjs";
import { post, request } from "./lib/http.mjs";
import { refusedUpgrade } from "./lib/wire.mjs";

const ROLES = { admin: "admin", club: "club", member: "member" };

let server;
before(async () => (server = await Admin.start({ secret: null })));
after(() => server.stop());
afterEach(() => server.closeClients());

const login = (user, headers) => post(`${server.url}/api/auth/demo`, { user }, headers);
const cookieOf = ({ headers }) => headers["set-cookie"][0].split(";")[0];
const me = async (cookie) => JSON.parse((await request(`${server.url}/api/auth/me`, { headers: { cookie } })).body);

describe("the page", () => {
  it("is HTML with the security headers, and is not stored", async () => {
    const { status, headers, body } = await request(`${server.url}/`);
    assert.equal(status, 200);
    assert.match(headers["content-type"], /^text\/html/);
    assert.match(body, /^<!doctype html>/i);
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.match(headers["content-security-policy"], /frame-ancestors 'none'/);
    assert.equal(headers["referrer-policy"], "no-referrer");
    assert.equal(headers["cache-control"], "no-store");
    assert.match(headers["x-request-id"], /^[\x21-\x7e]{1,128}$/);
  });

  it("says to people that they are lost, and to programs that there is no such route", async () => {
    const get = (path, accept) => request(`${server.url}${path}`, { headers: { accept } });
    for (const path of ["/nosuch", "/logs/", "/chat/deeper"]) {
      const page = await get(path, "text/html,application/xhtml+xml,*/*;q=0.8");
      assert.equal(page.status, 404, path);
      assert.match(page.headers["content-type"], /^text\/html/);
      assert.match(page.headers["content-security-policy"], /default-src 'none'/);
    }
    for (const [path, accept] of [["/nosuch", "*/*"], ["/nosuch", "text/html;q=0"], ["/api/nosuch", "text/html"]]) {
      const { status, body } = await get(path, accept);
      assert.equal(status, 404);
      assert.equal(JSON.parse(body).error.message, `Route GET ${path} not found`);
    }
  });

  it("is where the login redirect leads", async () => {
    const { status, headers } = await request(`${server.url}/api/auth/login`);
    assert.equal(status, 302);
    const page = await request(new URL(headers.location, server.url).href);
    assert.equal(page.status, 200);
    assert.match(page.headers["content-type"], /^text\/html/);
  });
});

describe("the login", () => {
  for (const [user, role] of Object.entries(ROLES)) {
    it(`as ${user} sets the cookie, and the socket lets it in`, async () => {
      const answer = await login(user);
      assert.deepEqual({ status: answer.status, body: answer.body }, { status: 204, body: "" });
      assert.equal(answer.headers["set-cookie"].length, 1);
      const [pair, ...flags] = answer.headers["set-cookie"][0].split(/;\s*/);
      assert.match(pair, /^slimy_admin_token=[\w-]+\.[\w-]+\.[\w-]+$/);
      assert.deepEqual(flags.sort(), ["HttpOnly", "Max-Age=43200", "Path=/", "SameSite=Lax"]);
      const who = await me(pair);
      assert.equal(who.role, role);
      const client = await server.client({ cookie: pair }).connected();
      const guildId = who.guilds[0]?.id ?? "1";
      assert.equal((await client.say({ text: "hello", guildId })).ok, true);
      assert.deepEqual((await client.messages.next()).from.role, role);
    });
  }

  it("the three are three users, in two guilds", async () => {
    const people = [];
    for (const user of Object.keys(ROLES)) people.push(await me(cookieOf(await login(user))));
    assert.equal(new Set(people.map(({ id }) => id)).size, 3);
    assert.equal(new Set(people.flatMap(({ guilds }) => guilds.map(({ id }) => id))).size, 2);
  });

  const bad = [
    ["an unknown user", { user: "root" }],
    ["no user", {}],
    ["a user of another type", { user: 1 }],
  ];
  for (const [what, body] of bad) {
    it(`with ${what} is refused`, async () => {
      const { status, headers, body: text } = await post(`${server.url}/api/auth/demo`, body);
      assert.equal(status, 400);
      assert.equal(JSON.parse(text).error.code, "VALIDATION_ERROR");
      assert.equal(headers["set-cookie"], undefined);
    });
  }

  it("with what is no JSON is refused", async () => {
    const headers = { "content-type": "application/json" };
    const answer = await request(`${server.url}/api/auth/demo`, { method: "POST", headers, body: "{ broken" });
    assert.equal(answer.status, 400);
    assert.equal(JSON.parse(answer.body).error.code, "BAD_REQUEST");
    assert.equal(answer.headers["set-cookie"], undefined);
  });

  it("is a POST only", async () => {
    const { status, headers } = await request(`${server.url}/api/auth/demo?user=admin`);
    assert.notEqual(status, 204);
    assert.equal(headers["set-cookie"], undefined);
  });

  it("from a foreign origin is refused", async () => {
    const answer = await login("admin", { origin: "https://evil.example" });
    assert.equal(answer.status, 403);
    assert.equal(answer.headers["set-cookie"], undefined);
  });

  it("makes a secret of its own each time", async (t) => {
    const cookie = cookieOf(await login("admin"));
    const other = await Admin.start({ secret: null });
    t.after(() => other.stop());
    assert.equal((await other.refusal(cookie)).message, "not_authorized");
  });
});

describe("who is answered", () => {
  const paths = ["/", "/api/health", "/api/auth/me", "/socket.io/?EIO=4&transport=polling"];

  const hosts = () => [`127.0.0.1:${server.port}`, `localhost:${server.port}`, `[::1]:${server.port}`, "localhost", "LOCALHOST:80"];
  it("a loopback Host", async () => {
    for (const host of hosts()) {
      const { status } = await request(`${server.url}/api/health`, { headers: { host } });
      assert.equal(status, 200, host);
    }
  });

  for (const host of ["evil.example", "evil.example:3080", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "0.0.0.0"]) {
    it(`not the Host ${host}`, async () => {
      for (const path of paths) {
        const { status, headers } = await request(server.url + path, { headers: { host } });
        assert.equal(status, 403, path);
        assert.equal(headers["set-cookie"], undefined);
      }
      assert.equal((await refusedUpgrade(server, { headers: { host } })).status, 403);
      assert.equal((await login("admin", { host })).status, 403);
    });
  }

  const forwarding = { "x-forwarded-for": "203.0.113.1", "x-forwarded-proto": "https", "x-forwarded-host": "localhost", forwarded: "for=203.0.113.1" };
  for (const [name, value] of Object.entries(forwarding)) {
    it(`nothing that was forwarded: ${name}`, async () => {
      for (const path of paths) {
        const { status } = await request(server.url + path, { headers: { [name]: value } });
        assert.equal(status, 403, path);
      }
      assert.equal((await refusedUpgrade(server, { headers: { [name]: value } })).status, 403);
      assert.equal((await login("admin", { [name]: value })).status, 403);
    });
  }
});
