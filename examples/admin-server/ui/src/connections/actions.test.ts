import { describe, expect, it, vi } from "vitest";
import { actionTexts, perform } from "./actions";
import { readListing } from "./rows";

const request = vi.hoisted(() => vi.fn(() => Promise.resolve({ ok: true })));
vi.mock("../common/socket", () => ({ request }));

const [connection] = readListing({ connections: [{ socketId: "s1", userId: "u1", name: "Alice", address: "127.0.0.1:5" }] }).connections;

describe("actions", () => {
  it("say whom they meet", () => {
    expect(actionTexts({ name: "disconnect", connection: connection! }, "u2").explanation).toContain("Alice (u1) from 127.0.0.1:5");
    expect(actionTexts({ name: "revoke", connection: connection! }, "u2").explanation).toContain("logged out everywhere");
    expect(actionTexts({ name: "revoke", connection: { ...connection!, name: "u1" } }, "u2").done).toBe("u1 is logged out everywhere.");
  });

  it("warn who is about to log out themselves", () => {
    const action = { name: "revoke", connection: connection! } as const;
    expect(actionTexts(action, "u1").explanation).toContain("This is you");
    expect(actionTexts(action, undefined).explanation).not.toContain("This is you");
  });

  it("name the socket, or the user", async () => {
    await perform({ name: "disconnect", connection: connection! });
    expect(request).toHaveBeenLastCalledWith("connections:disconnect", { socketId: "s1" });
    await perform({ name: "revoke", connection: connection! });
    expect(request).toHaveBeenLastCalledWith("sessions:revoke", { userId: "u1" });
  });
});
