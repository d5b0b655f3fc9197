import { memo, type CSSProperties } from "react";
import { secondsUntil } from "../common/backoff";
import { formatMoment, formatTime } from "../common/format";
import { useNow } from "../common/useNow";
import { Badge, Button } from "../common/ui";
import { readable } from "./colour";
import { undirected } from "./direction";
import type { Draft } from "./drafts";
import { chat, retry } from "./feed";
import type { Failure, MessageItem } from "./room";

interface Props {
  item: MessageItem;
  /** Whether it stands first under its author's name. */
  head: boolean;
  onEdit: (draft: Draft) => void;
}

export const MessageRow = memo(function MessageRow({ item, head, onEdit }: Props) {
  const { from, text, ts, adminOnly, delivery, failure, error } = item;
  const states = [
    head && "chat-message-head",
    adminOnly && "chat-message-admins",
    error !== undefined && "chat-message-error",
    `chat-message-${delivery}`,
  ];
  return (
    <article className={`chat-message ${states.filter(Boolean).join(" ")}`} style={coloured(from.color)}>
      {head ? (
        <>
          <span className="chat-avatar" aria-hidden="true">
            {initial(from.name)}
          </span>
          <p className="chat-head">
            <strong className="chat-author" dir="auto">
              {from.name}
            </strong>
            {from.role !== "member" && <Badge>{from.role}</Badge>}
            {adminOnly && <Badge tone="bad">Admins only</Badge>}
            <time dateTime={ts} title={formatMoment(ts)}>
              {formatTime(ts)}
            </time>
          </p>
        </>
      ) : (
        <time className="chat-aside" dateTime={ts} title={formatMoment(ts)}>
          {formatTime(ts)}
        </time>
      )}
      <p className="chat-text" dir="auto">
        {text}
        {delivery === "pending" && <bdi className="chat-sending"> Sending…</bdi>}
      </p>
      {delivery === "failed" && failure && <Failed item={item} failure={failure} onEdit={onEdit} />}
    </article>
  );
});

/** What the same message would only fail for again. */
const IN_VAIN = new Set(["invalid_message", "empty_message", "message_too_long", "missing_guild", "admin_only", "duplicate_id"]);

function Failed({ item, failure, onEdit }: { item: MessageItem; failure: Failure; onEdit: (draft: Draft) => void }) {
  const { guildId, messageId, text, adminOnly } = item;
  const { code, message, retryAt } = failure;
  const now = useNow(retryAt !== undefined && retryAt > Date.now());
  const wait = retryAt === undefined ? 0 : secondsUntil(retryAt, now);
  return (
    <div className="chat-failed">
      <span>Not sent. {message}</span>
      {!IN_VAIN.has(code) && (
        <Button disabled={wait > 0} onClick={() => retry(guildId, messageId)}>
          {wait > 0 ? `Retry in ${wait} s` : "Retry"}
        </Button>
      )}
      <Button
        onClick={() => {
          chat.remove(guildId, messageId);
          onEdit({ text, adminOnly });
        }}
      >
        Edit
      </Button>
      <Button onClick={() => chat.remove(guildId, messageId)}>Discard</Button>
    </div>
  );
}

function coloured(colour: string): CSSProperties | undefined {
  const found = readable(colour);
  return found && ({ "--chat-author-light": found.light, "--chat-author-dark": found.dark } as CSSProperties);
}

function initial(name: string): string {
  return (Array.from(undirected(name).trim())[0] ?? "?").toUpperCase();
}
