// The HTTP routes: answers, errors, headers, cookies, the demo mode.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { Admin, GUILD, IN_GUILD, SECRET, person } from "./lib/admin.mjs";
import { post, request } from "./lib/http.mjs";
import { flat, nested, now, sign } from "./lib/jwt.mjs";

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const bearer = (jwt) => ({ cookie: `slimy_admin_token=${jwt}` });

let server;
const useServer = (options) => {
  before(async () => (server = await Admin.start({ sessions: { alice: IN_GUILD, risen: { ...IN_GUILD, role: "admin" } }, ...options })));
  after(() => server.stop());
  afterEach(() => server.closeClients());
};
const get = (path, headers = {}) => request(server.url + path, { headers });

/** Checks status and shape of an error; returns what is in it. */
function assertError({ status, headers, body }, expected, code) {
  assert.equal(status, expected, body);
  assert.match(headers["content-type"], /^application\/json/);
  const { ok, error, ...rest } = JSON.parse(body);
  assert.equal(ok, false);
  assert.deepEqual(rest, {});
  assert.equal(error.code, code);
  assert.equal(typeof error.message, "string");
  assert.notEqual(error.message, "");
  assert.equal(error.requestId, headers["x-request-id"]);
  for (const key of Object.keys(error)) assert.ok(["code", "message", "requestId", "details"].includes(key), key);
  return error;
}

describe("health", () => {
  useServer();

  it("GET /api/health", async () => {
    const { status, headers, body } = await get("/api/health");
    assert.equal(status, 200);
    assert.match(headers["content-type"], /^application\/json/);
    const health = JSON.parse(body);
    assert.deepEqual(Object.keys(health), ["status", "uptime", "timestamp", "version"]);
    assert.equal(health.status, "ok");
    assert.ok(health.uptime >= 0 && health.uptime < 600, `${health.uptime}`);
    assert.match(health.timestamp, ISO);
    assert.ok(Math.abs(Date.now() - Date.parse(health.timestamp)) < 5_000);
    assert.match(health.version, /^\d+\.\d+\.\d+$/);
  });

  for (const path of ["/api/live", "/api/ready"]) {
    it(`GET ${path}`, async () => {
      const { status, body } = await get(path);
      assert.deepEqual({ status, body }, { status: 204, body: "" });
    });
  }
});

describe("the login redirect", () => {
  useServer();
  const cases = [
    // [query, the returnTo that is kept]
    ["", null],
    ["?returnTo=", null],
    ["?returnTo=/", "/"],
    ["?returnTo=/chat", "/chat"],
    ["?returnTo=%2Fchat%3Fguild%3D1%23top", "/chat?guild=1#top"],
    ["?returnTo=chat", null],
    ["?returnTo=https://evil.example/", null],
    ["?returnTo=//evil.example/", null],
    ["?returnTo=///evil.example/", null],
    ["?returnTo=/%5Cevil.example/", null],
    ["?returnTo=%5C%5Cevil.example/", null],
    ["?returnTo=/%09/evil.example/", null],
    ["?returnTo=/%0A/evil.example/", null],
    ["?returnTo=%20//evil.example/", null],
    ["?returnTo=%09//evil.example/", null],
    ["?returnTo=javascript:alert(1)", null],
    ["?returnTo=data:text/html,x", null],
    ["?returnTo=/x%0D%0ASet-Cookie:%20a=b", null],
  ];
  for (const [query, kept] of cases) {
    it(`${query || "without returnTo"}: ${kept ? `keeps ${kept}` : "keeps nothing"}`, async () => {
      const { status, headers } = await get(`/api/auth/login${query}`);
      assert.equal(status, 302);
      assert.equal(headers["set-cookie"], undefined);
      const location = new URL(headers.location, server.url);
      assert.equal(location.origin, server.url);
      assert.equal(location.searchParams.get("returnTo"), kept);
    });
  }
});

describe("GET /api/auth/me", () => {
  useServer();

  it("tells who one is, in this order", async () => {
    const { status, body } = await get("/api/auth/me", bearer(sign(nested(person("alice", "club")), SECRET)));
    assert.equal(status, 200);
    const guilds = [{ id: GUILD, name: "Slime HQ", roles: ["member"] }];
    const me = { id: "alice", username: "alice_name", globalName: "Alice", avatar: "a1b2", role: "club", guilds };
    assert.equal(body, JSON.stringify(me));
  });

  it("the flat claims too; what is missing is null", async () => {
    const { body } = await get("/api/auth/me", bearer(sign(flat({ sub: "stranger" }), SECRET)));
    const me = { id: "stranger", username: null, globalName: null, avatar: null, role: "member", guilds: [] };
    assert.equal(body, JSON.stringify(me));
  });

  for (const [id, claimed, shown] of [["risen", "member", "admin"], ["alice", "owner", "admin"], ["alice", "odd", "member"]]) {
    it(`shows ${id}, claimed ${claimed}, as ${shown}`, async () => {
      const { body } = await get("/api/auth/me", bearer(sign(nested(person(id, claimed)), SECRET)));
      assert.equal(JSON.parse(body).role, shown);
    });
  }

  const other = "another-secret-that-is-long-enough-too";
  const refused = {
    AUTH_REQUIRED: {
      "no cookie": () => ({}),
      "no token": () => bearer("hello"),
      "a bad signature": () => bearer(sign(nested(person("alice")), other)),
      "an expired one with a bad signature": () => bearer(sign(nested(person("alice"), { exp: now() - 5 }), other)),
      "the cookie twice": () => ({ cookie: Array(2).fill(bearer(sign(nested(person("alice")), SECRET)).cookie).join("; ") }),
      "the token in another place": () => ({ authorization: `Bearer ${sign(nested(person("alice")), SECRET)}` }),
    },
    TOKEN_EXPIRED: {
      "an expired token": () => bearer(sign(nested(person("alice"), { exp: now() - 1 }), SECRET)),
    },
  };
  for (const [code, cases] of Object.entries(refused)) {
    for (const [what, headers] of Object.entries(cases)) {
      it(`${code}: ${what}`, async () => assertError(await get("/api/auth/me", headers()), 401, code));
    }
  }
});

