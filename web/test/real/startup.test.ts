import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { chromium, type BrowserContext } from 'playwright-core';
import { launch } from '../browser.mjs';
import { serve, type Running } from './server';
import { line, slowed, type Line } from './slow';

// A phone on a middling line: 9 Mbit/s, 100 ms there and back, a quarter of this
// machine's processor.
const roundTripMS = 100;
const bitsPerSecond = 9e6;
const slower = Number(process.env['SLOWER'] ?? 4);

let server: Running;
let wire: Line;
beforeAll(async () => {
  server = await serve();
  wire = await line(Number(new URL(server.url).port), roundTripMS, bitsPerSecond);
});
afterAll(async () => {
  await wire.close();
  await server.stop();
});

declare global {
  interface Window {
    startup: { form: number; engine: number };
  }
}

/** Notes, in ms since the navigation began, when the form and the engine are there. */
function stopwatch(): void {
  window.startup = { form: 0, engine: 0 };
  const look = new MutationObserver(() => {
    if (!document.querySelector('#name:enabled')) return;
    window.startup.form = performance.now();
    look.disconnect();
  });
  look.observe(document, { childList: true, subtree: true });
  const Plain = window.Worker;
  window.Worker = class extends Plain {
    constructor(url: string | URL, options?: WorkerOptions) {
      super(url, options);
      this.addEventListener('message', (message: MessageEvent<{ t: string }>) => {
        if (message.data.t === 'event') window.startup.engine ||= performance.now();
      });
    }
  };
}

interface Visit {
  form: number;
  engine: number;
  bytes: number;
}

async function visit(context: BrowserContext): Promise<Visit> {
  const browser = context.browser();
  if (!browser) throw new Error('no browser');
  const before = wire.down();
  const page = await context.newPage();
  const faster = await slowed(browser, slower);
  try {
    await page.goto(`http://127.0.0.1:${wire.port}/`, { waitUntil: 'commit' });
    await page.waitForFunction(() => window.startup.form > 0 && window.startup.engine > 0);
    return { ...(await page.evaluate(() => window.startup)), bytes: wire.down() - before };
  } finally {
    faster();
    await page.close();
  }
}

// The best of the visits counts: what else the machine does can only add.
const best = (visits: Visit[], what: keyof Visit): number => Math.round(Math.min(...visits.map((one) => one[what])));

test('how long a slow machine on a middling line waits', async () => {
  const first: Visit[] = [];
  const again: Visit[] = [];
  for (let i = 0; i < 2; i++) {
    const folder = mkdtempSync(join(tmpdir(), 'securelink-startup-'));
    const context = await chromium.launchPersistentContext(folder, launch);
    await context.addInitScript(stopwatch);
    first.push(await visit(context));
    again.push(await visit(context));
    await context.close();
    rmSync(folder, { recursive: true, force: true });
  }
  for (const [what, visits] of [['first visit', first], ['again', again]] as const) {
    console.log(`${what}: form ${best(visits, 'form')} ms, engine ${best(visits, 'engine')} ms, ${best(visits, 'bytes')} bytes`);
  }
  expect(best(first, 'form')).toBeLessThan(1500);
  expect(best(first, 'engine')).toBeLessThan(2500);
  expect(best(again, 'engine')).toBeLessThan(best(first, 'engine'));
  expect(best(again, 'bytes'), 'nothing large comes twice').toBeLessThan(20_000);
});
