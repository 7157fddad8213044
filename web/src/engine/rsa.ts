/** A one-use RSA-2048 pair: the browser holds the private half and never shows it. */
export interface Pair {
  readonly modulus: Uint8Array;
  decrypt(ciphertext: Uint8Array, label: Uint8Array): Promise<Uint8Array>;
}

const kind = { name: 'RSA-OAEP', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' } as const;

async function make(): Promise<Pair> {
  const pair = await crypto.subtle.generateKey(kind, false, ['encrypt', 'decrypt']);
  const jwk = await crypto.subtle.exportKey('jwk', pair.publicKey);
  return {
    modulus: fromBase64URL(jwk.n ?? ''),
    async decrypt(ciphertext, label) {
      const bytes = (one: Uint8Array) => one as Uint8Array<ArrayBuffer>;
      return new Uint8Array(await crypto.subtle.decrypt({ name: kind.name, label: bytes(label) }, pair.privateKey, bytes(ciphertext)));
    },
  };
}

/** Hands out pairs and always has the next one made ahead: that takes a second on a slow phone. */
export class Pairs {
  #next: Promise<Pair> = make();

  take(): Promise<Pair> {
    const taken = this.#next;
    this.#next = taken.then(make, make);
    this.#next.catch(() => undefined);
    return taken;
  }
}

function fromBase64URL(text: string): Uint8Array {
  const raw = atob(text.replace(/-/g, '+').replace(/_/g, '/'));
  return Uint8Array.from(raw, (c) => c.charCodeAt(0));
}
