import { expect, it } from "vitest";
import { loginPath, safeReturnTo } from "./paths";

const ORIGIN = "https://admin.example";

it.each(["/", "/logs?level=warn#end", "/chat"])("goes back to %s", (path) => {
  expect(safeReturnTo(path, ORIGIN)).toBe(path);
});

it.each([
  null,
  "",
  "logs",
  "https://evil.example/",
  "//evil.example",
  "/\\evil.example",
  "/\t/evil.example",
  "\\\\evil.example",
  "/x/..//evil.example",
  "javascript:alert(1)",
  "http://[",
  "//[",
  "/login?returnTo=/logs",
])("does not go to %s", (path) => {
  expect(safeReturnTo(path, ORIGIN)).toBeUndefined();
});

it("makes a login that leads back", () => {
  expect(loginPath("/logs?level=warn")).toBe("/login?returnTo=%2Flogs%3Flevel%3Dwarn");
  expect(loginPath("/")).toBe("/login");
  expect(loginPath("/login?returnTo=%2Flogs")).toBe("/login");
});
