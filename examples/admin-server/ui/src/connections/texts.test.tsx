import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, it } from "vitest";
import { readListing } from "./rows";
import { Done, Explanation } from "./texts";

const [connection] = readListing({
  connections: [{ socketId: "abcdefghij", userId: "u1", name: "\u202eecilA", address: "127.0.0.1:5" }],
}).connections;
const action = (name: "disconnect" | "revoke", change = {}) => ({ name, connection: { ...connection!, ...change } });

describe("texts", () => {
  it("say whom an action meets, with names apart from what is said", () => {
    const html = renderToStaticMarkup(<Explanation action={action("disconnect")} me="u2" />);
    expect(html).toContain("of <bdi>\u202eecilA</bdi> (<bdi>u1</bdi>) from <bdi>127.0.0.1:5</bdi> (socket <bdi>abcdef</bdi>)");
    expect(renderToStaticMarkup(<Done action={action("revoke", { name: "u1" })} />)).toBe("<bdi>u1</bdi> is logged out everywhere.");
  });

  it("warn who is about to log out themselves", () => {
    const revoke = (me: string | undefined) => renderToStaticMarkup(<Explanation action={action("revoke")} me={me} />);
    expect(revoke("u1")).toContain("This is you");
    expect(revoke("u2")).not.toContain("This is you");
    expect(revoke(undefined)).not.toContain("This is you");
  });
});
