// A stock socket.io-client whose events can be waited for.
import { io } from "socket.io-client";
import { DEADLINE_MS, Queue, within } from "./deadline.mjs";

export class Client {
  /** What `chat:message` brought, in order. */
  messages = new Queue("chat:message");
  /** Every lifecycle event, in order: ["connect"], ["refused", …], ["session:ended", …], ["disconnect", reason]. */
  history = [];
  #life = new Queue("lifecycle event");

  constructor(url, { cookie, headers = {}, ...options } = {}) {
    this.socket = io(url, {
      forceNew: true,
      reconnection: false,
      transports: ["websocket"],
      withCredentials: true,
      extraHeaders: cookie === undefined ? headers : { ...headers, cookie },
      ...options,
    });
    this.socket.on("connect", () => this.#note("connect"));
    this.socket.on("connect_error", (error) => this.#note("refused", error));
    this.socket.on("session:ended", (why) => this.#note("session:ended", why));
    this.socket.on("disconnect", (reason) => this.#note("disconnect", reason));
    this.socket.on("chat:message", (message) => this.messages.push(message));
  }

  #note(...event) {
    this.history.push(event);
    this.#life.push(event);
  }

  /** The next lifecycle event, which must be `name`; returns what came with it. */
  async life(name, ms = DEADLINE_MS) {
    const [event, detail] = await this.#life.next(ms);
    if (event === name) return detail;
    throw new Error(`waited for ${name}, but got ${event}: ${detail?.message ?? JSON.stringify(detail)}`);
  }

  async connected(ms) {
    await this.life("connect", ms);
    return this;
  }

  /** The refusal, as the program on the other side can see it. */
  async refused(ms) {
    const { message, data } = await this.life("refused", ms);
    return { message, data };
  }

  /** The answer of the server to an event. */
  ask(event, ...args) {
    return within(this.socket.emitWithAck(event, ...args), `the ack of ${event}`);
  }

  /** The ack of a chat message. */
  say(payload) {
    return this.ask("chat:message", payload);
  }

  close() {
    this.socket.disconnect();
  }
}
