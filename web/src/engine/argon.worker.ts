/// <reference lib="webworker" />
import '#wasm_exec';

export interface ArgonAsk {
  readonly module: WebAssembly.Module;
  readonly password: Uint8Array;
  readonly salt: Uint8Array;
  readonly time: number;
  readonly memoryKiB: number;
}

export interface ArgonAnswer {
  readonly key: Uint8Array | null;
}

/** What cmd/securelink-wasm finds when it is asked for nothing but a password's key. */
export interface ArgonHost extends Omit<ArgonAsk, 'module'> {
  readonly mode: 'argon';
  done(key: Uint8Array | null): void;
}

declare const self: DedicatedWorkerGlobalScope & { securelinkHost?: ArgonHost };

self.onmessage = (message: MessageEvent<ArgonAsk>) => {
  const { module, ...ask } = message.data;
  const answer = (key: Uint8Array | null) => self.postMessage({ key } satisfies ArgonAnswer);
  self.securelinkHost = { mode: 'argon', ...ask, done: answer };
  const go = new Go();
  WebAssembly.instantiate(module, go.importObject).then(
    (instance) => go.run(instance),
    () => answer(null),
  );
};
