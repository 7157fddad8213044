import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { chromium, type Browser } from 'playwright-core';
import { launch } from '../browser.mjs';
import { corpus } from '../corpus';
import { arrive, hears, isSent, join, say, watch, type Person } from './person';
import { noWebSocket } from './proxy';
import { serve, terminal, type Running } from './server';

let browser: Browser;
let server: Running;
let people: Person[] = [];

beforeAll(async () => {
  browser = await chromium.launch(launch);
});
afterAll(() => browser.close());
beforeEach(async () => {
  server = await serve();
});
afterEach(async (context) => {
  if (context.task.result?.state === 'fail') console.log(server.log().split('\n').slice(-30).join('\n'));
  for (const person of people) await person.context.close();
  people = [];
  await server.stop();
});

async function guest(name: string, url = server.url): Promise<Person> {
  const person = await join(browser, url, name);
  people.push(person);
  return person;
}

const faults = () => people.flatMap((person) => person.faults.map((fault) => `${person.name}: ${fault}`));

test('the conversation of the original idea, with a reload in the middle', async () => {
  const uzair = await guest('Uzair');
  await uzair.page.getByText('Connected as Uzair. Messages here are end-to-end encrypted: only people in this room can read them.').first().waitFor();
  const ana = await guest('Ana');
  await uzair.page.getByText('Ana has joined the chat').waitFor();
  await say(uzair, 'Hello Ana, who can read this?');
  await hears(ana, 'Hello Ana, who can read this?');
  await say(ana, 'You and I. The server has **bytes**.');
  await hears(uzair, 'You and I. The server has bytes.');
  await isSent(uzair, 'Hello Ana');
  expect(await uzair.page.locator('.own [data-message]', { hasText: 'Hello Ana' }).getAttribute('aria-label')).toMatch(/^You, /);
  expect(await ana.page.locator('[data-message]', { hasText: 'Hello Ana' }).getAttribute('aria-label')).toMatch(/^Uzair, /);

  await ana.page.locator('textarea').press('ArrowUp');
  await ana.page.getByText('Editing your message').waitFor();
  await ana.page.locator('textarea').fill('You and I. The server has bytes, and no key.');
  await ana.page.locator('textarea').press('Enter');
  await hears(uzair, 'The server has bytes, and no key.');
  expect(await uzair.page.locator('[data-message]').count()).toBe(2);
  expect(await uzair.page.locator('[data-message]', { hasText: 'no key' }).getByText('edited').count()).toBe(1);

  await uzair.page.reload();
  await hears(uzair, 'The server has bytes, and no key.');
  await say(uzair, 'Back after a reload.');
  await hears(ana, 'Back after a reload.');
  await say(ana, 'Welcome back.');
  await hears(uzair, 'Welcome back.');

  // What the server sees: bytes beside the words, and the words nowhere in them.
  await uzair.page.locator('[data-message]', { hasText: 'Welcome back.' }).focus();
  await uzair.page.keyboard.press('i');
  await uzair.page.locator('dialog .bytes').nth(1).waitFor();
  const bytes = (await uzair.page.locator('dialog .bytes').allTextContents()).join(' ').replace(/[^0-9a-f]/g, '');
  expect(bytes.length).toBeGreaterThan(400);
  expect(bytes).not.toContain(Buffer.from('Welcome').toString('hex'));
  await uzair.page.keyboard.press('Escape');

  const shot = process.env['SHOT'];
  if (shot) await uzair.page.screenshot({ path: shot });

  // Both see the same safety number.
  const numbers: string[] = [];
  for (const one of [uzair, ana]) {
    await one.page.getByRole('button', { name: 'People and details' }).click();
    await one.page.locator('[data-user]:not([disabled])').first().click();
    await one.page.locator('.number').waitFor();
    numbers.push(await one.page.locator('.number').innerText());
  }
  expect(numbers[0]).toBe(numbers[1]);
  expect(numbers[0]?.replace(/\D/g, '')).toHaveLength(60);
  await ana.page.getByRole('button', { name: 'The numbers are the same' }).click();
  await ana.page.getByText('You verified Uzair').waitFor();

  expect(server.log()).not.toMatch(/Hello Ana|Welcome back/);
  expect(faults()).toEqual([]);
});

test('two browsers and one terminal in one conversation', async () => {
  const uzair = await guest('Uzair');
  const ana = await guest('Ana');
  await hearsJoin(uzair, 'Ana');
  const ben = terminal(server, 'Ben');
  try {
    await hearsJoin(uzair, 'Ben');
    await hearsJoin(ana, 'Ben');
    await say(uzair, 'hello to the terminal');
    await ben.shows('hello to the terminal');
    ben.type('hello to the browsers');
    await hears(uzair, 'hello to the browsers');
    await hears(ana, 'hello to the browsers');
    expect(await ana.page.locator('[data-message]', { hasText: 'hello to the browsers' }).getAttribute('aria-label')).toMatch(/^Ben, /);
  } finally {
    await ben.close();
  }
  expect(faults()).toEqual([]);
});

