import { useId, useState, type FormEvent, type KeyboardEvent, type RefObject } from "react";
import type { Me } from "../common/me";
import { Button } from "../common/ui";
import { charactersLeft, cleaned, isCounted, problemOf } from "./compose";
import { loadDraft, saveDraft } from "./drafts";
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
  const [text, setText] = useState(() => loadDraft(sessionStorage, me.id, guildId));
  const [adminOnly, setAdminOnly] = useState(false);
  const [requestBot, setRequestBot] = useState(false);
  const [problem, setProblem] = useState<string>();
  const id = useId();
  const left = charactersLeft(text);
  const tooLong = left < 0;

  function change(value: string): void {
    setText(value);
    setProblem(undefined);
    saveDraft(sessionStorage, me.id, guildId, value);
  }

  function submit(event?: FormEvent): void {
    event?.preventDefault();
    if (closed) return;
    const found = problemOf(text);
    setProblem(found);
    if (found === undefined) {
      send({ guildId, text: cleaned(text), adminOnly, requestBot });
      setRequestBot(false);
      change("");
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
        disabled={closed}
        placeholder={adminOnly ? "Only admins will see this" : `Write to ${guildName}`}
        aria-invalid={tooLong || problem !== undefined}
        aria-describedby={`${id}-notes`}
        onChange={({ target }) => change(target.value)}
        onKeyDown={onKeyDown}
      />
      <Button type="submit" variant="primary" disabled={closed}>
        Send
      </Button>
      <div className="chat-options">
        {me.role === "admin" && (
          <label>
            <input type="checkbox" checked={adminOnly} onChange={({ target }) => setAdminOnly(target.checked)} />
            Admins only
          </label>
        )}
        <label>
          <input type="checkbox" checked={requestBot} onChange={({ target }) => setRequestBot(target.checked)} />
          Ask slimy.ai
        </label>
        <span id={`${id}-notes`} className="chat-notes">
          <span role="alert" className="chat-problem">
            {tooLong ? "Message is too long." : problem}
          </span>
          {isCounted(left) && <span className="chat-counter">{` ${tooLong ? `${-left} characters too many` : `${left} characters left`}`}</span>}
        </span>
      </div>
    </form>
  );
}
