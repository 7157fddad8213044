import { expect, test } from 'vitest';
import type { Ask } from '../../src/engine/engine';
import type { Event, Item, Room } from '../../src/engine/types.gen';
import { Timeline } from '../../src/state/timeline.svelte';
import { blankEvent, blankItem, blankRoom } from '../fake/data';

const log: Item[] = Array.from({ length: 500 }, (_, i) => ({ ...blankItem, id: `i${i + 1}`, cursor: i + 1, time: i * 1000, sender: 'ana', name: 'Ana', text: `${i + 1}` }));

async function history(ask: Ask): Promise<Event> {
  const limit = ask.limit ?? 60;
  if (ask.before) return { ...blankEvent, items: log.filter((item) => item.cursor < (ask.before ?? 0)).slice(-limit) };
  if (ask.after) return { ...blankEvent, items: log.filter((item) => item.cursor > (ask.after ?? 0)).slice(0, limit) };
  return { ...blankEvent, items: log.slice(-limit) };
}
const room = (some: Partial<Room> = {}): Room => ({ ...blankRoom, id: 'r', cursor: 500, read: 500, ...some });
const ends = (timeline: Timeline) => [timeline.items[0]?.cursor, timeline.items.at(-1)?.cursor, timeline.items.length];

test('opens at the end and loads backwards to the beginning', async () => {
  const timeline = new Timeline('r', history);
  await timeline.open(room());
  expect(ends(timeline)).toEqual([441, 500, 60]);
  await timeline.older();
  expect(ends(timeline)).toEqual([291, 500, 210]);
  expect(timeline.prepended).toBe(true);
  for (let i = 0; i < 10; i++) await timeline.older();
  expect(ends(timeline)).toEqual([1, 500, 500]);
  expect(timeline.whole).toBe(true);
});

test('opens around a far unread mark, and forwards from there', async () => {
  const timeline = new Timeline('r', history);
  await timeline.open(room({ unread: 400, read: 100 }));
  expect(ends(timeline)).toEqual([41, 220, 180]);
  expect(timeline.live).toBe(false);
  timeline.apply({ ...(log[0] as Item), id: 'new', cursor: 501 });
  expect(timeline.items.at(-1)?.cursor).toBe(220);
  for (let i = 0; i < 6; i++) await timeline.newer();
  expect(timeline.live).toBe(true);
  expect(ends(timeline)).toEqual([41, 500, 460]);
});

test('jumping to the latest from far back', async () => {
  const timeline = new Timeline('r', history);
  await timeline.open(room({ unread: 400, read: 100 }));
  await timeline.toLatest();
  expect(ends(timeline)).toEqual([441, 500, 60]);
  expect(timeline.live).toBe(true);
});

test('a message that waits moves to its place when the log has it', async () => {
  const timeline = new Timeline('r', history);
  await timeline.open(room());
  const mine = { ...(log[0] as Item), id: 'mine', own: true, cursor: 0, state: 'waiting' };
  timeline.apply(mine);
  timeline.apply({ ...(log[0] as Item), id: 'theirs', cursor: 501 });
  expect(timeline.items.slice(-2).map((item) => item.id)).toEqual(['theirs', 'mine']);
  timeline.apply({ ...mine, cursor: 502, state: 'sent' });
  timeline.apply({ ...(log[0] as Item), id: 'later', cursor: 503 });
  expect(timeline.items.slice(-3).map((item) => item.id)).toEqual(['theirs', 'mine', 'later']);
  expect(timeline.arrivals).toBe(2);
});
