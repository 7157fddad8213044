/// <reference types="svelte" />
/// <reference types="vite/client" />

declare module '#wasm_exec' {}

declare module '*.wasm?url' {
  const url: string;
  export default url;
}

/** What Go's wasm_exec.js puts on the global object. */
declare class Go {
  importObject: WebAssembly.Imports;
  run(instance: WebAssembly.Instance): Promise<void>;
}

interface TrustedScriptURL {
  toString(): string;
}

interface TrustedTypePolicyFactory {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): TrustedScriptURL };
}

interface Window {
  readonly trustedTypes?: TrustedTypePolicyFactory;
}

interface WorkerGlobalScope {
  readonly trustedTypes?: TrustedTypePolicyFactory;
}
