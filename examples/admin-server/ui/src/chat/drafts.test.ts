import { beforeEach, expect, it } from "vitest";
import { forgetDrafts, loadDraft, saveDraft } from "./drafts";

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

it("keeps a draft for each user and guild", () => {
  saveDraft(store, "u", "1", "one");
  saveDraft(store, "u", "2", "two");
  saveDraft(store, "v", "1", "other");
  expect([loadDraft(store, "u", "1"), loadDraft(store, "u", "2"), loadDraft(store, "v", "1")]).toEqual(["one", "two", "other"]);
  expect(loadDraft(store, "v", "2")).toBe("");
});

it("keeps nothing of an empty draft", () => {
  saveDraft(store, "u", "1", "one");
  saveDraft(store, "u", "1", "");
  expect(store.length).toBe(0);
});

it("forgets all drafts and nothing else", () => {
  store.setItem("other", "stays");
  saveDraft(store, "u", "1", "one");
  saveDraft(store, "u", "2", "two");
  forgetDrafts(store);
  expect([...store.entries.keys()]).toEqual(["other"]);
});

it("does without a browser that keeps nothing", () => {
  const refuse = (): never => {
    throw new Error("refused");
  };
  const none = { length: 1, key: refuse, getItem: refuse, setItem: refuse, removeItem: refuse };
  saveDraft(none, "u", "1", "one");
  expect(loadDraft(none, "u", "1")).toBe("");
  forgetDrafts(none);
});
