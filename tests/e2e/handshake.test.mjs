// What a handshake may look like: the query, the WebSocket's own headers, and what an operator's variables make of the address.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { io } from "socket.io-client";
import { Admin, IN_GUILD, SECRET } from "./lib/admin.mjs";
import { within } from "./lib/deadline.mjs";
import { RawHttp, request } from "./lib/http.mjs";
import { ADMIN_SERVER, Program } from "./lib/program.mjs";

let server;
before(async () => {
  server = await Admin.start({ sessions: { alice: IN_GUILD } });
});
after(() => server.stop());

describe("the query", () => {
  const table = [
    ["transport=%70olling&EIO=4", 200],
    ["EIO=4&transport=polling&sid=", 200],
    ["EIO=4&transport=polling&sid", 200],
    ["EIO=4&transport=polling&t=abc&b64=1", 200],
    ["EIO=4&EIO=4&transport=polling", 400, 5],
    ["EIO=04&transport=polling", 400, 5],
    ["EIO=3&transport=polling", 400, 5],
    ["EIO=4&transport=polling&transport=polling", 400, 0],
    ["EIO=4&transport=polling&sid=a&sid=b", 400, 1],
    ["EIO=4&transport=polling&sid=unknown", 400, 1],
    ["", 400, 0],
  ];
  for (const [query, status, code] of table) {
    it(`?${query}: ${status}`, async () => {
      const answer = await request(`${server.url}/socket.io/?${query}`);
      assert.equal(answer.status, status, answer.body);
      if (code !== undefined) assert.equal(JSON.parse(answer.body).code, code);
    });
  }

  it("a foreign page gets 403 whatever else is wrong", async () => {
    const headers = { origin: "https://evil.example" };
    const answer = await request(`${server.url}/socket.io/`, { headers });
    assert.equal(answer.status, 403);
    assert.equal(answer.headers["access-control-allow-origin"], undefined);
  });
});

describe("a WebSocket's handshake", () => {
  const key = "dGhlIHNhbXBsZSBub25jZQ==";
  const upgrade = async (lines, version = "HTTP/1.1") => {
    const http = new RawHttp(server.url);
    const head = `GET /socket.io/?EIO=4&transport=websocket ${version}\r\nHost: ${new URL(server.url).host}\r\n`;
    await http.write(`${head}Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n${lines.join("\r\n")}\r\n\r\n`);
    const status = await http.status();
    http.close();
    return { status, head: http.received };
  };
  const version = "Sec-WebSocket-Version: 13";

  it("is answered with the accepted key", async () => {
    const { status, head } = await upgrade([version, `Sec-WebSocket-Key: ${key}`]);
    assert.equal(status, 101);
    assert.match(head, /sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/i);
  });

  const wrong = [
    ["no key", [version]],
    ["a key that is no base64", [version, "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!!!"]],
    ["a key of another length", [version, "Sec-WebSocket-Key: dGhlIHNhbXBsZQ=="]],
    ["two keys", [version, `Sec-WebSocket-Key: ${key}`, `Sec-WebSocket-Key: ${key}`]],
    ["another version", ["Sec-WebSocket-Version: 8", `Sec-WebSocket-Key: ${key}`]],
  ];
  for (const [what, lines] of wrong) {
    it(`${what}: 400`, async () => assert.equal((await upgrade(lines)).status, 400));
  }

  it("over HTTP/1.0: 400", async () => {
    assert.equal((await upgrade([version, `Sec-WebSocket-Key: ${key}`], "HTTP/1.0")).status, 400);
  });

  it("a stock client that offers protocols connects, by the first of them", async (t) => {
    const extraHeaders = { cookie: server.cookie("alice", "member") };
    const socket = io(server.url, { transports: ["websocket"], protocols: ["one", "two"], extraHeaders, forceNew: true });
    t.after(() => socket.close());
    await within(new Promise((resolve, reject) => socket.on("connect", resolve).on("connect_error", reject)), "the connection");
    assert.equal(socket.io.engine.transport.ws.protocol, "one");
  });
});

describe("variables for the address", () => {
  const listens = async (t, env) => {
    const program = new Program(ADMIN_SERVER, [], { JWT_SECRET: SECRET, ...env });
    t.after(() => program.stop());
    return program.listening();
  };

  it("a variable that is not looked at may hold anything", async (t) => {
    const url = await listens(t, { ADMIN_LISTEN: "127.0.0.1:0", PORT: "tcp://10.0.0.1:80", ADMIN_API_PORT: "tcp://x" });
    assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
  });

  it("an empty variable is none", async (t) => {
    const url = await listens(t, { ADMIN_LISTEN: "", HOST: "", ADMIN_API_HOST: "127.0.0.9", PORT: "0", CHAT_RATE: "", TLS_CERT: "" });
    assert.match(url, /^http:\/\/127\.0\.0\.9:\d+$/);
  });
});
