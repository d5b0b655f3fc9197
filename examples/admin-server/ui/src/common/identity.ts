/** A page is one user's: another one gets a new page, and nothing that this one knows. */
export class Identity {
  readonly #reload: () => void;
  readonly #farewells: (() => void)[] = [];
  #userId: string | undefined;

  constructor(reload: () => void) {
    this.#reload = reload;
  }

  /** What is to be done before the page goes. */
  beforeLeaving(work: () => void): void {
    this.#farewells.push(work);
  }

  /** Whether this is the user with whom the page began; if not, it goes. */
  isStill(userId: string): boolean {
    this.#userId ??= userId;
    if (this.#userId === userId) return true;
    this.#farewells.splice(0).forEach((work) => work());
    this.#reload();
    return false;
  }
}
