import { fields, list, number, text, type Fields } from "../common/read";

export const LEVELS = ["trace", "debug", "info", "warn", "error"] as const;
export type Level = (typeof LEVELS)[number];

export interface LogEntry {
  ts: string;
  level: Level;
  target: string;
  message: string;
  fields: Fields;
  requestId?: string;
  userId?: string;
}

export interface LogBatch {
  entries: LogEntry[];
  dropped: number;
}

export function isLevel(value: unknown): value is Level {
  return LEVELS.some((level) => level === value);
}

function readEntry(value: unknown): LogEntry {
  const entry = fields(value);
  const level = entry["level"];
  const requestId = text(entry["requestId"]);
  const userId = text(entry["userId"]);
  return {
    ts: text(entry["ts"]) ?? "",
    // An unknown level must not hide a line.
    level: isLevel(level) ? level : "info",
    target: text(entry["target"]) ?? "",
    message: text(entry["message"]) ?? "",
    fields: fields(entry["fields"]),
    ...(requestId === undefined ? {} : { requestId }),
    ...(userId === undefined ? {} : { userId }),
  };
}

/** The ack of `logs:subscribe` and `log:entries` have the same shape. */
export function readBatch(value: unknown): LogBatch {
  const batch = fields(value);
  return { entries: list(batch["entries"]).map(readEntry), dropped: number(batch["dropped"]) ?? 0 };
}

/** Messages may have line breaks; a row has one line. */
export function oneLine(message: string): string {
  return message.includes("\n") ? message.replaceAll(/\s*\n\s*/g, " ⏎ ") : message;
}

/** Strings without quotes. */
export function fieldText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** What unfolds below a line: the fields, and the ids unless a field says the same. */
export function details({ fields: all, requestId, userId }: LogEntry): [name: string, value: string][] {
  const pairs = Object.entries(all).map(([name, value]): [string, string] => [name, fieldText(value)]);
  const said = new Set(pairs.map(([, value]) => value));
  if (userId !== undefined && !said.has(userId)) pairs.unshift(["userId", userId]);
  if (requestId !== undefined && !said.has(requestId)) pairs.unshift(["requestId", requestId]);
  return pairs;
}

/** What steers a terminal, ends a line, or turns the direction of a text around. */
const CONTROLS = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u;

/** JSON that no terminal and no text's direction can be led astray with. */
function safeJson(value: unknown): string {
  const json = JSON.stringify(value);
  return json.replaceAll(new RegExp(CONTROLS, "gu"), (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** The fields in one line, as a terminal would show them. */
export function inline(entry: LogEntry): string {
  return details(entry)
    .map(([name, value]) => `${name}=${/[\s"=]/.test(value) || CONTROLS.test(value) || value === "" ? safeJson(value) : value}`)
    .join(" ");
}

/** The line as text, as a terminal would show it. */
export function asText(entry: LogEntry): string {
  const message = CONTROLS.test(entry.message) ? safeJson(entry.message) : entry.message;
  return [entry.ts, entry.level.toUpperCase().padEnd(5), `${entry.target}:`, message, inline(entry)].join(" ").trimEnd();
}

export function asJsonLines(entries: Iterable<LogEntry>): string[] {
  return Array.from(entries, (entry) => `${safeJson(entry)}\n`);
}
