// Builds what the binary serves: the engine for the browser, the app around
// it, and a Brotli form of each file beside it; last it weighs them.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';
import { build } from 'vite';
import { buildEngine } from './engine.mjs';

const here = new URL('.', import.meta.url).pathname;
const dist = join(here, 'dist');
const wasm = join(here, '.build', 'securelink.wasm');

mkdirSync(join(here, '.build'), { recursive: true });
for (const name of existsSync(dist) ? readdirSync(dist) : []) {
  if (name !== 'README') rmSync(join(dist, name), { recursive: true });
}

buildEngine(wasm);
await build({ configFile: join(here, 'vite.config.ts'), logLevel: 'warn' });

/** Every file below a folder, in a fixed order. */
function files(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => (entry.isDirectory() ? files(join(folder, entry.name)) : [join(folder, entry.name)]));
}

const sizes = new Map();
for (const file of files(dist)) {
  if (!/\.(html|js|css|svg|wasm|webmanifest)$/.test(file)) continue;
  const bytes = readFileSync(file);
  const small = brotliCompressSync(bytes, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length, [constants.BROTLI_PARAM_LGWIN]: 24 },
  });
  writeFileSync(`${file}.br`, small);
  sizes.set(file.slice(dist.length + 1), small.length);
}

/** Brotli KiB of all files that match. */
const sum = (match) => [...sizes].reduce((total, [name, size]) => (match(name) ? total + size / 1024 : total), 0);
const index = readFileSync(join(dist, 'index.html'), 'utf8');
// What, how large, and the size above which the build fails.
const budgets = [
  ['first-load JavaScript', sum((name) => name.endsWith('.js') && index.includes(name)), 120],
  ['first-load CSS', sum((name) => name.endsWith('.css')), 15],
  ['engine', sum((name) => name.endsWith('.wasm')), 1.4 * 1024],
];
let failed = false;
for (const [what, size, most] of budgets) {
  const good = size > 0 && size <= most;
  console.log(`${what}: ${size.toFixed(1)} KiB in Brotli, at most ${most.toFixed(0)}${good ? '' : ': missed'}`);
  failed ||= !good;
}
console.log(`worker: ${sum((name) => /worker/.test(name) && name.endsWith('.js')).toFixed(1)} KiB; engine raw: ${(statSync(wasm).size / 1024 / 1024).toFixed(2)} MiB`);
if (readFileSync(files(join(dist, 'assets')).find((file) => /index-.*\.js$/.test(file)), 'utf8').includes('window.fake')) {
  console.error('the pretending engine is in the product');
  failed = true;
}
process.exit(failed ? 1 : 0);
