package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
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

// view is what an interface sees of a kept item.
func (c *chat) view(r itemRecord, cursor uint64) Item {
	v := Item{
		Room: c.id.String(), Cursor: cursor, Kind: r.Kind, Own: r.Own, Text: r.Text, Time: r.Time, Name: r.Name,
		Edited: r.Edited, Deleted: r.Deleted, Mention: r.Mention, Code: r.Code,
		ReplyName: r.ReplyName, ReplyText: r.ReplyText,
	}
	v.ID = fmt.Sprintf("%016x%016x", 0, cursor)
	if r.ID != (room.MessageID{}) {
		v.ID = fmt.Sprintf("%x", r.ID)
	}
	if r.Target != (room.MessageID{}) {
		v.ReplyTo = fmt.Sprintf("%x", r.Target)
	}
	if r.User != (identity.UserID{}) {
		v.Sender = r.User.String()
		v.Tag = c.e.tag(wire.UserID(r.User), r.Name)
	}
	if r.Own && r.Kind == ItemText {
		v.State = StateSent
	}
	for _, s := range r.Subjects {
		v.Names = append(v.Names, c.told(s))
		if s.User != r.User && r.Name != "" {
			v.By = c.told(person{User: r.User, Name: r.Name})
		}
	}
	if len(r.Subjects) == 0 && (r.Kind == ItemJoined || r.Kind == ItemLeft || r.Kind == ItemRemoved) {
		v.Names = []string{c.told(person{User: r.User, Name: r.Name})}
	}
	for _, one := range r.Reactions {
		i := slices.IndexFunc(v.Reactions, func(have Reaction) bool { return have.Text == one.Text })
		if i < 0 {
			i = len(v.Reactions)
			v.Reactions = append(v.Reactions, Reaction{Text: one.Text})
		}
		v.Reactions[i].Names = append(v.Reactions[i].Names, c.told(one.By))
		v.Reactions[i].Own = v.Reactions[i].Own || c.e.isMe(one.By.User)
	}
	return v
}

// told names a person, with a mark where another has the same name.
func (c *chat) told(p person) string {
	name := strings.ReplaceAll(p.Name, "#", "＃") // so that no name can carry a tag of its owner's choice
	if tag := c.e.tag(wire.UserID(p.User), p.Name); tag != "" {
		return name + "#" + tag
	}
	return name
}

func (e *Engine) isMe(user identity.UserID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.account.State != "" && e.account.user() == wire.UserID(user)
}

// history returns a page of the timeline, oldest first: before a cursor, after
// one, or the newest, with what waits at its end.
func (c *chat) history(ctx context.Context, r Request) ([]Item, error) {
	limit := r.Limit
	if limit <= 0 || limit > 200 {
		limit = 200
	}
	where := Range{Prefix: key(keyItem, c.id[:]), Limit: limit, Reverse: r.After == 0}
	if r.Before != 0 {
		where.Before = c.itemKey(r.Before)
	}
	if r.After != 0 {
		where.After = c.itemKey(r.After)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var items []Item
	for len(items) < limit {
		pairs, err := c.e.cfg.Storage.Load(ctx, where)
		if err != nil {
			return nil, err
		}
		for _, p := range pairs {
			item, shown, err := c.load(p, r.On)
			if err != nil {
				return nil, err
			}
			if shown {
				items = append(items, item)
			}
			if where.Reverse {
				where.Before = p.Key
			} else {
				where.After = p.Key
			}
		}
		if len(pairs) < where.Limit {
			break
		}
	}
	if where.Reverse {
		slices.Reverse(items)
	}
	if r.Before == 0 && !r.On {
		for _, o := range c.out {
			if o.shown() {
				items = append(items, c.pendingView(o))
			}
		}
	}
	return items, nil
}

// load reads a kept item; all shows also those that only change others.
func (c *chat) load(p Pair, all bool) (Item, bool, error) {
	var r itemRecord
	if err := wire.Decode(p.Value, &r); err != nil || len(p.Key) < 8 {
		return Item{}, false, fmt.Errorf("client: damaged line of a timeline: %w", err)
	}
	hidden := r.Kind == itemEdit || r.Kind == itemDelete || r.Kind == itemReact
	if hidden && !all {
		return Item{}, false, nil
	}
	return c.view(r, binary.BigEndian.Uint64(p.Key[len(p.Key)-8:])), true, nil
}

// read notes how far the user has read.
func (c *chat) read(ctx context.Context, cursor uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cursor <= c.rec.Read {
		return nil
	}
	c.rec.Read = min(cursor, c.rec.Cursor)
	c.rec.Unread, c.rec.Mentions = 0, 0
	if c.rec.Read < c.rec.Cursor {
		pairs, err := c.e.cfg.Storage.Load(ctx, Range{Prefix: key(keyItem, c.id[:]), After: c.itemKey(c.rec.Read)})
		if err != nil {
			return err
		}
		for _, p := range pairs {
			if item, shown, err := c.load(p, false); err == nil && shown && item.Kind == ItemText && !item.Own {
				c.rec.Unread++
				if item.Mention {
					c.rec.Mentions++
				}
			}
		}
	}
	if err := c.e.save(ctx, c.recordLocked()); err != nil {
		return err
	}
	c.standSoonLocked()
	c.notifyLocked()
	return nil
}

// search looks for words in the messages that this device holds, newest first.
func (c *chat) search(ctx context.Context, words []string, limit int) ([]Item, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []Item
	where := Range{Prefix: key(keyItem, c.id[:]), Limit: 500, Reverse: true}
	for len(found) < limit {
		pairs, err := c.e.cfg.Storage.Load(ctx, where)
		if err != nil {
			return nil, err
		}
		for _, p := range pairs {
			where.Before = p.Key
			item, shown, err := c.load(p, false)
			if err != nil {
				return nil, err
			}
			if shown && item.Kind == ItemText && !item.Deleted && matches(item, words) && len(found) < limit {
				found = append(found, item)
			}
		}
		if len(pairs) < where.Limit {
			break
		}
	}
	return found, nil
}

func matches(item Item, words []string) bool {
	text := strings.ToLower(item.Text + " " + item.Name)
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// search goes through one room, or all.
func (e *Engine) search(ctx context.Context, r Request) ([]Item, error) {
	words := strings.Fields(strings.ToLower(r.Text))
	if len(words) == 0 {
		return nil, &Problem{Code: ProblemUsage, Text: "Say what to look for."}
	}
	limit := r.Limit
	if limit <= 0 || limit > 200 {
		limit = 50
	}
	where := e.chats()
	if r.Room != "" {
		c, err := e.known(r.Room)
		if err != nil {
			return nil, err
		}
		where = []*chat{c}
	}
	var found []Item
	for _, c := range where {
		items, err := c.search(ctx, words, limit)
		if err != nil {
			return nil, err
		}
		found = append(found, items...)
	}
	found = sorted(found, func(a, b *Item) int { return cmp.Compare(b.Time, a.Time) })
	return found[:min(limit, len(found))], nil
}

// shorten cuts a text to n runes.
func shorten(s string, n int) string {
	s = string(bytes.ToValidUTF8([]byte(s), []byte("\ufffd")))
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}
