// Makes the pictures of the book: a server with some traffic, seen by an administrator.
//
//   SCREENSHOTS=book/src/operations/images node tests/e2e/browser/pictures.mjs
import { Admin, GUILD, OTHER, guild } from "../lib/admin.mjs";
import { pause } from "../lib/deadline.mjs";
import { Browser } from "./lib.mjs";

const BOTH = { guilds: [guild(GUILD, "Slime HQ"), guild(OTHER, "Slime Lab")] };
const PEOPLE = ["alice", "bob", "carol", "dave", "erin"];
/** How long there is traffic before the figures are looked at. */
const TRAFFIC_MS = 75_000;

const talk = [
  ["alice", "Good morning! Is the upload queue back to normal?"],
  ["bob", "Yes, since twenty minutes ago. The backlog is gone."],
  ["bob", "I left the dashboard open just in case."],
  ["carol", "Thanks, both. I'll close the incident at noon."],
  ["root", "Two sessions on the old password were revoked, nothing else to do.", true],
  ["alice", "@slimy what is the plan for the next release?"],
];

const server = await Admin.start({ sessions: Object.fromEntries(["root", ...PEOPLE].map((id) => [id, BOTH])), env: { RECOVERY: "2m" } });
const browser = await Browser.start();
const options = { cookie: server.cookie("root", "admin"), viewport: { width: 1280, height: 800 } };
const root = await browser.person(server.url, options);
await root.goto("/");
await root.page.getByRole("heading", { name: "Slime HQ" }).waitFor();
await pause(500);
const ROLES = { root: "admin", erin: "club" };
const clients = new Map();
for (const id of ["root", ...PEOPLE]) clients.set(id, await server.connect(id, ROLES[id]));
for (const [id, text, adminOnly] of talk) {
  await clients.get(id).say({ text, guildId: GUILD, adminOnly: adminOnly === true });
  await pause(400);
}
await clients.get("erin").say({ text: "Lab is quiet.", guildId: OTHER });
await pause(800);
await root.picture("chat");

const until = Date.now() + TRAFFIC_MS;
for (let number = 0; Date.now() < until; number++) {
  const who = clients.get(PEOPLE[number % PEOPLE.length]);
  if (number % 3 !== 0) await who.say({ text: `message ${number}`, guildId: number % 2 ? GUILD : OTHER });
  if (number % 40 === 7) await server.refusal("slimy_admin_token=old");
  if (number % 55 === 20) (await server.connect("dave")).close();
  await pause(120 + 400 * Math.abs(Math.sin(number / 25)));
}
for (const [screen, ready] of [["diagnostics", "canvas"], ["logs", ".logs-row"], ["connections", "table"]]) {
  await root.goto(`/${screen}`);
  await root.page.locator(ready).first().waitFor();
  await pause(2_500);
  await root.picture(screen);
}
await browser.stop();
await server.stop();
