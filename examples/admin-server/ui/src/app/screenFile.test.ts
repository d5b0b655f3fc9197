import { describe, expect, it } from "vitest";
import { NotLoaded, ScreenFile } from "./screenFile";
import { namesAll } from "./version";

const module = { default: () => null };

/** A file that fails so many times before it comes. */
function failing(times: number) {
  const asked = { times: 0 };
  const file = new ScreenFile(() => {
    asked.times += 1;
    return asked.times > times ? Promise.resolve(module) : Promise.reject(new TypeError("Failed to fetch"));
  });
  return { file, asked };
}

describe("a screen's file", () => {
  it("is loaded once", async () => {
    const { file, asked } = failing(0);
    expect(await Promise.all([file.load(), file.load()])).toEqual([module, module]);
    expect(await file.load()).toBe(module);
    expect(asked.times).toBe(1);
  });

  it("is asked for again after a failure", async () => {
    const { file, asked } = failing(1);
    await expect(file.load()).rejects.toBeInstanceOf(NotLoaded);
    expect(await file.load()).toBe(module);
    expect(asked.times).toBe(2);
  });

  it("has the same screen until that is renewed", () => {
    const { file } = failing(0);
    const before = file.Screen;
    expect(file.Screen).toBe(before);
    file.renew();
    expect(file.Screen).not.toBe(before);
  });
});

describe("the server's version of the page", () => {
  const html = '<script type="module" crossorigin src="/assets/index-AAAA.js"></script>';

  it("is told by the names of its scripts", () => {
    expect(namesAll(html, ["/assets/index-AAAA.js"])).toBe(true);
    expect(namesAll(html, ["/assets/index-BBBB.js"])).toBe(false);
  });
});
