import type { Failure, Item } from "./room";

const LONGEST = 200;

export interface Announcement {
  /** What others say. */
  said?: string;
  /** That something of one's own was not sent. */
  failed?: string;
}

/** What is to be told to who cannot see it: each thing once, and nothing that was there from the start. */
export class Announcements {
  readonly #userId: string;
  readonly #failures = new WeakSet<Failure>();
  #last: string | undefined;

  constructor(items: readonly Item[], userId: string) {
    this.#userId = userId;
    this.next(items);
  }

  next(items: readonly Item[]): Announcement {
    const from = items.findLastIndex(({ key }) => key === this.#last) + 1;
    this.#last = items.at(-1)?.key;
    const fresh = items.slice(from).filter((item) => item.kind === "message" && item.from.id !== this.#userId);
    const last = fresh.at(-1);
    const failure = this.#newFailure(items);
    return {
      ...(last?.kind === "message" && {
        said: fresh.length > 3 ? `${fresh.length} new messages` : `${last.from.name}: ${last.text.slice(0, LONGEST)}`,
      }),
      ...(failure && { failed: `Your message could not be sent. ${failure.message}` }),
    };
  }

  /** The last one that was not told. Each failed attempt has its own. */
  #newFailure(items: readonly Item[]): Failure | undefined {
    let found: Failure | undefined;
    for (const item of items) {
      if (item.kind !== "message" || !item.failure || this.#failures.has(item.failure)) continue;
      this.#failures.add(item.failure);
      found = item.failure;
    }
    return found;
  }
}
