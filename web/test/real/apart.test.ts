import { afterAll, beforeAll, expect, test } from 'vitest';
import { chromium, type Browser } from 'playwright-core';
import { launch } from '../browser.mjs';
import { hears, isSent, join, say } from './person';
import { serveApart } from './server';

let browser: Browser;

beforeAll(async () => {
  browser = await chromium.launch(launch);
});
afterAll(() => browser.close());

test('gateway and core apart: nothing that was typed passes the gateway readable, or stays in its memory', async () => {
  const server = await serveApart();
  try {
    const uzair = await join(browser, server.url, 'Uzair Quartz');
    const ana = await join(browser, server.url, 'Ana Bergamot');
    await uzair.page.getByText('Ana Bergamot has joined the chat').waitFor();
    const typed = ['the walrus sings at midnight', 'only the gardener knows the number 52817'];
    await say(uzair, typed[0] as string);
    await hears(ana, typed[0] as string);
    await say(ana, typed[1] as string);
    await hears(uzair, typed[1] as string);
    await isSent(uzair, typed[0] as string);
    expect(uzair.faults.concat(ana.faults)).toEqual([]);

    const captured = server.captured();
    // The capture is one: the header that the gateway puts before each connection is in it.
    expect(captured.length).toBeGreaterThan(20_000);
    expect(captured.includes(Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'))).toBe(true);
    for (const text of [...typed, 'Uzair Quartz', 'Ana Bergamot', 'Lounge']) expect(captured.includes(Buffer.from(text)), text).toBe(false);
    // The search finds what is there: the address of the core's tap, which the gateway was told.
    expect(server.remembers(['127.0.0.1:'])).toEqual(['127.0.0.1:']);
    expect(server.remembers([...typed, 'Uzair Quartz', 'Ana Bergamot'])).toEqual([]);
    await uzair.context.close();
    await ana.context.close();
  } catch (error) {
    console.log(server.log().split('\n').slice(-30).join('\n'));
    throw error;
  } finally {
    await server.stop();
  }
});
