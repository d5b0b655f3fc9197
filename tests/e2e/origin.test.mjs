// Origins, preflights, proxies and the limits that go by a client's address.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { Admin, IN_GUILD } from "./lib/admin.mjs";
import { eventually } from "./lib/deadline.mjs";
import { request } from "./lib/http.mjs";
import { RawSocket, refusedUpgrade } from "./lib/wire.mjs";

const LISTED = ["https://admin.example", "http://localhost:5173"];
const POLL = "/socket.io/?EIO=4&transport=polling";
const list = (header = "") => header.split(",").map((text) => text.trim().toLowerCase()).filter(Boolean).sort();
const cors = (headers) => Object.keys(headers).filter((name) => name.startsWith("access-control-"));

let server;
const useServer = (env) => {
  before(async () => (server = await Admin.start({ sessions: { alice: IN_GUILD }, env })));
  after(() => server.stop());
  afterEach(() => server.closeClients());
};
const get = (path, headers) => request(server.url + path, { headers });

describe("origins", () => {
  useServer({ CORS_ORIGIN: LISTED.join(",") });

  for (const origin of LISTED) {
    for (const path of ["/api/health", "/api/auth/me", "/api/nope", POLL]) {
      it(`${origin} may read ${path}`, async () => {
        const { status, headers } = await get(path, { origin });
        assert.notEqual(status, 403);
        assert.equal(headers["access-control-allow-origin"], origin);
        assert.equal(headers["access-control-allow-credentials"], "true");
        assert.ok(list(headers.vary).includes("origin"), headers.vary);
      });
    }

    for (const [path, method] of [["/api/auth/logout", "POST"], ["/api/auth/me", "GET"], [POLL, "POST"]]) {
      it(`${origin} has its preflight of ${method} ${path} answered`, async () => {
        const ask = { origin, "access-control-request-method": method, "access-control-request-headers": "content-type,x-csrf-token,x-request-id" };
        const { status, headers } = await request(server.url + path, { method: "OPTIONS", headers: ask });
        assert.equal(status, 204);
        assert.equal(headers["access-control-allow-origin"], origin);
        assert.equal(headers["access-control-allow-credentials"], "true");
        assert.deepEqual(list(headers["access-control-allow-headers"]), ["content-type", "x-csrf-token", "x-request-id"]);
        assert.deepEqual(list(headers["access-control-allow-methods"]), ["get", "post"]);
        assert.ok(list(headers.vary).includes("origin"), headers.vary);
      });
    }

    it(`${origin} may open a WebSocket and log out`, async () => {
      const socket = await server.raw("alice", "member", { headers: { cookie: server.cookie("alice"), origin } });
      assert.equal(socket.open, true);
      const { status } = await request(`${server.url}/api/auth/logout`, { method: "POST", headers: { origin } });
      assert.equal(status, 204);
    });
  }

  const foreign = [
    "null",
    "https://evil.example",
    "http://admin.example",
    "https://admin.example:8443",
    "https://admin.example.evil.example",
    "https://evil.admin.example",
    "https://admin.example/",
    "http://localhost:5174",
    "http://localhost",
    "",
  ];
  for (const origin of foreign) {
    it(`${JSON.stringify(origin)} is refused everywhere, before anything else`, async () => {
      for (const path of ["/api/health", "/api/auth/me", "/api/nope"]) {
        const { status, headers, body } = await get(path, { origin });
        assert.equal(status, 403, path);
        assert.equal(JSON.parse(body).error.code, "FORBIDDEN");
        assert.deepEqual(cors(headers), []);
      }
      const poll = await get(POLL, { origin });
      assert.equal(poll.status, 403);
      assert.deepEqual(JSON.parse(poll.body), { code: 4, message: "Forbidden" });
      assert.deepEqual(cors(poll.headers), []);
      const upgrade = await refusedUpgrade(server, { headers: { origin, cookie: server.cookie("alice") } });
      assert.equal(upgrade.status, 403);
      assert.deepEqual(cors(upgrade.headers), []);
      const logout = await request(`${server.url}/api/auth/logout`, { method: "POST", headers: { origin } });
      assert.equal(logout.status, 403);
      assert.equal(logout.headers["set-cookie"], undefined);
      const ask = { origin, "access-control-request-method": "POST" };
      const preflight = await request(`${server.url}/api/auth/logout`, { method: "OPTIONS", headers: ask });
      assert.equal(preflight.status, 403);
      assert.deepEqual(cors(preflight.headers), []);
    });
  }

  it("the server's own is allowed, under the name by which it was asked", async () => {
    for (const host of [`127.0.0.1:${server.port}`, "chat.example", "chat.example:8080"]) {
      assert.equal((await get("/api/health", { host, origin: `http://${host}` })).status, 200, host);
      assert.equal((await get(POLL, { host, origin: `http://${host}` })).status, 200, host);
      assert.equal((await get("/api/health", { host, origin: `https://${host}` })).status, 403, host);
    }
    assert.equal((await get("/api/health", { host: "chat.example", origin: "http://other.example" })).status, 403);
  });

  it("none is needed", async () => {
    const { status, headers } = await get("/api/health", {});
    assert.equal(status, 200);
    assert.equal(headers["access-control-allow-origin"], undefined);
  });
});

