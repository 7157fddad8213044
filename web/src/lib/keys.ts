import type { App } from '../state/app.svelte';
import { route } from '../state/route.svelte';

/** One line of the keyboard map: what binds the key is what the help shows. */
interface Binding {
  readonly keys: string;
  readonly does: string;
  readonly match: (event: KeyboardEvent) => boolean;
  readonly run: (app: App) => void;
}

const plainMod = (event: KeyboardEvent) => (event.ctrlKey || event.metaKey) && !event.altKey;

const bindings: readonly Binding[] = [
  {
    keys: 'Ctrl K',
    does: 'Jump to a room',
    match: (e) => plainMod(e) && !e.shiftKey && e.key.toLowerCase() === 'k',
    run: (app) => (app.dialog = app.dialog?.kind === 'switcher' ? null : { kind: 'switcher' }),
  },
  { keys: 'Alt ↑ / ↓', does: 'Previous / next room', match: (e) => e.altKey && !e.shiftKey && upDown(e), run: () => undefined },
  { keys: 'Alt Shift ↑ / ↓', does: 'Previous / next unread room', match: (e) => e.altKey && e.shiftKey && upDown(e), run: () => undefined },
  { keys: 'Ctrl .', does: 'Show or hide the details', match: (e) => plainMod(e) && e.key === '.', run: () => toggleDetails() },
  { keys: 'Ctrl /', does: 'This list', match: (e) => plainMod(e) && e.key === '/', run: (app) => (app.dialog = { kind: 'keys' }) },
  { keys: 'Ctrl F6', does: 'Next part of the page (with Shift: previous)', match: (e) => e.ctrlKey && e.key === 'F6', run: () => undefined },
];

/** What the composer and the focused message bind; they do so themselves. */
const local: readonly { readonly keys: string; readonly does: string }[] = [
  { keys: 'Enter', does: 'Send (Shift Enter: new line)' },
  { keys: '↑ in an empty composer', does: 'Edit your last message' },
  { keys: 'Ctrl B / I / E', does: 'Bold / italic / code' },
  { keys: 'Esc', does: 'Close; cancel reply or edit; jump to the newest message' },
  { keys: 'Ctrl End', does: 'Newest message' },
  { keys: 'Shift PgUp', does: 'First unread message' },
  { keys: '↑ ↓ or j k, Home, End', does: 'Move between messages, once one has the focus' },
  { keys: 'r  +  e  c  i  Del', does: 'Reply, react, edit, copy, see the sealed form, delete the focused message' },
  { keys: '@ and :', does: 'In a text: find a person or an emoji by name' },
];

export const keyHelp: readonly { readonly keys: string; readonly does: string }[] = [...bindings, ...local];

function upDown(event: KeyboardEvent): boolean {
  return event.key === 'ArrowUp' || event.key === 'ArrowDown';
}

function toggleDetails(): void {
  if (route.place.panel !== '') route.back({ panel: '' });
  else route.go({ panel: route.place.room ? 'members' : 'settings' });
}

/** Goes to the room before or after the one shown. */
function step(app: App, by: number, unread: boolean): void {
  const rooms = app.rooms;
  const at = rooms.findIndex((room) => room.id === route.place.room);
  for (let n = 1; n <= rooms.length; n++) {
    const room = rooms[(at + by * n + rooms.length * 2) % rooms.length];
    if (room && (!unread || room.unread > 0)) {
      route.go({ room: room.id });
      return;
    }
  }
}

const regions = ['rooms', 'room', 'details'];

/** Moves the focus to the next part of the page that is shown. */
function cycle(back: boolean): void {
  const shown = regions
    .map((name) => document.querySelector<HTMLElement>(`[data-region="${name}"]`))
    .filter((el): el is HTMLElement => el !== null && el.offsetParent !== null);
  const at = shown.findIndex((el) => el.contains(document.activeElement));
  const next = shown[(at + (back ? -1 : 1) + shown.length) % shown.length];
  const target = next?.querySelector<HTMLElement>('[aria-current], textarea') ?? next?.querySelector<HTMLElement>('a, button, input, textarea');
  target?.focus();
}

/** The page-wide keys. Whatever is not bound here goes its usual way. */
export function handleKeys(event: KeyboardEvent, app: App): void {
  if (event.isComposing || event.defaultPrevented) return;
  const typing = event.target instanceof HTMLElement && event.target.matches('input, textarea, select');
  if (event.key === '?' && !typing && !event.ctrlKey && !event.altKey && app.dialog === null) {
    event.preventDefault();
    app.dialog = { kind: 'keys' };
    return;
  }
  if (event.key === 'Escape' && app.dialog === null && route.place.panel !== '' && !typing) {
    event.preventDefault();
    route.back({ panel: '' });
    return;
  }
  const found = bindings.find((binding) => binding.match(event));
  if (!found || (app.dialog !== null && app.dialog.kind !== 'switcher')) return;
  event.preventDefault();
  if (upDown(event)) step(app, event.key === 'ArrowUp' ? -1 : 1, event.shiftKey);
  else if (event.key === 'F6') cycle(event.shiftKey);
  else found.run(app);
}
