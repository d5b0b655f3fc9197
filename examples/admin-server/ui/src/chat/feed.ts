import { useSyncExternalStore } from "react";
import { identity, refreshMe, type Me } from "../common/me";
import { request, RequestError, socket } from "../common/socket";
import { guildOf } from "./address";
import { forgetDrafts } from "./drafts";
import { authorOf, newMessageId, readMessage } from "./message";
import { ChatStore, type ChatView } from "./store";

/** After that time the bot's answer is not waited for any more. */
const BOT_PATIENCE_MS = 60_000;

/** Shows a burst of changes with the next picture; a page in the background has none, and counts its unread messages all the same. */
function withNextPicture(flush: () => void): void {
  if (document.hidden) setTimeout(flush, 100);
  else requestAnimationFrame(flush);
}

/** The chat, that goes on while other screens are open. */
export const chat = new ChatStore(withNextPicture);

let me: Me | undefined;
let listening = false;

export function startFeed(user: Me): void {
  me = user;
  chat.begin(user, guildOf(location.search));
  if (listening) return;
  listening = true;
  forgetDrafts(sessionStorage, user.id);
  identity.beforeLeaving(() => forgetDrafts(sessionStorage));
  let connects = 0;
  socket().on("connect", () => {
    connects += 1;
    if (connects > 1 && !socket().recovered) chat.gap(Date.now());
  });
  socket().on("chat:message", (payload: unknown) => {
    const message = readMessage(payload);
    // Of a guild that is not listed: it may have been added.
    if (message && chat.receive(message)) refreshMe();
  });
}

export interface Outgoing {
  guildId: string;
  text: string;
  adminOnly: boolean;
  requestBot: boolean;
}

export function send({ guildId, text, adminOnly, requestBot }: Outgoing): void {
  if (!me) return;
  const messageId = newMessageId();
  chat.pend({ messageId, guildId, adminOnly, text, ts: new Date().toISOString(), from: authorOf(me) }, requestBot);
  void deliver(guildId, messageId);
}

/** Sends a message that failed again, under its own id: the server knows whether it had come through after all. */
export function retry(guildId: string, messageId: string): void {
  const item = chat.get(guildId, messageId);
  if (item?.delivery !== "failed") return;
  chat.pend(item, item.requestBot);
  void deliver(guildId, messageId);
}

async function deliver(guildId: string, messageId: string): Promise<void> {
  const item = chat.get(guildId, messageId);
  if (!item) return;
  const { text, adminOnly, requestBot } = item;
  try {
    const { ts } = await request<{ ts: string }>("chat:message", { text, guildId, adminOnly, messageId, requestBot });
    if (chat.accept(guildId, messageId, ts)) setTimeout(() => chat.giveUp(guildId, messageId), BOT_PATIENCE_MS);
  } catch (reason) {
    chat.fail(guildId, messageId, toFailure(reason));
  }
}

function toFailure(reason: unknown): { code: string; message: string; retryAt?: number } {
  if (!(reason instanceof RequestError)) return { code: "server_error", message: "The message could not be sent." };
  const { code, message, retryAfterMs } = reason;
  return { code, message, ...(retryAfterMs === undefined ? {} : { retryAt: Date.now() + retryAfterMs }) };
}

export function useChat(): ChatView {
  return useSyncExternalStore(chat.subscribe, chat.view);
}

export function useUnreadTotal(): number {
  return useSyncExternalStore(chat.subscribe, () => chat.view().unread);
}