describe("without a list", () => {
  useServer();

  it("only the server's own origin is allowed", async () => {
    assert.equal((await get("/api/health", { origin: server.url })).status, 200);
    assert.equal((await get("/api/health", { origin: "https://admin.example" })).status, 403);
  });

  it("X-Forwarded-Proto from just anyone does not change it", async () => {
    const headers = { origin: `https://127.0.0.1:${server.port}`, "x-forwarded-proto": "https" };
    assert.equal((await get("/api/health", headers)).status, 403);
  });
});

describe("behind a trusted proxy", () => {
  useServer({ TRUSTED_PROXIES: "127.0.0.1/32, 10.1.0.0/16", MAX_CONNECTIONS_PER_IP: "1" });

  /** Takes the one connection of the address that these hops amount to; `false` when it was taken. */
  const occupy = async (hops) => {
    const headers = hops === undefined ? {} : { "x-forwarded-for": hops };
    try {
      return await RawSocket.engine(server, { headers });
    } catch (error) {
      // One attempt only: by a second one the place could be free.
      assert.match(error.message, /\b503\b/);
      return false;
    }
  };

  it("its https is the server's own origin", async () => {
    const origin = "https://chat.example";
    const headers = { host: "chat.example", origin, "x-forwarded-proto": "https", "x-forwarded-for": "203.0.113.50" };
    assert.equal((await get("/api/health", headers)).status, 200);
    assert.equal((await get("/api/health", { ...headers, "x-forwarded-proto": "http" })).status, 403);
  });

  const same = [
    // [hops, hops of the same client, hops of another client]
    ["203.0.113.1", "203.0.113.1", "203.0.113.2"],
    ["203.0.113.3", "198.51.100.1, 203.0.113.3", "203.0.113.3, 198.51.100.1"],
    ["203.0.113.4", "203.0.113.4, 10.1.2.3", "203.0.113.4, 10.2.2.3"],
    ["203.0.113.5", "6.6.6.6,203.0.113.5 , 10.1.9.9, 127.0.0.1", "203.0.113.6, 10.1.9.9"],
    ["2001:db8::1", "2001:DB8:0::1", "2001:db8::2"],
  ];
  for (const [hops, again, another] of same) {
    it(`the client of ${again} is that of ${hops}, not that of ${another}`, async () => {
      const first = await occupy(hops);
      assert.ok(first);
      assert.equal(await occupy(again), false);
      const other = await occupy(another);
      assert.ok(other);
      first.close();
      const second = await eventually(() => occupy(again), "a free place");
      second.close();
      other.close();
    });
  }

  it("without the header the proxy itself is the client", async () => {
    const first = await occupy(undefined);
    assert.ok(first);
    assert.equal(await occupy(undefined), false);
    first.close();
  });
});

describe("without trusted proxies", () => {
  useServer({ MAX_CONNECTIONS_PER_IP: "1" });

  it("X-Forwarded-For is nobody's word: all are one address", async () => {
    const first = await RawSocket.engine(server, { headers: { "x-forwarded-for": "203.0.113.1" } });
    const { status } = await refusedUpgrade(server, { headers: { "x-forwarded-for": "203.0.113.2" } });
    assert.equal(status, 503);
    assert.equal((await get(POLL, { "x-forwarded-for": "203.0.113.3" })).status, 503);
    first.close();
  });
});
