import type { Draft } from "./drafts";

/** The server's default limit, in characters of the trimmed text. */
export const MAX_CHARACTERS = 4_000;
/** The counter appears when so many are left. */
const COUNTED_FROM = 500;

/** What is sent of what was typed: no half of a character pair, and no NUL, which the server takes for an invalid message. */
export function cleaned(text: string): string {
  return text.replaceAll(/\p{Surrogate}/gu, "\uFFFD").replaceAll("\0", "").trim();
}

/** Why a text cannot be sent, in the server's words where they are its. `admin`: whether the user is one. */
export function problemOf({ text, adminOnly }: Draft, admin: boolean): string | undefined {
  if (adminOnly && !admin) return "This is for admins only, and you are none now. Untick it to send the text to the guild.";
  const left = charactersLeft(text);
  if (left < 0) return "Message is too long.";
  return cleaned(text) === "" ? "Message cannot be empty." : undefined;
}

export function charactersLeft(text: string): number {
  const clean = cleaned(text);
  // No text has more characters than code units.
  const length = clean.length <= MAX_CHARACTERS - COUNTED_FROM ? clean.length : Array.from(clean).length;
  return MAX_CHARACTERS - length;
}

export function isCounted(left: number): boolean {
  return left <= COUNTED_FROM;
}
