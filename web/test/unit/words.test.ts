import { describe, expect, test } from 'vitest';
import type { Conn } from '../../src/engine/types.gen';
import { grouped, sizeOf } from '../../src/lib/bytes';
import { matches } from '../../src/lib/fuzzy';
import { initials, listOf } from '../../src/lib/people';
import { dayName } from '../../src/lib/time';
import { connectionWords, systemWords } from '../../src/lib/words';
import { blankItem } from '../fake/data';

const conn = (state: string, waiting = 0): Conn => ({ state, reason: '', retryMS: 0, waiting, firstUse: false, fingerprint: '' });

describe('connection', () => {
  test.each([
    [conn('connected'), 0, 'Connected'],
    [conn('connecting'), 0, 'Connecting…'],
    [conn('reconnecting'), 4, 'Reconnecting in 4 s'],
    [conn('offline', 2), 0, 'Offline: 2 messages waiting'],
    [conn('offline', 1), 0, 'Offline: 1 message waiting'],
    [conn('signed-out'), 0, 'Signed out'],
    [conn('update-needed'), 0, 'Update needed'],
  ])('%s', (state, seconds, text) => expect(connectionWords(state, seconds).text).toBe(text));
});

describe('what happened', () => {
  const joined = (name: string, by = '') => ({ ...blankItem, kind: 'joined', names: [name], by });
  test.each([
    [[joined('Ana')], 'Ana has joined the chat'],
    [[joined('Mira', 'Sam')], 'Mira joined the chat, added by Sam'],
    [[joined('Ana'), joined('Ben'), joined('Cy'), joined('Di'), joined('Ed')], 'Ana, Ben and 3 others have joined the chat'],
    [[{ ...blankItem, kind: 'removed', names: ['Ben'], by: 'Ana' }], 'Ana removed Ben'],
    [[{ ...blankItem, kind: 'left', names: ['Ben'] }], 'Ben left the chat'],
  ])('%#', (items, text) => expect(systemWords(items)).toBe(text));
});

test('small things', () => {
  expect(initials('Tomás  Ferreira')).toBe('TF');
  expect(initials('\u202e!')).toBe('?');
  expect(initials('李雷')).toBe('李');
  expect(listOf(['a', 'b', 'c'])).toBe('a, b and c');
  expect(grouped('12345 67890', 5)).toEqual(['12345', '67890']);
  expect([sizeOf(1), sizeOf(1536)]).toEqual(['1 byte', '1.5 KiB']);
  expect([matches('clt', 'Climbing on Thursday'), matches('xyz', 'Lounge')]).toEqual([true, false]);
});

test('days are named as people name them', () => {
  const now = new Date(2026, 2, 29, 9).getTime();
  expect(dayName(now - 3_600_000, now)).toBe('Today');
  expect(dayName(new Date(2026, 2, 28, 23, 59).getTime(), now)).toBe('Yesterday');
  expect(dayName(new Date(2025, 2, 1).getTime(), now)).toMatch(/2025/);
});
