import type { Item } from '../engine/types.gen';

/** The message that a draft answers or changes. */
export type Target = Pick<Item, 'room' | 'id' | 'name' | 'own' | 'text'>;

/** What was begun in a room and not sent. While a message is edited, the text before it waits. */
export interface Draft {
  readonly text: string;
  readonly replying: Target | null;
  readonly editing: Target | null;
  /** The new text of the message that is edited. */
  readonly edited: string;
}

/**
 * Drafts, by room. They survive a reload in sessionStorage: unsent words stay
 * with the tab and are gone with it.
 */
const key = 'securelink.drafts';

const none: Draft = { text: '', replying: null, editing: null, edited: '' };

function load(): Record<string, Draft> {
  try {
    const found: unknown = JSON.parse(sessionStorage.getItem(key) ?? '{}');
    if (typeof found !== 'object' || found === null) return {};
    return Object.fromEntries(Object.entries(found).flatMap(([room, draft]: [string, unknown]) => (typeof draft === 'object' && draft !== null ? [[room, { ...none, ...draft }]] : [])));
  } catch {
    return {};
  }
}

class Drafts {
  #byRoom = $state.raw<Readonly<Record<string, Draft>>>(load());

  of(room: string): Draft {
    return this.#byRoom[room] ?? none;
  }

  /** The text to go on with, and to show in the list of rooms. */
  get(room: string): string {
    const draft = this.of(room);
    return draft.editing ? draft.edited : draft.text;
  }

  /** Keeps what was typed: of the message that is edited, else of the next one. */
  set(room: string, text: string): void {
    this.#change(room, this.of(room).editing ? { edited: text } : { text });
  }

  reply(to: Target): void {
    this.#change(to.room, { replying: brief(to), editing: null, edited: '' });
  }

  edit(message: Target): void {
    this.#change(message.room, { editing: brief(message), edited: message.text, replying: null });
  }

  /** Gives up answering or editing; a text that was begun before stays. */
  cancel(room: string): void {
    this.#change(room, { replying: null, editing: null, edited: '' });
  }

  /** Forgets what was just sent. */
  sent(room: string): void {
    const draft = this.of(room);
    this.#change(room, draft.editing ? { editing: null, edited: '' } : none);
  }

  /** Puts back a text that could not be sent, before what was typed since. */
  restore(room: string, text: string): void {
    const now = this.of(room).text;
    this.#change(room, { text: now === '' ? text : `${text}\n${now}` });
  }

  clear(): void {
    this.#keep({});
  }

  #change(room: string, some: Partial<Draft>): void {
    const { [room]: before = none, ...others } = this.#byRoom;
    const draft = { ...before, ...some };
    this.#keep(draft.text === '' && !draft.replying && !draft.editing ? others : { ...others, [room]: draft });
  }

  #keep(all: Readonly<Record<string, Draft>>): void {
    this.#byRoom = all;
    try {
      sessionStorage.setItem(key, JSON.stringify(all));
    } catch {
      // Without storage a draft lives as long as the page.
    }
  }
}

function brief({ room, id, name, own, text }: Target): Target {
  return { room, id, name, own, text };
}

export const drafts = new Drafts();
