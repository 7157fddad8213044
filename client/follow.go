package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// follow examines everything that the log has, in order.
func (c *chat) follow(ctx context.Context, s *session) error {
	progress := c.e.steps("Catching up")
	defer progress.done()
	for {
		c.mu.Lock()
		behind, pushed := c.behind, c.inbox
		c.inbox = nil
		var position uint64
		if c.state != nil {
			position, _ = c.state.Position()
		}
		c.mu.Unlock()
		switch {
		case behind:
			var page wire.SyncOK
			// From here on pushes are kept again: what they leave out is in
			// this page or a later one, and what comes twice is ignored.
			c.mu.Lock()
			c.behind = false
			c.mu.Unlock()
			err := s.call(ctx, wire.Key{}, wire.Sync{Room: c.id, After: position}, &page)
			if err != nil {
				c.setBehind()
				if failed := c.unrouted(ctx, s, err); failed != nil {
					return failed
				}
				return err
			}
			entries, err := c.decode(ctx, s, page.Entries)
			if err == nil {
				err = c.examine(ctx, entries, false)
			}
			if err != nil {
				c.setBehind()
				return err
			}
			progress.at(int(position), int(page.Seq))
			if page.More && len(entries) > 0 {
				c.setBehind()
			} else {
				c.caughtUp()
			}
		case len(pushed) > 0:
			for i := range pushed {
				if err := c.whole(ctx, s, &pushed[i]); err != nil {
					c.setBehind()
					return err
				}
			}
			if err := c.examine(ctx, pushed, true); err != nil {
				c.setBehind()
				return err
			}
		default:
			return nil
		}
	}
}

func (c *chat) setBehind() {
	c.mu.Lock()
	c.behind = true
	c.mu.Unlock()
}

// caughtUp takes note of what was sent on an earlier connection and is not in
// the log: it is sent again, the same.
func (c *chat) caughtUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.commit.session != c.met {
		c.commit.session = c.met
		if c.commit.again = c.commit.request != nil; !c.commit.again {
			c.commit.voided() // it never left
		}
	}
	for _, o := range c.out {
		if o.session != c.met {
			o.accepted = false
		}
	}
}

// decode reads a page of entries and fetches what is kept apart.
func (c *chat) decode(ctx context.Context, s *session, raw []wire.RawEntry) ([]wire.Entry, error) {
	entries := make([]wire.Entry, 0, len(raw))
	for _, r := range raw {
		entry, err := r.Decode()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errProtocol, err)
		}
		if err := c.whole(ctx, s, &entry); err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// whole fetches the payload of an entry that is too large to lie in the log.
func (c *chat) whole(ctx context.Context, s *session, entry *wire.Entry) error {
	if entry.PayloadBlob == nil {
		return nil
	}
	payload, err := getBlob(ctx, s, c.id, *entry.PayloadBlob, nil)
	entry.Payload = payload
	return err
}

func asEntry(entry wire.Entry) room.Entry {
	return room.Entry{
		Seq: entry.Seq, Time: entry.Time, Kind: room.EntryKind(entry.Kind), Payload: entry.Payload, Body: entry.Body,
		BodyGone: (*[32]byte)(entry.BodyGone),
	}
}

// examine lets the state machine judge entries, and keeps all that follows
// from them at once.
func (c *chat) examine(ctx context.Context, entries []wire.Entry, live bool) error {
	if len(entries) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		c.behind = true
		return nil
	}
	b := c.newBatch()
	before := c.viewLocked()
	for _, entry := range entries {
		_, previous := c.state.Position()
		result, err := c.state.Examine(asEntry(entry), live)
		switch {
		case errors.Is(err, room.ErrOld):
			continue
		case errors.Is(err, room.ErrGap):
			c.behind = true
		case err != nil:
			return err
		}
		if err != nil {
			break
		}
		if err := c.digest(ctx, b, entry, result); err != nil {
			return err
		}
		if result.Resync {
			c.behind = true
			break
		}
		if c.state == nil {
			break
		}
		if c.takenOff(&entry) {
			c.routing.looked = nil
		}
		c.keepChain(b, entry, previous)
		c.keepRaw(b, entry)
	}
	c.believeLocked()
	if err := b.commitLocked(ctx); err != nil {
		return err
	}
	if c.viewLocked() != before {
		c.notifyLocked()
	}
	b.finish()
	return nil
}

