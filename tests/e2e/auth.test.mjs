// Who is let in, and what exactly the others are told.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { Admin, GUILD, IN_GUILD, OLD_SECRET, OTHER, SECRET, person } from "./lib/admin.mjs";
import { flat, nested, now, sign } from "./lib/jwt.mjs";
import { request } from "./lib/http.mjs";
import { RawSocket } from "./lib/wire.mjs";

const refusal = (word) => ({ message: word, data: { code: word } });
const alice = person("alice");
const token = (claims, options) => sign(claims, SECRET, options);
const cookieOf = (jwt) => `slimy_admin_token=${jwt}`;
const good = () => token(nested(alice));

const SESSIONS = {
  alice: IN_GUILD,
  bob: IN_GUILD,
  nobody: { guilds: [] },
  risen: { ...IN_GUILD, role: "admin" },
  fallen: { ...IN_GUILD, role: "member" },
  cleared: { ...IN_GUILD, notBefore: 2_000_000_000 },
  number: { guilds: [{ id: 42, name: "Numbered", roles: [] }] },
};

describe("refusals", () => {
  let server;
  before(async () => (server = await Admin.start({ sessions: SESSIONS, secret: `${SECRET},${OLD_SECRET}` })));
  after(() => server.stop());
  afterEach(() => server.closeClients());

  const without = (claims, name) => Object.fromEntries(Object.entries(claims).filter(([key]) => key !== name));
  const far = () => now() + 600;

  const refused = {
    "no cookie at all": () => undefined,
    "only other cookies": () => "theme=dark; lang=en",
    "an empty token": () => cookieOf(""),
    "something that is no token": () => cookieOf("hello"),
    "a token of two parts": () => cookieOf(good().split(".").slice(0, 2).join(".")),
    "percent signs that decode to nothing": () => cookieOf("%zz"),
    "a bad signature": () => cookieOf(sign(nested(alice), "another-secret-that-is-long-enough-too")),
    "claims exchanged under a good signature": () => {
      const parts = good().split(".");
      parts[1] = token(nested(person("bob", "admin"))).split(".")[1];
      return cookieOf(parts.join("."));
    },
    "alg none": () => cookieOf(token(nested(alice), { header: { alg: "none", typ: "JWT" } })),
    "alg none with a good HS256 signature": () =>
      cookieOf(token(nested(alice), { header: { alg: "none", typ: "JWT" }, signedWith: "HS256" })),
    "HS512 with the right secret": () => cookieOf(token(nested(alice), { header: { alg: "HS512", typ: "JWT" } })),
    "HS384 with the right secret": () => cookieOf(token(nested(alice), { header: { alg: "HS384", typ: "JWT" } })),
    "an RS256 header over an HS256 signature": () =>
      cookieOf(token(nested(alice), { header: { alg: "RS256", typ: "JWT" }, signedWith: "HS256" })),
    "no alg": () => cookieOf(token(nested(alice), { header: { typ: "JWT" }, signedWith: "HS256" })),
    "an expired token": () => cookieOf(token(nested(alice, { exp: now() - 1 }))),
    "no exp": () => cookieOf(token(without(nested(alice), "exp"))),
    "exp as a string": () => cookieOf(token(nested(alice, { exp: String(far()) }))),
    "exp null": () => cookieOf(token(nested(alice, { exp: null }))),
    "nbf in the future": () => cookieOf(token(nested(alice, { nbf: now() + 60 }))),
    "nbf as a string": () => cookieOf(token(nested(alice, { nbf: String(now() + 60) }))),
    "no user in the claims": () => cookieOf(token(flat({ username: "ghost" }))),
    "a user without an id": () => cookieOf(token(nested({ username: "ghost", role: "admin" }))),
    "an empty id": () => cookieOf(token(flat({ sub: "", role: "admin" }))),
    "claims that are a list": () => cookieOf(token([alice])),
    "the cookie twice": () => `${cookieOf(good())}; ${cookieOf(good())}`,
    "the cookie twice, the first one bad": () => `${cookieOf("x")}; theme=dark; ${cookieOf(good())}`,
    "the name as the end of another": () => `x_${cookieOf(good())}`,
    "the name in other letters": () => `SLIMY_ADMIN_TOKEN=${good()}`,
    "a token from before the session's notBefore": () => cookieOf(token(nested(person("cleared")))),
  };
  for (const [what, cookie] of Object.entries(refused)) {
    it(`not_authorized: ${what}`, async () => {
      assert.deepEqual(await server.refusal(cookie()), refusal("not_authorized"));
    });
  }

  const homeless = { "an empty list of guilds": "nobody", "no session": "stranger" };
  for (const [what, id] of Object.entries(homeless)) {
    for (const role of ["member", "club", "weird"]) {
      it(`no_guild_context: ${what}, as ${role}`, async () => {
        assert.deepEqual(await server.refusal(server.cookie(id, role)), refusal("no_guild_context"));
      });
    }
  }

  it("the refusal on the wire is exact, and the transport stays open", async () => {
    const socket = await RawSocket.engine(server);
    socket.send("40");
    assert.equal(await socket.next(), '44{"message":"not_authorized","data":{"code":"not_authorized"}}');
    socket.send("40");
    assert.equal(await socket.next(), '44{"message":"not_authorized","data":{"code":"not_authorized"}}');
    socket.close();
  });

  it("the log tells the cause, never the token", async () => {
    const bad = sign(nested(alice), "another-secret-that-is-long-enough-too");
    await server.refusal(cookieOf(bad));
    const log = server.program.stdout + server.program.stderr;
    assert.match(log, /refus|not_authorized|reject/i);
    for (const secret of [bad, bad.split(".")[2], SECRET, OLD_SECRET]) assert.ok(!log.includes(secret));
  });
});

