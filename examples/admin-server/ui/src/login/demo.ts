/** The users of the demo: their name for the server, their role for the reader. */
export const DEMO_USERS = [
  { user: "admin", label: "Admin", about: "sees all guilds, the logs and the connections" },
  { user: "club", label: "Club", about: "is in both guilds" },
  { user: "member", label: "Member", about: "is in one guild" },
] as const;

/** The server writes into its page whether it is a demo. */
export function isDemo(): boolean {
  return document.body.dataset["demo"] === "true";
}
