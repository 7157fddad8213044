import { Refused, type Ask, type Engine, type Fault, type Site } from '../../src/engine/engine';
import type { Event, Item, Knock, Member, Room } from '../../src/engine/types.gen';
import { blankEvent, blankItem, blankRoom, idOf, people, talk } from './data';

/**
 * An engine that pretends, for tests of the interface: it encrypts nothing,
 * speaks to nobody and never gets into the product. Tests drive it through
 * window.fake.
 */
class Fake implements Engine {
  #listeners = new Set<(event: Event | Fault) => void>();
  #rooms = new Map<string, Room>();
  #logs = new Map<string, Item[]>();
  #members = new Map<string, Member[]>();
  #me = idOf('me', 64);
  #name = '';
  #waiting: Item[] = [];
  #knocks: Knock[] = [];
  #bans: Member[] = [];
  #signals = 'auto';
  offline = false;
  delay = 5;
  /** What was asked to be sent, in full. */
  readonly sent: Ask[] = [];

  constructor(query: URLSearchParams) {
    queueMicrotask(() => {
      this.#send({ kind: 'connection', conn: { state: 'connected', reason: '', retryMS: 0, waiting: 0, firstUse: true, fingerprint: idOf('server', 64) } });
      if (query.has('in')) this.#enter(query.get('name') ?? 'Uzair', Number(query.get('big') ?? 0), Number(query.get('unread') ?? 0));
      else this.#account('none');
    });
  }

  listen(fn: (event: Event | Fault) => void): () => void {
    this.#listeners.add(fn);
    return () => this.#listeners.delete(fn);
  }

