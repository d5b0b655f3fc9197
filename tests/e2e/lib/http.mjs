// HTTP with nothing between the test and the bytes: one connection per request, no redirects, no retries.
import http from "node:http";
import https from "node:https";
import net from "node:net";
import { within } from "./deadline.mjs";

/** Sends one request; answers {status, headers, body}. */
export function request(url, { method = "GET", headers = {}, body, signal, ca } = {}) {
  const answer = new Promise((resolve, reject) => {
    const client = url.startsWith("https:") ? https : http;
    const outgoing = client.request(url, { method, headers, signal, ca, agent: false }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString("utf8");
        resolve({ status: response.statusCode, headers: response.headers, body: text });
      });
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
  return within(answer, `${method} ${url}`, 10_000);
}

/** A JSON POST. */
export function post(url, value, headers = {}) {
  const body = value === undefined ? undefined : JSON.stringify(value);
  const type = value === undefined ? {} : { "content-type": "application/json" };
  return request(url, { method: "POST", headers: { ...type, ...headers }, body });
}

/** A TCP connection on which a test writes HTTP itself. */
export class RawHttp {
  received = "";
  #socket;

  constructor(url) {
    const { hostname, port } = new URL(url);
    this.#socket = net.connect(Number(port), hostname);
    this.#socket.setEncoding("latin1");
    this.closed = new Promise((resolve) => this.#socket.on("close", resolve));
    // A server may cut the connection: what matters is what it said before.
    this.#socket.on("error", () => {});
    this.#socket.on("data", (text) => {
      this.received += text;
      this.#waiting?.();
    });
    this.#socket.on("close", () => {
      this.over = true;
      this.#waiting?.();
    });
  }

  #waiting;

  write(data) {
    return new Promise((resolve) => this.#socket.write(data, "latin1", resolve));
  }

  /** A complete head of a response: its status, once it is there; `null` when the connection ends without one. */
  async status() {
    const end = () => this.received.indexOf("\r\n\r\n");
    const arrived = (async () => {
      while (end() < 0 && !this.over) {
        await new Promise((resolve) => (this.#waiting = resolve));
      }
    })();
    await within(arrived, "the head of a response");
    if (end() < 0) return null;
    const status = Number(this.received.split(" ")[1]);
    // An interim answer is taken off, so that the next call sees the final one.
    if (status === 100) this.received = this.received.slice(end() + 4);
    return status;
  }

  /** Sends a POST's head and waits until the server wants the body, or answers without it. */
  async expect(path, length) {
    await this.write(
      `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n` +
        `Content-Length: ${length}\r\nExpect: 100-continue\r\n\r\n`,
    );
    return this.status();
  }

  close() {
    this.#socket.destroy();
  }
}
