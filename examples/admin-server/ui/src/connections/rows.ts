import { fields, list, number, text } from "../common/read";
import { UNKNOWN } from "../common/format";

export interface Connection {
  socketId: string;
  userId: string;
  name: string;
  role: string;
  transport: string;
  /** Not all of them, when there are many. */
  rooms: readonly string[];
  roomCount: number;
  address: string;
  connectedAt: string;
  pendingBytes: number | undefined;
  node: string;
}

export interface Listing {
  connections: readonly Connection[];
  total: number;
  truncated: boolean;
  /** Nodes that did not answer in time: what is connected to them is not in the list. */
  missingNodes: number;
}

function readConnection(value: unknown): Connection {
  const one = fields(value);
  const userId = text(one["userId"]) ?? "";
  const rooms = list(one["rooms"]).flatMap((room) => text(room) ?? []);
  return {
    socketId: text(one["socketId"]) ?? "",
    userId,
    name: text(one["name"]) ?? userId,
    role: text(one["role"]) ?? "",
    transport: text(one["transport"]) ?? "",
    rooms,
    roomCount: number(one["roomCount"]) ?? rooms.length,
    address: text(one["address"]) ?? "",
    connectedAt: text(one["connectedAt"]) ?? "",
    pendingBytes: number(one["pendingBytes"]),
    node: text(one["node"]) ?? "",
  };
}

export function readListing(value: unknown): Listing {
  const all = fields(value);
  const connections = list(all["connections"]).map(readConnection);
  return {
    connections,
    total: number(all["total"]) ?? connections.length,
    truncated: all["truncated"] === true,
    missingNodes: number(all["missingNodes"]) ?? 0,
  };
}

export const COLUMNS = ["name", "role", "transport", "rooms", "address", "age", "pendingBytes", "node"] as const;
export type Column = (typeof COLUMNS)[number];

export interface Order {
  column: Column;
  descending: boolean;
}

/** Numbers by size, texts as people sort them: "10" after "9". */
const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

type Compare = (a: Connection, b: Connection) => number;

const COMPARE: Readonly<Record<Column, Compare>> = {
  name: (a, b) => collator.compare(a.name, b.name),
  role: (a, b) => collator.compare(a.role, b.role),
  transport: (a, b) => collator.compare(a.transport, b.transport),
  rooms: (a, b) => a.roomCount - b.roomCount,
  address: (a, b) => collator.compare(a.address, b.address),
  // The older one has the greater age.
  age: (a, b) => (a.connectedAt < b.connectedAt ? 1 : a.connectedAt > b.connectedAt ? -1 : 0),
  pendingBytes: (a, b) => (a.pendingBytes ?? -1) - (b.pendingBytes ?? -1),
  node: (a, b) => collator.compare(a.node, b.node),
};

/** Equal ones are in the order of their ids: a refresh must not shuffle them. */
export function sorted(connections: readonly Connection[], { column, descending }: Order): Connection[] {
  const compare = COMPARE[column];
  const sign = descending ? -1 : 1;
  return connections.toSorted((a, b) => sign * compare(a, b) || (a.socketId < b.socketId ? -1 : 1));
}

/** A click on a header: another column begins ascending, the same one turns around. */
export function nextOrder(order: Order, column: Column): Order {
  return { column, descending: order.column === column && !order.descending };
}

/** What the server found for a word, also in rooms that a list leaves out. */
export interface Found {
  word: string;
  socketIds: ReadonlySet<string>;
}

/** Every word has to be somewhere in the row. */
export function filtered(connections: readonly Connection[], query: string, found?: Found): readonly Connection[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return connections;
  const asked = found?.word.toLowerCase();
  return connections.filter(({ name, userId, role, transport, rooms, address, node, socketId }) => {
    const row = [name, userId, role, transport, address, node, socketId, ...rooms].join("\n").toLowerCase();
    return words.every((word) => row.includes(word) || (word === asked && found?.socketIds.has(socketId)));
  });
}

/** Whether the server leaves rooms out of the list. */
export function roomsAreCut(connections: readonly Connection[]): boolean {
  return connections.some(({ rooms, roomCount }) => roomCount > rooms.length);
}

/** The word of a filter that says the most: the one to ask the server for when its list is not all there is. */
export function searchWord(query: string): string {
  return query.split(/\s+/).reduce((longest, word) => (word.length > longest.length ? word : longest), "");
}

/** A list, and what else was found; what is in both is as found. */
export function merged(listed: readonly Connection[], found: readonly Connection[]): readonly Connection[] {
  if (found.length === 0) return listed;
  const ids = new Set(found.map(({ socketId }) => socketId));
  return [...listed.filter(({ socketId }) => !ids.has(socketId)), ...found];
}

export const PAGE_SIZE = 50;

export interface Page<T> {
  rows: readonly T[];
  /** From 0; a page that is not there any more is the last one. */
  page: number;
  pages: number;
  /** As people count: "51–100". Both 0 when there is nothing. */
  from: number;
  to: number;
}

export function paged<T>(all: readonly T[], wanted: number, size = PAGE_SIZE): Page<T> {
  const pages = Math.max(1, Math.ceil(all.length / size));
  const page = Math.max(0, Math.min(wanted, pages - 1));
  const rows = all.slice(page * size, (page + 1) * size);
  return { rows, page, pages, from: rows.length ? page * size + 1 : 0, to: page * size + rows.length };
}

/** Two lines at most, as all else in a row: two rooms, or the first one and how many more. */
export function roomSummary({ rooms, roomCount }: Pick<Connection, "rooms" | "roomCount">): { shown: readonly string[]; more: number } {
  const shown = roomCount <= 2 ? rooms : rooms.slice(0, 1);
  return { shown, more: roomCount - shown.length };
}

/** Enough of a socket's id to tell the connections of one user apart. */
export const shortId = (socketId: string): string => socketId.slice(0, 6);

/** "12s", "5m 3s", "2h 4m", "3d 4h": the two greatest parts. */
export function age(connectedAt: string, now: number): string {
  const since = Date.parse(connectedAt);
  if (Number.isNaN(since)) return UNKNOWN;
  const seconds = Math.max(0, Math.floor((now - since) / 1000));
  const [minutes, hours, days] = [Math.floor(seconds / 60), Math.floor(seconds / 3600), Math.floor(seconds / 86_400)];
  if (days > 0) return `${days}d ${hours % 24}h`;
  if (hours > 0) return `${hours}h ${minutes % 60}m`;
  if (minutes > 0) return `${minutes}m ${seconds % 60}s`;
  return `${seconds}s`;
}

export function severalNodes(connections: readonly Connection[]): boolean {
  return new Set(connections.map(({ node }) => node)).size > 1;
}
