import { svelte } from '@sveltejs/vite-plugin-svelte';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

// Two builds come out of this file. The product is built with no mode named.
// The mode "fake" swaps the engine for one that pretends (test/fake), so that
// the interface can be tested without a server; it goes to its own folder.
export default defineConfig(({ mode }) => ({
  root: here('.'),
  plugins: [svelte()],
  resolve: {
    alias: {
      '#engine': mode === 'fake' ? here('test/fake/engine.ts') : here('src/engine/connect.ts'),
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