describe("admissions", () => {
  let server;
  before(async () => {
    const args = ["--chat-rate", "1000/1s"];
    server = await Admin.start({ sessions: SESSIONS, secret: `${SECRET},${OLD_SECRET}`, args });
  });
  after(() => server.stop());
  afterEach(() => server.closeClients());

  const percent = (text) => Array.from(text, (char) => `%${char.charCodeAt(0).toString(16).padStart(2, "0")}`).join("");
  const cookies = {
    plain: () => cookieOf(good()),
    "percent-encoded": () => cookieOf(percent(good())),
    "percent-encoded dots only": () => cookieOf(good().replaceAll(".", "%2E")),
    "among others": () => `theme=dark; ${cookieOf(good())}; lang=en`,
    "with no space between": () => `theme=dark;${cookieOf(good())};lang=en`,
    "with spaces and empty pairs": () => `;;  ; theme=dark ;  ${cookieOf(good())} ; ; `,
    "beside values that contain =": () => `a=b=c==; ${cookieOf(good())}; d==`,
    "beside a name without a value": () => `flag; ${cookieOf(good())}`,
    "beside bad percent signs": () => `a=%zz; ${cookieOf(good())}`,
    "signed with the older secret": () => cookieOf(sign(nested(alice), OLD_SECRET)),
    "nbf in the past": () => cookieOf(token(nested(alice, { nbf: now() - 5 }))),
  };
  for (const [what, cookie] of Object.entries(cookies)) {
    it(`a cookie ${what}`, async () => {
      const client = await server.client({ cookie: cookie() }).connected();
      assert.deepEqual(client.history, [["connect"]]);
    });
  }

  const GLOBAL = { username: "u", globalName: "G", avatar: null, role: "club" };
  const ids = {
    "nested id": nested({ id: "alice", ...GLOBAL }),
    "nested sub": nested({ sub: "alice", ...GLOBAL }),
    "nested discordId": nested({ discordId: "alice", ...GLOBAL }),
    "nested id before sub and discordId": nested({ discordId: "bob", sub: "bob", id: "alice", ...GLOBAL }),
    "flat sub": flat({ sub: "alice", ...GLOBAL }),
    "flat id before sub": flat({ sub: "bob", id: "alice", ...GLOBAL }),
    "flat sub before discordId": flat({ discordId: "bob", sub: "alice", ...GLOBAL }),
    "flat discordId": flat({ discordId: "alice", ...GLOBAL }),
  };
  for (const [what, claims] of Object.entries(ids)) {
    it(`the id from ${what}`, async () => {
      const client = await server.client({ cookie: cookieOf(token(claims)) }).connected();
      await client.say({ text: "who am I", guildId: GUILD });
      const { from } = await client.messages.next();
      assert.deepEqual(from, { id: "alice", name: "G", role: "club", color: "#f59e0b" });
    });
  }

  const roles = [
    // [user, role in the claims, role shown, may write to admins]
    ["alice", undefined, "member", false],
    ["alice", "member", "member", false],
    ["alice", "club", "club", false],
    ["alice", "admin", "admin", true],
    ["alice", "owner", "admin", true],
    ["alice", "superuser", "member", false],
    ["alice", "ADMIN", "member", false],
    ["risen", "member", "admin", true],
    ["fallen", "admin", "member", false],
  ];
  for (const [id, claimed, shown, admin] of roles) {
    it(`${id} with the role ${claimed} is ${shown}`, async () => {
      const user = { ...person(id), role: claimed };
      const client = await server.client({ cookie: cookieOf(token(nested(user))) }).connected();
      const ack = await client.say({ text: "x", guildId: GUILD, adminOnly: true });
      assert.equal(ack.code, admin ? undefined : "admin_only");
      if (!admin) await client.say({ text: "x", guildId: GUILD });
      assert.equal((await client.messages.next()).from.role, shown);
    });
  }

  for (const role of ["admin", "owner"]) {
    it(`an ${role} needs no guild`, async () => {
      const client = await server.connect("stranger", role);
      assert.equal((await client.say({ text: "hello", guildId: OTHER })).ok, true);
    });
  }

  it("a guild id that is a number in the session", async () => {
    const client = await server.connect("number");
    assert.equal((await client.say({ text: "hello", guildId: "42" })).ok, true);
    assert.equal((await client.messages.next()).guildId, "42");
  });

  it("an iat equal to notBefore is not earlier", async () => {
    const claims = nested(person("cleared"), { iat: 2_000_000_000, exp: 2_000_000_600 });
    await server.client({ cookie: cookieOf(token(claims)) }).connected();
  });

  it("a namespace that does not exist is told so, and nothing else happens", async () => {
    const socket = await server.raw("alice");
    socket.send("40/random,");
    assert.equal(await socket.next(), '44/random,{"message":"Invalid namespace"}');
  });
});

