package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

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
