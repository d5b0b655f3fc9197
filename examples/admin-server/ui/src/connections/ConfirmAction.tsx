import { useState } from "react";
import { Button, Dialog } from "../shared/ui";
import { actionTexts, perform, type Action } from "./actions";

interface Props {
  action: Action;
  onClose: () => void;
  /** What to announce. */
  onDone: (text: string) => void;
}

/** Says what is about to happen, does it, and stays open with the reason when that fails. */
export function ConfirmAction({ action, onClose, onDone }: Props) {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState("");
  const { title, explanation, confirm, done } = actionTexts(action);

  async function act(): Promise<void> {
    setBusy(true);
    setFailure("");
    try {
      await perform(action);
      onDone(done);
    } catch (reason) {
      setFailure(reason instanceof Error ? reason.message : String(reason));
      setBusy(false);
    }
  }

  return (
    <Dialog open title={title} onClose={onClose}>
      <p>{explanation}</p>
      <p role="alert" className="connections-failure">
        {failure}
      </p>
      <div className="connections-choice">
        <Button onClick={onClose}>Cancel</Button>
        <Button variant="danger" disabled={busy} onClick={() => void act()}>
          {confirm}
        </Button>
      </div>
    </Dialog>
  );
}
