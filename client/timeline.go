package client

import (
	"context"
	"slices"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// itemRecord is one line of a timeline as it is kept. Its key has the cursor:
// place<<8 | n, where n counts what one entry of the log has brought; the place
// is the entry's seq until a restored server has lost entries.
type itemRecord struct {
	_         struct{} `cbor:",toarray"`
	ID        room.MessageID
	Kind      string
	User      identity.UserID
	Name      string
	Time      int64
	Own       bool
	Text      string
	Hash      room.Hash
	Target    room.MessageID // what it answers or changes
	ReplyName string
	ReplyText string
	Edited    bool
	Deleted   bool
	Mention   bool
	Reactions []reaction
	Subjects  []person
	Code      string
}

type person struct {
	_    struct{} `cbor:",toarray"`
	User identity.UserID
	Name string
}

type reaction struct {
	_    struct{} `cbor:",toarray"`
	Text string
	By   person
}

// Kinds of item that change another one. They are kept for scripts, which read
// a log of what happened, and not shown as lines.
const (
	itemEdit   = "edit"
	itemDelete = "delete"
	itemReact  = "reaction"
)

const (
	maxReactions = 200 // of one message; more are not kept
	quoteRunes   = 80  // of a message that another one answers
)

func (c *chat) cursorOf(seq, n uint64) uint64 { return c.place(seq)<<8 | min(n, 255) }

func (c *chat) itemKey(cursor uint64) []byte { return key(keyItem, c.id[:], number(cursor)) }

func (c *chat) indexKey(id room.MessageID) []byte { return key(keyIndex, c.id[:], id[:]) }

// byID loads the item with a message id.
func (c *chat) byID(ctx context.Context, b *batch, id room.MessageID) (item itemRecord, cursor uint64, found bool, err error) {
	found, err = b.get(ctx, c.indexKey(id), &cursor)
	if err != nil || !found {
		return item, 0, false, err
	}
	found, err = b.get(ctx, c.itemKey(cursor), &item)
	return item, cursor, found, err
}

// itemKinds says what the state machine's items are in the timeline.
var itemKinds = map[room.ItemKind]string{
	room.ItemText: ItemText, room.ItemReply: ItemText,
	room.ItemEdit: itemEdit, room.ItemDelete: itemDelete, room.ItemReaction: itemReact,
	room.ItemJoined: ItemJoined, room.ItemAdded: ItemJoined, room.ItemLeft: ItemLeft, room.ItemRemoved: ItemRemoved,
	room.ItemDevice: ItemDevice, room.ItemRevoked: ItemDevice, room.ItemRejoined: ItemDevice,
	room.ItemTitle: ItemTitle, room.ItemRole: ItemRole, room.ItemOwner: ItemRole,
	room.ItemCreated: ItemCreated, room.ItemWithheld: ItemGone, room.ItemUnreadable: ItemGone,
}

// clockSlack is how far the server's clock may be ahead of this device's.
const clockSlack = 5 * time.Minute

// believable is a time of the server's, unless it lies in the future: then it
// is now. One wrong time would otherwise be shown for ever after, because
// times of a room never go back.
func believable(at int64) int64 {
	if now := time.Now(); at > now.Add(clockSlack).UnixMilli() {
		return now.UnixMilli()
	}
	return at
}

// record puts an item of the log into the timeline. The caller holds mu.
func (c *chat) record(ctx context.Context, b *batch, item room.Item, n int) error {
	kind := itemKinds[item.Kind]
	if item.Kind == room.ItemAck {
		return nil
	}
	if kind == "" {
		kind = ItemNotice
	}
	e := c.e
	e.mu.Lock()
	me := identity.UserID(e.account.user())
	e.mu.Unlock()
	if item.User == me && !item.Own && kind == ItemText {
		c.rec.Invited = false // accepted on another device of this user
	}
	r := itemRecord{
		ID: item.ID, Kind: kind, User: item.User, Name: item.Name, Time: believable(int64(item.Time)), Own: item.User == me,
		Text: item.Text, Hash: item.Hash, Target: item.Target,
	}
	if kind == ItemText && r.Time != int64(item.Time) {
		r.Code = CodeClockAhead
	}
	for i, s := range item.Subjects {
		if s.Name == "" { // somebody who is not in the room
			s.Name = c.e.nameOf(wire.UserID(s.User))
			item.Subjects[i] = s
		}
		r.Subjects = append(r.Subjects, person{User: s.User, Name: s.Name})
	}
	if text := sentence(item); text != "" {
		r.Text = text
	}
	switch item.Kind {
	case room.ItemEdit, room.ItemDelete, room.ItemReaction:
		if changed, err := c.change(ctx, b, item); err != nil || !changed {
			return err
		}
	case room.ItemReply:
		target, _, found, err := c.byID(ctx, b, item.Target)
		if err != nil {
			return err
		}
		if found && target.Hash == item.TargetHash && !target.Deleted {
			r.ReplyName, r.ReplyText = target.Name, shorten(target.Text, quoteRunes)
			r.Mention = target.Own
		}
	}
	r.Mention = !r.Own && (r.Mention || slices.Contains(item.Mentions, me))
	cursor := c.cursorOf(item.Seq, uint64(n))
	moved := false
	if r.Kind == ItemText {
		old, at, found, err := c.byID(ctx, b, r.ID)
		if err != nil || found && old.User != r.User {
			return err // a copy of somebody else's message
		}
		if moved = found && at != cursor; moved {
			b.add(drop(c.itemKey(at))) // sent again, after a restore lost it
		}
	}
	b.add(put(c.itemKey(cursor), r))
	if r.ID != (room.MessageID{}) {
		b.add(put(c.indexKey(r.ID), cursor))
	}
	if moved {
		c.rec.Cursor = max(c.rec.Cursor, cursor) // it was counted before
	}
	c.count(r, cursor)
	view := c.view(r, cursor)
	b.tell(Event{Kind: EvItem, Item: &view})
	return nil
}

// count keeps what the list of rooms shows of the timeline.
func (c *chat) count(r itemRecord, cursor uint64) {
	if cursor <= c.rec.Cursor {
		return // seen before: the log was gone through again
	}
	c.rec.Cursor = cursor
	if r.Own && c.rec.Unread == 0 {
		c.rec.Read = cursor
	}
	if r.Kind != ItemText {
		return
	}
	c.rec.Last = r.Time
	c.rec.Preview = r.Name + ": " + shorten(r.Text, quoteRunes)
	if !r.Own && cursor > c.rec.Read {
		c.standSoonLocked()
		c.rec.Unread++
		if r.Mention {
			c.rec.Mentions++
		}
	}
}

// change carries out an edit, a deletion or a reaction, if it is genuine and
// its author may.
func (c *chat) change(ctx context.Context, b *batch, item room.Item) (bool, error) {
	target, cursor, found, err := c.byID(ctx, b, item.Target)
	if err != nil || !found || target.Deleted || target.Kind != ItemText {
		return false, err
	}
	if item.Kind == room.ItemReaction {
		if target.Hash != item.TargetHash {
			return false, nil
		}
		c.react(&target, item)
	} else {
		if !room.MayChange(item, target.User, target.Hash) {
			return false, nil
		}
		if item.Kind == room.ItemEdit {
			target.Text, target.Edited = item.Text, true
		} else {
			target.Text, target.Deleted, target.Reactions = "", true, nil
		}
	}
	b.add(put(c.itemKey(cursor), target))
	view := c.view(target, cursor)
	b.tell(Event{Kind: EvItem, Item: &view})
	return true, nil
}

// react sets the one reaction that a user may have on a message.
func (c *chat) react(target *itemRecord, item room.Item) {
	target.Reactions = slices.DeleteFunc(target.Reactions, func(r reaction) bool { return r.By.User == item.User })
	if item.Text != "" && len(target.Reactions) < maxReactions {
		target.Reactions = append(target.Reactions, reaction{Text: item.Text, By: person{User: item.User, Name: item.Name}})
	}
}

// undo takes back the items of entries from seq up to, not including, end.
func (c *chat) undo(ctx context.Context, b *batch, seq, end uint64) error {
	pairs, err := c.e.cfg.Storage.Load(ctx, Range{
		Prefix: key(keyItem, c.id[:]), After: c.itemKey(c.cursorOf(seq, 0) - 1), Before: c.itemKey(c.cursorOf(end, 0)),
	})
	if err != nil {
		return err
	}
	for _, p := range pairs {
		b.add(drop(p.Key))
	}
	b.tell(Event{Kind: EvLagged}) // what was shown is not what is: read it again
	return nil
}

// alarm puts an alarm into the timeline and tells the interface.
func (c *chat) alarm(b *batch, alarm room.Alarm, seq, n uint64, at int64) {
	text, hint := alarmText(string(alarm.Code), alarm.Text)
	c.e.log(LogWarn, "alarm", "room", c.id.String(), "code", string(alarm.Code), "seq", alarm.Seq)
	r := itemRecord{Kind: ItemAlarm, Code: string(alarm.Code), Text: text, Time: believable(at)}
	if at == 0 {
		r.Time = time.Now().UnixMilli()
	}
	cursor := c.cursorOf(seq, n)
	b.add(put(c.itemKey(cursor), r))
	c.count(r, cursor)
	view := c.view(r, cursor)
	b.tell(Event{Kind: EvItem, Item: &view})
	b.tell(Event{Kind: EvAlarm, Alarm: &Alarm{Room: c.id.String(), Code: r.Code, Text: text, Hint: hint, Seq: seq}})
}
