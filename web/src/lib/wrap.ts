/** Puts a mark around what is selected (or takes it off again) and returns the whole text. */
export function wrapSelection(area: HTMLTextAreaElement, mark: string): string {
  const { selectionStart: from, selectionEnd: to, value } = area;
  const before = value.slice(0, from);
  const middle = value.slice(from, to);
  const after = value.slice(to);
  const on = before.endsWith(mark) && after.startsWith(mark);
  const next = on
    ? before.slice(0, -mark.length) + middle + after.slice(mark.length)
    : before + mark + middle + mark + after;
  const at = on ? from - mark.length : from + mark.length;
  area.value = next;
  area.setSelectionRange(at, at + middle.length);
  return next;
}
