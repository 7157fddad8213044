import { afterAll, beforeAll, expect, test } from 'vitest';
import { chromium, type Browser, type BrowserContext } from 'playwright-core';
import { launch } from '../browser.mjs';
import { arrive, enter, hears, isSent, join, say } from './person';
import { noWebSocket } from './proxy';
import { serve, type Running } from './server';

let browser: Browser;
let server: Running;

beforeAll(async () => {
  browser = await chromium.launch(launch);
  server = await serve();
});
afterAll(async () => {
  await browser.close();
  await server.stop();
});

test('a message that waits is on disk: it survives a reload of the page and goes out once', async () => {
  const proxy = await noWebSocket(server.url);
  const uzair = await join(browser, proxy.url, 'Uzair');
  const ana = await join(browser, server.url, 'Ana');
  await say(uzair, 'while there is a connection');
  await hears(ana, 'while there is a connection');

  proxy.cut(true);
  await uzair.page.locator('.badge .words', { hasText: /Reconnecting|Offline/ }).waitFor();
  await say(uzair, 'written in a tunnel');
  const waiting = uzair.page.locator('.own [data-message]', { hasText: 'written in a tunnel' });
  await waiting.getByText('Waiting for connection').waitFor();
  await uzair.page.reload();
  await waiting.getByText('Waiting for connection').waitFor();
  expect(await ana.page.getByText('written in a tunnel').count()).toBe(0);

  proxy.cut(false);
  await isSent(uzair, 'written in a tunnel');
  await hears(ana, 'written in a tunnel');
  await say(uzair, 'and out again');
  await hears(ana, 'and out again');
  for (const person of [uzair, ana]) expect(await person.page.locator('[data-message]', { hasText: 'written in a tunnel' }).count()).toBe(1);
  expect(uzair.faults.concat(ana.faults)).toEqual([]);
  await uzair.context.close();
  await ana.context.close();
  await proxy.stop();
});

/** Runs a script in the engine's worker before the worker's own. */
const inWorker = (context: BrowserContext, script: string) =>
  context.route(/\/assets\/worker-[^/]+\.js$/, async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, body: `${script}\n${await answer.text()}` });
  });

test('a browser that keeps nothing is told so before any key is made', async () => {
  const uzair = await arrive(browser, server.url, 'Uzair', (context) =>
    inWorker(context, `indexedDB.open = () => { throw new DOMException('blocked by the settings', 'SecurityError'); };`),
  );
  await uzair.page.getByRole('heading', { name: 'This browser does not let the page keep anything' }).waitFor();
  await uzair.page.getByText('blocked by the settings').waitFor();
  expect(await uzair.page.locator('textarea').count()).toBe(0);
  await uzair.context.close();
});

test('a disk that is full stops the engine with nothing lost, and room on it brings everything back', async () => {
  const uzair = await arrive(browser, server.url, 'Uzair', (context) =>
    inWorker(
      context,
      // As browsers do it: the write is taken, and its transaction ends with this error.
      `{ let full = false;
        new BroadcastChannel('disk').onmessage = (message) => (full = message.data);
        const put = IDBObjectStore.prototype.put;
        IDBObjectStore.prototype.put = function (...what) {
          const request = put.apply(this, what);
          if (full) queueMicrotask(() => {
            Object.defineProperty(this.transaction, 'error', { value: new DOMException('no room', 'QuotaExceededError') });
            try { this.transaction.abort(); } catch { /* It has ended already. */ }
          });
          return request;
        }; }`,
    ),
  );
  await enter(uzair);
  const ana = await join(browser, server.url, 'Ana');
  await say(uzair, 'there is room');
  await isSent(uzair, 'there is room');
  await uzair.page.evaluate(() => new BroadcastChannel('disk').postMessage(true));
  await say(ana, 'does this fit?');
  await uzair.page.getByRole('heading', { name: 'There is no room left on this device' }).waitFor();
  await say(ana, 'and this?');
  await isSent(ana, 'and this?');

  // A new page has a new worker, whose disk has room.
  await uzair.page.getByRole('button', { name: 'Load the page again' }).click();
  for (const text of ['there is room', 'does this fit?', 'and this?']) {
    await hears(uzair, text);
    expect(await uzair.page.locator('[data-message]', { hasText: text }).count()).toBe(1);
  }
  await say(uzair, 'now it does');
  await hears(ana, 'now it does');
  expect(uzair.faults.concat(ana.faults)).toEqual([]);
  await uzair.context.close();
  await ana.context.close();
});
