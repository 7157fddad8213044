/**
 * What was begun and not sent, by room. It survives a reload in sessionStorage:
 * unsent words stay with the tab and are gone with it.
 */
const key = 'securelink.drafts';

function load(): Record<string, string> {
  try {
    const found: unknown = JSON.parse(sessionStorage.getItem(key) ?? '{}');
    if (typeof found !== 'object' || found === null) return {};
    return Object.fromEntries(Object.entries(found).filter((pair): pair is [string, string] => typeof pair[1] === 'string'));
  } catch {
    return {};
  }
}

class Drafts {
  #byRoom = $state<Record<string, string>>(load());

  get(room: string): string {
    return this.#byRoom[room] ?? '';
  }

  set(room: string, text: string): void {
    if (text === '') delete this.#byRoom[room];
    else this.#byRoom[room] = text;
    try {
      sessionStorage.setItem(key, JSON.stringify(this.#byRoom));
    } catch {
      // Without storage a draft lives as long as the page.
    }
  }

  /** Puts back a text that could not be sent, before what was typed since. */
  restore(room: string, text: string): void {
    const now = this.get(room);
    this.set(room, now === '' ? text : `${text}\n${now}`);
  }

  clear(): void {
    this.#byRoom = {};
    try {
      sessionStorage.removeItem(key);
    } catch {
      // Nothing was kept.
    }
  }
}

export const drafts = new Drafts();
