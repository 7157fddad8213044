import { describe, expect, test } from 'vitest';
import type { Item } from '../../src/engine/types.gen';
import { compareItems, RowMaker } from '../../src/lib/rows';
import { blankItem } from '../fake/data';

const noon = new Date(2026, 5, 10, 12).getTime();
const item = (cursor: number, some: Partial<Item> = {}): Item => ({ ...blankItem, id: `i${cursor}`, cursor, time: noon + cursor * 60_000, sender: 'ana', name: 'Ana', ...some });
const kinds = (maker: RowMaker, items: Item[], unread = 0) => maker.make(items, unread, false).map((row) => row.kind);

describe('rows', () => {
  test('a day, then messages in groups of one sender within five minutes', () => {
    const rows = new RowMaker().make([item(1), item(2), item(3, { sender: 'ben' }), item(20, { sender: 'ben' })], 0, false);
    expect(rows.map((row) => row.kind)).toEqual(['day', 'message', 'message', 'message', 'message']);
    expect(rows.slice(1).map((row) => row.kind === 'message' && [row.first, row.last])).toEqual([[true, false], [false, true], [true, true], [true, true]]);
  });

  test('two people who joined in a row are one line, an alarm between them is not swallowed', () => {
    const joins = [item(1, { kind: 'joined', names: ['Ana'] }), item(2, { kind: 'joined', names: ['Ben'] })];
    expect(kinds(new RowMaker(), joins)).toEqual(['day', 'system']);
    expect(kinds(new RowMaker(), [joins[0] as Item, item(3, { kind: 'alarm', text: 'x' }), item(4, { kind: 'joined', names: ['Cy'] })])).toEqual(['day', 'system', 'system', 'system']);
  });

  test('the unread line stands before the first unread message of another and cuts its group', () => {
    const rows = new RowMaker().make([item(1), item(2), item(3)], 1, false);
    expect(rows.map((row) => row.kind)).toEqual(['day', 'message', 'unread', 'message', 'message']);
    expect(rows[1]).toMatchObject({ last: true });
    expect(rows[3]).toMatchObject({ first: true });
  });

  test('rows stay the same objects when something is added at the end', () => {
    const maker = new RowMaker();
    const items = [item(1), item(2), item(3, { sender: 'ben' })];
    const before = maker.make(items, 0, false);
    const after = maker.make([...items, item(4, { sender: 'cy' })], 0, false);
    expect(after.slice(0, before.length).every((row, i) => row === before[i])).toBe(true);
  });

  test('what waits comes after the log, in the order of its time', () => {
    const waits = [item(0, { id: 'b', time: 5 }), item(0, { id: 'a', time: 4 })];
    expect([...waits, item(7), item(3)].sort(compareItems).map((one) => one.id)).toEqual(['i3', 'i7', 'a', 'b']);
  });
});
