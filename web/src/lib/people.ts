/** Letters for a person's picture: the first of the first and of the last word. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/u).filter((word) => /[\p{L}\p{N}]/u.test(word));
  const first = (word: string | undefined) => /[\p{L}\p{N}]/u.exec(word ?? '')?.[0] ?? '';
  if (words.length === 0) return '?';
  const letters = words.length > 1 ? first(words[0]) + first(words[words.length - 1]) : first(words[0]);
  return letters.toLocaleUpperCase();
}

/** How many tints there are for people's pictures; app.css names them. */
export const tints = 8;

/** The tint of a person or room: always the same for the same id. */
export function tintOf(id: string): number {
  const head = Number.parseInt(id.slice(0, 6), 16);
  return Number.isNaN(head) ? 0 : head % tints;
}

/** "Ana", "Ana and Ben", "Ana, Ben and Cy", "Ana, Ben and 3 others". */
export function listOf(names: readonly string[]): string {
  const [a, b, c] = names;
  if (a === undefined) return '';
  if (b === undefined) return a;
  if (c === undefined) return `${a} and ${b}`;
  if (names.length === 3) return `${a}, ${b} and ${c}`;
  return `${a}, ${b} and ${names.length - 2} others`;
}
