import { useEffect, useRef, useState } from "react";
import type { Item } from "./room";

const LONGEST = 200;

/** Tells who cannot see it what others say, without repeating what is merely scrolled into view. */
export function Announcer({ items, userId }: { items: readonly Item[]; userId: string }) {
  const [text, setText] = useState("");
  const seen = useRef(items.at(-1)?.key);
  useEffect(() => {
    const from = items.findLastIndex(({ key }) => key === seen.current) + 1;
    seen.current = items.at(-1)?.key;
    const fresh = items.slice(from).filter((item) => item.kind === "message" && item.from.id !== userId);
    const last = fresh.at(-1);
    if (last?.kind !== "message") return;
    setText(fresh.length > 3 ? `${fresh.length} new messages` : `${last.from.name}: ${last.text.slice(0, LONGEST)}`);
  }, [items, userId]);
  return (
    <p className="visually-hidden" aria-live="polite">
      {text}
    </p>
  );
}
