export const CAPACITY = 100_000;

/**
 * The newest `capacity` items, each under a number that it keeps: the first of all has 0. Adding is cheap however
 * full it is.
 */
export class Ring<T> {
  #items: T[] = [];
  #end = 0;
  readonly #capacity: number;

  constructor(capacity = CAPACITY) {
    this.#capacity = capacity;
  }

  /** The number of the oldest item that is still there. */
  get first(): number {
    return this.#end - this.#items.length;
  }

  /** The number that the next item gets. */
  get end(): number {
    return this.#end;
  }

  get(id: number): T | undefined {
    return id >= this.first && id < this.#end ? this.#items[id % this.#capacity] : undefined;
  }

  push(items: readonly T[]): void {
    for (const item of items) {
      // Until it is full the place is the next one; later that of the oldest.
      this.#items[this.#end % this.#capacity] = item;
      this.#end += 1;
    }
  }

  *values(from = this.first, to = this.#end): Generator<T> {
    for (let id = Math.max(from, this.first); id < Math.min(to, this.#end); id += 1) {
      const item = this.#items[id % this.#capacity];
      if (item !== undefined) yield item;
    }
  }
}
