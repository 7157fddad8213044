// Draws the main screens at three widths in both themes, to be looked at:
// node test/shots.mjs FOLDER
import { mkdirSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { launch } from './browser.mjs';
import { serve } from './serve.mjs';

const to = process.argv[2] ?? '.build/shots';
const only = process.argv[3] ?? '';
mkdirSync(to, { recursive: true });
const site = await serve(new URL('../.build/fake', import.meta.url).pathname);
const browser = await chromium.launch(launch);
const lounge = async (page) => {
  await page.waitForSelector('nav ul a', { state: 'attached' });
  return page.evaluate(() => window.fake.rooms().find((r) => r.mode === 'open').id);
};

const scenes = {
  join: { url: '/' },
  room: { url: '/?in=1', do: async (page) => { const id = await lounge(page); await page.evaluate((id) => (location.hash = `#/r/${id}`), id); await page.waitForSelector('[data-message]'); } },
  rooms: { url: '/?in=1', do: async (page) => { await page.waitForSelector('nav ul a'); } },
  members: { url: '/?in=1', do: async (page) => { const id = await lounge(page); await page.evaluate((id) => (location.hash = `#/r/${id}/members`), id); await page.waitForSelector('[data-user]'); } },
  person: { url: '/?in=1', do: async (page) => { const id = await lounge(page); await page.evaluate((id) => (location.hash = `#/r/${id}/members`), id); await page.click('[data-user]:not([disabled])'); await page.waitForSelector('.number'); } },
  sealed: { url: '/?in=1', do: async (page) => { const id = await lounge(page); await page.evaluate((id) => (location.hash = `#/r/${id}`), id); await page.waitForSelector('[data-message]'); await page.locator('[data-message]').last().focus(); await page.keyboard.press('i'); await page.waitForSelector('.bytes'); } },
  settings: { url: '/?in=1', do: async (page) => { await page.waitForSelector('nav ul a'); await page.evaluate(() => (location.hash = '#/p/settings')); await page.waitForSelector('#theme'); } },
  security: { url: '/?in=1', do: async (page) => { await page.waitForSelector('nav ul a'); await page.evaluate(() => (location.hash = '#/p/security')); await page.waitForSelector('aside dl'); } },
  code: { url: '/', do: async (page) => { await page.getByRole('button', { name: 'Sign in' }).click(); await page.fill('#login', 'uzair'); await page.fill('#password', 'x'); await page.locator('form .main').click(); await page.waitForSelector('.big'); } },
  invite: { url: '/?in=1', do: async (page) => { await page.waitForSelector('nav ul a'); const id = await page.evaluate(() => window.fake.rooms().find((r) => r.title === 'Family').id); await page.evaluate((id) => (location.hash = `#/r/${id}/invite`), id); await page.waitForSelector('#uses'); } },
};

for (const [name, scene] of Object.entries(scenes)) {
  if (only && !only.split(',').includes(name)) continue;
  for (const theme of ['light', 'dark']) {
    for (const width of [360, 768, 1440]) {
      const context = await browser.newContext({ viewport: { width, height: width === 360 ? 740 : 900 }, colorScheme: theme, deviceScaleFactor: 1 });
      const page = await context.newPage();
      page.on('pageerror', (error) => console.log(name, 'page error', error.message));
      page.on('console', (m) => ['error', 'warning'].includes(m.type()) && console.log(name, m.text()));
      await page.goto(site.url + scene.url);
      try {
        if (scene.do) await scene.do(page);
        await page.waitForTimeout(350);
      } catch (error) {
        console.log(name, theme, width, error.message.split('\n')[0]);
      }
      await page.screenshot({ path: `${to}/${name}-${theme}-${width}.png` });
      await context.close();
    }
  }
}
await browser.close();
await site.close();
