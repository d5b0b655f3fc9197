// JSON Web Tokens made by hand, so that wrong ones can be made as well.
import { createHmac, timingSafeEqual } from "node:crypto";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const hash = { HS256: "sha256", HS384: "sha384", HS512: "sha512" };

export const now = () => Math.floor(Date.now() / 1000);

/** Signs `claims` as they are; `header` may claim anything, `signedWith` says what was really used. */
export function sign(claims, secret, { header = { alg: "HS256", typ: "JWT" }, signedWith = header.alg } = {}) {
  const text = `${part(header)}.${part(claims)}`;
  if (signedWith === "none") return `${text}.`;
  return `${text}.${createHmac(hash[signedWith], secret).update(text).digest("base64url")}`;
}

/** The claims of an HS256 token with a right signature; throws otherwise. */
export function verify(token, secret) {
  const [header, claims, signature] = token.split(".");
  const expected = createHmac("sha256", secret).update(`${header}.${claims}`).digest();
  if (!timingSafeEqual(expected, Buffer.from(signature, "base64url"))) throw new Error("wrong signature");
  if (JSON.parse(Buffer.from(header, "base64url")).alg !== "HS256") throw new Error("wrong algorithm");
  return JSON.parse(Buffer.from(claims, "base64url"));
}

/** The nested shape of claims, valid for ten minutes. */
export const nested = (user, times = {}) => ({ user, iat: now(), exp: now() + 600, ...times });

/** The flat shape of claims, valid for ten minutes. */
export const flat = (claims) => ({ iat: now(), exp: now() + 600, ...claims });