// digest turns what the state machine says of one entry into changes.
func (c *chat) digest(ctx context.Context, b *batch, entry wire.Entry, result *room.Result) error {
	c.keepRecords(b, result.Records)
	// What is to be sent again is taken out of the timeline before the rest of
	// what is void.
	for _, id := range result.Resend {
		if err := c.resend(ctx, b, id); err != nil {
			return err
		}
	}
	if result.Undone != 0 {
		end := entry.Seq
		if result.Resync { // the entries after it are examined again as well
			end = math.MaxUint64 >> 8
		}
		if err := c.undo(ctx, b, result.Undone, end); err != nil {
			return err
		}
	}
	seen := false
	for i, item := range result.Items {
		seen = seen || item.ID == result.Own
		if err := c.record(ctx, b, item, i); err != nil {
			return err
		}
	}
	for i, alarm := range result.Alarms {
		c.alarm(b, alarm, entry.Seq, uint64(64+i), int64(entry.Time))
	}
	if result.IsOwn {
		if err := c.returned(ctx, b, entry, result, seen); err != nil {
			return err
		}
	}
	if result.Rebuild {
		c.rebuild(b)
	}
	if len(result.Used) > 0 {
		c.e.usedPackage(b, result.Used)
	}
	if result.Changed {
		c.refresh(b)
	}
	if result.Removed {
		if len(result.Items) > 0 && result.Items[0].Kind == room.ItemRetired {
			// It was let go for being away, and is back: it enters again, and
			// what it wrote waits until then.
			c.rebuild(b)
			waiting := c.out
			c.out = nil
			c.leaveLocked(ctx, b)
			c.out, c.rec.Out, c.rec.Entering = waiting, 0, enterOpen
			return nil
		}
		c.leaveLocked(ctx, b)
	}
	return nil
}

// keepRecords stores what the state machine wants kept.
func (c *chat) keepRecords(b *batch, records []room.Record) {
	for _, r := range records {
		b.add(Put{Key: key(keyState, c.id[:], r.Key), Value: r.Value, Delete: r.Value == nil})
	}
}

// refresh takes what a list of rooms shows from the state machine.
func (c *chat) refresh(b *batch) {
	info := c.state.Info()
	if info == nil {
		return
	}
	c.rec.Title, c.rec.Topic = info.Title, info.Topic
	c.rec.Mode = modeName(info.Mode)
	c.rec.Role = roleName(info.Role)
	c.rec.Members = len(info.Members)
	for _, p := range c.e.meet(info.Members) {
		b.add(p)
	}
	c.suspectLocked()
	c.noteLinks(b, info)
	c.forgetMatesLocked(info.Members)
	if info.Mode == room.ModeDirect {
		for _, m := range info.Members {
			if !m.Own {
				c.rec.Peer, c.rec.Title = wire.UserID(m.User), m.Name
			}
		}
	}
}

// leaveLocked notes that this device is out, and forgets the room's keys.
func (c *chat) leaveLocked(ctx context.Context, b *batch) {
	c.rec.Out = outRemoved
	if c.rec.Leaving {
		c.rec.Out = outLeft
	}
	pairs, err := c.e.cfg.Storage.Load(ctx, Range{Prefix: key(keyState, c.id[:])})
	if err == nil {
		for _, p := range pairs {
			b.add(drop(p.Key))
		}
	}
	if kept, err := c.e.cfg.Storage.Load(ctx, Range{Prefix: key(keyRaw, c.id[:])}); err == nil {
		for _, p := range kept {
			b.add(drop(p.Key))
		}
	}
	// What this very step was about to keep goes too.
	for _, p := range slices.Clone(b.puts) {
		if !p.Delete && (bytes.HasPrefix(p.Key, key(keyState, c.id[:])) || bytes.HasPrefix(p.Key, key(keyRaw, c.id[:]))) {
			b.add(drop(p.Key))
		}
	}
	c.failOutboxLocked(b, "you are no longer in this room")
	for _, w := range c.intents {
		b.add(drop(w.key(c.id)))
		b.finishes(w, errOut)
	}
	c.intents, c.state, c.rec.Entering = nil, nil, enterNot
}

var errOut = &Problem{Code: ProblemNotMember, Text: "You are no longer in this room."}

// checkHead holds the server's word on the log against this device's own. It
// is asked on a fresh connection, before anything else was examined on it: the
// server then cannot be behind what this device knows.
func (c *chat) checkHead(ctx context.Context, s *session, core wire.RoomState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil || !core.Routed || s.restored > c.rec.Restored {
		return // what was restored is reconciled first
	}
	alarms := c.state.CheckHead(core.Seq, [32]byte(core.Chain))
	if len(alarms) == 0 {
		return
	}
	b := c.newBatch()
	seq, _ := c.state.Position()
	for _, alarm := range alarms {
		c.alarm(b, alarm, seq, uint64(128+c.alarms%100), c.rec.Last)
		c.alarms++
	}
	c.keepRecords(b, nil)
	if b.commitLocked(ctx) == nil {
		c.notifyLocked()
	}
}

func modeName(m room.Mode) string {
	switch m {
	case room.ModeOpen:
		return ModeOpen
	case room.ModeLink:
		return ModeLink
	case room.ModeDirect:
		return ModeDirect
	}
	return ModeInvite
}

func roleName(r room.Role) string {
	switch r {
	case room.RoleOwner:
		return RoleOwner
	case room.RoleAdmin:
		return RoleAdmin
	}
	return RoleMember
}
