// The page: logs in, and chats over a small client of Engine.IO v4 and Socket.IO v5 on a WebSocket.
"use strict";

/** One namespace over one WebSocket; comes back by itself, unless the server sends it away. */
class Socket {
  #handlers = {};
  #acks = new Map();
  #nextAck = 0;
  #attempts = 0;
  #silence;
  #again;
  #closed = false;

  on(event, handler) {
    this.#handlers[event] = handler;
    return this;
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const ws = (this.ws = new WebSocket(`${scheme}//${location.host}/socket.io/?EIO=4&transport=websocket`));
    ws.onmessage = ({ data }) => this.#received(data);
    ws.onclose = () => this.#lost();
    return this;
  }

  /** Sends an event; the ack's first argument, or a failure when the connection is lost first. */
  ask(event, payload) {
    return new Promise((resolve, reject) => {
      if (this.ws?.readyState !== WebSocket.OPEN) return reject(new Error("Not connected."));
      const id = this.#nextAck++;
      this.#acks.set(id, { resolve, reject });
      this.ws.send(`42${id}${JSON.stringify([event, payload])}`);
    });
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#again);
    clearTimeout(this.#silence);
    if (!this.ws) return;
    // What is still on its way is nobody's any more.
    this.ws.onmessage = null;
    this.ws.close();
  }

  #received(data) {
    if (typeof data !== "string") return;
    const type = data[0];
    if (type === "0") {
      const { pingInterval, pingTimeout } = JSON.parse(data.slice(1));
      this.patience = pingInterval + pingTimeout;
      this.#listen();
      this.ws.send("40");
    } else if (type === "2") {
      this.#listen();
      this.ws.send("3");
    } else if (type === "4") {
      this.#packet(data.slice(1));
    }
  }

  /** A server that sends no ping in time is gone, whatever the WebSocket says. */
  #listen() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.ws.close(), this.patience);
  }

  #packet(text) {
    const [, type, id, json] = /^(\d)(\d*)(.*)$/s.exec(text) ?? [];
    const value = json ? JSON.parse(json) : undefined;
    if (type === "0") {
      this.#attempts = 0;
      this.#call("connect");
    } else if (type === "1") {
      this.close();
      this.#call("sent-away");
    } else if (type === "2") {
      this.#call(value[0], value[1]);
    } else if (type === "3") {
      this.#acks.get(Number(id))?.resolve(value[0]);
      this.#acks.delete(Number(id));
    } else if (type === "4") {
      // What the server could not find out it may know later; a refusal stays one.
      if (value.message === "server_error") return this.ws.close();
      this.close();
      this.#call("refused", value.message);
    }
  }

  #lost() {
    clearTimeout(this.#silence);
    this.#acks.forEach(({ reject }) => reject(new Error("The connection was lost.")));
    this.#acks.clear();
    if (this.#closed) return;
    this.#call("disconnect");
    const wait = Math.min(500 * 2 ** this.#attempts++, 10_000);
    this.#again = setTimeout(() => this.open(), wait * (0.5 + Math.random()));
  }

  #call(event, payload) {
    this.#handlers[event]?.(payload);
  }
}

/** The most messages that are kept of a guild. */
const KEPT = 200;
const $ = (id) => document.getElementById(id);

let me;
let socket;
let messages = new Map();

function show(section, notice = "") {
  $("login").hidden = section !== "login";
  $("chat").hidden = section !== "chat";
  $("notice").textContent = notice;
}

function askForLogin(notice) {
  socket?.close();
  const demo = document.body.dataset.demo === "true";
  $("users").hidden = !demo;
  $("no-demo").hidden = demo;
  show("login", notice);
}

