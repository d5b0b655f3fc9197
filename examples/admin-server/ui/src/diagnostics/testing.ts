import { readSnapshot, type Snapshot } from "./snapshot";

/** For tests: a snapshot of that second with nothing in it but what is given. */
export function at(second: number, change: Partial<Snapshot> = {}): Snapshot {
  const snapshot = readSnapshot({ ok: true, pid: 1, host: "h", generatedAt: new Date(second * 1000).toISOString() });
  if (!snapshot) throw new Error("not a snapshot");
  return { ...snapshot, ...change };
}
