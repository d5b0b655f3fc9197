import { useSyncExternalStore } from "react";
import { io, type Socket } from "socket.io-client";
import { delayBefore } from "./backoff";
import { checkMe, identity, refreshMe } from "./me";
import { isFinal, nextState, NOT_CONNECTED, type ConnectionEvent, type ConnectionState } from "./connection";

const ACK_TIMEOUT_MS = 10_000;
/** Refusals of what the page offers only to those who may: they can do less than it believes. */
const LESS_ACCESS = new Set(["guild_forbidden", "admin_only", "forbidden"]);

/** The refusal of a request: the server's, or that no answer came. */
export class RequestError extends Error {
  override readonly name = "RequestError";

  constructor(
    readonly code: string,
    message: string,
    readonly retryAfterMs?: number,
  ) {
    super(message);
  }
}

let theSocket: Socket | undefined;
let state = NOT_CONNECTED;
let attempts = 0;
let opened = 0;
let timer: ReturnType<typeof setTimeout> | undefined;
const listeners = new Set<() => void>();

/** The one connection of the page; `connect` opens it. */
export function socket(): Socket {
  theSocket ??= create();
  return theSocket;
}

/** Connects now, also when the next attempt were due later. */
export function connect(): void {
  clearTimeout(timer);
  if (socket().connected) return;
  dispatch({ type: "attempt" });
  void open();
}

async function open(): Promise<void> {
  const mine = (opened += 1);
  // Since the first time somebody else may have logged in: what waits to be sent is not to go out as theirs.
  if (mine > 1) {
    const answered = await checkMe();
    // A later attempt has taken over.
    if (mine !== opened) return;
    if (!answered) {
      again();
      return;
    }
  }
  socket().connect();
}

/** Sends an event and gives its ack; rejects with a `RequestError`. */
export async function request<T>(event: string, payload: unknown): Promise<T> {
  let ack: unknown;
  try {
    ack = await socket().timeout(ACK_TIMEOUT_MS).emitWithAck(event, payload);
  } catch {
    throw new RequestError("no_answer", socket().connected ? "The server did not answer in time." : "There is no connection to the server.");
  }
  const failure = toFailure(ack);
  if (!failure) return ack as T;
  if (LESS_ACCESS.has(failure.code)) refreshMe();
  throw failure;
}

/** How it is with the connection. */
export function useConnection(): ConnectionState {
  return useSyncExternalStore(subscribe, () => state);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function create(): Socket {
  // The attempts are made here: the page shows when the next one is due, which the client does not tell.
  const created = io("/", {
    withCredentials: true,
    transports: ["websocket", "polling"],
    tryAllTransports: true,
    autoConnect: false,
    reconnection: false,
  });
  created.on("connect", () => {
    attempts = 0;
    dispatch({ type: "connected", recovered: created.recovered });
  });
  created.on("session:ended", (payload: unknown) => dispatch({ type: "ended", reason: wordOf(payload, "reason") ?? "revoked" }));
  created.on("disconnect", (reason) => {
    if (reason === "io server disconnect") dispatch({ type: "ended", reason: "disconnected" });
    else if (reason !== "io client disconnect") again();
  });
  created.on("connect_error", ({ message }) => {
    if (isFinal(message)) dispatch({ type: "refused", reason: message });
    else again(message);
  });
  identity.beforeLeaving(() => created.disconnect());
  // When there is a network again, or somebody to look, the attempt is not put off.
  window.addEventListener("online", hurry);
  document.addEventListener("visibilitychange", hurry);
  return created;
}

function again(reason?: string): void {
  const delay = delayBefore(attempts++);
  clearTimeout(timer);
  timer = setTimeout(connect, delay);
  dispatch({ type: "lost", retryAt: Date.now() + delay, ...(reason === undefined ? {} : { reason }) });
}

function hurry(): void {
  if (state.status === "reconnecting" && !document.hidden) connect();
}

function dispatch(event: ConnectionEvent): void {
  const next = nextState(state, event);
  if (next === state) return;
  state = next;
  listeners.forEach((listener) => listener());
}

function toFailure(ack: unknown): RequestError | undefined {
  const error = wordOf(ack, "error");
  if (error === undefined) return undefined;
  const wait = (ack as { retryAfterMs?: unknown }).retryAfterMs;
  const message = error === "server_error" ? "The server failed. Try again." : error;
  return new RequestError(wordOf(ack, "code") ?? "server_error", message, typeof wait === "number" ? wait : undefined);
}

function wordOf(value: unknown, key: string): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const word = (value as Record<string, unknown>)[key];
  return typeof word === "string" ? word : undefined;
}
