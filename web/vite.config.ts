import { svelte } from '@sveltejs/vite-plugin-svelte';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig, type HtmlTagDescriptor, type Plugin } from 'vite';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** The glue that Go's own distribution ships for the browser: always that of the Go that built the engine. */
const wasmExec = () => join(execFileSync('go', ['env', 'GOROOT'], { encoding: 'utf8' }).trim(), 'lib', 'wasm', 'wasm_exec.js');

/**
 * Lets the browser ask for what the app will ask for as soon as it sees the page:
 * the engine is most of what comes, and would begin after the app has run.
 */
const preload: Plugin = {
  name: 'preload',
  transformIndexHtml: {
    order: 'post',
    handler: (_, { bundle }) => {
      const engine = Object.keys(bundle ?? {}).filter((name) => name.endsWith('.wasm'));
      return [...(engine.length > 0 ? ['app.json'] : []), ...engine].map((name): HtmlTagDescriptor => ({
        tag: 'link',
        attrs: { rel: 'preload', as: 'fetch', crossorigin: true, href: `/${name}` },
        injectTo: 'head',
      }));
    },
  },
};

// Two builds come out of this file. The product is built with no mode named.
// The mode "fake" swaps the engine for one that pretends (test/fake), so that
// the interface can be tested without a server; it goes to its own folder.
export default defineConfig(({ mode }) => ({
  root: here('.'),
  plugins: [svelte(), preload],
  resolve: {
    alias: {
      '#engine': mode === 'fake' ? here('test/fake/engine.ts') : here('src/engine/connect.ts'),
      '#wasm_exec': wasmExec(),
    },
  },
  worker: { format: 'es' },
  build: {
    outDir: mode === 'fake' ? here('.build/fake') : here('dist'),
    // dist holds a README that Git keeps, so that Go can embed the folder in a
    // fresh clone; build.mjs empties the rest.
    emptyOutDir: mode === 'fake',
    target: 'es2023',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    sourcemap: false,
  },
}));
