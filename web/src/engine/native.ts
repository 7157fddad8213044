/// <reference lib="webworker" />
import '#wasm_exec';
import { argon } from './argon';
import type { Ask, Site } from './engine';
import { Pairs, type Pair } from './rsa';
import { dial, type Conn } from './socket';
import { erase, Storage } from './storage';
import type { Event } from './types.gen';
import { Unusable } from './unusable';

export { Unusable };

/** What cmd/securelink-wasm finds on the global object: all it can do in the world. */
export interface EngineHost {
  readonly mode: 'engine';
  readonly pin: string;
  readonly version: string;
  readonly server: string;
  load(prefix: Uint8Array, after: Uint8Array | null, before: Uint8Array | null, reverse: boolean, limit: number): Promise<[Uint8Array[], Uint8Array[]]>;
  apply(keys: Uint8Array[], values: (Uint8Array | null)[]): Promise<void>;
  dial(onframe: (frame: Uint8Array) => void, onclose: (reason: string) => void): Promise<Conn>;
  takeKey(): Promise<Pair>;
  argon(password: Uint8Array, salt: Uint8Array, time: number, memoryKiB: number): Promise<Uint8Array>;
  tell(event: Event): void;
  log(level: number, text: string): void;
  ready(engine: GoEngine): void;
  /** The engine has ended: with a problem, or in order, because its profile was erased. */
  done(problem: string): void;
}

/** What the engine hands back. */
export interface GoEngine {
  ask(id: number, ask: Ask): void;
}

declare const self: DedicatedWorkerGlobalScope & { securelinkHost?: EngineHost };

const profile = 'securelink';

export interface Start {
  readonly site: Site;
  readonly module: Promise<WebAssembly.Module>;
  readonly origin: string;
  readonly tell: (event: Event) => void;
}

/** The engine itself, in this worker. */
export class Native {
  /** Resolves when the engine has ended because its profile was erased; rejects when it broke. */
  readonly ended: Promise<void>;
  #engine: GoEngine;

  private constructor(engine: GoEngine, ended: Promise<void>) {
    this.#engine = engine;
    this.ended = ended;
  }

  ask(id: number, ask: Ask): void {
    this.#engine.ask(id, ask);
  }

  static async start(options: Start): Promise<Native> {
    const pairs = new Pairs();
    const [module, storage] = await Promise.all([options.module, Storage.open(profile)]);
    const go = new Go();
    const instance = await WebAssembly.instantiate(module, go.importObject);

    return new Promise<Native>((resolve, reject) => {
      let end: (error: Error | null) => void = () => undefined;
      let inOrder = false;
      let full = false;
      const ended = new Promise<void>((ok, bad) => {
        end = (error) => {
          storage.close();
          if (error) bad(error);
          else ok();
        };
      });
      ended.catch(() => undefined);
      self.securelinkHost = {
        mode: 'engine',
        pin: options.site.pin,
        version: options.site.version,
        server: options.origin,
        load: (...range) => storage.load(...range),
        apply: (keys, values) =>
          storage.apply(keys, values).catch((error: unknown) => {
            // The engine stops at what it cannot keep; then this is why.
            full ||= error instanceof DOMException && error.name === 'QuotaExceededError';
            throw error;
          }),
        dial: (onframe, onclose) => dial(options.origin, onframe, onclose),
        takeKey: () => pairs.take(),
        argon: (password, salt, time, memoryKiB) => argon(module, password, salt, time, memoryKiB),
        tell: options.tell,
        log: (level, text) => {
          if (level >= 8) console.error(text);
          else if (level >= 4) console.warn(text);
          else console.debug(text);
        },
        ready: (engine) => resolve(new Native(engine, ended)),
        done: (problem) => {
          inOrder = true;
          storage.close();
          if (problem !== '') end(full ? new Unusable('storage-full', '') : new Error(problem));
          else void erase(profile).finally(() => end(null));
        },
      };
      go.run(instance).then(
        () => {
          if (!inOrder) end(new Error('the engine ended'));
        },
        (error: unknown) => {
          const failure = error instanceof Error ? error : new Error(String(error));
          reject(failure);
          end(failure);
        },
      );
    });
  }
}
