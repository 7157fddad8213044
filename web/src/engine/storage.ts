import { Unusable } from './unusable';

const store = 'kv';

/** The engine's ordered map of keys to values, in IndexedDB: one batch is one transaction. */
export class Storage {
  #db: IDBDatabase;

  private constructor(db: IDBDatabase) {
    this.#db = db;
  }

  static async open(name: string): Promise<Storage> {
    try {
      const request = indexedDB.open(name, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(store);
      return new Storage(await done(request));
    } catch (error) {
      throw new Unusable('storage-refused', error instanceof Error ? error.message : '');
    }
  }

  /** Pairs with the prefix, after one key and before another, in order or in reverse; limit 0 is no limit. */
  async load(prefix: Uint8Array, after: Uint8Array | null, before: Uint8Array | null, reverse: boolean, limit: number): Promise<[Uint8Array[], Uint8Array[]]> {
    const range = rangeOf(prefix, after, before);
    if (range === 'empty') return [[], []];
    const objects = this.#db.transaction(store, 'readonly').objectStore(store);
    if (!reverse) {
      const most = limit > 0 ? limit : undefined;
      const [keys, values] = await Promise.all([done(objects.getAllKeys(range, most)), done(objects.getAll(range, most))]);
      return [keys.map((key) => new Uint8Array(key as ArrayBuffer)), values as Uint8Array[]];
    }
    const keys: Uint8Array[] = [];
    const values: Uint8Array[] = [];
    await new Promise<void>((resolve, reject) => {
      const request = objects.openCursor(range, 'prev');
      request.onerror = () => reject(request.error ?? new Error('cursor'));
      request.onsuccess = () => {
        const cursor = request.result;
        if (!cursor || (limit > 0 && keys.length >= limit)) {
          resolve();
          return;
        }
        keys.push(new Uint8Array(cursor.key as ArrayBuffer));
        values.push(cursor.value as Uint8Array);
        cursor.continue();
      };
    });
    return [keys, values];
  }

  /** Puts and removes (a value of null), all or nothing, on disk when it resolves. */
  apply(keys: readonly Uint8Array[], values: readonly (Uint8Array | null)[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const transaction = this.#db.transaction(store, 'readwrite', { durability: 'strict' });
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error ?? new Error('the browser ended the transaction'));
      const objects = transaction.objectStore(store);
      keys.forEach((key, i) => {
        const value = values[i] ?? null;
        if (value === null) objects.delete(key as Uint8Array<ArrayBuffer>);
        else objects.put(value, key as Uint8Array<ArrayBuffer>);
      });
    });
  }

  close(): void {
    this.#db.close();
  }
}

/** Removes a whole profile. */
export async function erase(name: string): Promise<void> {
  await done(indexedDB.deleteDatabase(name));
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('IndexedDB'));
  });
}

/** The narrowest range of IndexedDB for a prefix and two exclusive borders. */
function rangeOf(prefix: Uint8Array, after: Uint8Array | null, before: Uint8Array | null): IDBKeyRange | undefined | 'empty' {
  let low: Uint8Array = prefix;
  let lowOpen = false;
  if (after && compare(after, prefix) >= 0) {
    low = after;
    lowOpen = true;
  }
  let high = endOf(prefix);
  if (before && (!high || compare(before, high) < 0)) high = before;
  if (high && (compare(low, high) > 0 || (compare(low, high) === 0))) return 'empty';
  const key = (bytes: Uint8Array) => bytes as Uint8Array<ArrayBuffer>;
  if (high) return IDBKeyRange.bound(key(low), key(high), lowOpen, true);
  return low.length === 0 && !lowOpen ? undefined : IDBKeyRange.lowerBound(key(low), lowOpen);
}

/** The first key after all keys with the prefix; null when there is none. */
function endOf(prefix: Uint8Array): Uint8Array | null {
  for (let i = prefix.length - 1; i >= 0; i--) {
    const byte = prefix[i] as number;
    if (byte === 0xff) continue;
    const end = prefix.slice(0, i + 1);
    end[i] = byte + 1;
    return end;
  }
  return null;
}

/** As bytes are ordered, shorter first: the order of IndexedDB's binary keys. */
function compare(a: Uint8Array, b: Uint8Array): number {
  const most = Math.min(a.length, b.length);
  for (let i = 0; i < most; i++) {
    const d = (a[i] as number) - (b[i] as number);
    if (d !== 0) return d;
  }
  return a.length - b.length;
}
