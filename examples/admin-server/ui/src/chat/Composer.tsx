import { useId, useState, type FormEvent, type KeyboardEvent, type RefObject } from "react";
import type { Me } from "../common/me";
import { Button } from "../common/ui";
import { charactersLeft, cleaned, isCounted, problemOf } from "./compose";
import { isolated } from "./direction";
import { loadDraft, saveDraft, type Draft } from "./drafts";
import { send } from "./feed";

/** For browsers that do not fit the box to its text. */
const MOST_ROWS = 8;

interface Props {
  me: Me;
  guildId: string;
  guildName: string;
  /** Whether the session is over, so that nothing can be sent any more. */
  closed: boolean;
  input: RefObject<HTMLTextAreaElement | null>;
}

export function Composer({ me, guildId, guildName, closed, input }: Props) {
  const [draft, setDraft] = useState(() => loadDraft(sessionStorage, me.id, guildId));
  const [requestBot, setRequestBot] = useState(false);
  const [problem, setProblem] = useState<string>();
  const id = useId();
  const { text, adminOnly } = draft;
  const admin = me.role === "admin";
  const left = charactersLeft(text);
  // These are told while they last, the others when it is sent.
  const lasting = (adminOnly && !admin) || left < 0 ? problemOf(draft, admin) : undefined;

  function change(part: Partial<Draft>): void {
    const next = { ...draft, ...part };
    setDraft(next);
    setProblem(undefined);
    saveDraft(sessionStorage, me.id, guildId, next);
  }

  function onAdminOnly(checked: boolean): void {
    change({ adminOnly: checked });
    // The box to tick goes away from who is no admin.
    if (!admin) input.current?.focus();
  }

  function submit(event?: FormEvent): void {
    event?.preventDefault();
    if (closed) return;
    const found = problemOf(draft, admin);
    setProblem(found);
    if (found === undefined) {
      send({ guildId, text: cleaned(text), adminOnly, requestBot });
      setRequestBot(false);
      change({ text: "" });
    }
    input.current?.focus();
  }

  function onKeyDown(event: KeyboardEvent): void {
    // Enter also ends the input of a composed character.
    if (event.key !== "Enter" || event.shiftKey || event.altKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    submit();
  }

  return (
    <form className={`chat-composer ${adminOnly ? "chat-composer-admins" : ""}`} onSubmit={submit}>
      <label htmlFor={id} className="visually-hidden">
        Message
      </label>
      <textarea
        ref={input}
        id={id}
        rows={Math.min(text.split("\n").length, MOST_ROWS)}
        value={text}
        dir="auto"
        // Not disabled, which would take the focus, and the text from who wants to copy it.
        readOnly={closed}
        placeholder={adminOnly ? "Only admins will see this" : `Write to ${isolated(guildName)}`}
        aria-invalid={lasting !== undefined || problem !== undefined}
        aria-describedby={`${id}-notes`}
        onChange={({ target }) => change({ text: target.value })}
        onKeyDown={onKeyDown}
      />
      <Button type="submit" variant="primary" disabled={closed}>
        Send
      </Button>
      <div className="chat-options">
        {(admin || adminOnly) && (
          <label>
            <input type="checkbox" checked={adminOnly} onChange={({ target }) => onAdminOnly(target.checked)} />
            Admins only
          </label>
        )}
        <label>
          <input type="checkbox" checked={requestBot} onChange={({ target }) => setRequestBot(target.checked)} />
          Ask slimy.ai
        </label>
        <span id={`${id}-notes`} className="chat-notes">
          <span role="alert" className="chat-problem">
            {lasting ?? problem}
          </span>
          {isCounted(left) && <span className="chat-counter">{` ${left < 0 ? `${-left} characters too many` : `${left} characters left`}`}</span>}
        </span>
      </div>
    </form>
  );
}
