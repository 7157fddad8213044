import { Refused, type Ask, type Engine, type Fault, type Site } from '../engine/engine';
import type { Account, Conn, Event, Info, Item, Member, Room } from '../engine/types.gen';
import { randomID } from '../lib/bytes';
import { roomName } from '../lib/words';
import { drafts, type Target } from './drafts.svelte';
import { newsOf } from './notify.svelte';
import { route } from './route.svelte';
import { Timeline } from './timeline.svelte';

export interface Toast {
  readonly id: number;
  readonly text: string;
  readonly hint: string;
  readonly bad: boolean;
}

/** Windows that lie over everything; one at a time. */
export type Dialog =
  | { readonly kind: 'new-room' }
  | { readonly kind: 'direct' }
  | { readonly kind: 'logout' }
  | { readonly kind: 'keys' }
  | { readonly kind: 'switcher' }
  | { readonly kind: 'sealed'; readonly item: Item }
  | { readonly kind: 'react'; readonly item: Item }
  | { readonly kind: 'remove'; readonly room: string; readonly member: Member }
  | { readonly kind: 'leave'; readonly room: Room };

const quiet: Conn = { state: 'connecting', reason: '', retryMS: 0, waiting: 0, firstUse: false, fingerprint: '' };

/** Items that tell scripts what was changed; the changed message comes as an item of its own. */
const changes: ReadonlySet<string> = new Set(['edit', 'delete', 'reaction']);

/** Rooms whose timelines stay loaded when another is shown. */
const keptTimelines = 6;

/** Everything the page knows, and what it can ask for. One per page. */
export class App {
  readonly engine: Engine;
  site = $state.raw<Site>({ name: 'SecureLink', pin: '', version: '', build: '' });

  account = $state.raw<Account | null>(null);
  conn = $state.raw<Conn>(quiet);
  /** When the next attempt to connect is due, in the page's own clock. */
  retryAt = $state(0);
  code = $state('');
  fault = $state.raw<Fault | null>(null);
  follows = $state(false);
  roomList = $state.raw<readonly Room[]>([]);
  roomsKnown = $state(false);
  timelines = $state.raw<ReadonlyMap<string, Timeline>>(new Map());
  typing = $state.raw<Readonly<Record<string, { readonly name: string; readonly until: number }>>>({});
  membersChanged = $state(0);
  toasts = $state.raw<readonly Toast[]>([]);
  dialog = $state.raw<Dialog | null>(null);
  /** The message to go to, once its room is shown. */
  sought = $state.raw<{ readonly room: string; readonly id: string } | null>(null);
  link = $state('');
  progress = $state('');
  said = $state.raw<readonly string[]>([]);

  rooms = $derived(this.roomList.filter((room) => room.state !== 'left').toSorted((a, b) => b.last - a.last || (a.id < b.id ? -1 : 1)));
  room = $derived(this.roomList.find((room) => room.id === route.place.room));
  /** News of all rooms, of each by what was chosen for it. */
  unread = $derived(this.roomList.reduce((sum, room) => sum + newsOf(room), 0));
  offline = $derived(this.conn.state !== 'connected');

  #entering = false;
  /** The room that says "Connected as …", once, after the first entry. */
  welcomeIn = $state('');
  #toast = 0;

  constructor(engine: Engine) {
    this.engine = engine;
    engine.listen((event) => this.#take(event));
  }

  ask = (ask: Ask): Promise<Event> => this.engine.ask(ask);

  /** Asks, and shows a refusal as a toast; tells whether it went well. */
  async try(ask: Ask): Promise<Event | null> {
    try {
      return await this.ask(ask);
    } catch (error) {
      this.tell(error);
      return null;
    }
  }

  /** Shows what went wrong, in its own words. */
  tell(error: unknown): void {
    if (error instanceof Refused) this.toast(error.message, error.hint, true);
    else this.toast('Something went wrong.', error instanceof Error ? error.message : '', true);
  }

  toast(text: string, hint = '', bad = false): void {
    const id = ++this.#toast;
    this.toasts = [...this.toasts.slice(-2), { id, text, hint, bad }];
    window.setTimeout(() => this.untoast(id), bad ? 12_000 : 6_000);
  }

  untoast(id: number): void {
    this.toasts = this.toasts.filter((toast) => toast.id !== id);
  }

  /** The timeline of a room, made on first use. */
  timeline(room: string): Timeline {
    const found = this.timelines.get(room);
    if (found) return found;
    const made = new Timeline(room, this.ask);
    const kept = [...this.timelines].slice(-(keptTimelines - 1));
    this.timelines = new Map([...kept, [room, made]]);
    return made;
  }

  /** Enters the chat under a new identity: what only the first visit does. */
  async enter(ask: Ask): Promise<void> {
    this.#entering = true;
    try {
      await this.ask(ask);
      if (this.account?.state === 'waiting') return;
      this.welcomeIn = this.link === '' ? await this.enterLounge() : await this.followLink();
    } finally {
      this.#entering = false;
    }
  }

  /** Joins by the link the page was opened with. */
  async followLink(): Promise<string> {
    const link = this.link;
    this.link = '';
    return this.#join({ op: 'join', link });
  }

  async enterLounge(): Promise<string> {
    return this.#join({ op: 'join', text: 'lounge' });
  }

  async #join(ask: Ask): Promise<string> {
    const { room } = await this.ask(ask);
    if (!room) return '';
    if (!this.roomList.some((one) => one.id === room.id)) this.#room(room);
    this.openRoom(room.id);
    return room.id;
  }

  openRoom(room: string): void {
    route.go({ room }, route.place.room === '' && window.innerWidth >= 720);
  }

