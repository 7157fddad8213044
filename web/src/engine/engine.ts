import type { Event, OpWord, Request } from './types.gen';

/** A request as the page writes it: what it leaves out is empty. */
export type Ask = Partial<Omit<Request, 'id' | 'op'>> & { readonly op: OpWord };

/**
 * What the page talks to. It may be a worker, another tab or a socket: only
 * plain data crosses, so nobody above this line knows which.
 */
export interface Engine {
  /** Sends one request and waits for its reply; a refusal is thrown as Refused. */
  ask(ask: Ask): Promise<Event>;
  /** Hands every event that is no reply to fn, in order; returns how to stop. */
  listen(fn: (event: Event | Fault) => void): () => void;
}

/** Things that go wrong around the engine, before or beside it. */
export interface Fault {
  readonly kind: 'fault';
  readonly fault: 'storage-refused' | 'storage-full' | 'too-old' | 'crashed' | 'follows' | 'leads' | 'blocked';
  readonly detail: string;
}

/** A request that was refused: the sentence is written for the person who asked. */
export class Refused extends Error {
  readonly code: string;
  readonly hint: string;
  readonly retryMS: number;

  constructor(code: string, text: string, hint = '', retryMS = 0) {
    super(text);
    this.name = 'Refused';
    this.code = code;
    this.hint = hint;
    this.retryMS = retryMS;
  }
}

/** What the server says of itself before anything is encrypted: GET /app.json. */
export interface Site {
  readonly name: string;
  readonly pin: string;
  readonly version: string;
  readonly build: string;
}
