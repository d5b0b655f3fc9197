export type ConnectionStatus = "connecting" | "connected" | "reconnecting" | "ended" | "refused";

export interface ConnectionState {
  status: ConnectionStatus;
  /** When the next attempt is made, in milliseconds since 1970. */
  retryAt?: number;
  /** Why: the server's word for it. */
  reason?: string;
  /** Grows with each connect. */
  epoch: number;
  /** Whether the last connect continued where the one before was lost. */
  recovered: boolean;
}

export type ConnectionEvent =
  | { type: "attempt" }
  | { type: "connected"; recovered: boolean }
  | { type: "lost"; retryAt: number; reason?: string }
  | { type: "ended"; reason: string }
  | { type: "refused"; reason: string };

export const NOT_CONNECTED: ConnectionState = { status: "connecting", epoch: 0, recovered: false };

/** Refusals that another attempt does not change. */
const FINAL = new Set(["not_authorized", "no_guild_context"]);

export function isFinal(reason: string): boolean {
  return FINAL.has(reason);
}

export function nextState(state: ConnectionState, event: ConnectionEvent): ConnectionState {
  const { epoch, recovered } = state;
  switch (event.type) {
    case "attempt":
      return { status: epoch === 0 ? "connecting" : "reconnecting", epoch, recovered };
    case "connected":
      return { status: "connected", epoch: epoch + 1, recovered: event.recovered };
    case "lost": {
      const { retryAt, reason } = event;
      return { status: "reconnecting", epoch, recovered, retryAt, ...(reason === undefined ? {} : { reason }) };
    }
    case "ended":
      // The reason comes before the disconnect that follows from it.
      return state.status === "ended" ? state : { status: "ended", epoch, recovered, reason: event.reason };
    case "refused":
      return { status: "refused", epoch, recovered, reason: event.reason };
  }
}
