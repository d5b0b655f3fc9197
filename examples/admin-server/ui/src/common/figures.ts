import { UNKNOWN } from "./format";

/** A figure to write. What is not known becomes a dash, never NaN and never a zero. */
type Figure = number | null | undefined;

const known = (value: Figure): value is number => typeof value === "number" && Number.isFinite(value);

/** Always the same decimals: digits that come and go make a table dance. Kept, for they are slow to make. */
const formats = [0, 1, 2].map((digits) => new Intl.NumberFormat("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits }));

export type Digits = 0 | 1 | 2;

export function decimals(value: Figure, digits: Digits): string {
  return (known(value) && formats[digits]?.format(value)) || UNKNOWN;
}

/** A time that something took: what is too short for the digits was not nothing. */
export function milliseconds(value: Figure, digits: Digits): string {
  const least = 10 ** -digits;
  return known(value) && value < least ? `<${least}` : decimals(value, digits);
}

export const count = (value: Figure): string => decimals(value, 0);

export const megabytes = (value: Figure): string => (known(value) ? `${decimals(value, 1)} MB` : UNKNOWN);

export interface Measure {
  value: string;
  unit: string;
}

const BYTE_UNITS = ["B", "KB", "MB", "GB", "TB"];

export function bytes(value: Figure): Measure {
  if (!known(value)) return { value: UNKNOWN, unit: "" };
  let rest = Math.abs(value);
  let unit = 0;
  while (rest >= 1024 && unit < BYTE_UNITS.length - 1) {
    rest /= 1024;
    unit += 1;
  }
  return { value: decimals(Math.sign(value) * rest, unit === 0 ? 0 : 1), unit: BYTE_UNITS[unit] ?? "" };
}

export function bytesText(value: Figure): string {
  const { value: digits, unit } = bytes(value);
  return unit ? `${digits} ${unit}` : digits;
}

/** A difference with its sign; what rounds to nothing is no change. */
export function signed(value: Figure, digits: Digits): string {
  if (!known(value)) return UNKNOWN;
  const text = decimals(Math.abs(value), digits);
  if (Number(text.replaceAll(",", "")) === 0) return `±${decimals(0, digits)}`;
  return `${value > 0 ? "+" : "−"}${text}`;
}
