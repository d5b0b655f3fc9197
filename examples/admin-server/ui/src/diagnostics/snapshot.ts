import { fields, list, number, text } from "../common/read";

/** One of the server's nodes, as its peers see it. */
export interface ServerNode {
  id: string;
  connections: number | undefined;
  uptimeSec: number | undefined;
  messages: number | undefined;
  residentMB: number | undefined;
  self: boolean;
}

export interface Subsystem {
  name: string;
  state: string;
}

/** The figures of `/api/diagnostics` and of `diag:snapshot`, flat; a source that failed leaves its figures out. */
export interface Snapshot {
  /** When it was taken, by the server's clock, in milliseconds. */
  at: number;
  /** Another process' counters have nothing to do with this one's. That this one is another than before may show in its uptime only. */
  process: string;
  host: string | undefined;
  pid: number | undefined;
  runtime: string | undefined;
  uptimeSec: number | undefined;
  uptimeHuman: string | undefined;
  rssMB: number | undefined;
  heapUsedMB: number | undefined;
  heapTotalMB: number | undefined;
  uploadsTotal: number | undefined;
  uploadsToday: number | undefined;
  connections: number | undefined;
  connectionsTotal: number | undefined;
  rooms: number | undefined;
  messages: number | undefined;
  requests: number | undefined;
  errors: number | undefined;
  p50Ms: number | undefined;
  p95Ms: number | undefined;
  p99Ms: number | undefined;
  cpuPercent: number | undefined;
  eventsPerSecond: number | undefined;
  deliveriesPerSecond: number | undefined;
  /** Of the last ten seconds' requests; that of all requests is `p95Ms`. */
  requestP95Ms: number | undefined;
  handlerP50Ms: number | undefined;
  handlerP99Ms: number | undefined;
  pendingBytes: number | undefined;
  subsystems: readonly Subsystem[];
  nodes: readonly ServerNode[];
  degraded: readonly string[];
}

function readNode(value: unknown): ServerNode {
  const node = fields(value);
  return {
    id: text(node["id"]) ?? "",
    connections: number(node["connections"]),
    uptimeSec: number(node["uptimeSec"]),
    messages: number(node["messages"]),
    residentMB: number(node["residentMB"]),
    self: node["self"] === true,
  };
}

/** Undefined for what is no snapshot, and for one without a time. */
export function readSnapshot(value: unknown): Snapshot | undefined {
  const all = fields(value);
  const at = Date.parse(text(all["generatedAt"]) ?? "");
  if (all["ok"] !== true || Number.isNaN(at)) return undefined;
  const memory = fields(all["memory"]);
  const uploads = fields(all["uploads"]);
  const connections = fields(all["connections"]);
  const requests = fields(all["requests"]);
  const load = fields(all["load"]);
  const latency = fields(all["latency"]);
  // Without an event there was none that took no time.
  const idle = load["eventsPerSecond"] === 0;
  const host = text(all["host"]);
  const pid = number(all["pid"]);
  return {
    at,
    process: `${host ?? ""}/${pid ?? ""}`,
    host,
    pid,
    runtime: text(all["runtime"]),
    uptimeSec: number(all["uptimeSec"]),
    uptimeHuman: text(all["uptimeHuman"]),
    rssMB: number(memory["rssMB"]),
    heapUsedMB: number(memory["heapUsedMB"]),
    heapTotalMB: number(memory["heapTotalMB"]),
    uploadsTotal: number(uploads["total"]),
    uploadsToday: number(uploads["today"]),
    connections: number(connections["current"]),
    connectionsTotal: number(connections["total"]),
    rooms: number(connections["rooms"]),
    messages: number(fields(all["chat"])["messages"]),
    requests: number(requests["total"]),
    errors: number(requests["errors"]),
    p50Ms: number(requests["p50Ms"]),
    p95Ms: number(requests["p95Ms"]),
    requestP95Ms: number(latency["requestP95Ms"]),
    p99Ms: number(requests["p99Ms"]),
    cpuPercent: number(fields(all["cpu"])["percent"]),
    eventsPerSecond: number(load["eventsPerSecond"]),
    deliveriesPerSecond: number(load["deliveriesPerSecond"]),
    handlerP50Ms: idle ? undefined : number(latency["handlerP50Ms"]),
    handlerP99Ms: idle ? undefined : number(latency["handlerP99Ms"]),
    pendingBytes: number(all["pendingBytes"]),
    subsystems: Object.entries(fields(all["subsystems"])).map(([name, state]) => ({ name, state: text(state) ?? "down" })),
    nodes: list(all["nodes"])
      .map(readNode)
      .filter(({ id }) => id !== ""),
    degraded: list(all["degraded"]).flatMap((name) => text(name) ?? []),
  };
}
