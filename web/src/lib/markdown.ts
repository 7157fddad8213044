/**
 * A small subset of Markdown, read into plain data that components draw. It
 * never makes HTML, never fetches anything, and loses no character: what is not
 * markup is shown as it was typed.
 */

export type Inline =
  | { readonly t: 'text'; readonly text: string }
  | { readonly t: 'code'; readonly text: string }
  | { readonly t: 'strong'; readonly kids: readonly Inline[] }
  | { readonly t: 'em'; readonly kids: readonly Inline[] }
  | { readonly t: 'del'; readonly kids: readonly Inline[] }
  | { readonly t: 'link'; readonly href: string; readonly host: string; readonly kids: readonly Inline[]; readonly bare: boolean };

export type Block =
  | { readonly t: 'para'; readonly kids: readonly Inline[] }
  | { readonly t: 'quote'; readonly blocks: readonly Block[] }
  | { readonly t: 'list'; readonly ordered: boolean; readonly start: number; readonly items: readonly (readonly Inline[])[] }
  | { readonly t: 'fence'; readonly lang: string; readonly text: string };

/** Quotes and emphasis deeper than this are shown as typed. */
const maxDepth = 4;

/** Messages longer than this are shown as plain text: reading markup must stay cheap. */
const maxLength = 20_000;

export function parse(text: string): readonly Block[] {
  if (text.length > maxLength) return [{ t: 'para', kids: [{ t: 'text', text }] }];
  return blocks(text.split('\n'), 0);
}

function blocks(lines: readonly string[], depth: number): Block[] {
  const out: Block[] = [];
  let para: string[] = [];
  const flush = () => {
    while (para.length > 0 && para[para.length - 1] === '') para.pop();
    if (para.length > 0) out.push({ t: 'para', kids: inline(para.join('\n'), 0) });
    para = [];
  };
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] as string;
    const fence = /^```([\w+#.-]{0,20})\s*$/.exec(line);
    if (fence) {
      const end = lines.indexOf('```', i + 1);
      if (end > 0) {
        flush();
        out.push({ t: 'fence', lang: fence[1] ?? '', text: lines.slice(i + 1, end).join('\n') });
        i = end;
        continue;
      }
    }
    if (/^> ?/.test(line) && depth < maxDepth) {
      const from = i;
      while (i + 1 < lines.length && /^> ?/.test(lines[i + 1] as string)) i++;
      const inner = lines.slice(from, i + 1).map((l) => l.replace(/^> ?/, ''));
      if (inner.some((l) => l.trim() !== '')) {
        flush();
        out.push({ t: 'quote', blocks: blocks(inner, depth + 1) });
      } else {
        para.push(...lines.slice(from, i + 1));
      }
      continue;
    }
    const bullet = /^([-*]) (?=\S)/.exec(line);
    const number = /^(\d{1,9})[.] (?=\S)/.exec(line);
    if (bullet || number) {
      const same = number ? /^\d{1,9}[.] (?=\S)/ : bullet?.[1] === '-' ? /^- (?=\S)/ : /^\* (?=\S)/;
      const items: Inline[][] = [];
      // A list is numbered by its first number; one that does not count upwards is
      // shown as it was typed.
      const start = number ? Number(number[1]) : 1;
      let end = i;
      while (end < lines.length && same.test(lines[end] as string)) {
        if (number && Number(/^\d+/.exec(lines[end] as string)?.[0]) !== start + (end - i)) break;
        items.push(inline((lines[end] as string).replace(same, ''), 0));
        end++;
      }
      flush();
      out.push({ t: 'list', ordered: number !== null, start, items });
      i = end - 1;
      continue;
    }
    if (line === '' && para.length === 0 && out.length > 0 && out[out.length - 1]?.t !== 'para') continue;
    para.push(line);
  }
  flush();
  if (out.length === 0) out.push({ t: 'para', kids: [{ t: 'text', text: lines.join('\n') }] });
  return out;
}

const openers: readonly [string, 'strong' | 'em' | 'del'][] = [
  ['**', 'strong'],
  ['~~', 'del'],
  ['*', 'em'],
  ['_', 'em'],
];

const wordChar = /[\p{L}\p{N}_]/u;

