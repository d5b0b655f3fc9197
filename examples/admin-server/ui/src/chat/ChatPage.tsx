import { useEffect, useRef, useState } from "react";
import { useMe, type Me } from "../common/me";
import { useConnection } from "../common/socket";
import { EmptyState, Loading } from "../common/ui";
import { Announcer } from "./Announcer";
import "./chat.css";
import { Composer } from "./Composer";
import { joined, loadDraft, saveDraft, type Draft } from "./drafts";
import { useChat } from "./feed";
import { GuildList } from "./GuildList";
import { MessageList } from "./MessageList";
import type { RoomView } from "./store";
import { useGuildInAddress } from "./useGuildInAddress";
import { useGuildKeys } from "./useGuildKeys";

export default function ChatPage() {
  const me = useMe();
  const view = useChat();
  useGuildKeys();
  useGuildInAddress(view.active);
  const room = view.rooms.find(({ guildId }) => guildId === view.active);
  if (!me) return <Loading />;
  return (
    <div className="chat">
      <GuildList {...view} />
      {room ? (
        <Guild key={room.guildId} me={me} room={room} />
      ) : (
        <div className="chat-guild-view">
          <h1 className="chat-title">Chat</h1>
          <EmptyState title="No guild yet">
            {me.role === "admin" ? "Guilds appear here as soon as something is said in them." : "You belong to no guild."}
          </EmptyState>
        </div>
      )}
    </div>
  );
}

function Guild({ me, room }: { me: Me; room: RoomView }) {
  const { guildId, name, thinking, items } = room;
  const { status } = useConnection();
  const input = useRef<HTMLTextAreaElement>(null);
  // Another draft than the one that was typed comes with a new box.
  const [drafts, setDrafts] = useState(0);

  useEffect(() => input.current?.focus(), [drafts]);

  const edit = (back: Draft): void => {
    saveDraft(sessionStorage, me.id, guildId, joined(back, loadDraft(sessionStorage, me.id, guildId)));
    setDrafts((before) => before + 1);
  };

  return (
    <section className="chat-guild-view" aria-labelledby="chat-title">
      <h1 id="chat-title" className="chat-title">
        <span className="visually-hidden">Chat: </span>
        <span dir="auto">{name}</span>
      </h1>
      <MessageList room={room} onEdit={edit} />
      <p className="chat-thinking" role="status">
        {thinking && "slimy.ai is thinking…"}
      </p>
      <Composer
        key={drafts}
        me={me}
        guildId={guildId}
        guildName={name}
        closed={status === "ended" || status === "refused"}
        input={input}
      />
      <Announcer key={me.role} items={items} userId={me.id} />
    </section>
  );
}
