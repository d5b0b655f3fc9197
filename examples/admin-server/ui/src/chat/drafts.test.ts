import { beforeEach, expect, it } from "vitest";
import { forgetDrafts, joined, loadDraft, saveDraft, type Draft } from "./drafts";

/** A `Storage` in memory. */
class Memory {
  readonly entries = new Map<string, string>();
  get length(): number {
    return this.entries.size;
  }
  key = (index: number): string | null => Array.from(this.entries.keys())[index] ?? null;
  getItem = (key: string): string | null => this.entries.get(key) ?? null;
  setItem = (key: string, value: string): void => void this.entries.set(key, value);
  removeItem = (key: string): void => void this.entries.delete(key);
}

let store: Memory;
beforeEach(() => (store = new Memory()));

const toAll = (text: string): Draft => ({ text, adminOnly: false });
const toAdmins = (text: string): Draft => ({ text, adminOnly: true });

it("keeps a draft for each user and guild", () => {
  saveDraft(store, "u", "1", toAll("one"));
  saveDraft(store, "u", "2", toAll("two"));
  saveDraft(store, "v", "1", toAll("other"));
  expect(["1", "2"].map((guildId) => loadDraft(store, "u", guildId).text)).toEqual(["one", "two"]);
  expect(loadDraft(store, "v", "1").text).toBe("other");
  expect(loadDraft(store, "v", "2")).toEqual(toAll(""));
});

it("keeps for whom it was, even before there is a text", () => {
  for (const draft of [toAdmins("secret"), toAdmins(""), toAll("open")]) {
    saveDraft(store, "u", "1", draft);
    expect(loadDraft(store, "u", "1")).toEqual(draft);
  }
});

it("keeps nothing of an empty draft", () => {
  saveDraft(store, "u", "1", toAdmins("one"));
  saveDraft(store, "u", "1", toAll(""));
  expect(store.length).toBe(0);
});

it("never makes public what comes back, nor what it comes back to", () => {
  expect(joined(toAdmins("back"), toAll(""))).toEqual(toAdmins("back"));
  expect(joined(toAdmins("back"), toAll("typed"))).toEqual(toAdmins("back\ntyped"));
  expect(joined(toAll("back"), toAdmins("typed"))).toEqual(toAdmins("back\ntyped"));
  expect(joined(toAll("back"), toAll("typed"))).toEqual(toAll("back\ntyped"));
});

it("takes what it did not write for no draft", () => {
  for (const stored of ["plain text", "null", "1", '{"text":5,"adminOnly":true}']) {
    store.setItem("slime.draft.u/1", stored);
    expect(loadDraft(store, "u", "1")).toEqual(toAll(""));
  }
});

it("forgets all drafts and nothing else", () => {
  store.setItem("other", "stays");
  saveDraft(store, "u", "1", toAll("one"));
  saveDraft(store, "u", "2", toAdmins("two"));
  forgetDrafts(store);
  expect([...store.entries.keys()]).toEqual(["other"]);
});

it("forgets those of former users", () => {
  const users = ["u", "u2", "u.1", "u/1", "v"];
  users.forEach((user) => saveDraft(store, user, "1", toAll(user)));
  forgetDrafts(store, "u");
  expect(users.map((user) => loadDraft(store, user, "1").text)).toEqual(["u", "", "", "", ""]);
});

it("does without a browser that keeps nothing", () => {
  const refuse = (): never => {
    throw new Error("refused");
  };
  const none = { length: 1, key: refuse, getItem: refuse, setItem: refuse, removeItem: refuse };
  saveDraft(none, "u", "1", toAll("one"));
  expect(loadDraft(none, "u", "1")).toEqual(toAll(""));
  forgetDrafts(none);
});
