/**
 * Where the person is: a room and perhaps a panel beside it. It lives in the
 * address's fragment, which no server sees, so that Back works.
 */
export type Panel = '' | 'members' | 'invite' | 'security' | 'person' | 'settings' | 'devices';

export interface Place {
  readonly room: string;
  readonly panel: Panel;
  readonly user: string;
}

const panels: readonly string[] = ['members', 'invite', 'security', 'person', 'settings', 'devices'];

function read(): Place {
  const [, top, room = '', panel = '', user = ''] = location.hash.split('/');
  const known = panels.includes(panel) ? (panel as Panel) : '';
  if (top === 'r' && /^[0-9a-f]{32}$/.test(room)) return { room, panel: known, user: /^[0-9a-f]{64}$/.test(user) ? user : '' };
  if (top === 'p' && panels.includes(room)) return { room: '', panel: room as Panel, user: '' };
  return { room: '', panel: '', user: '' };
}

function write(place: Place): string {
  if (place.room === '') return place.panel === '' ? '#/' : `#/p/${place.panel}`;
  return `#/r/${place.room}` + (place.panel ? `/${place.panel}` : '') + (place.user ? `/${place.user}` : '');
}

class Route {
  place = $state.raw<Place>({ room: '', panel: '', user: '' });

  /**
   * Takes a join link out of the address bar, if the page was opened by one, and
   * begins to follow the address. The link's secret is gone from the address and
   * from this history entry before anything else runs.
   */
  start(): string {
    let link = '';
    const path = location.pathname;
    if (path !== '/' || (location.hash !== '' && !location.hash.startsWith('#/'))) {
      if (location.hash.length > 1) link = location.href;
      history.replaceState(null, '', '/');
    }
    this.place = read();
    window.addEventListener('popstate', () => {
      this.place = read();
    });
    return link;
  }

  /** Goes somewhere; replace leaves no step for Back. */
  go(to: Partial<Place>, replace = false): void {
    const next: Place = { room: this.place.room, panel: '', user: '', ...to };
    const url = write(next);
    if (url === location.hash) return;
    if (replace) history.replaceState({ steps: steps() }, '', url);
    else history.pushState({ steps: steps() + 1 }, '', url);
    this.place = next;
  }

  /** Goes back one step if that step is ours, else to the place given. */
  back(or: Partial<Place>): void {
    if (steps() > 0) history.back();
    else this.go(or, true);
  }
}

function steps(): number {
  const state: unknown = history.state;
  return typeof state === 'object' && state !== null && 'steps' in state && typeof state.steps === 'number' ? state.steps : 0;
}

export const route = new Route();
