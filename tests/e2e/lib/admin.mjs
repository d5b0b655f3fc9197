// A running admin-server with its sessions file, its tokens and its clients.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { Client } from "./client.mjs";
import { nested, sign } from "./jwt.mjs";
import { ADMIN_SERVER, Program } from "./program.mjs";
import { RawSocket } from "./wire.mjs";

export const SECRET = "the-secret-of-the-tests-which-is-long-enough";
export const OLD_SECRET = "an-older-secret-of-the-tests-also-long-enough";

// Snowflakes: both are above 2^53.
export const GUILD = "1176605506912141444";
export const OTHER = "2287716617023252555";

export const guild = (id, name) => ({ id, name, roles: ["member"] });
export const IN_GUILD = { guilds: [guild(GUILD, "Slime HQ")] };
export const IN_OTHER = { guilds: [guild(OTHER, "Other Place")] };

/** A user as the claims name one; the name shown is `Alice` for id `alice`. */
export const person = (id, role = "member") => ({
  id,
  username: `${id}_name`,
  globalName: id[0].toUpperCase() + id.slice(1),
  avatar: "a1b2",
  role,
});

export class Admin {
  #folder = mkdtempSync(path.join(os.tmpdir(), "slimy-e2e-"));
  #open = new Set();

  /**
   * `sessions`: the content of the sessions file; `secret: null` is demo mode, without that file; `args` and `env` go to the program.
   * Recovery is off unless a test asks for it, so that raw frames carry nothing but the event.
   */
  static async start({ sessions = {}, secret = SECRET, args = [], env = {}, port = 0 } = {}) {
    const admin = new Admin();
    admin.writeSessions(sessions);
    const secrets = secret === null ? {} : { JWT_SECRET: secret, SESSIONS_FILE: admin.file("sessions.json") };
    const variables = { RECOVERY: "off", ...secrets, ...env };
    admin.program = new Program(ADMIN_SERVER, ["--listen", `127.0.0.1:${port}`, ...args], variables);
    try {
      admin.url = await admin.program.listening();
    } catch (error) {
      await admin.stop();
      throw error;
    }
    admin.port = Number(new URL(admin.url).port);
    return admin;
  }

  /** A path in the server's own temporary folder. */
  file(name) {
    return path.join(this.#folder, name);
  }

  writeSessions(sessions) {
    // Renamed into place, so that the server never reads half a file.
    writeFileSync(this.file("sessions.new"), JSON.stringify(sessions));
    renameSync(this.file("sessions.new"), this.file("sessions.json"));
  }

  /** Replaces the sessions file and tells the server. */
  changeSessions(sessions) {
    this.writeSessions(sessions);
    this.program.kill("SIGHUP");
  }

  /** The cookie header for a person (by id and role), or for a token. */
  cookie(who, role) {
    const token = typeof who === "string" && !who.includes(".") ? sign(nested(person(who, role)), SECRET) : who;
    return `slimy_admin_token=${token}`;
  }

  /** A stock client, not waited for. */
  client(options) {
    return this.#keep(new Client(this.url, options));
  }

  /** A connected stock client of a person. */
  connect(who, role, options = {}) {
    return this.client({ cookie: this.cookie(who, role), ...options }).connected();
  }

  /** The refusal that a cookie header meets. */
  refusal(cookie) {
    return this.client({ cookie }).refused();
  }

  /** A connected raw WebSocket of a person. */
  async raw(who, role, options = {}) {
    return this.#keep(await RawSocket.connected(this, { headers: { cookie: this.cookie(who, role) }, ...options }));
  }

  #keep(connection) {
    this.#open.add(connection);
    return connection;
  }

  /** Closes every client that a test opened. */
  closeClients() {
    this.#open.forEach((connection) => connection.close());
    this.#open.clear();
  }

  async stop() {
    this.closeClients();
    await this.program.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
