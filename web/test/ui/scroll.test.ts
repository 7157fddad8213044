import { expect, test } from 'vitest';
import type { Page } from 'playwright-core';
import { enter, open, roomID, useBrowser } from './page';

useBrowser();

/** Where a message is on screen, and how far the list is from its end. */
const at = (page: Page, id: string) => page.evaluate((message) => document.querySelector(`[data-message="${message}"]`)?.getBoundingClientRect().top ?? null, id);
const fromEnd = (page: Page) =>
  page.evaluate(() => {
    const list = document.querySelector('.scroller') as HTMLElement;
    return Math.round(list.scrollHeight - list.scrollTop - list.clientHeight);
  });
const settle = (page: Page) => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done)))));
const scrollTo = (page: Page, top: number) => page.evaluate((y) => ((document.querySelector('.scroller') as HTMLElement).scrollTop = y), top);

/** The first message that lies wholly in the window. */
const inView = (page: Page) =>
  page.evaluate(() => {
    const box = (document.querySelector('.scroller') as HTMLElement).getBoundingClientRect();
    const all = [...document.querySelectorAll<HTMLElement>('[data-message]')].filter((el) => el.getBoundingClientRect().top > box.top + 40 && el.getBoundingClientRect().bottom < box.bottom);
    return all.sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top)[0]?.dataset['message'] ?? '';
  });

/** Where a message is once rows that were just drawn have been measured: on a busy machine that takes more than a frame or three. */
async function resting(page: Page, id: string) {
  for (;;) {
    const top = await at(page, id);
    await settle(page);
    if ((await at(page, id)) === top) return top;
  }
}

test('a room opens at its end, and stays there as messages come and grow', async () => {
  const { page, faults, close } = await open('/?in=1&big=400');
  await enter(page, 'Lounge');
  await expect.poll(() => fromEnd(page)).toBeLessThanOrEqual(1);
  for (let i = 0; i < 12; i++) await page.evaluate((n) => window.fake.say('Lounge', 'Ana', `line ${n} `.repeat(1 + n * 9)), i);
  await page.locator('[data-message]', { hasText: 'line 11' }).waitFor();
  await expect.poll(() => fromEnd(page)).toBeLessThanOrEqual(1);

  const id = await roomID(page, 'Lounge');
  const last = await page.evaluate(() => window.fake.say('Lounge', 'Ben', 'short'));
  await page.evaluate(([room, item]) => window.fake.change(room as string, item as string, { text: 'grown '.repeat(300), edited: true }), [id, last]);
  await page.locator('[data-message]', { hasText: 'grown grown' }).waitFor();
  await expect.poll(() => fromEnd(page)).toBeLessThanOrEqual(1);
  expect(faults).toEqual([]);
  await close();
});

test('away from the end nothing moves: not by new messages, nor by ones that grow above', async () => {
  const { page, faults, close } = await open('/?in=1&big=400');
  await enter(page, 'Lounge');
  const id = await roomID(page, 'Lounge');
  await expect.poll(() => fromEnd(page)).toBeLessThanOrEqual(1);
  await settle(page);
  await page.mouse.move(800, 400);
  await page.mouse.wheel(0, -1400);
  // At once after the room was placed: nothing may pull a person back who scrolls.
  await expect.poll(() => fromEnd(page)).toBeGreaterThan(1000);
  await page.locator('.jump').waitFor();
  await settle(page);
  // Scrolling loads a page of history; wait until what it brings is in place.
  await page.waitForFunction(() => document.querySelector('.scroller')?.getAttribute('aria-busy') === 'false');
  await settle(page);
  const message = await inView(page);
  const before = await resting(page, message);
  expect(before).not.toBeNull();

  await page.evaluate(() => window.fake.say('Lounge', 'Ana', 'news'));
  await page.getByRole('button', { name: '1 new message' }).waitFor();
  expect(await at(page, message)).toBe(before);

  const above = await page.evaluate((top) => {
    const all = [...document.querySelectorAll<HTMLElement>('[data-message]')].filter((el) => el.getBoundingClientRect().bottom < 0 || el.getBoundingClientRect().bottom < (top ?? 0) - 60);
    return all[0]?.dataset['message'] ?? '';
  }, before);
  expect(above).not.toBe('');
  await page.evaluate(([room, item]) => window.fake.change(room as string, item as string, { text: 'taller '.repeat(200) }), [id, above]);
  await settle(page);
  await settle(page);
  expect(Math.abs(((await at(page, message)) ?? 0) - (before ?? 0))).toBeLessThanOrEqual(1);

  await page.getByRole('button', { name: '1 new message' }).click();
  await expect.poll(() => fromEnd(page)).toBeLessThanOrEqual(1);
  await expect.poll(() => page.locator('.jump').count()).toBe(0);
  expect(faults).toEqual([]);
  await close();
});

