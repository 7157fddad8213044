import type { Conn, Item, Room } from '../engine/types.gen';
import { listOf } from './people';

/** The state of the connection in words, and how it is marked. */
export function connectionWords(conn: Conn, seconds: number): { text: string; tone: 'good' | 'busy' | 'bad'; retry: boolean } {
  const waiting = conn.waiting > 0 ? `: ${conn.waiting} ${conn.waiting === 1 ? 'message' : 'messages'} waiting` : '';
  switch (conn.state) {
    case 'connected':
      return { text: 'Connected', tone: 'good', retry: false };
    case 'connecting':
      return { text: 'Connecting…', tone: 'busy', retry: false };
    case 'reconnecting':
      return { text: seconds > 0 ? `Reconnecting in ${seconds} s${waiting}` : `Reconnecting…${waiting}`, tone: 'busy', retry: seconds > 1 };
    case 'offline':
      return { text: `Offline${waiting}`, tone: 'bad', retry: true };
    case 'signed-out':
      return { text: 'Signed out', tone: 'bad', retry: false };
    case 'update-needed':
      return { text: 'Update needed', tone: 'bad', retry: false };
    case 'untrusted':
      return { text: 'Not the server we know', tone: 'bad', retry: false };
    default:
      return { text: conn.state, tone: 'bad', retry: false };
  }
}

/** What happened, as one sentence. items are of one kind; names are as their owners wrote them. */
export function systemWords(items: readonly Item[]): string {
  const item = items[0];
  if (!item) return '';
  const names = items.flatMap((one) => (one.names.length > 0 ? one.names : one.name ? [one.name] : []));
  const who = listOf(names);
  switch (item.kind) {
    case 'joined':
      return item.by ? `${who} joined the chat, added by ${item.by}` : `${who} ${names.length > 1 ? 'have' : 'has'} joined the chat`;
    case 'left':
      return `${who} left the chat`;
    case 'removed':
      return item.by ? `${item.by} removed ${who}` : `${who} ${names.length > 1 ? 'were' : 'was'} removed`;
    case 'created':
      return item.name ? `${item.name} created the room` : 'The room was created';
    case 'title':
      return item.name ? `${item.name} named the room “${item.text}”` : `The room is now called “${item.text}”`;
    case 'role':
      return item.text;
    default:
      return item.text || who;
  }
}

/** A room's name: people's own words, or what it is. */
export function roomName(room: Pick<Room, 'title' | 'mode'>): string {
  return room.title || (room.mode === 'open' ? 'Lounge' : room.mode === 'direct' ? 'Direct chat' : room.mode === '' ? 'A room' : 'Untitled room');
}

/** Who may come in, in a few words. */
export function modeWords(room: Pick<Room, 'mode' | 'members'>): string {
  const people = room.members === 1 ? 'Only you' : `${room.members} people`;
  switch (room.mode) {
    case 'open':
      return `${people} · anyone on this server can join`;
    case 'link':
      return `${people} · by invitation or link`;
    case 'direct':
      return 'Just the two of you';
    default:
      return `${people} · by invitation`;
  }
}

/** The state of an own message: an icon's name and its word. What others have got and read is the room's to say. */
export function stateWords(item: Item, offline: boolean, reach: Pick<Room, 'delivered' | 'seen'>): { icon: 'clock' | 'arrow' | 'check' | 'read' | 'alert'; text: string } {
  switch (item.state) {
    case 'waiting':
      return offline ? { icon: 'clock', text: 'Waiting for connection' } : { icon: 'arrow', text: 'Sending' };
    case 'failed':
      return { icon: 'alert', text: item.reason ? `Not sent: ${item.reason}` : 'Not sent' };
    default:
      if (item.cursor > 0 && item.cursor <= reach.seen) return { icon: 'read', text: 'Read' };
      return { icon: 'check', text: item.cursor > 0 && item.cursor <= reach.delivered ? 'Delivered' : 'Sent' };
  }
}
