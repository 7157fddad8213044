import { type Ask, type Engine, type Fault, Refused, type Site } from './engine';
import type { FromWorker, ToWorker } from './messages';
import { EvReply, type Event } from './types.gen';
import { trustedWorker } from './trusted';
import wasmURL from '../../.build/securelink.wasm?url';
import workerURL from './worker.ts?worker&url';

interface Pending {
  readonly resolve: (event: Event) => void;
  readonly reject: (error: Error) => void;
}

/** Compiles the engine while it comes; the page's head has asked for it already. */
const compile = async (): Promise<WebAssembly.Module> => WebAssembly.compileStreaming(fetch(wasmURL));

/** The engine in a worker: asks and events cross as plain data. */
export class Remote implements Engine {
  #worker: Worker;
  #pending = new Map<number, Pending>();
  #listeners = new Set<(event: Event | Fault) => void>();
  #next = 1;

  /** Loads worker and engine at once, and starts them when it is known what the server says of itself. */
  constructor(site: Promise<Site>) {
    this.#worker = new Worker(trustedWorker(workerURL), { type: 'module', name: 'securelink' });
    this.#worker.onmessage = (message: MessageEvent<FromWorker>) => this.#take(message.data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#tell({ kind: 'fault', fault: 'blocked', detail: event.message ?? '' });
    };
    void site.then((found) => this.#post({ t: 'start', site: found, origin: location.origin }));
    // Here and not in the worker, which would begin a second later on a slow machine.
    compile().then(
      (module) => this.#post({ t: 'module', module }),
      (error: unknown) => this.#post({ t: 'module', problem: error instanceof Error ? error.message : '' }),
    );
  }

  ask(ask: Ask): Promise<Event> {
    const id = this.#next++;
    return new Promise<Event>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#post({ t: 'ask', id, ask });
    });
  }

  listen(fn: (event: Event | Fault) => void): () => void {
    this.#listeners.add(fn);
    return () => this.#listeners.delete(fn);
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #tell(event: Event | Fault): void {
    for (const fn of this.#listeners) fn(event);
  }

  #take(message: FromWorker): void {
    if (message.t === 'fault') {
      // Whoever led before is gone, and with it the answers that it owed.
      if (message.fault.fault !== 'follows') this.#refuseAll();
      this.#tell(message.fault);
      return;
    }
    const { event } = message;
    if (event.kind !== EvReply) {
      this.#tell(event);
      return;
    }
    const pending = this.#pending.get(event.reply);
    if (!pending) return;
    this.#pending.delete(event.reply);
    const { problem } = event;
    if (problem) pending.reject(new Refused(problem.code, problem.text, problem.hint, problem.retryMS));
    else pending.resolve(event);
  }

  #refuseAll(): void {
    for (const { reject } of this.#pending.values()) reject(new Refused('offline', 'The engine was started anew.', 'Please try that again.'));
    this.#pending.clear();
  }
}
