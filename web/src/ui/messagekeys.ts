import type { Item } from '../engine/types.gen';
import { isMessage } from '../lib/rows';
import type { App } from '../state/app.svelte';
import { drafts } from '../state/drafts.svelte';

/** Moves the focus between messages; tells whether the key was one of those that do. */
export function stepFocus(event: KeyboardEvent, scroller: HTMLElement | undefined, letters: boolean): boolean {
  if (!scroller || event.ctrlKey || event.metaKey || event.altKey) return false;
  const all = [...scroller.querySelectorAll<HTMLElement>('[data-message]')].sort(
    (a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top,
  );
  const at = all.indexOf(event.target as HTMLElement);
  let to = -1;
  if (event.key === 'ArrowUp' || (letters && event.key === 'k')) to = at - 1;
  else if (event.key === 'ArrowDown' || (letters && event.key === 'j')) to = at + 1;
  else if (event.key === 'Home') to = 0;
  else if (event.key === 'End') to = all.length - 1;
  else return false;
  const next = all[Math.max(0, Math.min(all.length - 1, to))];
  next?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: 'nearest' });
  return true;
}

/** What can be done with a message now. */
export function powers(item: Item): { reply: boolean; react: boolean; edit: boolean; remove: boolean; copy: boolean; sealed: boolean } {
  const inLog = item.cursor > 0 && isMessage(item) && !item.deleted;
  return {
    reply: inLog && item.kind === 'text',
    react: inLog && item.kind === 'text',
    edit: inLog && item.own && item.kind === 'text',
    remove: inLog && item.own,
    copy: item.text !== '' && !item.deleted,
    sealed: item.cursor > 0 && isMessage(item),
  };
}

export type Act = 'reply' | 'react' | 'edit' | 'copy' | 'sealed' | 'delete';

/** Does one of the things that a message's menu offers. */
export function act(app: App, item: Item, what: Act): void {
  switch (what) {
    case 'reply':
      drafts.reply(item);
      break;
    case 'react':
      app.dialog = { kind: 'react', item };
      break;
    case 'edit':
      drafts.edit(item);
      break;
    case 'copy':
      navigator.clipboard.writeText(item.text).then(
        () => app.toast('Copied.'),
        () => app.toast('The browser did not allow copying.', '', true),
      );
      break;
    case 'sealed':
      app.dialog = { kind: 'sealed', item };
      break;
    case 'delete':
      void app.try({ op: 'delete', room: item.room, message: item.id });
      break;
  }
}

/** The single keys of a focused message. Letters can be switched off in the settings. */
export function messageKey(event: KeyboardEvent, app: App, item: Item, letters: boolean): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const can = powers(item);
  if (event.key === 'Delete' && can.remove) act(app, item, 'delete');
  else if (!letters) return false;
  else if (event.key === 'r' && can.reply) act(app, item, 'reply');
  else if (event.key === '+' && can.react) act(app, item, 'react');
  else if (event.key === 'e' && can.edit) act(app, item, 'edit');
  else if (event.key === 'c' && can.copy) act(app, item, 'copy');
  else if (event.key === 'i' && can.sealed) act(app, item, 'sealed');
  else return false;
  return true;
}
