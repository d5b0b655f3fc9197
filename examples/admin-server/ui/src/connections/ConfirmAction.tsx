import { useEffect, useRef, useState, type ReactNode } from "react";
import { useMe } from "../common/me";
import { Button, Dialog } from "../common/ui";
import { failureText, perform, type Action } from "./actions";
import { CONFIRM, Done, Explanation, TITLES } from "./texts";

interface Props {
  /** Undefined when there is nothing to confirm. */
  action: Action | undefined;
  onClose: () => void;
  /** How it went; `closed` when the dialog was closed before. */
  onTold: (text: ReactNode, closed: boolean) => void;
}

/** Always there, and closed most of the time: only then the browser gives the focus back. */
export function ConfirmAction({ action, onClose, onTold }: Props) {
  return (
    <Dialog open={action !== undefined} title={action ? TITLES[action.name] : ""} onClose={onClose}>
      {action && <Choice action={action} onClose={onClose} onTold={onTold} />}
    </Dialog>
  );
}

/** Says what is about to happen, does it, and stays with the reason when that fails. */
function Choice({ action, onClose, onTold }: Props & { action: Action }) {
  const me = useMe();
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState("");
  const close = useRef<HTMLButtonElement>(null);
  const closed = useRef(false);
  useEffect(() => {
    closed.current = false;
    return () => void (closed.current = true);
  }, []);

  async function act(): Promise<void> {
    setBusy(true);
    setFailure("");
    // The button that was pressed cannot have the focus any more.
    close.current?.focus();
    try {
      await perform(action);
      onTold(<Done action={action} />, closed.current);
    } catch (reason) {
      const text = failureText(reason);
      if (closed.current) onTold(text, true);
      setFailure(text);
      setBusy(false);
    }
  }

  return (
    <>
      <Explanation action={action} me={me?.id} />
      <p role="status" className="connections-asked">
        {busy && "The server was asked for it. To close this does not take it back."}
      </p>
      <p role="alert" className="connections-failure">
        {failure}
      </p>
      <div className="connections-choice">
        <Button ref={close} onClick={onClose}>
          {busy ? "Close" : "Cancel"}
        </Button>
        <Button variant="danger" disabled={busy} onClick={() => void act()}>
          {CONFIRM[action.name]}
        </Button>
      </div>
    </>
  );
}
