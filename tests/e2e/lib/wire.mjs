// Engine.IO by hand: raw WebSocket frames and raw polling.
import WebSocket from "ws";
import { DEADLINE_MS, Queue, within } from "./deadline.mjs";
import { request } from "./http.mjs";

export const SID = /^[A-Za-z0-9_-]{20}$/;

const webSocketUrl = (server, query) => {
  const url = new URL(server.path ?? "/socket.io/", server.url);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = new URLSearchParams({ EIO: "4", transport: "websocket", ...query });
  return url.href;
};

export class RawSocket {
  frames = new Queue("WebSocket message");
  #socket;

  /** `answerPings: false` leaves the heartbeat to the test. */
  constructor(server, { query = {}, answerPings = true, ...options } = {}) {
    this.#socket = new WebSocket(webSocketUrl(server, query), options);
    this.opened = new Promise((resolve, reject) => {
      this.#socket.on("open", resolve);
      this.#socket.on("error", reject);
    });
    this.opened.catch(() => {});
    this.closed = new Promise((resolve) => {
      this.#socket.on("close", (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    this.#socket.on("message", (data, binary) => {
      const frame = binary ? data : data.toString();
      if (answerPings && frame === "2") this.#socket.send("3");
      else this.frames.push(frame);
    });
  }

  /** Opens an Engine.IO session; `handshake` is what the open packet said. */
  static async engine(server, options) {
    const socket = new RawSocket(server, options);
    await within(socket.opened, "a WebSocket");
    const open = await socket.next();
    socket.handshake = JSON.parse(open.slice(1));
    return socket;
  }

  /** Opens a Socket.IO connection in `/`; `welcome` is what followed the handshake. */
  static async connected(server, { welcome = 0, ...options } = {}) {
    const socket = await RawSocket.engine(server, options);
    socket.send("40");
    const reply = await socket.next();
    if (!reply.startsWith("40")) throw new Error(`not connected: ${reply}`);
    socket.connection = JSON.parse(reply.slice(2));
    socket.welcome = await socket.frames.take(welcome);
    return socket;
  }

  /** A second transport for a polling session, up to the answered probe. */
  static async probe(server, session) {
    const socket = new RawSocket(server, { query: { sid: session.sid } });
    await within(socket.opened, "the second transport");
    socket.send("2probe");
    const answer = await socket.next();
    if (answer !== "3probe") throw new Error(`the probe was answered by ${answer}`);
    return socket;
  }

  next(ms) {
    return this.frames.next(ms);
  }

  send(data, options = {}) {
    this.#socket.send(data, options);
  }

  /** A WebSocket control ping; resolves with what the pong carried. */
  controlPing(data) {
    const pong = new Promise((resolve) => this.#socket.once("pong", (echo) => resolve(echo.toString())));
    this.#socket.ping(data);
    return within(pong, "a pong frame");
  }

  /** Waits until the server has closed. */
  end(ms = DEADLINE_MS) {
    return within(this.closed, "the close of a WebSocket", ms);
  }

  get open() {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  close() {
    this.#socket.terminate();
  }
}

/** The HTTP answer to a WebSocket request that is refused: {status, headers, body}. */
export function refusedUpgrade(server, { query, ...options } = {}) {
  const socket = new WebSocket(webSocketUrl(server, query), options);
  socket.on("error", () => {});
  const answer = new Promise((resolve, reject) => {
    socket.on("open", () => {
      socket.terminate();
      reject(new Error("the upgrade was accepted"));
    });
    socket.on("unexpected-response", (_, response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text) => (body += text));
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body }));
      response.on("error", reject);
    });
  });
  return within(answer, "the refusal of an upgrade");
}

/** An Engine.IO session over long-polling. */
export class Polling {
  static async open(server, headers = {}) {
    const session = new Polling();
    session.base = new URL(server.path ?? "/socket.io/", server.url).href;
    session.headers = headers;
    const { status, body } = await request(`${session.base}?EIO=4&transport=polling`, { headers });
    if (status !== 200) throw new Error(`handshake refused: ${status} ${body}`);
    session.handshake = JSON.parse(body.slice(1));
    session.sid = session.handshake.sid;
    return session;
  }

  get path() {
    return `${new URL(this.base).pathname}?EIO=4&transport=polling&sid=${this.sid}`;
  }

  get(options = {}) {
    return request(new URL(this.path, this.base).href, { headers: this.headers, ...options });
  }

  post(body) {
    const headers = { ...this.headers, "content-type": "text/plain;charset=UTF-8" };
    return request(new URL(this.path, this.base).href, { method: "POST", headers, body });
  }

  /** Polls until `count` packets that are neither ping nor noop have come; answers pings. */
  async packets(count) {
    const found = [];
    while (found.length < count) {
      const { status, body } = await this.get();
      if (status !== 200) throw new Error(`poll refused: ${status} ${body}`);
      for (const packet of body.split("\x1e")) {
        if (packet === "2") await this.post("3");
        else if (packet !== "6") found.push(packet);
      }
    }
    return found;
  }
}
