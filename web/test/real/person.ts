import type { Browser, BrowserContext, Page } from 'playwright-core';

/** Somebody in front of a browser. */
export interface Person {
  readonly name: string;
  readonly context: BrowserContext;
  readonly page: Page;
  readonly faults: string[];
}

/** Watches a page for errors and reports of the content policy. */
export function watch(page: Page, faults: string[]): void {
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`));
  page.on('console', (message) => {
    // A server that is down is no fault of the page.
    if (message.type() === 'error' && !/ERR_CONNECTION_REFUSED|ERR_INTERNET_DISCONNECTED|WebSocket connection|Failed to load resource/.test(message.text())) faults.push(`console: ${message.text()}`);
  });
}

/** Opens a page of its own profile at an address; prepare changes the profile before. */
export async function arrive(browser: Browser, url: string, name = '', prepare?: (context: BrowserContext) => Promise<unknown>): Promise<Person> {
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 } });
  await prepare?.(context);
  // Generous: on a machine that is busy with other tests a handshake takes several tries.
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  const faults: string[] = [];
  watch(page, faults);
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective} ${event.sample}`));
  });
  await page.goto(url);
  return { name, context, page, faults };
}

/** Arrives, types a name and joins as a guest. */
export async function join(browser: Browser, url: string, name: string): Promise<Person> {
  const person = await arrive(browser, url, name);
  await enter(person);
  return person;
}

/** Types the name on the page that was opened, and goes in. */
export async function enter(person: Person): Promise<void> {
  await person.page.fill('#name', person.name);
  await person.page.keyboard.press('Enter');
  await person.page.locator('textarea').waitFor();
}

/** Writes a line in the room that is shown. */
export async function say(person: Person, text: string): Promise<void> {
  await person.page.locator('textarea').fill(text);
  await person.page.locator('textarea').press('Enter');
}

/** Waits until a message with the text is in the timeline of a person. */
export async function hears(person: Person, text: string, timeout = 60_000): Promise<void> {
  await person.page.locator('[data-message]', { hasText: text }).first().waitFor({ timeout });
}

/** Waits until an own message says that the server has it. */
export async function isSent(person: Person, text: string): Promise<void> {
  await person.page.locator('.own [data-message]', { hasText: text }).locator('.state', { hasText: /Sent|Delivered|Read/ }).waitFor();
}
