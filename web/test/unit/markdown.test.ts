import { describe, expect, test } from 'vitest';
import { parse, safeURL, type Block, type Inline } from '../../src/lib/markdown';
import { corpus } from '../corpus';

/** All characters that a reader would see, without what marks them. */
function seen(blocks: readonly Block[]): string {
  const inline = (kids: readonly Inline[]): string =>
    kids.map((kid) => (kid.t === 'text' || kid.t === 'code' ? kid.text : inline(kid.kids))).join('');
  return blocks
    .map((block) => {
      if (block.t === 'fence') return block.text;
      if (block.t === 'quote') return seen(block.blocks);
      if (block.t === 'list') return block.items.map(inline).join('\n');
      return inline(block.kids);
    })
    .join('\n');
}

const only = (text: string): readonly Inline[] => {
  const [block] = parse(text);
  return block?.t === 'para' ? block.kids : [];
};

describe('the subset', () => {
  test.each([
    ['**a**', 'strong'],
    ['*a*', 'em'],
    ['_a_', 'em'],
    ['~~a~~', 'del'],
    ['`a`', 'code'],
  ])('%s is %s', (text, kind) => {
    expect(only(text)).toMatchObject([{ t: kind }]);
  });

  test.each(['snake_case_name', '2 * 3 * 4', '** a **', 'a*', '``', '*', '[x]', '5 > 3', '#1 fan', '-5 degrees', '1.5 metres'])('%s stays text', (text) => {
    expect(seen(parse(text))).toBe(text);
    expect(only(text).every((kid) => kid.t === 'text')).toBe(true);
  });

  test('blocks', () => {
    expect(parse('> a\n> b\nc')).toMatchObject([{ t: 'quote' }, { t: 'para' }]);
    expect(parse('- a\n- b')).toMatchObject([{ t: 'list', ordered: false, items: [{ length: 1 }, { length: 1 }] }]);
    expect(parse('3. a\n4. b')).toMatchObject([{ t: 'list', ordered: true, start: 3 }]);
    expect(parse('```go\n*a*\n```')).toEqual([{ t: 'fence', lang: 'go', text: '*a*' }]);
    expect(parse('```\nno end')).toMatchObject([{ t: 'para' }]);
  });

  test('a list that does not count upwards keeps its numbers', () => {
    expect(parse('1. a\n5. b')).toMatchObject([{ start: 1 }, { start: 5 }]);
  });
});

describe('links', () => {
  test('an address ends before the full stop and the bracket around it', () => {
    expect(only('(see https://a.example/x_(y).)')).toMatchObject([{ text: '(see ' }, { t: 'link', href: 'https://a.example/x_(y)' }, { text: '.)' }]);
  });

  test('a named link shows its host', () => {
    expect(only('[bank](https://evil.example/)')).toMatchObject([{ t: 'link', host: 'evil.example', bare: false }]);
  });

  test.each(['javascript:alert(1)', 'data:text/html,x', 'file:///etc/passwd', 'vbscript:x', 'https://user@evil.example', 'https://a.example\u202e/x', '//evil.example', 'https:evil.example', 'ht\ntps://x.example', ' https://x.example'])(
    'not followed: %s',
    (text) => expect(safeURL(text)).toBeNull(),
  );

  test('a link within a link is one link', () => {
    const [link] = only('[https://bank.example](https://evil.example)');
    expect(link).toMatchObject({ t: 'link', host: 'evil.example', kids: [{ t: 'text', text: 'https://bank.example' }] });
  });
});

describe('hostile input', () => {
  test('nothing that is not a mark gets lost', () => {
    for (const text of corpus) {
      const without = (s: string) => s.replace(/[\s*_~`>\\[\]()-]|\d+\./g, '');
      const links = parse(text).length > 0 ? seen(parse(text)) : '';
      if (!/\]\(https?:/.test(text) && !text.includes('```')) expect(without(links)).toBe(without(text));
    }
  });

  test('is read in time that grows with its length', () => {
    for (const piece of ['*', '_', '**a', '`', '[', '](', '> ', 'http://', '~~', '- ', '*_', '1. ']) {
      const start = performance.now();
      parse(piece.repeat(Math.floor(19_000 / piece.length)));
      expect(performance.now() - start).toBeLessThan(2_000);
    }
  });
});