test('a reply begun at the end and given up leaves one at the end', async () => {
  const { page, faults, close } = await open('/?in=1&big=400');
  await enter(page, 'Lounge');
  for (let round = 0; round < 6; round++) {
    await expect.poll(() => fromEnd(page)).toBeLessThanOrEqual(1);
    await page.locator('[data-message]').last().focus();
    await page.keyboard.press('r');
    await page.getByText('Replying to').waitFor();
    await expect.poll(() => fromEnd(page)).toBeLessThanOrEqual(1);
    await page.keyboard.press('Escape');
    await page.getByText('Replying to').waitFor({ state: 'detached' });
    await settle(page);
    expect(await page.locator('.jump').count(), `round ${round}`).toBe(0);
  }
  expect(faults).toEqual([]);
  await close();
});

test('history that comes in above moves nothing', async () => {
  const { page, close } = await open('/?in=1&big=3000');
  await enter(page, 'Lounge');
  await page.evaluate(() => (window.fake.delay = 1200));
  const busy = (wanted: string) => page.waitForFunction((is) => document.querySelector('.scroller')?.getAttribute('aria-busy') === is, wanted);
  await settle(page);
  for (let round = 0; round < 5; round++) {
    await busy('false');
    await page.waitForTimeout(350);
    await scrollTo(page, 300);
    await busy('true');
    await settle(page);
    const message = await inView(page);
    const before = await resting(page, message);
    expect(before).not.toBeNull();
    await busy('false');
    expect(Math.abs(((await resting(page, message)) ?? -9999) - (before ?? 0)), `round ${round}`).toBeLessThanOrEqual(1);
  }
  await close();
});

test('the unread line is near the top when a room is opened', async () => {
  const { page, close } = await open('/?in=1&big=900&unread=120');
  await enter(page, 'Lounge');
  const line = page.locator('.rule.new');
  await line.waitFor();
  await expect.poll(async () => ((await line.boundingBox())?.y ?? 0) - 64).toBeLessThan(200);
  await page.getByRole('button', { name: /Jump to latest|new message/ }).click();
  await expect.poll(() => fromEnd(page)).toBeLessThanOrEqual(1);
  await close();
});

test('20,000 messages: few nodes, modest memory, no backward step while scrolling up', async () => {
  const { page, faults, close } = await open('/?in=1&big=20000');
  await enter(page, 'Lounge');
  await page.evaluate(() => (window.fake.delay = 0));
  const whole = await page.evaluate(async () => {
    const list = document.querySelector('.scroller') as HTMLElement;
    const pause = () => new Promise((done) => requestAnimationFrame(done));
    // All of the history gets loaded, page by page, as somebody would who never stops. The
    // room's beginning need not stay in the window: what comes in above moves nothing.
    for (let i = 0; i < 4000; i++) {
      if (document.querySelector('.intro')) return true;
      list.scrollTop = 0;
      await pause();
    }
    return false;
  });
  expect(whole).toBe(true);
  const nodes = await page.evaluate(() => document.querySelectorAll('*').length);
  expect(nodes).toBeLessThan(2_500);

  // A person's wheel, upwards through measured and unmeasured rows.
  await page.evaluate(() => ((document.querySelector('.scroller') as HTMLElement).scrollTop = 200_000));
  await settle(page);
  const backwards = await page.evaluate(async () => {
    const list = document.querySelector('.scroller') as HTMLElement;
    let wrong = 0;
    let kept: HTMLElement | null = null;
    let top = 0;
    for (let i = 0; i < 60; i++) {
      const all = [...document.querySelectorAll<HTMLElement>('[data-message]')].filter((el) => el.getBoundingClientRect().top > 150 && el.getBoundingClientRect().top < 500);
      kept = all[0] ?? null;
      top = kept?.getBoundingClientRect().top ?? 0;
      list.scrollTop -= 120;
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
      // What was in view goes down, never up.
      if (kept?.isConnected && kept.getBoundingClientRect().top < top - 1) wrong++;
    }
    return wrong;
  });
  expect(backwards).toBe(0);

  const session = await page.context().newCDPSession(page);
  await session.send('HeapProfiler.collectGarbage');
  const { usedSize } = (await session.send('Runtime.getHeapUsage')) as { usedSize: number };
  console.log(`heap with 20,000 messages, the pretending log included: ${(usedSize / 1048576).toFixed(1)} MiB; nodes ${nodes}`);
  expect(usedSize / 1048576).toBeLessThan(80);
  expect(faults).toEqual([]);
  await close();
});
