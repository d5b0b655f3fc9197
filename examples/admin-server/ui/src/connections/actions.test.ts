import { describe, expect, it, vi } from "vitest";
import { failureText, perform } from "./actions";
import { readListing } from "./rows";
import { RequestError } from "../common/socket";

const request = vi.hoisted(() => vi.fn(() => Promise.resolve({ ok: true })));
vi.mock("../common/socket", async (original) => ({ ...(await original<object>()), request }));

const [connection] = readListing({ connections: [{ socketId: "s1", userId: "u1", name: "Alice", address: "127.0.0.1:5" }] }).connections;

describe("actions", () => {
  it("name the socket, or the user", async () => {
    await perform({ name: "disconnect", connection: connection! });
    expect(request).toHaveBeenLastCalledWith("connections:disconnect", { socketId: "s1" });
    await perform({ name: "revoke", connection: connection! });
    expect(request).toHaveBeenLastCalledWith("sessions:revoke", { userId: "u1" });
  });

  it("do not claim that nothing happened when no answer came", () => {
    expect(failureText(new RequestError("no_answer", "Too late."))).toBe("Too late. It may have been done all the same.");
    expect(failureText(new RequestError("not_found", "Gone."))).toBe("Gone.");
    expect(failureText("odd")).toBe("odd");
  });
});
