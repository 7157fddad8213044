import type { Item } from '../engine/types.gen';

/** One row of the timeline as it is drawn. Rows are kept as long as what they show is the same. */
export type Row =
  | { readonly key: string; readonly kind: 'day'; readonly time: number }
  | { readonly key: string; readonly kind: 'unread'; readonly time: number }
  | { readonly key: string; readonly kind: 'intro'; readonly time: number }
  | { readonly key: string; readonly kind: 'system'; readonly items: readonly Item[]; readonly time: number }
  | { readonly key: string; readonly kind: 'message'; readonly item: Item; readonly first: boolean; readonly last: boolean; readonly time: number };

/** Messages of one person within this time are drawn as one group. */
const groupMS = 5 * 60_000;

const collapsible = new Set(['joined', 'left']);

/** Whether an item is something a person wrote (and not something that happened). */
export function isMessage(item: Item): boolean {
  return item.kind === 'text' || item.kind === 'gone';
}

/** Orders as the engine promises: by place in the log, then what waits, by time. */
export function compareItems(a: Item, b: Item): number {
  if (a.cursor !== b.cursor) {
    if (a.cursor === 0) return 1;
    if (b.cursor === 0) return -1;
    return a.cursor - b.cursor;
  }
  if (a.time !== b.time) return a.time - b.time;
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

/**
 * Keeps one row object for as long as it would look the same, so that a new
 * message redraws its neighbours and nothing else.
 */
export class RowMaker {
  #rows = new Map<string, Row>();

  /**
   * items in timeline order; unreadAfter is the cursor after which messages of
   * others are unread when the room was opened (0: none); intro says whether the
   * beginning of the room is among the items.
   */
  make(items: readonly Item[], unreadAfter: number, intro: boolean): Row[] {
    const next = new Map<string, Row>();
    const out: Row[] = [];
    const put = (row: Row, same: (old: Row) => boolean) => {
      const old = this.#rows.get(row.key);
      const kept = old !== undefined && same(old) ? old : row;
      next.set(row.key, kept);
      out.push(kept);
    };
    if (intro) put({ key: 'intro', kind: 'intro', time: 0 }, () => true);

    let day = '';
    let divided = unreadAfter === 0;
    for (let i = 0; i < items.length; i++) {
      const item = items[i] as Item;
      const itsDay = dayOf(item.time);
      const newDay = itsDay !== day;
      if (newDay) {
        day = itsDay;
        put({ key: 'day ' + day, kind: 'day', time: item.time }, () => true);
      }
      let cut = newDay;
      if (!divided && !item.own && item.cursor > unreadAfter && isMessage(item)) {
        divided = true;
        cut = true;
        put({ key: 'unread', kind: 'unread', time: item.time }, () => true);
      }
      if (!isMessage(item)) {
        const run = [item];
        while (collapsible.has(item.kind)) {
          const after = items[i + 1];
          if (!after || after.kind !== item.kind || after.by !== item.by || dayOf(after.time) !== itsDay) break;
          run.push(after);
          i++;
        }
        put({ key: 's ' + item.id, kind: 'system', items: run, time: item.time }, (old) => old.kind === 'system' && sameItems(old.items, run));
        continue;
      }
      const first = cut || !groups(items[i - 1], item);
      const after = items[i + 1];
      const last = !after || !groups(item, after) || (!divided && !after.own && after.cursor > unreadAfter);
      put(
        { key: 'm ' + item.id, kind: 'message', item, first, last, time: item.time },
        (old) => old.kind === 'message' && old.item === item && old.first === first && old.last === last,
      );
    }
    this.#rows = next;
    return out;
  }
}

function groups(a: Item | undefined, b: Item): boolean {
  return (
    a !== undefined && isMessage(a) && isMessage(b) && a.sender === b.sender && a.own === b.own &&
    b.time - a.time < groupMS && dayOf(a.time) === dayOf(b.time)
  );
}

function sameItems(a: readonly Item[], b: readonly Item[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i]);
}

const days = new Map<number, string>();

/** The local day of a time, as a key. Times of one quarter of an hour share the answer: no time zone cuts finer. */
export function dayOf(time: number): string {
  const quarter = Math.floor(time / 900_000);
  let day = days.get(quarter);
  if (day === undefined) {
    const date = new Date(time);
    day = `${date.getFullYear()}-${date.getMonth() + 1}-${date.getDate()}`;
    if (days.size > 5000) days.clear();
    days.set(quarter, day);
  }
  return day;
}
