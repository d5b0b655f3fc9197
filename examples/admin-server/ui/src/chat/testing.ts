import type { ChatMessage } from "./message";

/** A message for tests; what matters to a test it names itself. */
export function message(messageId: string, rest: Partial<ChatMessage> = {}): ChatMessage {
  return {
    messageId,
    guildId: "1",
    adminOnly: false,
    text: `text of ${messageId}`,
    ts: "2026-11-22T18:00:00.000Z",
    from: { id: "alice", name: "Alice", role: "member", color: "#3b82f6" },
    ...rest,
  };
}

export const by = (id: string) => ({ from: { id, name: id, role: "member", color: "#3b82f6" } });
