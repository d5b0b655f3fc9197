/** What is typed and not sent yet, and for whom: both stay with the tab, for each user and guild. */
export interface Draft {
  text: string;
  adminOnly: boolean;
}

const PREFIX = "slime.draft.";
const NOTHING: Draft = { text: "", adminOnly: false };

type Store = Pick<Storage, "getItem" | "setItem" | "removeItem" | "key" | "length">;

export function loadDraft(store: Store, userId: string, guildId: string): Draft {
  try {
    return readDraft(store.getItem(keyOf(userId, guildId)));
  } catch {
    return NOTHING;
  }
}

/** A browser that keeps nothing, or has no room, loses the draft with the page and nothing else. */
export function saveDraft(store: Store, userId: string, guildId: string, { text, adminOnly }: Draft): void {
  try {
    if (text === "" && !adminOnly) store.removeItem(keyOf(userId, guildId));
    else store.setItem(keyOf(userId, guildId), JSON.stringify({ text, adminOnly }));
  } catch {
    return;
  }
}

/** A text that comes back before what was typed meanwhile. What one of them keeps from the guild, both do. */
export function joined(back: Draft, typed: Draft): Draft {
  return { text: typed.text === "" ? back.text : `${back.text}\n${typed.text}`, adminOnly: back.adminOnly || typed.adminOnly };
}

/** Forgets all drafts but those of that user: whoever uses the tab next shall not see them. */
export function forgetDrafts(store: Store, exceptUserId?: string): void {
  const kept = exceptUserId === undefined ? undefined : keyOf(exceptUserId, "");
  try {
    const keys = Array.from({ length: store.length }, (_, index) => store.key(index));
    for (const key of keys) {
      if (key?.startsWith(PREFIX) && (kept === undefined || !key.startsWith(kept))) store.removeItem(key);
    }
  } catch {
    return;
  }
}

function readDraft(stored: string | null): Draft {
  const { text, adminOnly } = JSON.parse(stored ?? "{}") as Partial<Draft>;
  return typeof text === "string" ? { text, adminOnly: adminOnly === true } : NOTHING;
}

/** An encoded id has no slash, so that no user's key begins like another's. */
function keyOf(userId: string, guildId: string): string {
  return `${PREFIX}${encodeURIComponent(userId)}/${guildId}`;
}
