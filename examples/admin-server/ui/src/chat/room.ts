import type { ChatMessage } from "./message";

/** The most entries that are kept of a guild. */
export const KEPT = 10_000;

export interface Failure {
  code: string;
  message: string;
  /** From when on another attempt makes sense. */
  retryAt?: number;
}

export type Delivery = "pending" | "sent" | "failed";

export interface MessageItem extends ChatMessage {
  kind: "message";
  key: string;
  /** `ts` in milliseconds since 1970. */
  at: number;
  delivery: Delivery;
  /** Whether the server's copy is here. */
  confirmed: boolean;
  requestBot: boolean;
  failure?: Failure;
}

/** A place where messages may be missing. */
export interface GapItem {
  kind: "gap";
  key: string;
  at: number;
}

export type Item = MessageItem | GapItem;

/** The messages of one guild, in the order in which the server sent them. */
export class Room {
  readonly #items: Item[] = [];
  readonly #byId = new Map<string, MessageItem>();
  readonly #kept: number;
  #gaps = 0;

  constructor(kept = KEPT) {
    this.#kept = kept;
  }

  /** A copy, oldest first. */
  items(): readonly Item[] {
    return this.#items.slice();
  }

  /** How many messages there are. */
  get size(): number {
    return this.#byId.size;
  }

  get(messageId: string): MessageItem | undefined {
    return this.#byId.get(messageId);
  }

  /** The server's copy; says whether it is new, rather than a repetition or what a message of one's own became. */
  receive(message: ChatMessage): boolean {
    const known = this.#byId.get(message.messageId);
    if (known?.confirmed) return false;
    const at = timeOf(message.ts);
    const item: MessageItem = {
      ...message,
      kind: "message",
      key: message.messageId,
      at,
      delivery: "sent",
      confirmed: true,
      requestBot: known?.requestBot ?? false,
    };
    // Everyone sees the server's order, so one's own message moves to where it came in.
    if (known) this.#take(known);
    this.#push(item);
    return !known;
  }

  /** A message that is being sent, for the first time or again. */
  pend(message: ChatMessage, requestBot: boolean): void {
    const known = this.#byId.get(message.messageId);
    if (known) {
      if (!known.confirmed) this.#exchange(known, { ...without(known), delivery: "pending" });
      return;
    }
    const { messageId: key, ts } = message;
    this.#push({ ...message, kind: "message", key, at: timeOf(ts), delivery: "pending", confirmed: false, requestBot });
  }

  /** The server has taken a message; its copy comes on its own, unless this was a repetition. */
  accept(messageId: string, ts: string): void {
    const known = this.#byId.get(messageId);
    if (!known || known.confirmed) return;
    this.#exchange(known, { ...without(known), ts, at: timeOf(ts), delivery: "sent" });
  }

  /** A message could not be sent. Whose copy came nevertheless was sent. */
  fail(messageId: string, failure: Failure): void {
    const known = this.#byId.get(messageId);
    if (!known || known.confirmed) return;
    this.#exchange(known, { ...known, delivery: "failed", failure });
  }

  /** Takes a message that was not sent out of the list. */
  remove(messageId: string): void {
    const known = this.#byId.get(messageId);
    if (known && !known.confirmed) this.#take(known);
  }

  /** Drops what admins said among themselves, and keeps one's own that was not sent; says whether there was any. */
  forgetAdminOnly(): boolean {
    const secret = this.#items.filter((item) => item.kind === "message" && item.adminOnly && item.delivery === "sent");
    for (const item of secret) if (item.kind === "message") this.#take(item);
    return secret.length > 0;
  }

  /** Marks that messages may be missing from here on; once, however often the connection is lost in between. */
  gap(at: number): void {
    const last = this.#items.at(-1);
    if (last?.kind === "gap") this.#items.pop();
    this.#push({ kind: "gap", key: `gap-${(this.#gaps += 1)}`, at });
  }

  #push(item: Item): void {
    this.#items.push(item);
    if (item.kind === "message") this.#byId.set(item.messageId, item);
    if (this.#items.length <= this.#kept) return;
    const oldest = this.#items.shift();
    if (oldest?.kind === "message") this.#byId.delete(oldest.messageId);
  }

  #take(item: MessageItem): void {
    this.#items.splice(this.#items.lastIndexOf(item), 1);
    this.#byId.delete(item.messageId);
  }

  #exchange(item: MessageItem, other: MessageItem): void {
    this.#items[this.#items.lastIndexOf(item)] = other;
    this.#byId.set(other.messageId, other);
  }
}

function without({ failure: _, ...rest }: MessageItem): MessageItem {
  return rest;
}

function timeOf(ts: string): number {
  const at = Date.parse(ts);
  return Number.isNaN(at) ? Date.now() : at;
}
