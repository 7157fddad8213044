import { afterAll, beforeAll } from 'vitest';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';
import { launch } from '../browser.mjs';
import { serve } from '../serve.mjs';

let browser: Browser;
let site: { url: string; close(): Promise<void> };

/** Starts one browser and one server of the pretending app for a test file. */
export function useBrowser(): void {
  beforeAll(async () => {
    site = await serve(new URL('../../.build/fake', import.meta.url).pathname);
    browser = await chromium.launch(launch);
  });
  afterAll(async () => {
    await browser.close();
    await site.close();
  });
}

export interface Opened {
  readonly page: Page;
  /** Page errors, console errors and reports of the content policy: must stay empty. */
  readonly faults: string[];
  close(): Promise<void>;
}

/** Opens the app in a context of its own. */
export async function open(path: string, options: BrowserContextOptions = {}): Promise<Opened> {
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, ...options });
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(`console: ${message.text()}`);
  });
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective} ${event.sourceFile}:${event.lineNumber} ${event.sample}`));
  });
  await page.goto(site.url + path);
  return { page, faults, close: () => context.close() };
}

/** The id of the room with a title. */
export function roomID(page: Page, title: string): Promise<string> {
  return page.evaluate((wanted) => window.fake.rooms().find((room) => room.title === wanted)?.id ?? '', title);
}

/** Goes to a room and waits until its messages are placed. */
export async function enter(page: Page, title: string): Promise<void> {
  await page.locator('nav ul a').first().waitFor({ state: 'attached' });
  const id = await roomID(page, title);
  await page.evaluate((room) => (location.hash = `#/r/${room}`), id);
  await page.locator('[data-message]').first().waitFor();
  await page.locator('.scroller[aria-busy="false"]').waitFor();
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
}
