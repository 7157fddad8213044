import { expect, test } from 'vitest';
import { axe, enter, open, roomID, useBrowser } from './page';

useBrowser();

test('an admin sees who asks to come in, lets one in and turns one away', async () => {
  const { page, faults, close } = await open('/?in=1');
  await enter(page, 'Family');
  const hostile = '<img src=x onerror=alert(1)> approve me';
  await page.evaluate((name) => {
    window.fake.knock('Family', 'Dana');
    window.fake.knock('Family', name);
  }, hostile);
  await page.getByText('Dana asks to come into Family.').waitFor();
  await page.getByRole('button', { name: 'People and details, 2 ask to come in' }).click();
  const requests = page.getByRole('region', { name: 'Requests to come in' });
  await requests.getByText('2 people ask to come in').waitFor();
  expect(await requests.locator('strong').allTextContents()).toEqual(['Dana', hostile]);
  expect(await requests.locator('img').count()).toBe(0);
  await requests.getByText('Safety number').first().click();
  await requests.getByText('48213 90017').first().waitFor();
  expect(await axe(page)).toEqual([]);
  await requests.getByRole('button', { name: 'Let Dana in' }).click();
  await requests.getByText('One person asks to come in').waitFor();
  await page.locator('[data-user]', { hasText: 'Dana' }).waitFor();
  await requests.getByRole('button', { name: 'Decline' }).click();
  await requests.waitFor({ state: 'detached' });
  expect(await page.locator('[data-user]', { hasText: 'approve me' }).count()).toBe(0);
  expect(faults).toEqual([]);
  await close();
});

test('who asks sees what they wait for, and what became of it', async () => {
  const { page, faults, close } = await open('/?in=1');
  await page.locator('nav ul a').first().waitFor();
  const id = await roomID(page, 'Climbing on Thursday');
  await page.evaluate(() => window.fake.alter('Climbing on Thursday', { state: 'asking', blocked: 'Waiting until an admin of this room lets you in.' }));
  await page.evaluate((room) => (location.hash = `#/r/${room}`), id);
  await page.getByRole('heading', { name: 'You have asked to come in' }).waitFor();
  expect(await page.locator('textarea').count()).toBe(0);
  await page.evaluate(() => window.fake.alter('Climbing on Thursday', { state: 'refused', blocked: 'You were not let in.' }));
  await page.getByText('You were not let in.').waitFor();
  await page.evaluate(() => window.fake.alter('Climbing on Thursday', { state: 'member', blocked: '' }));
  await page.locator('textarea').waitFor();
  expect(faults).toEqual([]);
  await close();
});

test('a message is delivered and read, people are here, and off hides it', async () => {
  const { page, faults, close } = await open('/?in=1');
  await enter(page, 'Family');
  await page.locator('textarea').fill('has anybody seen this?');
  await page.keyboard.press('Enter');
  const state = page.locator('.own .message, .own', { hasText: 'has anybody seen this?' }).locator('.state').last();
  await expect.poll(() => state.textContent()).toContain('Sent');
  const reach = (to: { delivered?: number; seen?: number; present?: number }) =>
    page.evaluate((some) => {
      const cursor = window.fake.rooms().find((room) => room.title === 'Family')?.cursor ?? 0;
      window.fake.alter('Family', { ...(some.delivered ? { delivered: cursor } : {}), ...(some.seen ? { seen: cursor } : {}), ...(some.present === undefined ? {} : { present: some.present }) });
    }, to);
  await reach({ delivered: 1, present: 1 });
  await expect.poll(() => state.textContent()).toContain('Delivered');
  await page.getByText('1 here now').waitFor();
  await page.evaluate(() => {
    const cursor = window.fake.rooms().find((room) => room.title === 'Family')?.cursor ?? 0;
    window.fake.stands('Family', 'Ana', { present: true, read: cursor });
  });
  await reach({ seen: 1 });
  await expect.poll(() => state.textContent()).toContain('Read');
  await page.getByRole('button', { name: 'People and details' }).click();
  const ana = page.locator('[data-user]', { hasText: 'Ana' });
  await ana.getByText('Here now').waitFor();
  await ana.getByText('Has read your last message').waitFor();
  await page.getByLabel('Who is here, who is typing, who has read what').selectOption('off');
  await expect.poll(() => state.textContent()).toContain('Sent');
  await page.getByText('1 here now').waitFor({ state: 'detached' });
  expect(faults).toEqual([]);
  await close();
});

test('who is removed can be kept out, and let back', async () => {
  const { page, faults, close } = await open('/?in=1');
  await enter(page, 'Family');
  await page.getByRole('button', { name: 'People and details' }).click();
  await page.locator('[data-user]', { hasText: 'Ana' }).click();
  await page.getByRole('button', { name: 'Remove from the room' }).click();
  await page.getByLabel(/Keep them out/).check();
  await page.getByRole('button', { name: 'Remove Ana' }).click();
  const bans = page.getByRole('region', { name: 'Banned from this room' });
  await bans.getByText('Ana').waitFor();
  await bans.getByRole('button', { name: 'Lift the ban' }).click();
  await bans.waitFor({ state: 'detached' });
  expect(faults).toEqual([]);
  await close();
});

test('whoever signed out comes back with the keys of this browser', async () => {
  const { page, faults, close } = await open('/?in=1');
  await enter(page, 'Lounge');
  await page.evaluate((id) => (location.hash = `#/r/${id}/settings`), await roomID(page, 'Lounge'));
  await page.getByRole('button', { name: 'Log out…' }).click();
  await page.getByRole('button', { name: 'Log out', exact: true }).click();
  const again = page.getByRole('button', { name: /^Sign in again/ });
  await again.waitFor();
  expect(await axe(page)).toEqual([]);
  await again.click();
  await page.locator('nav ul a').first().waitFor();
  expect(faults).toEqual([]);
  await close();
});
