// GET /api/status: what the server needs, and whether it is there.
import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { Admin } from "./lib/admin.mjs";
import { eventually } from "./lib/deadline.mjs";
import { request } from "./lib/http.mjs";

async function started(t, options) {
  const server = await Admin.start(options);
  t.after(() => server.stop());
  return server;
}

const status = async (server) => {
  const { status: code, body } = await request(`${server.url}/api/status`);
  return { code, ...JSON.parse(body) };
};
const ALL = { sessions: "ok", broker: "ok", metrics: "ok" };

describe("GET /api/status", () => {
  for (const recovery of ["2m", "off"]) {
    it(`says that all is well, with --recovery ${recovery}`, async (t) => {
      const server = await started(t, { env: { RECOVERY: recovery } });
      await eventually(async () => (await status(server)).code === 200, "a server that is well");
      const { code, subsystems, ...health } = await status(server);
      assert.deepEqual(subsystems, ALL);
      assert.equal(health.status, "ok");
      assert.deepEqual(Object.keys(health).sort(), ["status", "timestamp", "uptime", "version"]);
    });
  }

  it("is for anyone, in the demo too", async (t) => {
    const server = await started(t, { secret: null });
    await eventually(async () => (await status(server)).code === 200, "a server that is well");
  });

  it("is 503 while uploads cannot be counted; ready is not", async (t) => {
    const folder = await started(t);
    const uploads = folder.file("uploads");
    const server = await started(t, { args: ["--metrics", "process:", "--metrics", `uploads:${uploads}`] });
    const { code, subsystems, status: word } = await status(server);
    assert.equal(code, 503);
    assert.deepEqual(subsystems, { ...ALL, metrics: "down" });
    assert.equal(word, "degraded");
    assert.equal((await request(`${server.url}/api/ready`)).status, 204);
    mkdirSync(`${uploads}/1176605506912141444/2026-11-22`, { recursive: true });
    writeFileSync(`${uploads}/1176605506912141444/2026-11-22/a.thumb.jpg`, "");
    await eventually(async () => (await status(server)).code === 200, "uploads that are counted");
    rmSync(uploads, { recursive: true });
  });
});
