import { fieldText, isLevel, LEVELS, type Level, type LogEntry } from "./entry";

export interface LogFilter {
  level: Level;
  /** The beginning of the target. */
  target: string;
  /** Somewhere in the entry, in small or capital letters. */
  text: string;
}

export const NO_FILTER: LogFilter = { level: "info", target: "", text: "" };
/** The server refuses longer ones. */
export const MAX_LENGTH = 200;
/** As many as the server gives: the more there are, the longer a connection can be away without a hole. */
export const BACKLOG = 1000;

const trimmed = (value: string | null): string => (value ?? "").slice(0, MAX_LENGTH);

export function filterFromQuery(query: string): LogFilter {
  const parameters = new URLSearchParams(query);
  const level = parameters.get("level");
  return {
    level: isLevel(level) ? level : NO_FILTER.level,
    target: trimmed(parameters.get("target")),
    text: trimmed(parameters.get("text")),
  };
}

/** Other parameters stay; what is as by default is left out. */
export function queryWithFilter(query: string, filter: LogFilter): string {
  const parameters = new URLSearchParams(query);
  for (const name of ["level", "target", "text"] as const) {
    if (filter[name] === NO_FILTER[name]) parameters.delete(name);
    else parameters.set(name, filter[name]);
  }
  const written = parameters.toString();
  return written ? `?${written}` : "";
}

export interface Subscription {
  level: Level;
  target?: string;
  text?: string;
  backlog: number;
}

export function subscription({ level, target, text }: LogFilter): Subscription {
  return { level, ...(target && { target }), ...(text && { text }), backlog: BACKLOG };
}

export function sameFilter(a: LogFilter, b: LogFilter): boolean {
  return a.level === b.level && a.target === b.target && a.text === b.text;
}

/** Whether all that passes `inner` passes `outer` too. */
export function isWithin(inner: LogFilter, outer: LogFilter): boolean {
  return (
    LEVELS.indexOf(inner.level) >= LEVELS.indexOf(outer.level) &&
    inner.target.startsWith(outer.target) &&
    inner.text.toLowerCase().includes(outer.text.toLowerCase())
  );
}

/** Where the server looks too. A field is looked for as it is shown: `name=value`. */
function has({ message, target, requestId, userId, fields }: LogEntry, needle: string): boolean {
  const found = (text: string): boolean => text.toLowerCase().includes(needle);
  if (found(message) || found(target)) return true;
  if (requestId !== undefined && found(`requestId=${requestId}`)) return true;
  if (userId !== undefined && found(`userId=${userId}`)) return true;
  for (const name in fields) if (found(`${name}=${fieldText(fields[name])}`)) return true;
  return false;
}

/** A test for many entries: what depends on the filter alone is done once. */
export function matcher({ level, target, text }: LogFilter): (entry: LogEntry) => boolean {
  const passing = new Set<Level>(LEVELS.slice(LEVELS.indexOf(level)));
  const needle = text.toLowerCase();
  return (entry) =>
    passing.has(entry.level) &&
    entry.target.startsWith(target) &&
    (needle === "" || has(entry, needle));
}

export interface Part {
  text: string;
  hit: boolean;
}

/** Cuts a text where `needle` occurs; the parts together are the text. */
export function highlight(text: string, needle: string): Part[] {
  const lowered = text.toLowerCase();
  const wanted = needle.toLowerCase();
  // A letter whose small form is longer would shift all that follows: then nothing is marked.
  if (wanted === "" || lowered.length !== text.length) return [{ text, hit: false }];
  const parts: Part[] = [];
  let from = 0;
  for (let at = lowered.indexOf(wanted); at >= 0; at = lowered.indexOf(wanted, from)) {
    if (at > from) parts.push({ text: text.slice(from, at), hit: false });
    from = at + wanted.length;
    parts.push({ text: text.slice(at, from), hit: true });
  }
  if (from < text.length) parts.push({ text: text.slice(from), hit: false });
  return parts;
}
