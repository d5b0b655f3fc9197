/** What is typed and not sent yet stays with the tab, for each user and guild. */
const PREFIX = "slime.draft.";

type Store = Pick<Storage, "getItem" | "setItem" | "removeItem" | "key" | "length">;

export function loadDraft(store: Store, userId: string, guildId: string): string {
  try {
    return store.getItem(keyOf(userId, guildId)) ?? "";
  } catch {
    return "";
  }
}

/** A browser that keeps nothing, or has no room, loses the draft with the page and nothing else. */
export function saveDraft(store: Store, userId: string, guildId: string, text: string): void {
  try {
    if (text === "") store.removeItem(keyOf(userId, guildId));
    else store.setItem(keyOf(userId, guildId), text);
  } catch {
    return;
  }
}

/** Forgets all drafts: whoever uses the tab next shall not see them. */
export function forgetDrafts(store: Store): void {
  try {
    const keys = Array.from({ length: store.length }, (_, index) => store.key(index));
    for (const key of keys) if (key?.startsWith(PREFIX)) store.removeItem(key);
  } catch {
    return;
  }
}

function keyOf(userId: string, guildId: string): string {
  return `${PREFIX}${encodeURIComponent(userId)}.${guildId}`;
}
