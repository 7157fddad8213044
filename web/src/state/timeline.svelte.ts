import type { Ask } from '../engine/engine';
import type { Event, Item, Room } from '../engine/types.gen';
import { compareItems, isMessage, RowMaker, type Row } from '../lib/rows';

type AskFn = (ask: Ask) => Promise<Event>;

const page = 60;
/** Further pages are larger: whoever asks for one is already reading on. */
const next = 150;
const most = 200;
/** Pages that are loaded at most on the way to one message. */
const farthest = 100;

/** What is loaded of one room's timeline, in order, and how to get more of it. */
export class Timeline {
  readonly room: string;
  #ask: AskFn;
  #maker = new RowMaker();
  #ids = new Map<string, Item>();
  #loading: Promise<void> | null = null;

  items = $state.raw<readonly Item[]>([]);
  /** True for the one update in which rows came before those shown. */
  prepended = $state(false);
  /** The oldest message of the room is loaded. */
  whole = $state(false);
  /** The newest message is loaded; false after opening far back. */
  live = $state(true);
  opened = $state(false);
  loading = $state(false);
  problem = $state('');
  unreadAfter = $state(0);
  /** Grows with every row that somebody else's new message adds at the end. */
  arrivals = $state(0);

  rows: readonly Row[] = $derived(this.#maker.make(this.items, this.unreadAfter, this.whole));

  constructor(room: string, ask: AskFn) {
    this.room = room;
    this.#ask = ask;
  }

  /** Loads the newest part, or the part around the first unread message. */
  async open(room: Room): Promise<void> {
    if (this.opened) return;
    await this.#load(async () => {
      this.unreadAfter = room.unread > 0 && room.read > 0 ? room.read : 0;
      if (this.unreadAfter > 0 && room.unread > most - 40) {
        const [before, after] = await Promise.all([
          this.#page({ before: room.read + 1, limit: page }),
          this.#page({ after: room.read, limit: page * 2 }),
        ]);
        this.#take([...before, ...after], false);
        this.whole = before.length < page;
        this.live = after.length < page * 2;
      } else {
        const limit = Math.min(most, Math.max(page, room.unread + 30));
        const got = await this.#page({ limit });
        this.#take(got, false);
        this.whole = got.length < limit;
      }
      this.opened = true;
    });
  }

  /** Loads a page before the oldest loaded item. */
  async older(): Promise<void> {
    if (this.whole || !this.opened) return;
    await this.#load(async () => {
      const first = this.items.find((item) => item.cursor > 0);
      const got = await this.#page({ before: first?.cursor ?? 0, limit: next });
      this.#take(got, true);
      if (got.length < next) this.whole = true;
    });
  }

  /** Loads backwards until a message is there; tells whether it is. */
  async reach(id: string): Promise<boolean> {
    for (let page = 0; page < farthest && !this.#ids.has(id) && !this.whole; page++) {
      await this.older();
      if (this.problem !== '') break;
    }
    return this.#ids.has(id);
  }

  /** Loads a page after the newest loaded item, when opened far back. */
  async newer(): Promise<void> {
    if (this.live || !this.opened) return;
    await this.#load(async () => {
      const last = this.items.findLast((item) => item.cursor > 0);
      const got = await this.#page({ after: last?.cursor ?? 0, limit: next });
      this.#take(got, false);
      if (got.length < next) this.live = true;
    });
  }

  /** Drops what is loaded and loads the newest part. */
  async toLatest(): Promise<void> {
    if (this.live) return;
    const got = await this.#page({ limit: page });
    this.#ids.clear();
    this.items = [];
    this.#take(got, false);
    this.whole = got.length < page;
    this.live = true;
  }

  /** Takes an item that is new or that changed. */
  apply(item: Item): void {
    if (!this.opened) return;
    const known = this.#ids.has(item.id);
    const last = this.items.findLast((one) => one.cursor > 0);
    if (!known && !this.live && item.cursor > (last?.cursor ?? 0)) return;
    if (!known && !this.whole && item.cursor > 0 && item.cursor < (this.items[0]?.cursor ?? 0)) return;
    if (!known && !item.own && isMessage(item)) this.arrivals++;
    this.#take([item], false);
  }

  drop(id: string): void {
    if (!this.#ids.delete(id)) return;
    this.prepended = false;
    this.items = this.items.filter((item) => item.id !== id);
  }

  get(id: string): Item | undefined {
    return this.#ids.get(id);
  }

  /** Loads one thing at a time; whoever asks meanwhile waits for what is being loaded. */
  #load(what: () => Promise<void>): Promise<void> {
    this.#loading ??= this.#try(what);
    return this.#loading;
  }

  async #try(what: () => Promise<void>): Promise<void> {
    this.loading = true;
    this.problem = '';
    try {
      await what();
    } catch (error) {
      this.problem = error instanceof Error ? error.message : String(error);
    } finally {
      this.loading = false;
      this.#loading = null;
    }
  }

  async #page(more: Partial<Ask>): Promise<Item[]> {
    return (await this.#ask({ op: 'history', room: this.room, ...more })).items;
  }

  #take(some: readonly Item[], older: boolean): void {
    if (some.length === 0) return;
    const changed = new Map(some.map((item) => [item.id, item]));
    let moved = false;
    const kept = this.items.map((item) => {
      const now = changed.get(item.id);
      if (!now) return item;
      changed.delete(item.id);
      if (compareItems(item, now) !== 0) moved = true;
      return now;
    });
    for (const item of some) this.#ids.set(item.id, item);
    const fresh = [...changed.values()];
    const all = older ? [...fresh, ...kept] : [...kept, ...fresh];
    for (let i = 1; i < all.length && !moved; i++) moved = compareItems(all[i - 1] as Item, all[i] as Item) > 0;
    if (moved) all.sort(compareItems);
    this.prepended = older;
    this.items = all;
  }
}
