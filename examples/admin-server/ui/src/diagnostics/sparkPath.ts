import type { Plot } from "./rates";

const SHOWN_SEC = 5 * 60;

/**
 * The path of a small picture of the newest five minutes, as high as the box; gaps stay gaps. What changes by less than
 * `least` does not fill the height: noise would look like much.
 */
export function sparkPath({ times, lines: [line = []] }: Plot, least: number, width: number, height: number): string {
  const newest = times.at(-1) ?? 0;
  const from = times.findIndex((time) => time >= newest - SHOWN_SEC);
  const shown = from < 0 ? [] : line.slice(from);
  const values = shown.filter((value) => value !== null);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const span = Math.max(high - low, least);
  const middle = (low + high) / 2;
  let pen = "M";
  return shown
    .flatMap((value, index) => {
      if (value === null) {
        pen = "M";
        return [];
      }
      // The newest value is at the right edge, however few there are.
      const x = width * (1 - (newest - (times[from + index] ?? newest)) / SHOWN_SEC);
      const y = height * (0.5 - (value - middle) / span);
      const point = `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
      pen = "L";
      return [point];
    })
    .join("");
}
