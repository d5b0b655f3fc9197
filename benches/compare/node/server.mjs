// The chat of admin-server on socket.io, as its documentation advises to write it. Environment: ADMIN_LISTEN, JWT_SECRET, SESSIONS_FILE,
// and for one node of several REDIS_URL.
//
// What is tuned, and why:
// * `bufferutil` (optional dependency, prebuilt): unmasks what clients send. `utf-8-validate` is not needed since Node has `buffer.isUtf8`.
// * The handshake's request is discarded, as an idle client would keep it. Not where the documentation does it, on the engine's
//   `connection`: the cookie is read after that.
// * No served client files, no compression (perMessageDeflate is off by default), no CORS, no connection state recovery.
// * TCP_NODELAY is Node's default, and said here all the same.
// * With REDIS_URL, the Redis adapter with the `redis` client. The other adapters of its package and family are for Redis Cluster (sharded
//   pub/sub) and for messages that survive (streams); this is the one that the documentation begins with.
// * `eiows` is not used: it has to be compiled where it is installed, against Node's headers.
// Run it with NODE_ENV=production.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import jwt from "jsonwebtoken";
import { createClient } from "redis";
import { Server } from "socket.io";

const COOKIE = "slimy_admin_token";
const ADMINS = "admins";
const MAX_TEXT_CHARS = 4000;

const { ADMIN_LISTEN = "127.0.0.1:3080", JWT_SECRET, SESSIONS_FILE, REDIS_URL } = process.env;
if (!JWT_SECRET || !SESSIONS_FILE) throw new Error("JWT_SECRET and SESSIONS_FILE must be set");
const sessions = new Map(Object.entries(JSON.parse(readFileSync(SESSIONS_FILE, "utf8"))));

const http = createServer({ noDelay: true });
const io = new Server(http, { serveClient: false, perMessageDeflate: false, maxHttpBufferSize: 1e6 });
if (REDIS_URL) {
  const publisher = createClient({ url: REDIS_URL });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  io.adapter(createAdapter(publisher, subscriber));
}

io.use((socket, next) => {
  const user = authenticate(socket.handshake.headers.cookie);
  if (!user) return next(new Error("not_authorized"));
  socket.data.user = user;
  next();
});

io.on("connection", (socket) => {
  socket.conn.request = null;
  const { user } = socket.data;
  socket.join([...user.guilds].map(room));
  if (user.isAdmin) socket.join(ADMINS);
  socket.on("chat:message", (said, ack) => {
    const answer = message(user, said);
    if (typeof ack === "function") ack(answer);
  });
});

const separator = ADMIN_LISTEN.lastIndexOf(":");
const host = ADMIN_LISTEN.slice(0, separator).replace(/^\[|\]$/g, "");
http.listen({ host, port: Number(ADMIN_LISTEN.slice(separator + 1)), backlog: 4096 }, () => {
  const { address, family, port } = http.address();
  console.log(`listening on http://${family === "IPv6" ? `[${address}]` : address}:${port}`);
});

/** The user of the cookie's token, with the guilds of the session. */
function authenticate(cookies = "") {
  const cookie = cookies.split(";").map((pair) => pair.trim()).find((pair) => pair.startsWith(`${COOKIE}=`));
  if (!cookie) return null;
  try {
    const claims = jwt.verify(cookie.slice(COOKIE.length + 1), JWT_SECRET, { algorithms: ["HS256"] });
    if (typeof claims.sub !== "string" || typeof claims.exp !== "number") return null;
    return {
      id: claims.sub,
      name: claims.globalName ?? claims.username ?? claims.sub,
      isAdmin: claims.role === "admin",
      guilds: new Set(sessions.get(claims.sub)?.guilds.map((guild) => guild.id)),
    };
  } catch {
    return null;
  }
}

/** Broadcasts what is allowed; the answer is the ack. */
function message(user, said) {
  const { text, guildId } = said ?? {};
  if (typeof text !== "string" || typeof guildId !== "string") return refusal("Invalid message.", "invalid_message");
  if (text.trim() === "") return refusal("Message cannot be empty.", "empty_message");
  if (text.length > MAX_TEXT_CHARS) return refusal("Message is too long.", "message_too_long");
  if (!user.isAdmin && !user.guilds.has(guildId)) return refusal("You do not have access to this guild.", "guild_forbidden");
  const messageId = randomUUID();
  const ts = new Date().toISOString();
  const from = { id: user.id, name: user.name, role: "member", color: "#3b82f6" };
  io.to([room(guildId), ADMINS]).emit("chat:message", { messageId, guildId, adminOnly: false, text, ts, from });
  return { ok: true, messageId, ts };
}

function refusal(error, code) {
  return { error, code };
}

function room(guildId) {
  return `guild:${guildId}`;
}
