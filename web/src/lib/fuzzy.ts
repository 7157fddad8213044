/** Whether the letters of the query appear in the text, in order: enough for a list of rooms. */
export function matches(query: string, text: string): boolean {
  const low = text.toLocaleLowerCase();
  let at = 0;
  for (const c of query.toLocaleLowerCase().replace(/\s+/g, '')) {
    at = low.indexOf(c, at);
    if (at < 0) return false;
    at += c.length;
  }
  return true;
}
