import type { ReactNode } from "react";
import type { Action, ActionName } from "./actions";
import { shortId, type Connection } from "./rows";

export const TITLES: Readonly<Record<ActionName, string>> = {
  disconnect: "Disconnect this connection?",
  revoke: "Revoke the sessions of this user?",
};

export const CONFIRM: Readonly<Record<ActionName, string>> = { disconnect: "Disconnect", revoke: "Revoke sessions" };

/** A name can have letters that turn the direction of a text around: it stands apart from ours. */
function Who({ of: { name, userId } }: { of: Connection }) {
  if (!name || name === userId) return <bdi>{userId}</bdi>;
  return (
    <>
      <bdi>{name}</bdi> (<bdi>{userId}</bdi>)
    </>
  );
}

/** What will happen, for who is about to confirm. `me` is who asks: logging oneself out deserves a warning. */
export function Explanation({ action: { name, connection }, me }: { action: Action; me: string | undefined }): ReactNode {
  const who = <Who of={connection} />;
  if (name === "disconnect") {
    return (
      <p>
        The connection of {who} from <bdi>{connection.address}</bdi> (socket <bdi>{shortId(connection.socketId)}</bdi>) is closed. The user stays logged in
        and can connect again.
      </p>
    );
  }
  return (
    <p>
      {who} is logged out everywhere: all connections of this user on all nodes are closed, and the user has to log in again.
      {connection.userId === me && " This is you: you are logged out too."}
    </p>
  );
}

export function Done({ action: { name, connection } }: { action: Action }): ReactNode {
  const who = <Who of={connection} />;
  return name === "disconnect" ? <>The connection of {who} is closed.</> : <>{who} is logged out everywhere.</>;
}