test('a terminal opens a link that a browser made, asks, is let in, and what it shows counts as read', async () => {
  const sam = await guest('Sam');
  await sam.page.getByRole('button', { name: 'Create a room' }).click();
  await sam.page.locator('dialog input').first().fill('Club');
  await sam.page.keyboard.press('Enter');
  await sam.page.getByRole('heading', { name: 'Club', level: 1 }).waitFor();
  await sam.page.getByRole('button', { name: 'Invite people' }).click();
  await sam.page.getByLabel(/An admin lets each person in/).check();
  await sam.page.getByRole('button', { name: 'Make a link' }).click();
  const link = (await sam.page.locator('.made .code').textContent()) ?? '';
  expect(link.startsWith(`${server.url}/j/`)).toBe(true);
  const ben = terminal(server, 'Ben', link);
  try {
    await ben.shows('You have asked to come in.');
    await sam.page.getByText('Ben asks to come into Club.').waitFor();
    await sam.page.getByRole('button', { name: 'People and details, 1 ask to come in' }).click();
    await sam.page.getByRole('button', { name: 'Let Ben in' }).click();
    await ben.shows('You are in Club (2 people).');
    ben.type('thank you');
    await hears(sam, 'thank you');
    await say(sam, 'did you read this?');
    await ben.shows('Sam: did you read this?');
    await sam.page.locator('.own [data-message]', { hasText: 'did you read this?' }).locator('.state', { hasText: 'Read' }).waitFor();
    await sam.page.getByText('1 here now').waitFor();
  } finally {
    await ben.close();
  }
  expect(faults()).toEqual([]);
});

test('the server goes away: what is written waits, and goes out once when it is back', async () => {
  const uzair = await guest('Uzair');
  const ana = await guest('Ana');
  await uzair.page.getByText('Ana has joined the chat').waitFor();
  await say(ana, 'before');
  await hears(uzair, 'before');
  const coming = server.restart();
  await say(uzair, 'written while the server was away');
  await uzair.page.locator('.own [data-message]', { hasText: 'written while' }).waitFor();
  await coming;
  await hears(ana, 'written while the server was away');
  await isSent(uzair, 'written while');
  expect(await ana.page.locator('[data-message]', { hasText: 'written while' }).count()).toBe(1);
  expect(faults()).toEqual([]);
});

test('two tabs: one engine, both work, and the second goes on when the first closes', async () => {
  const uzair = await guest('Uzair');
  const ana = await guest('Ana');
  await hearsJoin(uzair, 'Ana');
  const second = await uzair.context.newPage();
  watch(second, uzair.faults);
  await second.goto(server.url);
  await second.getByText('Another tab is in charge here').waitFor();
  await second.locator('textarea').fill('from the second tab');
  await second.locator('textarea').press('Enter');
  await hears(uzair, 'from the second tab');
  await hears(ana, 'from the second tab');
  await uzair.page.close();
  await second.getByText('Another tab is in charge here').waitFor({ state: 'detached' });
  await second.locator('textarea').fill('the first tab is gone');
  await second.locator('textarea').press('Enter');
  await hears(ana, 'the first tab is gone');
  expect(await ana.page.locator('[data-message]', { hasText: 'from the second tab' }).count()).toBe(1);
  expect(faults()).toEqual([]);
});

test('a proxy that blocks WebSocket: long polling carries the same', async () => {
  const proxy = await noWebSocket(server.url);
  const uzair = await guest('Uzair', proxy.url);
  const ana = await guest('Ana');
  await say(uzair, 'over polling');
  await hears(ana, 'over polling');
  await say(ana, 'and back');
  await hears(uzair, 'and back');
  expect(proxy.refused()).toBeGreaterThan(0);
  await uzair.context.close();
  people = people.filter((person) => person !== uzair);
  await proxy.stop();
});

