import { useEffect, useState } from "react";
import { Announcements } from "./announcements";
import type { Item } from "./room";

const SILENCE = { text: "", count: 0 };

/** Tells who cannot see it what others say and what was not sent, without repeating what is merely scrolled into view. */
export function Announcer({ items, userId }: { items: readonly Item[]; userId: string }) {
  const [announcements] = useState(() => new Announcements(items, userId));
  const [said, setSaid] = useState(SILENCE);
  const [failed, setFailed] = useState(SILENCE);
  useEffect(() => {
    const next = announcements.next(items);
    const told = (text: string) => (before: typeof SILENCE) => ({ text, count: before.count + 1 });
    if (next.said !== undefined) setSaid(told(next.said));
    if (next.failed !== undefined) setFailed(told(next.failed));
  }, [announcements, items]);
  return (
    <div className="visually-hidden">
      {/* A text that is the same as before is announced when its element is new. */}
      <p aria-live="polite">
        <span key={said.count}>{said.text}</span>
      </p>
      <p role="alert">
        <span key={failed.count}>{failed.text}</span>
      </p>
    </div>
  );
}