/** Reads marks within a line or paragraph. Work is bounded: each opener looks for its end once. */
export function inline(text: string, depth: number): Inline[] {
  const out: Inline[] = [];
  let plain = '';
  const flush = () => {
    if (plain) out.push({ t: 'text', text: plain });
    plain = '';
  };
  const closed = new Map<string, number>();
  for (let i = 0; i < text.length; ) {
    const c = text[i] as string;
    if (c === '\\' && i + 1 < text.length && '*_~`[]\\'.includes(text[i + 1] as string)) {
      plain += text[i + 1];
      i += 2;
      continue;
    }
    if (c === '`') {
      const end = text.indexOf('`', i + 1);
      if (end > i + 1) {
        flush();
        out.push({ t: 'code', text: text.slice(i + 1, end) });
        i = end + 1;
        continue;
      }
    }
    if ((c === 'h' || c === 'H') && !wordChar.test(text[i - 1] ?? ' ')) {
      const found = bareLink(text, i);
      if (found) {
        flush();
        out.push(found.link);
        i = found.end;
        continue;
      }
    }
    if (c === '[' && depth < maxDepth) {
      const named = namedLink(text, i, depth);
      if (named) {
        flush();
        out.push(named.link);
        i = named.end;
        continue;
      }
    }
    const mark = depth < maxDepth ? openers.find(([m]) => text.startsWith(m, i)) : undefined;
    if (mark) {
      const end = closing(text, i, mark[0], closed);
      if (end > 0) {
        flush();
        out.push({ t: mark[1], kids: inline(text.slice(i + mark[0].length, end), depth + 1) });
        i = end + mark[0].length;
        continue;
      }
      plain += mark[0];
      i += mark[0].length;
      continue;
    }
    plain += c;
    i++;
  }
  flush();
  return out;
}

/** Where the mark that opens at i closes, or 0. A mark holds to its word on the inside, and "_" on the outside too. */
function closing(text: string, i: number, mark: string, none: Map<string, number>): number {
  if ((none.get(mark) ?? text.length + 1) <= i) return 0;
  const first = text[i + mark.length];
  if (first === undefined || /\s/.test(first) || first === mark[0]) return 0;
  if (mark === '_' && wordChar.test(text[i - 1] ?? ' ')) return 0;
  for (let at = text.indexOf(mark, i + mark.length + 1); at > 0; at = text.indexOf(mark, at + 1)) {
    if (/\s/.test(text[at - 1] as string)) continue;
    if (mark.length === 1 && (text[at + 1] === mark || text[at - 1] === mark)) continue;
    if (mark === '_' && wordChar.test(text[at + 1] ?? ' ')) continue;
    return at;
  }
  none.set(mark, i);
  return 0;
}

const urlEnd = /[\s<>"`\u0000-\u001f\u007f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/u;

function bareLink(text: string, i: number): { link: Inline; end: number } | null {
  if (!/^https?:\/\//i.test(text.slice(i, i + 8))) return null;
  let end = i;
  while (end < text.length && !urlEnd.test(text[end] as string)) end++;
  for (; end > i; end--) {
    const last = text[end - 1] as string;
    const spare = last === ')' && count(text, i, end, ')') > count(text, i, end, '(');
    if (!spare && !/[.,:;!?'*_~\]]/.test(last)) break;
  }
  const shown = text.slice(i, end);
  const url = safeURL(shown);
  if (!url) return null;
  return { link: { t: 'link', href: url.href, host: url.host, bare: true, kids: [{ t: 'text', text: shown }] }, end };
}

function namedLink(text: string, i: number, depth: number): { link: Inline; end: number } | null {
  const close = text.indexOf('](', i + 1);
  if (close < 0 || close - i > 500) return null;
  const end = text.indexOf(')', close + 2);
  if (end < 0 || end - close > 2000) return null;
  const label = text.slice(i + 1, close);
  if (label.trim() === '' || label.includes('[') || label.includes('\n')) return null;
  const url = safeURL(text.slice(close + 2, end));
  if (!url) return null;
  return { link: { t: 'link', href: url.href, host: url.host, bare: false, kids: noLinks(inline(label, depth + 1)) }, end: end + 1 };
}

/** A link within a link's name becomes plain again. */
function noLinks(kids: readonly Inline[]): Inline[] {
  return kids.flatMap((kid): Inline[] => {
    if (kid.t === 'link') return noLinks(kid.kids);
    if (kid.t === 'strong' || kid.t === 'em' || kid.t === 'del') return [{ t: kid.t, kids: noLinks(kid.kids) }];
    return [kid];
  });
}

/** An address that may be followed: http or https, with nothing hidden before the host. */
export function safeURL(text: string): URL | null {
  if (!/^https?:\/\/[^/?#\\]/i.test(text) || urlEnd.test(text)) return null;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return null;
  }
  if (url.username !== '' || url.password !== '') return null;
  return url.protocol === 'http:' || url.protocol === 'https:' ? url : null;
}

function count(text: string, from: number, to: number, c: string): number {
  let n = 0;
  for (let i = from; i < to; i++) if (text[i] === c) n++;
  return n;
}