describe("the cookie's name", () => {
  it("is configurable, and then the default one counts for nothing", async (t) => {
    const server = await Admin.start({ sessions: SESSIONS, env: { ADMIN_TOKEN_COOKIE: "other_name" } });
    t.after(() => server.stop());
    await server.client({ cookie: `other_name=${good()}` }).connected();
    assert.deepEqual(await server.refusal(cookieOf(good())), refusal("not_authorized"));
  });
});

describe("logging out", () => {
  let server;
  before(async () => (server = await Admin.start({ sessions: SESSIONS })));
  after(() => server.stop());
  afterEach(() => server.closeClients());

  const logout = (cookie) => request(`${server.url}/api/auth/logout`, { method: "POST", headers: { cookie } });

  it("ends the sockets of that token, and only those", async () => {
    const first = cookieOf(token(nested(alice)));
    const second = cookieOf(token(nested(alice, { iat: now() - 1 })));
    const [ended, alsoEnded, kept] = await Promise.all(
      [first, first, second].map((cookie) => server.client({ cookie, reconnection: true }).connected()),
    );
    assert.equal((await logout(first)).status, 204);
    for (const client of [ended, alsoEnded]) {
      assert.deepEqual(await client.life("session:ended", 2_000), { reason: "revoked" });
      assert.equal(await client.life("disconnect", 2_000), "io server disconnect");
      assert.equal(client.socket.active, false, "the stock client must not come back by itself");
    }
    assert.equal((await kept.say({ text: "still here", guildId: GUILD })).ok, true);
    assert.deepEqual(kept.history, [["connect"]]);
  });

  it("denies that token from then on", async () => {
    const cookie = cookieOf(token(nested(person("bob"))));
    assert.equal((await logout(cookie)).status, 204);
    assert.deepEqual(await server.refusal(cookie), refusal("not_authorized"));
    assert.equal((await request(`${server.url}/api/auth/me`, { headers: { cookie } })).status, 401);
    await server.client({ cookie: cookieOf(token(nested(person("bob"), { iat: now() - 1 }))) }).connected();
  });

  it("with a token that is not valid ends nobody", async () => {
    const client = await server.connect("risen");
    const forged = sign(nested(person("risen")), "another-secret-that-is-long-enough-too");
    assert.equal((await logout(cookieOf(forged))).status, 204);
    assert.equal((await client.say({ text: "still here", guildId: GUILD })).ok, true);
    assert.deepEqual(client.history, [["connect"]]);
  });
});
