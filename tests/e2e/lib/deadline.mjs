// Waiting with a deadline: every wait names what it waited for, and none of them hopes.

/** How long a test waits for anything that has no limit of its own. */
export const DEADLINE_MS = 5_000;

/** Rejects, naming `what`, when `promise` has not settled in time. */
export function within(promise, what, ms = DEADLINE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Asks `probe` again and again until it answers something true, and returns that. */
export async function eventually(probe, what, ms = DEADLINE_MS) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`);
    await pause(15);
  }
}

/** Lets a stated time pass: for rules that are about time, never instead of a wait. */
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** What arrives, in order; readers wait their turn. */
export class Queue {
  #name;
  #items = [];
  #readers = [];

  constructor(name) {
    this.#name = name;
  }

  push(item) {
    const reader = this.#readers.shift();
    if (reader) reader(item);
    else this.#items.push(item);
  }

  next(ms = DEADLINE_MS) {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift());
    let reader;
    const arrival = new Promise((resolve) => {
      reader = resolve;
      this.#readers.push(reader);
    });
    return within(arrival, this.#name, ms).finally(() => {
      this.#readers = this.#readers.filter((other) => other !== reader);
    });
  }

  async take(count, ms = DEADLINE_MS) {
    const items = [];
    while (items.length < count) items.push(await this.next(ms));
    return items;
  }

  /** What has arrived and was not read. */
  get waiting() {
    return [...this.#items];
  }
}
