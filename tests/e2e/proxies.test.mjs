// The proxy configurations of examples/proxies, tried: several nodes behind one address, for clients that poll and for WebSockets.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Admin, GUILD, IN_GUILD } from "./lib/admin.mjs";
import { Client } from "./lib/client.mjs";
import { eventually, within } from "./lib/deadline.mjs";
import { Program } from "./lib/program.mjs";

const EXAMPLES = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../examples/proxies");
const CLIENTS = 12;

/** A port that was free just now. */
const freePort = () =>
  new Promise((resolve, reject) => {
    const server = net.createServer().on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

const PROXIES = {
  nginx: {
    file: "nginx.conf",
    start: (file, folder) =>
      new Program("/usr/sbin/nginx", ["-p", folder, "-c", file, "-e", "stderr", "-g", "daemon off; pid nginx.pid; error_log stderr;"]),
    // nginx writes into its own folder what it buffers.
    adapt: (text, folder) =>
      text.replace("http {", `http {\n    access_log off;\n${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `    ${kind}_temp_path ${folder}/${kind};\n`).join("")}`),
  },
  haproxy: {
    file: "haproxy.cfg",
    start: (file) => new Program("/usr/sbin/haproxy", ["-db", "-f", file]),
    adapt: (text) => text,
  },
};

for (const [name, proxy] of Object.entries(PROXIES)) {
  describe(`two nodes behind ${name}`, () => {
    const nodes = [];
    let folder;
    let program;
    let url;
    before(async () => {
      folder = mkdtempSync(path.join(os.tmpdir(), `slimy-${name}-`));
      const port = await freePort();
      for (let index = 0; index < 2; index += 1) {
        nodes.push(await Admin.start({ sessions: { alice: IN_GUILD }, args: ["--trusted-proxies", "127.0.0.1/32", "--chat-rate", "1000/1s"] }));
      }
      const text = readFileSync(path.join(EXAMPLES, proxy.file), "utf8")
        .replace("127.0.0.1:8080", `127.0.0.1:${port}`)
        .replace("127.0.0.1:3081", `127.0.0.1:${nodes[0].port}`)
        .replace("127.0.0.1:3082", `127.0.0.1:${nodes[1].port}`);
      writeFileSync(path.join(folder, proxy.file), proxy.adapt(text, folder));
      program = proxy.start(path.join(folder, proxy.file), folder);
      url = `http://127.0.0.1:${port}`;
      await eventually(async () => {
        if (program.over) throw new Error(`${name} ended: ${program.stderr}`);
        return (await fetch(`${url}/api/ready`).catch(() => ({}))).status === 204;
      }, name);
    });
    after(async () => {
      program?.kill("SIGTERM");
      if (program) await within(program.exited, `the end of ${name}`);
      await Promise.all(nodes.map((node) => node.stop()));
      rmSync(folder, { recursive: true, force: true });
    });

    const cookie = () => nodes[0].cookie("alice");
    const connect = (options) => new Client(url, { cookie: cookie(), ...options }).connected();

    for (const [what, transports] of Object.entries({ polling: ["polling"], "polling, then WebSocket": ["polling", "websocket"], WebSocket: ["websocket"] })) {
      it(`keeps clients at their node over ${what}`, async () => {
        const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connect({ transports })));
        try {
          for (let round = 0; round < 3; round += 1) {
            const acks = await Promise.all(clients.slice(0, 4).map((client, index) => client.say({ text: `${what} ${round} ${index}`, guildId: GUILD })));
            assert.ok(acks.every((ack) => ack.ok), JSON.stringify(acks));
          }
          assert.deepEqual(clients.flatMap((client) => client.history.filter(([event]) => event !== "connect")), []);
          if (transports.at(-1) === "websocket") {
            await eventually(() => clients.every((client) => client.socket.io.engine.transport.name === "websocket"), "the upgrades");
          }
        } finally {
          clients.forEach((client) => client.close());
        }
      });
    }

    it("uses both nodes and says who the client is", () => {
      for (const node of nodes) assert.match(node.program.stderr, /connected.*address=127\.0\.0\.1/);
    });

    it("sends clients of a node that ends to the other", async () => {
      const client = await connect({ transports: ["websocket"], reconnection: true, reconnectionDelay: 50 });
      const { id } = client.socket;
      const has = (node) => client.socket.id && node.program.stderr.includes(client.socket.id);
      try {
        await eventually(() => nodes.some(has), "the node that has it");
        const [first, second] = has(nodes[0]) ? nodes : [nodes[1], nodes[0]];
        first.program.kill("SIGTERM");
        await client.life("disconnect");
        await eventually(() => client.socket.connected && client.socket.id !== id && has(second), "the other node", 10_000);
        assert.ok((await client.say({ text: "here again", guildId: GUILD })).ok);
      } finally {
        client.close();
      }
    });
  });
}
