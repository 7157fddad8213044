import type { ArgonAnswer, ArgonAsk } from './argon.worker';
import argonURL from './argon.worker.ts?worker&url';
import { trustedWorker } from './trusted';

/**
 * Derives a key from a password in a worker of its own, which ends afterwards:
 * the 64 MiB that Argon2 needs would otherwise stay with the engine for good,
 * because WebAssembly's memory never shrinks.
 */
export function argon(module: WebAssembly.Module, password: Uint8Array, salt: Uint8Array, time: number, memoryKiB: number): Promise<Uint8Array> {
  const worker = new Worker(trustedWorker(argonURL), { type: 'module', name: 'securelink password' });
  return new Promise<Uint8Array>((resolve, reject) => {
    worker.onmessage = (message: MessageEvent<ArgonAnswer>) => {
      if (message.data.key) resolve(message.data.key);
      else reject(new Error('the password could not be worked on'));
    };
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error('the password could not be worked on'));
    };
    const ask: ArgonAsk = { module, password, salt, time, memoryKiB };
    worker.postMessage(ask);
  }).finally(() => worker.terminate());
}