async function start() {
  const answer = await fetch("/api/auth/me").catch(() => null);
  if (!answer) return askForLogin("The server does not answer.");
  if (answer.status === 401) return askForLogin();
  if (!answer.ok) return askForLogin("The server cannot answer right now. Try again shortly.");
  me = await answer.json();
  messages = new Map();
  $("name").textContent = `${me.globalName ?? me.username ?? me.id} (${me.role})`;
  $("admin-only-label").hidden = me.role !== "admin";
  $("guild").replaceChildren(...me.guilds.map(({ id, name }) => new Option(name ?? id, id)));
  draw();
  show("chat");
  $("text").focus();
  $("state").textContent = "connecting…";
  socket = new Socket()
    .on("connect", () => ($("state").textContent = "connected"))
    .on("disconnect", () => ($("state").textContent = "reconnecting…"))
    .on("refused", (why) => askForLogin(why === "no_guild_context" ? "You belong to no guild." : "You are not logged in."))
    .on("session:ended", ({ reason }) => askForLogin(reason === "expired" ? "Your login has expired." : "Your login has ended."))
    .on("sent-away", () => $("chat").hidden || askForLogin("The server ended the connection."))
    .on("chat:message", keep)
    .open();
}

/** Adds a message, in place of its pending copy. */
function keep(message) {
  const list = messages.get(message.guildId) ?? [];
  const at = list.findIndex(({ messageId }) => messageId === message.messageId);
  if (at < 0) list.push(message);
  else list[at] = message;
  messages.set(message.guildId, list.slice(-KEPT));
  draw();
}

function drop({ guildId, messageId }) {
  messages.set(guildId, (messages.get(guildId) ?? []).filter((message) => message.messageId !== messageId));
  draw();
}

function draw() {
  const rows = (messages.get($("guild").value) ?? []).map(({ from, text, ts, adminOnly, pending }) => {
    const row = document.createElement("li");
    const name = document.createElement("strong");
    name.textContent = from.name;
    name.style.color = from.color;
    const time = document.createElement("time");
    time.dateTime = ts;
    time.textContent = ` ${new Date(ts).toLocaleTimeString()}`;
    const tag = document.createElement("span");
    tag.className = "tag";
    tag.textContent = adminOnly ? " (admins only)" : "";
    row.append(name, time, tag, `\n${text}`);
    row.classList.toggle("pending", Boolean(pending));
    return row;
  });
  const list = $("messages");
  // Who reads older messages is not torn away from them.
  const follow = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.replaceChildren(...rows);
  if (follow) toEnd();
}

function toEnd() {
  $("messages").scrollTop = $("messages").scrollHeight;
}

async function send() {
  const text = $("text").value;
  const guildId = $("guild").value;
  const adminOnly = $("admin-only").checked;
  const messageId = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const from = { name: me.globalName ?? me.username ?? me.id, color: "inherit" };
  const pending = { messageId, guildId, adminOnly, text, ts: new Date().toISOString(), from, pending: true };
  $("error").textContent = "";
  $("text").value = "";
  toEnd();
  if (text.trim()) keep(pending);
  try {
    const ack = await socket.ask("chat:message", { text, guildId, adminOnly, messageId });
    if (ack?.error) throw new Error(ack.error === "server_error" ? "The server failed. Try again." : ack.error);
  } catch (error) {
    drop(pending);
    $("error").textContent = error.message;
    // What was typed is not lost, unless something else was typed since.
    if (!$("text").value) $("text").value = text;
  }
}

async function logIn(user) {
  const headers = { "content-type": "application/json" };
  const answer = await fetch("/api/auth/demo", { method: "POST", headers, body: JSON.stringify({ user }) }).catch(() => null);
  if (!answer?.ok) return askForLogin("The login failed.");
  const back = new URLSearchParams(location.search).get("returnTo");
  // Only what stays on this server: a URL parser drops tabs and turns backslashes around.
  if (back?.startsWith("/") && new URL(back, location.origin).origin === location.origin) location.assign(back);
  else start();
}

async function logOut() {
  const answer = await fetch("/api/auth/logout", { method: "POST" }).catch(() => null);
  if (answer?.ok) askForLogin("You are logged out.");
  else $("error").textContent = "The logout failed. Try again.";
}

$("users").addEventListener("click", ({ target }) => target.dataset.user && logIn(target.dataset.user));
$("logout").addEventListener("click", logOut);
$("guild").addEventListener("change", () => {
  draw();
  toEnd();
});
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
start();
