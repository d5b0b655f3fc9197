/** The language of the page's texts. */
const LOCALE = "en-GB";

const timeOfDay = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit" });
const clock = new Intl.DateTimeFormat(LOCALE, { timeStyle: "medium" });
const day = new Intl.DateTimeFormat(LOCALE, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const moment = new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium", timeStyle: "medium" });

/** What is shown for what is not known. */
export const UNKNOWN = "–";

/** `1d 2h 3m 4s`: parts that are zero are left out, but for the seconds. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return UNKNOWN;
  let rest = Math.max(0, Math.floor(seconds));
  const parts: string[] = [];
  for (const [unit, size] of [["d", 86_400], ["h", 3_600], ["m", 60]] as const) {
    const many = Math.floor(rest / size);
    rest -= many * size;
    if (many > 0) parts.push(`${many}${unit}`);
  }
  return [...parts, `${rest}s`].join(" ");
}

/** `18:00:05`, of a time in milliseconds. */
export const formatClock = (at: number): string => clock.format(at);

export const formatTime = (iso: string): string => formatted(timeOfDay, iso);
export const formatDay = (iso: string): string => formatted(day, iso);
export const formatMoment = (iso: string): string => formatted(moment, iso);

function formatted(format: Intl.DateTimeFormat, iso: string): string {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? UNKNOWN : format.format(date);
}
