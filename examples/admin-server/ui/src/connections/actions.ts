import { request, RequestError } from "../common/socket";
import type { Connection } from "./rows";

export type ActionName = "disconnect" | "revoke";

export interface Action {
  name: ActionName;
  connection: Connection;
}

export async function perform({ name, connection }: Action): Promise<void> {
  if (name === "disconnect") await request<unknown>("connections:disconnect", { socketId: connection.socketId });
  else await request<unknown>("sessions:revoke", { userId: connection.userId });
}

/** Why it failed; without an answer it may have happened all the same. */
export function failureText(reason: unknown): string {
  const message = reason instanceof Error ? reason.message : String(reason);
  return reason instanceof RequestError && reason.code === "no_answer" ? `${message} It may have been done all the same.` : message;
}