describe("errors and headers", () => {
  useServer();

  for (const [method, path] of [["GET", "/api/nope"], ["GET", "/nope"], ["POST", "/api/nope"], ["DELETE", "/api/nope"], ["POST", "/api/auth/demo"]]) {
    it(`${method} ${path} is not found`, async () => {
      const error = assertError(await request(server.url + path, { method }), 404, "NOT_FOUND");
      assert.equal(error.message, `Route ${method} ${path} not found`);
    });
  }

  const paths = ["/api/health", "/api/live", "/api/ready", "/api/auth/login", "/api/auth/me", "/api/nope"];
  for (const path of paths) {
    it(`${path} is not stored and has a request id`, async () => {
      const [one, two] = [await get(path), await get(path)];
      assert.equal(one.headers["cache-control"], "no-store");
      assert.match(one.headers["x-request-id"], /^[\x21-\x7e]{1,128}$/);
      assert.notEqual(one.headers["x-request-id"], two.headers["x-request-id"]);
    });
  }

  for (const id of ["abc-123", "x", "x".repeat(128), "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"]) {
    it(`X-Request-ID ${id.slice(0, 40)} is kept`, async () => {
      assert.equal((await get("/api/health", { "x-request-id": id })).headers["x-request-id"], id);
      assert.equal(assertError(await get("/api/nope", { "x-request-id": id }), 404, "NOT_FOUND").requestId, id);
    });
  }

  for (const id of ["", "x".repeat(129), "a b", "a\tb", "é", "\u0080"]) {
    it(`X-Request-ID ${JSON.stringify(id.slice(0, 40))} is replaced`, async () => {
      const { headers } = await get("/api/health", { "x-request-id": id });
      assert.match(headers["x-request-id"], /^[\x21-\x7e]{1,128}$/);
      assert.notEqual(headers["x-request-id"], id);
    });
  }

  it("more than 100 request headers, or more than 64 KiB of them, are refused", async () => {
    const many = Object.fromEntries(Array.from({ length: 110 }, (_, i) => [`x-header-${i}`, "x"]));
    assert.equal((await get("/api/health", many)).status, 431);
    assert.equal((await get("/api/health", { "x-long": "x".repeat(70_000) })).status, 431);
    assert.equal((await get("/api/health", { "x-long": "x".repeat(30_000) })).status, 200);
  });
});

describe("POST /api/auth/logout", () => {
  const attributes = (header) => {
    const [pair, ...rest] = header.split(/;\s*/);
    const found = rest.map((text) => text.split("=")).map(([key, value = true]) => [key.toLowerCase(), value]);
    return { pair, ...Object.fromEntries(found) };
  };
  const cleared = async (admin, headers = {}) => {
    const { status, headers: answer, body } = await post(`${admin.url}/api/auth/logout`, undefined, headers);
    assert.deepEqual({ status, body }, { status: 204, body: "" });
    assert.equal(answer["cache-control"], "no-store");
    assert.equal(answer["set-cookie"].length, 1);
    const { expires, ...cookie } = attributes(answer["set-cookie"][0]);
    if (expires) assert.ok(Date.parse(expires) < Date.now());
    return cookie;
  };
  const plain = { pair: "slimy_admin_token=", httponly: true, samesite: "Lax", path: "/", "max-age": "0" };

  const configured = [
    ["as it is by default", {}, {}, plain],
    ["with the configured domain", { COOKIE_DOMAIN: "example.test" }, {}, { ...plain, domain: "example.test" }],
    ["with the configured name", { ADMIN_TOKEN_COOKIE: "t" }, {}, { ...plain, pair: "t=" }],
    ["with SameSite strict", { COOKIE_SAMESITE: "strict" }, {}, { ...plain, samesite: "Strict" }],
    ["Secure behind a trusted proxy that says https", { TRUSTED_PROXIES: "127.0.0.0/8" }, { "x-forwarded-proto": "https" }, { ...plain, secure: true }],
    ["not Secure behind one that says http", { TRUSTED_PROXIES: "127.0.0.0/8" }, { "x-forwarded-proto": "http" }, plain],
    ["not Secure on the word of just anyone", {}, { "x-forwarded-proto": "https" }, plain],
    ["not Secure on the word of another than the proxy", { TRUSTED_PROXIES: "10.0.0.0/8" }, { "x-forwarded-proto": "https" }, plain],
  ];
  for (const [what, env, headers, expected] of configured) {
    it(`clears the cookie ${what}`, async (t) => {
      const admin = await Admin.start({ env });
      t.after(() => admin.stop());
      assert.deepEqual(await cleared(admin, headers), expected);
    });
  }
});