  /** Goes to a message. */
  show(room: string, id: string): void {
    this.sought = { room, id };
    if (route.place.room !== room) this.openRoom(room);
  }

  /** Sends a text: the row is there at once, and says "Encrypting" until the engine has it on disk. */
  send(room: Room, text: string, replyTo: Target | null): void {
    const key = randomID();
    const timeline = this.timeline(room.id);
    const account = this.account;
    timeline.apply({
      room: room.id, id: key, cursor: 0, kind: 'text', sender: account?.user ?? '', name: account?.name ?? '', tag: '', own: true,
      text, time: Date.now(), state: 'encrypting', reason: '', replyTo: replyTo?.id ?? '', replyName: replyTo?.name ?? '',
      replyText: replyTo?.text ?? '', edited: false, deleted: false, mention: false, reactions: [], names: [], by: '', code: '',
    });
    this.ask({ op: 'send', room: room.id, text, key, message: replyTo?.id ?? '' }).catch((error: unknown) => {
      timeline.drop(key);
      drafts.restore(room.id, text);
      this.tell(error);
    });
  }

  #take(event: Event | Fault): void {
    if (event.kind === 'fault') {
      this.#fault(event as Fault);
      return;
    }
    const e = event as Event;
    switch (e.kind) {
      case 'connection':
        if (e.conn) {
          this.conn = e.conn;
          this.retryAt = e.conn.retryMS > 0 ? performance.now() + e.conn.retryMS : 0;
        }
        break;
      case 'account':
        if (e.account) this.#account(e.account);
        break;
      case 'room':
        if (e.room) this.#room(e.room);
        break;
      case 'room-gone':
        this.roomList = this.roomList.filter((room) => room.id !== e.room?.id);
        break;
      case 'item':
        if (e.item) this.#item(e.item);
        break;
      case 'alarm':
        if (e.alarm && e.alarm.room === '') this.toast(e.alarm.text, e.alarm.hint, true);
        break;
      case 'code':
        this.code = e.code;
        break;
      case 'typing':
        if (e.typing) {
          const { room, name, on } = e.typing;
          this.typing = { ...this.typing, [room]: { name, until: on ? performance.now() + 6000 : 0 } };
        }
        break;
      case 'knock':
        if (e.knock) {
          const { name, room } = e.knock;
          this.toast(`${name} asks to come into ${roomName(this.roomList.find((one) => one.id === room) ?? { title: '', mode: 'link' })}.`, 'Answer under “People and details”.');
        }
        break;
      case 'progress':
        this.progress = e.progress && (e.progress.total === 0 || e.progress.done < e.progress.total) ? e.progress.what : '';
        break;
      case 'lagged':
        void this.reload();
        break;
      default:
        break;
    }
  }

  #fault(fault: Fault): void {
    if (fault.fault === 'follows') this.follows = true;
    else if (fault.fault === 'leads') this.follows = false;
    else this.fault = fault;
    if (fault.fault === 'follows' || fault.fault === 'leads') void this.reload();
  }

  #account(account: Account): void {
    const entered = (account.state === 'guest' || account.state === 'registered') && this.account?.state !== account.state;
    this.account = account;
    if (account.state === 'none') {
      this.roomList = [];
      this.timelines = new Map();
    }
    if (entered) void this.reload(false);
  }

  /** Asks for everything shown again: after a start, a fall behind, or a change of the leading tab. */
  async reload(anew = true): Promise<void> {
    try {
      this.roomList = (await this.ask({ op: 'rooms' })).rooms;
      this.roomsKnown = true;
    } catch {
      return; // The engine's events say why.
    }
    if (anew) this.timelines = new Map();
    if (route.place.room === '' && window.innerWidth >= 720 && !this.#entering) {
      const first = this.rooms[0];
      if (first) route.go({ room: first.id, panel: route.place.panel }, true);
    }
  }

  #room(room: Room): void {
    const at = this.roomList.findIndex((one) => one.id === room.id);
    const before = this.roomList[at];
    if (before && (before.members !== room.members || before.present !== room.present || before.seen !== room.seen)) this.membersChanged++;
    this.roomList = at < 0 ? [...this.roomList, room] : this.roomList.with(at, room);
  }

  #item(item: Item): void {
    if (changes.has(item.kind)) return;
    const timeline = this.timelines.get(item.room);
    const known = timeline?.get(item.id) !== undefined;
    timeline?.apply(item);
    if (!known && !item.own && item.cursor > 0) {
      if (item.kind === 'text') {
        const room = this.roomList.find((one) => one.id === item.room);
        const where = route.place.room === item.room || !room ? '' : ` in ${roomName(room)}`;
        this.said = [...this.said, `${item.name}${where}: ${item.text}`];
      } else if (item.kind !== 'gone') {
        this.membersChanged++;
      }
    }
  }

  /** Once after the first entry: the sentence that says where one is and who can read. */
  welcome(timeline: Timeline, room: Room): void {
    if (this.welcomeIn !== room.id || !timeline.opened) return;
    this.welcomeIn = '';
    const last = timeline.items.findLast((item) => item.cursor > 0);
    timeline.apply({
      room: room.id, id: 'connected', cursor: (last?.cursor ?? 0) + 0.5, kind: 'connected', sender: '', name: '', tag: '', own: false,
      text: `Connected as ${this.account?.name ?? ''}. Messages here are end-to-end encrypted: only people in this room can read them.`,
      time: Date.now(), state: '', reason: '', replyTo: '', replyName: '', replyText: '', edited: false, deleted: false, mention: false,
      reactions: [], names: [], by: '', code: '',
    });
  }

  async info(): Promise<Info | null> {
    return (await this.try({ op: 'info' }))?.info ?? null;
  }
}
