import type { ConnectionState } from "../common/connection";

/** What the banner says; nothing when all is well. The countdown stands beside it: it is not announced each second. */
export function bannerText({ status, reason }: Pick<ConnectionState, "status" | "reason">): string | undefined {
  switch (status) {
    case "connected":
      return undefined;
    case "connecting":
      return "Connecting…";
    case "reconnecting":
      return reason === "server_error"
        ? "The server cannot check your login right now."
        : "The connection to the server is lost. Reconnecting…";
    case "ended":
      if (reason === "disconnected") return "The server has ended the connection.";
      return reason === "expired" ? "Your login has expired." : "Your session has ended.";
    case "refused":
      return reason === "no_guild_context" ? "You belong to no guild yet, so there is nothing to connect to." : "You are not logged in.";
  }
}
