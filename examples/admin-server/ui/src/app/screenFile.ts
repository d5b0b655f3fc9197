import { lazy, type ComponentType, type LazyExoticComponent } from "react";

interface Module {
  default: ComponentType;
}

/** The file of a screen did not come. */
export class NotLoaded extends Error {
  override readonly name = "NotLoaded";
}

/** A screen in a file of its own. */
export class ScreenFile {
  readonly #fetch: () => Promise<Module>;
  #loading: Promise<Module> | undefined;
  #screen: LazyExoticComponent<ComponentType>;

  constructor(fetch: () => Promise<Module>) {
    this.#fetch = fetch;
    this.#screen = this.#lazy();
  }

  get Screen(): LazyExoticComponent<ComponentType> {
    return this.#screen;
  }

  /** Loads the file, unless it is there or on its way. Throws `NotLoaded`, and the next call tries again. */
  load(): Promise<Module> {
    this.#loading ??= this.#fetch().catch((reason: unknown) => {
      this.#loading = undefined;
      throw new NotLoaded("The file could not be loaded.", { cause: reason });
    });
    return this.#loading;
  }

  /** After a failure: `lazy` keeps it for ever, so that only another one asks again. */
  renew(): void {
    this.#screen = this.#lazy();
  }

  #lazy(): LazyExoticComponent<ComponentType> {
    return lazy(() => this.load());
  }
}
