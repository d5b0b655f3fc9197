import { request } from "../common/socket";
import type { Connection } from "./rows";

export type ActionName = "disconnect" | "revoke";

export interface Action {
  name: ActionName;
  connection: Connection;
}

export interface ActionTexts {
  title: string;
  /** What will happen, for who is about to confirm. */
  explanation: string;
  confirm: string;
  done: string;
}

const who = ({ name, userId }: Connection): string => (name && name !== userId ? `${name} (${userId})` : userId);

/** `me` is the id of who asks: logging oneself out deserves a warning. */
export function actionTexts({ name, connection }: Action, me: string | undefined): ActionTexts {
  if (name === "disconnect") {
    return {
      title: "Disconnect this connection?",
      explanation: `The connection of ${who(connection)} from ${connection.address} is closed. The user stays logged in and can connect again.`,
      confirm: "Disconnect",
      done: `The connection of ${who(connection)} is closed.`,
    };
  }
  return {
    title: "Revoke the sessions of this user?",
    explanation: `${who(connection)} is logged out everywhere: all connections of this user on all nodes are closed, and the user has to log in again.${connection.userId === me ? " This is you: you are logged out too." : ""}`,
    confirm: "Revoke sessions",
    done: `${who(connection)} is logged out everywhere.`,
  };
}

export async function perform({ name, connection }: Action): Promise<void> {
  if (name === "disconnect") await request<unknown>("connections:disconnect", { socketId: connection.socketId });
  else await request<unknown>("sessions:revoke", { userId: connection.userId });
}
