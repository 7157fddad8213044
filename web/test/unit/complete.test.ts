import { describe, expect, test } from 'vitest';
import type { Member } from '../../src/engine/types.gen';
import { choices, complete, tokenAt } from '../../src/lib/complete';
import { emojis } from '../../src/lib/emoji';

const member = (user: string, name: string, own = false): Member => ({ user, name, own, tag: '', role: 'member', verified: false, changed: false, devices: 1, present: false, delivered: 0, read: 0 });
const people = [member('a', 'Ana'), member('b', 'Ben Ana-Lee'), member('c', 'Anastasia'), member('me', 'Anna', true), member('d', '李雷')];

describe('what is being typed', () => {
  test.each([
    ['hello @An', 'person', 'An', 6],
    ['@', 'person', '', 0],
    ['(@An', 'person', 'An', 1],
    ['nice :par', 'emoji', 'par', 5],
    [':+', null, '', 0],
    ['mail@an', null, '', 0],
    ['at 10:30', null, '', 0],
    ['so :)', null, '', 0],
    ['a :p', null, '', 0],
    ['@An done', null, '', 0],
  ])('%j', (text, kind, query, from) => {
    expect(tokenAt(text, text.length)).toEqual(kind === null ? null : { kind, query, from });
  });

  test('the caret counts, not the end of the text', () => {
    expect(tokenAt('hi @An and more', 6)?.query).toBe('An');
  });
});

test('people are found by any word of their name, never oneself', () => {
  const offered = choices(tokenAt('@an', 3), people).map((one) => one.label);
  expect(offered).toEqual(['Ana', 'Ben Ana-Lee', 'Anastasia']);
});

test('a choice takes the place of the word, and what follows stays', () => {
  const token = tokenAt('hi @An there', 6);
  const [first] = choices(token, people);
  if (!token || !first) throw new Error('nothing was offered');
  expect(complete('hi @An there', token, first)).toEqual({ text: 'hi @Ana  there', caret: 8 });
});

test('every emoji has a name of its own', () => {
  expect(new Set(emojis.map((one) => one.text)).size).toBe(emojis.length);
  expect(emojis.every((one) => one.words.length > 0 && /\p{Extended_Pictographic}/u.test(one.text))).toBe(true);
});
