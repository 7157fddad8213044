import type { Room } from '../engine/types.gen';

/** What of a room counts as news: in the page's title, on its icon and on the app's badge. */
export type Notify = 'all' | 'mentions' | 'nothing';

const key = 'securelink.notify';

function load(): Record<string, Notify> {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(key) ?? '{}');
    if (typeof found !== 'object' || found === null) return {};
    return Object.fromEntries(Object.entries(found).filter((pair): pair is [string, Notify] => pair[1] === 'mentions' || pair[1] === 'nothing'));
  } catch {
    return {};
  }
}

const byRoom = $state<Record<string, Notify>>(load());

export function notifyOf(room: string): Notify {
  return byRoom[room] ?? 'all';
}

export function setNotify(room: string, choice: Notify): void {
  if (choice === 'all') delete byRoom[room];
  else byRoom[room] = choice;
  try {
    localStorage.setItem(key, JSON.stringify(byRoom));
  } catch {
    // A browser that keeps nothing still obeys until the page closes.
  }
}

/** How much news a room has, by what was chosen for it. */
export function newsOf(room: Room): number {
  const choice = notifyOf(room.id);
  return choice === 'all' ? room.unread : choice === 'mentions' ? room.mentions : 0;
}
