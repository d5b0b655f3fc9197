import { displayName, type Me } from "../common/me";

/** Who wrote a message, as the server says it. */
export interface Author {
  id: string;
  name: string;
  role: string;
  color: string;
}

/** A `chat:message` of the server. */
export interface ChatMessage {
  messageId: string;
  guildId: string;
  adminOnly: boolean;
  text: string;
  ts: string;
  from: Author;
  /** The bot's failure. */
  error?: string;
}

/** The server's colours, for messages that it has not sent back yet. */
const ROLE_COLOURS = { member: "#3b82f6", club: "#f59e0b", admin: "#ef4444" } as const;

export function authorOf(me: Me): Author {
  return { id: me.id, name: displayName(me), role: me.role, color: ROLE_COLOURS[me.role] };
}

/** Reads an event's payload; nothing when it is not a message. */
export function readMessage(payload: unknown): ChatMessage | undefined {
  const { messageId, guildId, adminOnly, text, ts, from, error } = fields(payload);
  const { id, name, role, color } = fields(from);
  if (!isText(messageId) || !isText(guildId) || !isText(text) || !isText(ts) || !isText(id)) return undefined;
  return {
    messageId,
    guildId,
    adminOnly: adminOnly === true,
    text,
    ts,
    from: { id, name: isText(name) ? name : id, role: isText(role) ? role : "member", color: isText(color) ? color : "" },
    ...(isText(error) ? { error } : {}),
  };
}

/** The message that the bot's answer, or its failure, belongs to. */
export function questionOf(messageId: string): string | undefined {
  return /^(.+?)-bot(?:-error)?$/s.exec(messageId)?.[1];
}

/** Whether a text calls the bot, as the server sees it. */
export function callsBot(text: string): boolean {
  return /@slimy(?![\p{L}\p{N}_])/iu.test(text);
}

/** An id that no one else makes. `randomUUID` is there on pages of https and of this machine only. */
export function newMessageId(source: Crypto = crypto): string {
  if (typeof source.randomUUID === "function") return source.randomUUID();
  return Array.from(source.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function fields(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}
