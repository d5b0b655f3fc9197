/** Longer than the server takes for anything. */
const LONGEST_MS = 40_000;

/** What the server said instead of an answer; status 0 when it said nothing. */
export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    readonly code: string,
    readonly status: number,
    message: string,
    readonly requestId?: string,
  ) {
    super(message);
  }
}

/** Fetches JSON from a path of this server; throws an `ApiError`. */
export async function getJson<T>(path: string): Promise<T> {
  const response = await ask(path, { headers: { accept: "application/json" } });
  const body: unknown = await response.json().catch(() => undefined);
  if (response.ok && body !== undefined) return body as T;
  throw toError(response, body);
}

/** Posts to a path of this server; throws an `ApiError`. */
export async function post(path: string, body?: unknown): Promise<void> {
  const init: RequestInit = { method: "POST" };
  if (body !== undefined) {
    init.headers = { "content-type": "application/json" };
    init.body = JSON.stringify(body);
  }
  const response = await ask(path, init);
  if (!response.ok) throw toError(response, await response.json().catch(() => undefined));
}

async function ask(path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(path, { credentials: "same-origin", signal: AbortSignal.timeout(LONGEST_MS), ...init });
  } catch {
    throw new ApiError("NO_ANSWER", 0, "The server does not answer.");
  }
}

function toError(response: Response, body: unknown): ApiError {
  const requestId = response.headers.get("x-request-id") ?? undefined;
  const { error, message } = fields(body);
  if (typeof error === "string") return new ApiError(error, response.status, asText(message) ?? error, requestId);
  const inner = fields(error);
  return new ApiError(
    asText(inner["code"]) ?? "HTTP_ERROR",
    response.status,
    asText(inner["message"]) ?? `The server answered with status ${response.status}.`,
    asText(inner["requestId"]) ?? requestId,
  );
}

function fields(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function asText(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
