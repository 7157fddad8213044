const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: 'long' });
const dayMonth = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const dayMonthYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const short = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });

const dayMS = 86_400_000;

/** "14:05" in the reader's own way of writing it. */
export const clockOf = (time: number): string => clock.format(time);

/** Date and time to the second: what hovering shows. */
export const fullOf = (time: number): string => full.format(time);

/** Whole days between two local dates. */
function daysBetween(a: number, b: number): number {
  const midnight = (t: number) => new Date(t).setHours(0, 0, 0, 0);
  return Math.round((midnight(b) - midnight(a)) / dayMS);
}

/** "Today", "Yesterday", "Monday", "Monday, 3 November", "3 November 2025". */
export function dayName(time: number, now = Date.now()): string {
  const ago = daysBetween(time, now);
  if (ago === 0) return 'Today';
  if (ago === 1) return 'Yesterday';
  if (ago > 1 && ago < 7) return weekday.format(time);
  if (new Date(time).getFullYear() === new Date(now).getFullYear()) return dayMonth.format(time);
  return dayMonthYear.format(time);
}

/** The short form for the list of rooms: time today, else the day. */
export function briefOf(time: number, now = Date.now()): string {
  if (time === 0) return '';
  const ago = daysBetween(time, now);
  if (ago === 0) return clock.format(time);
  if (ago === 1) return 'Yesterday';
  if (ago > 1 && ago < 7) return weekday.format(time).slice(0, 3);
  return short.format(time);
}
