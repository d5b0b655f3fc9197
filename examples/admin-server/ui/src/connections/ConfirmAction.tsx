import { useState } from "react";
import { useMe } from "../common/me";
import { Button, Dialog } from "../common/ui";
import { actionTexts, perform, type Action } from "./actions";

interface Props {
  /** Undefined when there is nothing to confirm. */
  action: Action | undefined;
  onClose: () => void;
  /** What to announce. */
  onDone: (text: string) => void;
}

/** Always there, and closed most of the time: only then the browser gives the focus back. */
export function ConfirmAction({ action, onClose, onDone }: Props) {
  const me = useMe();
  return (
    <Dialog open={action !== undefined} title={action ? actionTexts(action, me?.id).title : ""} onClose={onClose}>
      {action && <Choice action={action} me={me?.id} onClose={onClose} onDone={onDone} />}
    </Dialog>
  );
}

interface ChoiceProps extends Props {
  action: Action;
  me: string | undefined;
}

/** Says what is about to happen, does it, and stays with the reason when that fails. */
function Choice({ action, me, onClose, onDone }: ChoiceProps) {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState("");
  const { explanation, confirm, done } = actionTexts(action, me);

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
    <>
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
    </>
  );
}
