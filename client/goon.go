package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// goOn follows a log that goes on without what this device has seen of it: over
// messages only.
func (c *chat) goOn(ctx context.Context, s *session, core wire.RoomState, lost loss) error {
	end, err := c.common(ctx, s, core)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		return nil
	}
	position, _ := c.state.Position()
	if end == position {
		end = 0 // the difference lies before what this device remembers
	}
	lost.entries = max(lost.entries, position-end)
	b := c.newBatch()
	switch err := c.rewind(ctx, b, end); {
	case errors.Is(err, room.ErrNotAllowed), errors.Is(err, room.ErrUsage):
		return c.strand(ctx, b, s, end, lost)
	case err != nil:
		return err
	}
	lost.outcome = "The room has gone on without them. Your own messages among them are sent again."
	c.rec.Restored, c.behind, c.inbox, c.healing.missed = s.restored, true, nil, time.Time{}
	c.tellLoss(b, lost, position)
	c.rec.Shifts = append(c.rec.Shifts, shift{After: end, By: c.place(position) - end})
	if err := b.commitLocked(ctx); err != nil {
		return err
	}
	c.e.out.tell(Event{Kind: EvLagged}) // lines have moved into the outbox
	c.notifyLocked()
	return nil
}

// common finds the newest entry up to which the log is what this device has
// examined: the chain that it remembers tells.
func (c *chat) common(ctx context.Context, s *session, core wire.RoomState) (uint64, error) {
	c.mu.Lock()
	high, _ := c.state.Position()
	c.mu.Unlock()
	low, high := uint64(0), min(high, core.Seq)
	for low < high {
		middle := low + (high-low+1)/2
		same, err := c.agrees(ctx, s, middle)
		if err != nil {
			return 0, err
		}
		if same {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low, nil
}

// agrees reports whether an entry of the log is the one that this device knows
// at that place; what it has forgotten, it takes for known.
func (c *chat) agrees(ctx context.Context, s *session, seq uint64) (bool, error) {
	c.mu.Lock()
	before, known := c.state.Chain(seq - 1)
	after, known2 := c.state.Chain(seq)
	c.mu.Unlock()
	if !known || !known2 {
		return true, nil
	}
	var page wire.SyncOK
	if err := s.call(ctx, wire.Key{}, wire.Sync{Room: c.id, After: seq - 1, Limit: 1}, &page); err != nil {
		return false, err
	}
	if len(page.Entries) == 0 {
		return false, nil
	}
	entry, err := page.Entries[0].Decode()
	if err != nil {
		return false, fmt.Errorf("%w: %w", errProtocol, err)
	}
	return entry.Seq == seq && entry.Next(wire.Hash(before)) == wire.Hash(after), nil
}

// rewind goes back to a place over messages, and takes up the own ones among
// them again. The caller holds mu.
func (c *chat) rewind(ctx context.Context, b *batch, end uint64) error {
	position, _ := c.state.Position()
	own, err := c.ownAmong(ctx, end, position)
	if err != nil {
		return err
	}
	records, err := c.state.Rewind(end, own)
	if err != nil {
		return err
	}
	c.keepRecords(b, records)
	c.rebuild(b)
	return c.resendAfter(ctx, b, end)
}

// ownAmong counts the messages that this device had in a part of the log.
func (c *chat) ownAmong(ctx context.Context, after, upTo uint64) (n uint64, err error) {
	pairs, err := c.e.cfg.Storage.Load(ctx, Range{
		Prefix: key(keyRaw, c.id[:]), After: key(keyRaw, c.id[:], number(after)), Before: key(keyRaw, c.id[:], number(upTo+1)),
	})
	if err != nil {
		return 0, err
	}
	c.e.mu.Lock()
	device := c.e.account.Device
	c.e.mu.Unlock()
	for _, p := range pairs {
		if entry, err := wire.RawEntry(p.Value).Decode(); err == nil && entry.Kind == wire.EntryMessage && entry.Device == device {
			n++
		}
	}
	return n, nil
}

// resendAfter puts the own messages whose entries were lost back into the
// outbox, in their order and under their ids.
func (c *chat) resendAfter(ctx context.Context, b *batch, end uint64) error {
	pairs, err := c.e.cfg.Storage.Load(ctx, Range{Prefix: key(keyItem, c.id[:]), After: c.itemKey(c.place(end)<<8 | 255)})
	if err != nil {
		return err
	}
	for _, p := range pairs {
		var r itemRecord
		if err := wire.Decode(p.Value, &r); err != nil {
			return fmt.Errorf("client: damaged line of a timeline: %w", err)
		}
		if r.Own && r.Kind == ItemText && !r.Deleted && r.ID != (room.MessageID{}) {
			if err := c.resend(ctx, b, r.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// strand stops a device before a log that goes on without changes of the group
// that it has seen. An open room it enters anew, as anybody may; elsewhere
// somebody has to invite it again. The caller holds mu.
func (c *chat) strand(ctx context.Context, b *batch, s *session, end uint64, lost loss) error {
	position, _ := c.state.Position()
	open := c.rec.Mode == ModeOpen
	c.rec.Restored = s.restored
	lost.outcome = "The room has gone on without changes that this device knows, so that it does not follow: somebody who was removed could be back."
	if open {
		lost.outcome = "This device enters the room again."
	}
	c.tellLoss(b, lost, position)
	c.rec.Shifts = append(c.rec.Shifts, shift{After: end, By: c.place(position) - end})
	if !open {
		c.rec.Stranded = true
	} else {
		c.rec.Entering = enterOpen
	}
	if err := b.commitLocked(ctx); err != nil {
		return err
	}
	if open {
		c.discardLocked(ctx)
	}
	c.notifyLocked()
	return nil
}

// giveWay follows a log that goes on without changes of the group, because the
// user says so: this device asks to be let in again.
func (c *chat) giveWay(ctx context.Context) error {
	nothing := &Problem{Code: ProblemUsage, Text: "There is nothing to accept about this room."}
	s, err := c.e.online(ctx)
	if err != nil {
		return err
	}
	core, found, err := c.coreState(ctx, s)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil || !c.rec.Stranded || len(c.rec.Shifts) == 0 {
		return nothing
	}
	again := &Problem{Code: ProblemRefused, Text: "This device has no place in that room any more.", Hint: "Ask somebody in it to invite you again."}
	if !found {
		return again
	}
	b := c.newBatch()
	end := c.rec.Shifts[len(c.rec.Shifts)-1].After
	records, err := c.state.GiveWay(end, core.Handshake)
	if err != nil {
		return again
	}
	c.keepRecords(b, records)
	c.rebuild(b)
	if err := c.resendAfter(ctx, b, end); err != nil {
		return err
	}
	c.rec.Stranded, c.behind, c.inbox = false, true, nil
	if err := b.commitLocked(ctx); err != nil {
		return err
	}
	c.e.out.tell(Event{Kind: EvLagged})
	c.notifyLocked()
	c.poke()
	return nil
}
