import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
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

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Violations of WCAG 2.2 AA and best practice on what is shown now. The rules run in an isolated world, which the page's policy does not govern. */
export async function axe(page: Page): Promise<string[]> {
  const session = await page.context().newCDPSession(page);
  const { frameTree } = (await session.send('Page.getFrameTree')) as { frameTree: { frame: { id: string } } };
  const { executionContextId } = (await session.send('Page.createIsolatedWorld', { frameId: frameTree.frame.id })) as { executionContextId: number };
  const run = async (expression: string) => {
    const answer = (await session.send('Runtime.evaluate', { expression, contextId: executionContextId, awaitPromise: true, returnByValue: true })) as { result: { value: unknown }; exceptionDetails?: unknown };
    if (answer.exceptionDetails) throw new Error(JSON.stringify(answer.exceptionDetails).slice(0, 500));
    return answer.result.value;
  };
  await run(axeSource + '; 0');
  const found = await run(`axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.target.join(' ') + ' ' + (n.any[0]?.message ?? '')).slice(0, 4).join(' | ')))`);
  await session.detach();
  return found as string[];
}
