export function buildEngine(file: string): void;
export function joinData(wasm: Uint8Array): Uint8Array;
