import { fields, number } from "../common/read";

/** The answer of `/api/diag`. */
export interface Diag {
  authenticated: boolean;
  uptimeSec: number | undefined;
  rssMb: number | undefined;
  heapUsedMb: number | undefined;
  uploadsTotal: number | undefined;
  uploadsToday: number | undefined;
  /** The most first. */
  byGuild: readonly GuildUploads[];
}

export interface GuildUploads {
  guildId: string;
  total: number;
}

/** An administrator sees all guilds, and there may be thousands. */
const SHOWN_GUILDS = 10;

export function busiest(byGuild: readonly GuildUploads[]): { shown: readonly GuildUploads[]; others: number; uploads: number } {
  const rest = byGuild.slice(SHOWN_GUILDS);
  return { shown: byGuild.slice(0, SHOWN_GUILDS), others: rest.length, uploads: rest.reduce((sum, { total }) => sum + total, 0) };
}

export function readDiag(value: unknown): Diag {
  const all = fields(value);
  const admin = fields(all["admin"]);
  const memory = fields(admin["memory"]);
  const uploads = fields(all["uploads"]);
  const byGuild = Object.entries(fields(uploads["byGuild"])).map(([guildId, total]) => ({ guildId, total: number(total) ?? 0 }));
  return {
    authenticated: all["authenticated"] === true,
    uptimeSec: number(admin["uptimeSec"]),
    rssMb: number(memory["rssMb"]),
    heapUsedMb: number(memory["heapUsedMb"]),
    uploadsTotal: number(uploads["total"]),
    uploadsToday: number(uploads["today"]),
    byGuild: byGuild.toSorted((a, b) => b.total - a.total || (a.guildId < b.guildId ? -1 : 1)),
  };
}
