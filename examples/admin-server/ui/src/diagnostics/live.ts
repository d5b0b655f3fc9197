import { append, rejoin, type History } from "./history";
import { fields, list } from "../common/read";
import { readSnapshot } from "./snapshot";

/** What came by `diag:snapshot`, and when. */
export interface Live {
  history: History;
  /** By this machine's clock; undefined before the first snapshot. */
  receivedAt: number | undefined;
}

export const NOTHING: Live = { history: [], receivedAt: undefined };

export function withSnapshot(live: Live, payload: unknown, now: number): Live {
  const snapshot = readSnapshot(payload);
  return snapshot ? { history: append(live.history, snapshot), receivedAt: now } : live;
}

/** The answer to `diag:subscribe`: the server's history and its newest snapshot. */
export function withAnswer(live: Live, ack: unknown, now: number): Live {
  const answer = fields(ack);
  const sent = list(answer["history"]).flatMap((one) => readSnapshot(one) ?? []);
  return withSnapshot({ ...live, history: rejoin(live.history, sent) }, answer["snapshot"], now);
}
