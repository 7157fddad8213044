import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  plugins: [svelte()],
  test: {
    include: ['test/**/*.test.ts'],
    exclude: process.env['SECURELINK'] ? [] : ['test/real/**'],
    testTimeout: 150_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 30_000 } },
    // Two cores: one browser at a time leaves it the speed that people have.
    fileParallelism: false,
  },
});
