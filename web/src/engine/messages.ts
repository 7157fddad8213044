import type { Ask, Fault, Site } from './engine';
import type { Event } from './types.gen';

/** What the page sends to its worker. */
export type ToWorker =
  | { readonly t: 'start'; readonly site: Site; readonly origin: string }
  | { readonly t: 'module'; readonly module: WebAssembly.Module }
  | { readonly t: 'module'; readonly problem: string }
  | { readonly t: 'ask'; readonly id: number; readonly ask: Ask };

/** What a worker sends to its page. Replies are events of kind "reply" whose reply is the asker's id. */
export type FromWorker = { readonly t: 'event'; readonly event: Event } | { readonly t: 'fault'; readonly fault: Fault };

/** What tabs say to each other: followers ask, the leader answers and tells. */
export type BetweenTabs =
  | { readonly t: 'hello'; readonly from: string }
  | { readonly t: 'ask'; readonly from: string; readonly id: number; readonly ask: Ask }
  | { readonly t: 'event'; readonly to: string; readonly event: Event }
  | { readonly t: 'leads' };
