import type { Event, Item, Member, Room } from '../../src/engine/types.gen';

export const blankEvent: Event = { kind: '', reply: 0, rooms: [], items: [], members: [], code: '', devices: [], links: [], link: '', knocks: [] };

export const blankRoom: Room = {
  id: '', title: '', topic: '', mode: '', state: '', role: 'member', peer: '', preview: '', members: 0, unread: 0, mentions: 0, last: 0, cursor: 0, read: 0, blocked: '', invitedBy: '', asking: 0,
  signals: true, signalsMode: 'auto', present: 0, delivered: 0, seen: 0,
};

export const blankItem: Item = {
  room: '', id: '', cursor: 0, kind: 'text', sender: '', name: '', tag: '', own: false, text: '', time: 0, state: '', reason: '', replyTo: '', replyName: '', replyText: '',
  edited: false, deleted: false, mention: false, reactions: [], names: [], by: '', code: '',
};

/** A made-up id that is always the same for the same word. */
export function idOf(word: string, digits: number): string {
  let h = 0x811c9dc5;
  let out = '';
  while (out.length < digits) {
    for (const c of word + out.length) h = Math.imul(h ^ (c.codePointAt(0) ?? 0), 0x01000193) >>> 0;
    out += h.toString(16).padStart(8, '0');
  }
  return out.slice(0, digits);
}

const lines = [
  'Morning! Did the new server come up all right?',
  'It did. One file, one command, and it printed a link.',
  'I like that nobody had to give an e-mail address.',
  'Who brings the rope on Thursday? The long one is still at *my* place.',
  'I can fetch it. Does anybody have the key for the shed?',
  'Ben does, I think',
  'Yes, here. I will leave it under the blue pot.',
  'That is **not** a secret any more, Ben :)',
  'It is, in here. That is rather the point.',
  '> Who brings the rope on Thursday?\nI do, then.',
  'The route we talked about: https://maps.example.org/wall/7?grade=6a, it is the one left of the chimney. The first clip is high, so bring the stick, and if it rained the night before the top is slow to dry. I would start before nine either way.',
  'Sounds good.',
  'Steps for the backup, for the record:\n1. stop writing\n2. `securelink backup create`\n3. copy the file somewhere else',
  'And then we _test_ it, please.',
  '```sh\nsecurelink backup verify /srv/backup/latest\n```',
  'Worked here: 14 checks, all green.',
  'Dinner at eight?',
  'Eight is fine. I bring bread.',
  'The good bread?',
  'The good bread.',
];

/** A conversation of n items between the people named, ending a few minutes ago. */
export function talk(room: string, me: string, myName: string, who: readonly string[], n: number): Item[] {
  const out: Item[] = [];
  const end = Date.now() - 120_000;
  const speakers = [...who, myName];
  const item = (some: Partial<Item>) => {
    const cursor = out.length + 1;
    const back = n - cursor;
    out.push({ ...blankItem, room, id: idOf(`${room} ${cursor}`, 32), cursor, time: end - back * (n > 1000 ? 400_000 : back > 18 ? 2_400_000 : 90_000), ...some });
  };
  item({ kind: 'joined', names: [who[0] ?? ''], name: who[0] ?? '' });
  item({ kind: 'joined', names: who.slice(1).concat(myName) });
  for (let i = 2; i < n; i++) {
    const speaker = speakers[(i * 7 + (i >> 2)) % speakers.length] ?? '';
    const own = speaker === myName;
    const text = lines[(i - 2) % lines.length] ?? '';
    item({
      sender: own ? me : idOf(speaker, 64), name: speaker, own, state: own ? 'sent' : '', text,
      ...(i === n - 4 ? { reactions: [{ text: '👍', names: ['Ana', 'Ben'], own: false }] } : {}),
      ...(i === n - 7 ? { replyTo: idOf(`${room} 3`, 32), replyName: 'Ana', replyText: 'Who brings the rope on Thursday?' } : {}),
      ...(i === n - 9 ? { edited: true } : {}),
    });
  }
  return out;
}

/** Members of a room, the first of them verified. */
export function people(who: readonly string[], me: string, myName: string, mode: string): Member[] {
  const blank = { tag: '', own: false, verified: false, changed: false, devices: 1, present: false, delivered: 0, read: 0 };
  return [
    { ...blank, user: me, name: myName, role: mode === 'open' ? 'member' : 'owner', own: true },
    ...who.map((name, i) => ({ ...blank, user: idOf(name, 64), name, role: i === 1 ? 'admin' : 'member', verified: i === 0, changed: i === 2 })),
  ];
}
