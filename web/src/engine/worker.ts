/// <reference lib="webworker" />
import type { Ask, Fault, Site } from './engine';
import type { BetweenTabs, FromWorker, ToWorker } from './messages';
import { Native, Unusable } from './native';
import { EvAccount, EvCode, EvConnection, EvReply, type Event } from './types.gen';

/**
 * The worker of one page. All tabs of one profile share one engine: the tab that
 * holds the lock runs it, the others send their asks to it and hear what it
 * tells. When the leading tab goes, the lock passes on and the next one starts
 * the engine from what is on disk.
 */

declare const self: DedicatedWorkerGlobalScope;

const lockName = 'securelink engine';
const me = crypto.randomUUID();

/** Asks that wait until there is an engine or a leader; a page that sends more is refused. */
const mostWaiting = 256;

let waiting: { id: number; ask: Ask }[] = [];
let native: Native | null = null;
let follows = false;
let channel: BroadcastChannel;

/** The engine's code, which the page compiles. */
let compiled: (module: WebAssembly.Module) => void;
let broken: (error: Error) => void;
const module = new Promise<WebAssembly.Module>((resolve, reject) => {
  compiled = resolve;
  broken = reject;
});
module.catch(() => undefined);

/** The last event of each of these kinds is what a tab that comes later must know first. */
const standing = new Map<string, Event>();
/** Asks that the engine works on, by its own numbers. */
const owed = new Map<number, { readonly to: string; readonly id: number }>();
let nextOwed = 1;

const post = (message: FromWorker) => self.postMessage(message);
const between = (message: BetweenTabs) => channel.postMessage(message);

function fault(kind: Fault['fault'], detail = ''): void {
  post({ t: 'fault', fault: { kind: 'fault', fault: kind, detail } });
}

function refused(id: number, text: string): void {
  post({ t: 'event', event: { ...blank(id), problem: { code: 'offline', text, hint: '', retryMS: 0 } } });
}

function blank(reply: number): Event {
  return { kind: EvReply, reply, rooms: [], items: [], members: [], code: '', devices: [], links: [], link: '', knocks: [] };
}

/** Gives an ask to whoever can answer it. */
function hand(id: number, ask: Ask, to = ''): void {
  if (native) {
    const number = nextOwed++;
    owed.set(number, { to, id });
    native.ask(number, ask);
  } else if (follows && to === '') {
    between({ t: 'ask', from: me, id, ask });
  } else if (to === '') {
    if (waiting.length >= mostWaiting) refused(id, 'The engine is not ready.');
    else waiting.push({ id, ask });
  }
}

/** What the engine tells goes to this page and to every tab that follows. */
function told(event: Event): void {
  if (event.kind === EvReply) {
    const debt = owed.get(event.reply);
    if (!debt) return;
    owed.delete(event.reply);
    const answer = { ...event, reply: debt.id };
    if (debt.to === '') post({ t: 'event', event: answer });
    else between({ t: 'event', to: debt.to, event: answer });
    return;
  }
  if (event.kind === EvAccount || event.kind === EvConnection || event.kind === EvCode) standing.set(event.kind, event);
  post({ t: 'event', event });
  between({ t: 'event', to: '', event });
}

function heard(message: BetweenTabs): void {
  if (native) {
    if (message.t === 'hello') for (const event of standing.values()) between({ t: 'event', to: message.from, event });
    else if (message.t === 'ask') hand(message.id, message.ask, message.from);
    return;
  }
  if (message.t === 'leads') between({ t: 'hello', from: me });
  else if (follows && message.t === 'event' && (message.to === '' || message.to === me)) post({ t: 'event', event: message.event });
}

async function lead(site: Site, origin: string): Promise<never> {
  const wasFollowing = follows;
  follows = false;
  for (let first = true; ; first = false) {
    native = await Native.start({ site, module, origin, tell: told });
    if (first && wasFollowing) fault('leads');
    between({ t: 'leads' });
    for (const { id, ask } of waiting.splice(0)) hand(id, ask);
    // An engine that ends in order has erased its profile: the next one is new.
    await native.ended;
    native = null;
    standing.clear();
    owed.clear();
  }
}

async function start(site: Site, origin: string): Promise<void> {
  if (!('locks' in navigator) || !globalThis.crypto?.subtle || typeof WebAssembly !== 'object' || typeof indexedDB !== 'object') {
    fault('too-old');
    return;
  }
  channel = new BroadcastChannel('securelink');
  channel.onmessage = (message: MessageEvent<BetweenTabs>) => heard(message.data);
  try {
    await navigator.locks.request(lockName, { ifAvailable: true }, (lock) => (lock ? lead(site, origin) : null));
    follows = true;
    fault('follows');
    between({ t: 'hello', from: me });
    for (const { id, ask } of waiting.splice(0)) hand(id, ask);
    await navigator.locks.request(lockName, () => lead(site, origin));
  } catch (error) {
    if (error instanceof Unusable) fault(error.fault, error.message);
    else fault('crashed', error instanceof Error ? error.message : '');
  }
}

self.onmessage = (message: MessageEvent<ToWorker>) => {
  const data = message.data;
  if (data.t === 'start') void start(data.site, data.origin);
  else if (data.t === 'ask') hand(data.id, data.ask);
  else if ('module' in data) compiled(data.module);
  else broken(new Unusable('blocked', data.problem));
};
