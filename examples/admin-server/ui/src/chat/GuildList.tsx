import { useEffect, useRef } from "react";
import { Badge } from "../common/ui";
import { chat } from "./feed";
import type { ChatView } from "./store";

/** The guilds, and how many messages of each were not read. */
export function GuildList({ active, rooms }: ChatView) {
  const current = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    // The newest browsers return a promise, which is no clean-up.
    void current.current?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [active]);
  return (
    <nav className="chat-guilds" aria-label="Guilds">
      <ul>
        {rooms.map(({ guildId, name, unread }) => (
          <li key={guildId}>
            <button
              type="button"
              ref={guildId === active ? current : undefined}
              className={unread > 0 ? "chat-guild chat-guild-unread" : "chat-guild"}
              aria-current={guildId === active ? "true" : undefined}
              title={name}
              onClick={() => chat.select(guildId)}
            >
              <span className="chat-guild-name" dir="auto">
                {name}
              </span>
              {unread > 0 && (
                <>
                  {" "}
                  <Badge tone="accent">
                    {unread > 999 ? "999+" : unread}
                    <span className="visually-hidden"> unread</span>
                  </Badge>
                </>
              )}
            </button>
          </li>
        ))}
      </ul>
    </nav>
  );
}
