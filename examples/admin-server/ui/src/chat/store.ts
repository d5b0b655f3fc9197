import type { Guild, Me } from "../common/me";
import { callsBot, questionOf, type ChatMessage } from "./message";
import { Room, type Failure, type Item, type MessageItem } from "./room";

/** What is shown of one guild. */
export interface RoomView {
  guildId: string;
  name: string;
  items: readonly Item[];
  unread: number;
  /** The first message that was not seen when it came. */
  marker: string | undefined;
  /** Whether the bot has a question of this user. */
  thinking: boolean;
}

export interface ChatView {
  active: string | undefined;
  rooms: readonly RoomView[];
  unread: number;
}

/** Who reads, and what they may see. */
type User = Pick<Me, "id" | "role"> & { guilds: readonly Pick<Guild, "id" | "name">[] };

interface Entry {
  room: Room;
  questions: Set<string>;
  changed: boolean;
  view: RoomView;
}

/** The chat of all guilds: what was said, what is being sent, and what was not read yet. */
export class ChatStore {
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<() => void>();
  readonly #schedule: (flush: () => void) => void;
  #scheduled = false;
  #userId = "";
  #active: string | undefined;
  #reading = false;
  #view: ChatView = { active: undefined, rooms: [], unread: 0 };

  /** `schedule` decides when a burst of changes is shown. */
  constructor(schedule: (flush: () => void) => void) {
    this.#schedule = schedule;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly view = (): ChatView => this.#view;

  /** The user, with what they may see from now on. `wanted` is the guild that is shown first, if they may. */
  begin({ id: userId, role, guilds }: User, wanted?: string): void {
    this.#userId = userId;
    const admin = role === "admin";
    const listed = new Set(guilds.map(({ id }) => id));
    for (const { id, name } of guilds) {
      const entry = this.#entry(id);
      entry.view = { ...entry.view, name: name || nameless(id) };
    }
    for (const [guildId, entry] of this.#entries) {
      // An admin may see every guild, but those where nothing is need not be listed.
      const stays = listed.has(guildId) || (admin && (guildId === this.#active || entry.room.size > 0));
      if (!stays) this.#entries.delete(guildId);
      else if (!admin && entry.room.forgetAdminOnly()) entry.changed = true;
    }
    if (this.#active === undefined || !this.#entries.has(this.#active)) {
      if (wanted !== undefined && admin && isSnowflake(wanted)) this.#entry(wanted);
      this.#active = [wanted, guilds[0]?.id, ...this.#entries.keys()].find((id) => id !== undefined && this.#entries.has(id));
    }
    this.#flush();
  }

  select(guildId: string): void {
    if (this.#active === guildId || !this.#entries.has(guildId)) return;
    if (this.#active !== undefined) this.#unmark(this.#active);
    this.#active = guildId;
    this.#flush();
  }

  /** Whether the user sees the newest messages of the active guild. */
  setReading(reading: boolean): void {
    this.#reading = reading;
    const entry = this.#active === undefined ? undefined : this.#entries.get(this.#active);
    if (!reading || !entry || entry.view.unread === 0) return;
    entry.view = { ...entry.view, unread: 0 };
    this.#flush();
  }

  /** What somebody said. Says whether its guild was unknown so far. */
  receive(message: ChatMessage): boolean {
    const { guildId, messageId, from } = message;
    const unknown = !this.#entries.has(guildId);
    const entry = this.#entry(guildId);
    this.#active ??= guildId;
    const isNew = entry.room.receive(message);
    const question = questionOf(messageId);
    if (question !== undefined) entry.questions.delete(question);
    const seen = this.#reading && this.#active === guildId;
    if (isNew && !seen && from.id !== this.#userId) {
      const { unread, marker } = entry.view;
      entry.view = { ...entry.view, unread: unread + 1, marker: unread === 0 ? messageId : marker };
    }
    this.#change(entry);
    return unknown;
  }

  pend(message: ChatMessage, requestBot: boolean): void {
    const entry = this.#entry(message.guildId);
    entry.room.pend(message, requestBot);
    this.#unmark(message.guildId);
    this.#change(entry);
  }

  /** The server has taken a message. Says whether the bot was asked by it, and has not answered yet. */
  accept(guildId: string, messageId: string, ts: string): boolean {
    const entry = this.#entries.get(guildId);
    if (!entry) return false;
    const { room, questions } = entry;
    room.accept(messageId, ts);
    const item = room.get(messageId);
    const answered = room.get(`${messageId}-bot`) ?? room.get(`${messageId}-bot-error`);
    const asked = !answered && item !== undefined && (item.requestBot || callsBot(item.text));
    if (asked) questions.add(messageId);
    this.#change(entry);
    return asked;
  }

  fail(guildId: string, messageId: string, failure: Failure): void {
    const entry = this.#entries.get(guildId);
    if (!entry) return;
    entry.room.fail(messageId, failure);
    this.#change(entry);
  }

  remove(guildId: string, messageId: string): void {
    const entry = this.#entries.get(guildId);
    if (!entry) return;
    entry.room.remove(messageId);
    this.#change(entry);
  }

  get(guildId: string, messageId: string): MessageItem | undefined {
    return this.#entries.get(guildId)?.room.get(messageId);
  }

  /** The bot has not answered for so long that it will not. */
  giveUp(guildId: string, messageId: string): void {
    const entry = this.#entries.get(guildId);
    if (entry?.questions.delete(messageId)) this.#change(entry);
  }

  /** The connection was lost, and messages with it: answers of the bot, too. */
  gap(at: number): void {
    for (const entry of this.#entries.values()) {
      entry.room.gap(at);
      entry.questions.clear();
      this.#change(entry);
    }
  }

  #entry(guildId: string): Entry {
    let entry = this.#entries.get(guildId);
    if (!entry) {
      const view: RoomView = { guildId, name: nameless(guildId), items: [], unread: 0, marker: undefined, thinking: false };
      entry = { room: new Room(), questions: new Set(), changed: false, view };
      this.#entries.set(guildId, entry);
    }
    return entry;
  }

  #unmark(guildId: string): void {
    const entry = this.#entry(guildId);
    if (entry.view.unread === 0) entry.view = { ...entry.view, marker: undefined };
  }

  #change(entry: Entry): void {
    entry.changed = true;
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#schedule(() => this.#flush());
  }

  #flush(): void {
    this.#scheduled = false;
    for (const entry of this.#entries.values()) {
      if (!entry.changed) continue;
      entry.changed = false;
      entry.view = { ...entry.view, items: entry.room.items(), thinking: entry.questions.size > 0 };
    }
    const rooms = Array.from(this.#entries.values(), ({ view }) => view);
    this.#view = { active: this.#active, rooms, unread: rooms.reduce((sum, { unread }) => sum + unread, 0) };
    this.#listeners.forEach((listener) => listener());
  }
}

function nameless(guildId: string): string {
  return `Guild ${guildId}`;
}

/** An address can name anything: only what may be a guild is shown as one. */
function isSnowflake(guildId: string): boolean {
  return /^\d{1,20}$/.test(guildId);
}
