import type { Member } from '../engine/types.gen';
import { findEmoji } from './emoji';

/** What is being typed before the caret that can be completed. */
export interface Token {
  readonly kind: 'person' | 'emoji';
  readonly query: string;
  /** Where its mark (@ or :) stands. */
  readonly from: number;
}

/** One way to complete it. */
export interface Choice {
  readonly key: string;
  readonly label: string;
  /** What stands before the label: an emoji, or nothing. */
  readonly sign: string;
  readonly insert: string;
}

const most = 7;

/** The token that ends at the caret: "@An", ":par". A colon needs two letters, so that a time or a smiley opens nothing. */
export function tokenAt(text: string, caret: number): Token | null {
  const before = text.slice(0, caret);
  const person = /(?:^|[\s(])@([^\s@:]{0,40})$/u.exec(before);
  if (person) return { kind: 'person', query: person[1] ?? '', from: caret - (person[1] ?? '').length - 1 };
  const emoji = /(?:^|[\s(]):([a-z+]{2,20})$/iu.exec(before);
  if (emoji) return { kind: 'emoji', query: emoji[1] ?? '', from: caret - (emoji[1] ?? '').length - 1 };
  return null;
}

/** What can stand in the token's place. */
export function choices(token: Token | null, members: readonly Member[]): Choice[] {
  if (!token) return [];
  if (token.kind === 'emoji') return findEmoji(token.query, most).map((emoji) => ({ key: emoji.text, label: emoji.words.join(' '), sign: emoji.text, insert: `${emoji.text} ` }));
  const low = token.query.toLocaleLowerCase();
  return members
    .filter((one) => !one.own && one.name.toLocaleLowerCase().split(/\s+/).some((word) => word.startsWith(low)))
    .slice(0, most)
    .map((one) => ({ key: one.user, label: one.tag ? `${one.name} ${one.tag}` : one.name, sign: '', insert: `@${one.name} ` }));
}

/** The text with the token replaced, and where the caret is then. */
export function complete(text: string, token: Token, choice: Choice): { text: string; caret: number } {
  const end = token.from + 1 + token.query.length;
  return { text: text.slice(0, token.from) + choice.insert + text.slice(end), caret: token.from + choice.insert.length };
}
