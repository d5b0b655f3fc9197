type Rgb = readonly [number, number, number];

/** The grounds that leave the least contrast: those of a row under the pointer. */
const LIGHT: Rgb = [0xee, 0xf0, 0xf3];
const DARK: Rgb = [0x20, 0x26, 0x2e];
/** What text of a normal size needs (WCAG AA), and a little. */
const CONTRAST = 4.6;

export interface Readable {
  light: string;
  dark: string;
}

const known = new Map<string, Readable>();

/** A name's colour, darkened or lightened until it can be read on the page; nothing for what is no `#rrggbb`. */
export function readable(colour: string): Readable | undefined {
  const rgb = parse(colour);
  if (!rgb) return undefined;
  let found = known.get(colour);
  if (!found) {
    found = { light: towards(rgb, [0, 0, 0], LIGHT), dark: towards(rgb, [255, 255, 255], DARK) };
    // The server has few colours; whoever sends others shall not fill the memory.
    if (known.size < 100) known.set(colour, found);
  }
  return found;
}

export function contrast(one: string, other: string): number {
  return ratio(parse(one) ?? [0, 0, 0], parse(other) ?? [0, 0, 0]);
}

function towards(from: Rgb, to: Rgb, background: Rgb): string {
  for (let step = 0; step <= 20; step += 1) {
    const mixed = from.map((part, index) => Math.round(part + ((to[index] ?? 0) - part) * (step / 20))) as [number, number, number];
    if (ratio(mixed, background) >= CONTRAST) return format(mixed);
  }
  return format(to);
}

function parse(colour: string): Rgb | undefined {
  if (!/^#[0-9a-f]{6}$/i.test(colour)) return undefined;
  const value = Number.parseInt(colour.slice(1), 16);
  return [value >> 16, (value >> 8) & 0xff, value & 0xff];
}

function format(rgb: Rgb): string {
  return `#${rgb.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}

function ratio(one: Rgb, other: Rgb): number {
  const [a, b] = [luminance(one), luminance(other)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}

function luminance(rgb: Rgb): number {
  const [r, g, b] = rgb.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * (r ?? 0) + 0.7152 * (g ?? 0) + 0.0722 * (b ?? 0);
}
