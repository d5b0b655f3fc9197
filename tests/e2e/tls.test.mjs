// TLS: wss and https with a certificate made here, and its exchange on SIGHUP.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import tls from "node:tls";
import { after, afterEach, before, describe, it } from "node:test";
import { Admin, GUILD, IN_GUILD, SECRET } from "./lib/admin.mjs";
import { eventually, within } from "./lib/deadline.mjs";
import { request } from "./lib/http.mjs";
import { ADMIN_SERVER, run } from "./lib/program.mjs";

let folder;
let server;
let ca;

/** Writes a fresh self-signed certificate for 127.0.0.1 over the one in use. */
function certify() {
  const names = ["-subj", "/CN=slimy-e2e", "-addext", "subjectAltName=IP:127.0.0.1"];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", folder.file("key.pem")];
  execFileSync("openssl", ["req", "-x509", ...key, "-out", folder.file("cert.pem"), "-days", "2", ...names], { stdio: "ignore" });
  ca = readFileSync(folder.file("cert.pem"));
}

before(async () => {
  folder = await Admin.start();
  certify();
  const env = { TLS_CERT: folder.file("cert.pem"), TLS_KEY: folder.file("key.pem") };
  server = await Admin.start({ sessions: { alice: IN_GUILD }, env });
  server.url = server.url.replace("http:", "https:");
});
after(async () => {
  await server.stop();
  await folder.stop();
});
afterEach(() => server.closeClients());

const fingerprint = () => {
  const socket = tls.connect({ port: server.port, host: "127.0.0.1", rejectUnauthorized: false });
  const answer = new Promise((resolve, reject) => {
    socket.on("secureConnect", () => resolve(socket.getPeerCertificate().fingerprint256));
    socket.on("error", reject);
  });
  return within(answer, "a TLS handshake").finally(() => socket.destroy());
};

describe("over TLS", () => {
  for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
    it(`a stock client chats over ${transports}`, async () => {
      const alice = await server.connect("alice", "member", { transports, ca });
      assert.equal((await alice.say({ text: "hello", guildId: GUILD })).ok, true);
      assert.equal((await alice.messages.next()).text, "hello");
    });
  }

  it("polling upgrades to WebSocket", async () => {
    const alice = await server.connect("alice", "member", { transports: ["polling", "websocket"], ca });
    await eventually(() => alice.socket.io.engine.transport.name === "websocket", "the upgrade");
    assert.equal((await alice.say({ text: "upgraded", guildId: GUILD })).ok, true);
    assert.deepEqual(alice.history, [["connect"]]);
  });

  it("a client that does not know the certificate does not connect", async () => {
    const client = server.client({ cookie: server.cookie("alice") });
    const { data } = await client.refused();
    assert.equal(data, undefined, "it is no refusal by the server");
  });

  it("a cookie is Secure, and the server's own origin is https", async () => {
    const own = { origin: server.url };
    const { status, headers } = await request(`${server.url}/api/auth/logout`, { method: "POST", headers: own, ca });
    assert.equal(status, 204);
    assert.match(headers["set-cookie"][0], /;\s*Secure(;|$)/);
    const plain = { origin: server.url.replace("https:", "http:") };
    assert.equal((await request(`${server.url}/api/health`, { headers: plain, ca })).status, 403);
  });

  it("plain HTTP gets no answer from the routes", async () => {
    const plain = request(`${server.url.replace("https:", "http:")}/api/live`).then(({ status }) => status, () => "cut");
    assert.notEqual(await plain, 204);
  });
});

describe("SIGHUP", () => {
  it("exchanges the certificate, and leaves open connections alone", async () => {
    const alice = await server.connect("alice", "member", { ca });
    const old = await fingerprint();
    certify();
    server.program.kill("SIGHUP");
    await eventually(async () => (await fingerprint()) !== old, "the new certificate");
    assert.equal((await alice.say({ text: "still here", guildId: GUILD })).ok, true);
    const again = await server.connect("alice", "member", { ca });
    assert.equal((await again.say({ text: "anew", guildId: GUILD })).ok, true);
    assert.deepEqual(alice.history, [["connect"]]);
  });

  it("with a broken certificate keeps the one in use", async () => {
    const old = await fingerprint();
    const said = () => server.program.stdout.length + server.program.stderr.length;
    const before = said();
    writeFileSync(folder.file("cert.pem"), "-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n");
    server.program.kill("SIGHUP");
    await eventually(() => said() > before, "a line in the log about the broken certificate");
    assert.equal(await fingerprint(), old);
  });

  it("a server that starts with a broken certificate does not start", async () => {
    const env = { JWT_SECRET: SECRET, TLS_CERT: folder.file("cert.pem"), TLS_KEY: folder.file("key.pem") };
    const { code, stderr } = await run(ADMIN_SERVER, ["--listen", "127.0.0.1:0"], env);
    assert.equal(code, 1);
    assert.ok(stderr.includes(folder.file("cert.pem")), stderr);
  });
});