  async ask(ask: Ask): Promise<Event> {
    await new Promise((done) => setTimeout(done, this.delay));
    return { ...blankEvent, kind: 'reply', ...this.#answer(ask) };
  }

  #send(event: Partial<Event> & { kind: string }): void {
    for (const fn of this.#listeners) fn({ ...blankEvent, ...event });
  }

  fault(fault: Fault['fault']): void {
    for (const fn of this.#listeners) fn({ kind: 'fault', fault, detail: '' });
  }

  #account(state: string): void {
    this.#send({ kind: 'account', account: { state, user: this.#me, device: idOf('device', 32), name: this.#name, login: state === 'registered' ? 'uzair' : '' } });
  }

  #enter(name: string, big: number, unread: number): void {
    this.#name = name;
    for (const [title, mode, who] of [
      ['Lounge', 'open', ['Ana', 'Ben', 'Mira', 'Tomás Ferreira', '李雷']],
      ['Family', 'invite', ['Ana', 'Sam']],
      ['', 'direct', ['Mira']],
      ['Climbing on Thursday', 'link', ['Ben', 'Ólafur', 'Nadia K']],
    ] as const) {
      const room = { ...blankRoom, id: idOf(title + mode, 32), title: title || who[0], mode, state: 'member', role: mode === 'open' ? 'member' : 'owner', members: who.length + 1, peer: mode === 'direct' ? idOf(who[0], 64) : '' };
      const log = talk(room.id, this.#me, name, who, mode === 'open' && big > 0 ? big : mode === 'invite' ? 22 : 41);
      const last = log[log.length - 1];
      room.last = last?.time ?? 0;
      room.cursor = last?.cursor ?? 0;
      room.read = room.cursor;
      if (mode === 'open' && unread > 0) {
        room.unread = unread;
        room.read = room.cursor - unread;
      }
      if (mode === 'link') room.unread = 3;
      this.#rooms.set(room.id, room);
      this.#logs.set(room.id, log);
      this.#members.set(room.id, people(who, this.#me, name, mode));
    }
    const invited = { ...blankRoom, id: idOf('Book circle', 32), title: 'Book circle', mode: 'invite', state: 'invited', invitedBy: 'Nadia K', members: 6, last: Date.now() - 4_000_000, unread: 1 };
    this.#rooms.set(invited.id, invited);
    this.#account('guest');
    for (const room of this.#rooms.values()) this.#send({ kind: 'room', room });
  }

  #room(ask: Ask): Room {
    const room = this.#rooms.get(ask.room ?? '');
    if (!room) throw new Refused('no-room', 'There is no such room.');
    return room;
  }

  #answer(ask: Ask): Partial<Event> {
    switch (ask.op) {
      case 'guest':
      case 'register':
        this.#enter(ask.name ?? '', 0, 0);
        return {};
      case 'login':
        this.#account('waiting');
        this.#send({ kind: 'code', code: 'K7QM-2XRT-9WPD-4HVN' });
        return {};
      case 'join': {
        const lounge = [...this.#rooms.values()].find((room) => room.mode === 'open');
        return lounge ? { room: lounge } : {};
      }
      case 'rooms':
        return { rooms: [...this.#rooms.values()] };
      case 'history': {
        const log = this.#logs.get(ask.room ?? '') ?? [];
        const limit = ask.limit ?? 60;
        if (ask.before) return { items: log.filter((item) => item.cursor > 0 && item.cursor < (ask.before ?? 0)).slice(-limit) };
        if (ask.after) return { items: log.filter((item) => item.cursor > (ask.after ?? 0)).slice(0, limit) };
        return { items: log.slice(-limit) };
      }
      case 'react': {
        const own = { text: ask.text ?? '', names: [this.#name], own: true };
        this.change(ask.room ?? '', ask.message ?? '', { reactions: ask.on ? [own] : [] });
        return {};
      }
      case 'send':
        this.sent.push(ask);
        return { item: this.#post(this.#room(ask), { own: true, id: ask.key ?? idOf(String(Math.random()), 32), text: ask.text ?? '', sender: this.#me, name: this.#name, replyTo: ask.message ?? '' }) };
      case 'edit':
      case 'delete':
        this.change(ask.room ?? '', ask.message ?? '', ask.op === 'edit' ? { text: ask.text ?? '', edited: true } : { deleted: true, text: '' });
        return {};
      case 'read': {
        const room = { ...this.#room(ask), read: ask.after ?? 0, unread: 0 };
        this.#rooms.set(room.id, room);
        this.#send({ kind: 'room', room });
        return {};
      }
      case 'members':
        return { members: this.#members.get(ask.room ?? '') ?? [] };
      case 'ban':
      case 'remove': {
        const all = this.#members.get(ask.room ?? '') ?? [];
        this.#members.set(ask.room ?? '', all.filter((one) => one.user !== ask.user));
        if (ask.op === 'ban') this.#bans.push(...all.filter((one) => one.user === ask.user));
        return {};
      }
      case 'bans':
        return { members: [...this.#bans] };
      case 'unban':
        this.#bans = this.#bans.filter((one) => one.user !== ask.user);
        return {};
      case 'create': {
        const room = { ...blankRoom, id: idOf(`new ${ask.text}`, 32), title: ask.text ?? '', mode: ask.mode ?? 'invite', state: 'member', role: 'owner', members: 1, last: Date.now() };
        this.#rooms.set(room.id, room);
        this.#logs.set(room.id, []);
        this.#members.set(room.id, people([], this.#me, this.#name, 'invite'));
        this.#send({ kind: 'room', room });
        this.#post(room, { kind: 'created', name: this.#name, own: true });
        return { room };
      }
      case 'verify': {
        const name = [...this.#members.values()].flat().find((one) => one.user === ask.user)?.name ?? '';
        return { safety: { user: ask.user ?? '', name, number: '48213 90017 55120 33984 10276 64415 02938 71150 88421 30067 59312 24780', qr: 'SECURELINK1:' + idOf('qr', 64), verified: ask.on ?? false } };
      }
      case 'link':
        return { link: `${location.origin}/j/k3f9x#${idOf('secret', 64)}` };
      case 'links':
        return { links: [{ id: idOf('link', 32), link: '', mode: 'open', uses: 2, maxUses: 0, expires: 0 }] };
      case 'info':
        return { info: { server: 'chat.example.org', fingerprint: idOf('server', 64), user: this.#me, device: idOf('device', 32), version: '0.1.0', suite: 'X-Wing, HKDF-SHA-384, AES-256-GCM, Ed25519', link: '', connected: true, signals: this.#signals } };
      case 'devices':
        return { devices: [{ id: idOf('device', 32), name: '', class: 'hosted-web', code: '', own: true, waiting: false, revoked: false, added: Date.now() - 9e6, seen: Date.now() }] };
      case 'sealed':
        return {
          sealed: {
            room: ask.room ?? '', id: ask.message ?? '', seq: 41, time: Date.now() - 60_000, kind: 'message', suite: 'X-Wing, HKDF-SHA-384, AES-256-GCM, Ed25519', epoch: 7, sender: this.#me,
            device: idOf('device', 32), payload: crypto.getRandomValues(new Uint8Array(612)), body: crypto.getRandomValues(new Uint8Array(192)), previous: idOf('h0', 64), hash: idOf('h1', 64), text: '', plainSize: 20,
          },
        };
      case 'logout':
        this.#account(ask.on ? 'none' : 'signed-out');
        return {};
      case 'accept': {
        const room = { ...this.#room(ask), state: 'member', unread: 0 };
        this.#rooms.set(room.id, room);
        this.#send({ kind: 'room', room });
        return {};
      }
      case 'requests':
        return { knocks: this.#knocks.filter((one) => one.room === ask.room) };
      case 'admit':
      case 'refuse': {
        const one = this.#knocks.find((knock) => knock.user === ask.user && knock.room === ask.room);
        if (!one) throw new Refused('gone', 'Nobody like that waits to come into this room.');
        this.#knocks = this.#knocks.filter((knock) => knock !== one);
        const room = this.#room(ask);
        if (ask.op === 'admit') this.#members.set(room.id, [...(this.#members.get(room.id) ?? []), ...people([one.name], this.#me, this.#name, 'invite').slice(1)]);
        this.#change(room.id, { asking: this.#knocks.filter((knock) => knock.room === room.id).length, members: room.members + (ask.op === 'admit' ? 1 : 0) });
        return {};
      }
      case 'signals': {
        if (!ask.room) this.#signals = ask.mode ?? '';
        else this.#change(ask.room, { signalsMode: ask.mode ?? '', signals: ask.mode !== 'off', ...(ask.mode === 'off' ? { present: 0, seen: 0, delivered: 0 } : {}) });
        return {};
      }
      case 'connect':
        if (ask.on) this.#account('guest');
        return {};
      case 'discard':
      case 'retry':
      case 'typing':
      case 'invite':
      case 'profile':
      case 'role':
      case 'trust':
      case 'decline':
      case 'leave':
        return {};
      default:
        throw new Refused('usage', `The engine does not know “${ask.op}”.`);
    }
  }

  #post(room: Room, some: Partial<Item>): Item {
    const log = this.#logs.get(room.id) ?? [];
    const waits = this.offline && some.own === true && some.kind === undefined;
    const cursor = log.reduce((most, item) => Math.max(most, item.cursor), 0) + 1;
    const item: Item = { ...blankItem, room: room.id, id: idOf(`${room.id} ${cursor} ${Math.random()}`, 32), kind: 'text', time: Date.now(), state: waits ? 'waiting' : some.own ? 'sent' : '', cursor: waits ? 0 : cursor, ...some };
    log.push(item);
    if (waits) this.#waiting.push(item);
    this.#logs.set(room.id, log);
    const next = { ...room, last: item.time, cursor, unread: item.own ? room.unread : room.unread + 1 };
    this.#rooms.set(room.id, next);
    this.#send({ kind: 'item', item });
    this.#send({ kind: 'room', room: next });
    return item;
  }

  /** Somebody writes in a room. */
  say(title: string, name: string, text: string, more: Partial<Item> = {}): string {
    const room = [...this.#rooms.values()].find((one) => one.title === title);
    if (!room) throw new Error(`no room ${title}`);
    return this.#post(room, { sender: idOf(name, 64), name, text, ...more }).id;
  }

  /** An item of a room becomes another: an edit, a failure, a growth. */
  change(room: string, id: string, to: Partial<Item>): void {
    const log = this.#logs.get(room) ?? [];
    const at = log.findIndex((item) => item.id === id);
    const old = log[at];
    if (!old) throw new Error('no such item');
    const item = { ...old, ...to };
    log[at] = item;
    this.#send({ kind: 'item', item });
  }

  /** Puts a name or text that another person can choose into every place that shows one. */
  poison(text: string): void {
    const title = text.slice(0, 80);
    const room = { ...blankRoom, id: idOf('poison', 32), title, topic: text, mode: 'invite', state: 'member', role: 'owner', members: 2, last: Date.now() };
    this.#rooms.set(room.id, room);
    this.#logs.set(room.id, []);
    this.#members.set(room.id, people([text.slice(0, 64)], this.#me, this.#name, 'invite'));
    this.#send({ kind: 'room', room });
  }

  /** What was said in a room, the oldest first. */
  log(title: string): readonly Item[] {
    return this.#logs.get(this.rooms().find((room) => room.title === title)?.id ?? '') ?? [];
  }

  rooms(): Room[] {
    return [...this.#rooms.values()];
  }

  connection(state: string, waiting = 0, retryMS = 0): void {
    this.offline = state !== 'connected';
    this.#send({ kind: 'connection', conn: { state, reason: '', retryMS, waiting, firstUse: true, fingerprint: idOf('server', 64) } });
    if (state !== 'connected') return;
    for (const item of this.#waiting.splice(0)) {
      const log = this.#logs.get(item.room) ?? [];
      this.change(item.room, item.id, { state: 'sent', cursor: log.reduce((most, one) => Math.max(most, one.cursor), 0) + 1 });
    }
  }

  #change(id: string, to: Partial<Room>): void {
    const room = this.#rooms.get(id);
    if (!room) throw new Error('no such room');
    const next = { ...room, ...to };
    this.#rooms.set(id, next);
    this.#send({ kind: 'room', room: next });
  }

  /** Something of a room becomes other: who is there, what was read, how one stands to it. */
  alter(title: string, to: Partial<Room>): void {
    const room = this.rooms().find((one) => one.title === title);
    if (room) this.#change(room.id, to);
  }

  /** How a member stands: there, and how far they have read. */
  stands(title: string, name: string, to: Partial<Member>): void {
    const room = this.rooms().find((one) => one.title === title);
    if (room) this.#members.set(room.id, (this.#members.get(room.id) ?? []).map((one) => (one.name === name ? { ...one, ...to } : one)));
  }

  /** Somebody asks to be let into a room. */
  knock(title: string, name: string): void {
    const room = this.rooms().find((one) => one.title === title);
    if (!room) return;
    const knock: Knock = { room: room.id, user: idOf(name, 64), name, tag: '', safety: '48213 90017 55120 33984 10276 64415 02938 71150 88421 30067 59312 24780', link: '1', time: Date.now() };
    this.#knocks = [...this.#knocks, knock];
    this.#send({ kind: 'knock', knock });
    this.#change(room.id, { asking: room.asking + 1 });
  }

  code(code: string): void {
    this.#send({ kind: 'code', code });
  }

  typing(title: string, name: string): void {
    const room = this.rooms().find((one) => one.title === title);
    if (room) this.#send({ kind: 'typing', typing: { room: room.id, user: idOf(name, 64), name, on: true } });
  }
}

declare global {
  interface Window {
    fake: Fake;
  }
}

export function connect(_site: Promise<Site>): Engine {
  window.fake = new Fake(new URLSearchParams(location.search));
  return window.fake;
}

export type { Fake };
