/** Items under numbers that they keep: they come at the end and go at the beginning, both cheaply. */
export class Tail<T> {
  /** Those before `#gone` were dropped: moving the others each time would be slow. */
  #items: (T | undefined)[] = [];
  #gone = 0;
  #first: number;

  constructor(first = 0) {
    this.#first = first;
  }

  /** The number of the oldest item that is still there. */
  get first(): number {
    return this.#first;
  }

  /** The number that the next item gets. */
  get end(): number {
    return this.#first + this.#items.length - this.#gone;
  }

  get(id: number): T | undefined {
    return id >= this.#first ? this.#items[id - this.#first + this.#gone] : undefined;
  }

  push(...items: readonly T[]): void {
    for (const item of items) this.#items.push(item);
  }

  replaceLast(item: T): void {
    this.#items[this.#items.length - 1] = item;
  }

  dropBefore(id: number): void {
    const count = Math.min(id, this.end) - this.#first;
    if (count <= 0) return;
    this.#items.fill(undefined, this.#gone, this.#gone + count);
    this.#gone += count;
    this.#first += count;
    if (this.#gone * 2 < this.#items.length) return;
    this.#items = this.#items.slice(this.#gone);
    this.#gone = 0;
  }

  *values(from = this.#first, to = this.end): Generator<T> {
    for (let id = Math.max(from, this.#first); id < Math.min(to, this.end); id += 1) {
      const item = this.get(id);
      if (item !== undefined) yield item;
    }
  }
}