test('a room by link; its admin removes a member, who reads no further', async () => {
  const uzair = await guest('Uzair');
  await uzair.page.getByRole('button', { name: 'Create a room' }).first().click();
  await uzair.page.fill('#room-title', 'Family');
  await uzair.page.getByText('Those I send a link').click();
  await uzair.page.getByRole('button', { name: 'Create', exact: true }).click();
  await uzair.page.getByRole('heading', { name: 'Family', level: 1 }).waitFor();
  await uzair.page.getByRole('button', { name: 'Invite people' }).click();
  await uzair.page.getByRole('button', { name: 'Make a link' }).click();
  const link = await uzair.page.locator('.made .code').innerText();
  expect(link).toContain('#');
  // The link opens the page of this server, whatever address it was made for.
  const there = new URL(link, server.url);
  const mira = await arrive(browser, `${server.url}${there.pathname}${there.hash}`, 'Mira');
  people.push(mira);
  await mira.page.getByRole('heading', { name: 'You are invited' }).waitFor();
  expect(mira.page.url()).not.toContain(there.hash.slice(-16));
  await mira.page.fill('#name', 'Mira');
  await mira.page.keyboard.press('Enter');
  await mira.page.getByRole('heading', { name: 'Family', level: 1 }).waitFor();
  await uzair.page.getByText('Mira has joined the chat').or(uzair.page.getByText(/Mira joined the chat/)).first().waitFor();
  await say(uzair, 'for family only');
  await hears(mira, 'for family only');
  await say(mira, 'here I am');
  await hears(uzair, 'here I am');

  await uzair.page.getByRole('button', { name: 'People and details' }).click();
  await uzair.page.locator('[data-user]', { hasText: 'Mira' }).click();
  await uzair.page.getByRole('button', { name: 'Remove from the room' }).click();
  await uzair.page.getByRole('button', { name: 'Remove Mira' }).click();
  await uzair.page.getByText(/removed Mira|Mira was removed/).first().waitFor();
  await mira.page.getByText('You are no longer in this room.').waitFor();
  await say(uzair, 'after Mira');
  await isSent(uzair, 'after Mira');
  expect(await mira.page.getByText('after Mira').count()).toBe(0);
  expect(faults()).toEqual([]);
});

test('an account, and a second browser that waits for approval', async () => {
  const first = await arrive(browser, server.url, 'first');
  people.push(first);
  await first.page.getByRole('button', { name: 'Create an account' }).click();
  await first.page.fill('#name', 'Uzair');
  await first.page.fill('#login', 'uzair');
  await first.page.fill('#password', 'correct horse battery staple');
  await first.page.keyboard.press('Enter');
  await first.page.locator('textarea').waitFor();
  await say(first, 'from the first browser');
  await isSent(first, 'from the first browser');

  const second = await arrive(browser, server.url, 'second');
  people.push(second);
  await second.page.getByRole('button', { name: 'Sign in' }).click();
  await second.page.fill('#login', 'uzair');
  await second.page.fill('#password', 'wrong');
  await second.page.keyboard.press('Enter');
  await second.page.getByText('Wrong name or password.').waitFor();
  await second.page.fill('#password', 'correct horse battery staple');
  await second.page.keyboard.press('Enter');
  await second.page.locator('.big').waitFor();
  const code = (await second.page.locator('.big').innerText()).replace(/\s/g, '');
  expect(code).toHaveLength(16);

  await first.page.getByRole('button', { name: 'Settings and security' }).click();
  await first.page.getByRole('button', { name: /^Devices/ }).click();
  await first.page.fill('#approve', code);
  await first.page.getByRole('button', { name: 'Approve' }).click();
  await second.page.locator('nav').waitFor();
  await second.page.getByRole('link', { name: /Lounge/ }).click();
  await say(first, 'both of us');
  await hears(second, 'both of us');
  expect(faults()).toEqual([]);
});

test('log out and erase: the keys are gone, and the page begins anew', async () => {
  const uzair = await guest('Uzair');
  await say(uzair, 'soon forgotten');
  await isSent(uzair, 'soon forgotten');
  await uzair.page.getByRole('button', { name: 'Settings and security' }).click();
  await uzair.page.getByRole('button', { name: 'Log out…' }).click();
  await uzair.page.getByText('This device may hold the only copy of your keys.').waitFor();
  await uzair.page.getByRole('button', { name: 'Log out and erase' }).click();
  await uzair.page.locator('#name').waitFor();
  await uzair.page.reload();
  await uzair.page.locator('#name').waitFor();
  await uzair.page.fill('#name', 'Somebody else');
  await uzair.page.keyboard.press('Enter');
  await uzair.page.locator('textarea').waitFor();
  expect(await uzair.page.getByText('soon forgotten').count()).toBe(0);
  expect(faults()).toEqual([]);
});

describe('hostile people', () => {
  test('names and texts through the real engine: shown as typed, nothing runs', async () => {
    const uzair = await guest('Uzair');
    const mallory = await guest('<img src=x onerror=1>');
    await uzair.page.getByText('<img src=x onerror=1> has joined the chat').waitFor();
    for (const text of corpus.filter((one) => /window\.pwned/.test(one)).slice(0, 12)) {
      await say(mallory, `\`${text.replace(/`/g, '')}\``);
      await hears(uzair, text.replace(/`/g, ''));
    }
    expect(await uzair.page.evaluate(() => (window as unknown as { pwned?: number }).pwned)).toBeUndefined();
    expect(faults()).toEqual([]);
  });
});

async function hearsJoin(person: Person, name: string): Promise<void> {
  // People who come one after the other share a line.
  await person.page.locator('.happened', { hasText: new RegExp(`${name} (has|have) joined the chat`) }).waitFor();
}
