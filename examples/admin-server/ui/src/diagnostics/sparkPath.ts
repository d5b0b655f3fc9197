import type { Series } from "./rates";

/** Five minutes of one value each two seconds. */
const SHOWN = 150;

/**
 * The path of a small picture of the newest values, as high as the box; gaps stay gaps, and what does not change is a
 * line in the middle.
 */
export function sparkPath(series: Series, width: number, height: number): string {
  const shown = series.slice(-SHOWN);
  const values = shown.filter((value) => value !== null);
  const least = Math.min(...values);
  const span = Math.max(...values) - least;
  const step = width / (SHOWN - 1);
  let pen = "M";
  return shown
    .flatMap((value, index) => {
      if (value === null) {
        pen = "M";
        return [];
      }
      // The newest value is at the right edge, however few there are.
      const x = width - (shown.length - 1 - index) * step;
      const y = span === 0 ? height / 2 : height - ((value - least) / span) * height;
      const point = `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
      pen = "L";
      return [point];
    })
    .join("");
}
