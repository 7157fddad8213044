package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// When a server is restored from a backup, its logs end where the backup was
// made. That it was, its delegate signs with a number that grows; a log that
// ends earlier without one is a rollback, whatever the server says.
//
// What the log lacks the members give back, byte by byte: then chain, order,
// group and all timelines are as they were, and whoever was removed stays so.
// Where the log has gone on without that, a device goes back only over
// messages, which it sends again; never over a change of the group, because a
// server could bring back with it whom the members have removed.

const (
	resetRetry = 3 * time.Second
	resetSlot  = 250 // where among the lines of an entry the alarm stands
)

// healing is how far this room is in that.
type healing struct {
	away      string    // why this device gets nothing of the room
	missed    time.Time // when the log was first seen to end too early
	republish bool      // entries were given back: what strangers join by may be older
}

// signedRestore is the number of the newest restore that the server's delegate
// has signed; 0 for none.
func signedRestore(root [32]byte, hello *wire.HelloOK) uint64 {
	var d identity.Delegation
	if hello.Incarnation == 0 || len(hello.Delegation) != len(d.Delegate)+len(d.Signature) || len(hello.Restored) != len(d.Signature) {
		return 0
	}
	d.Delegate = identity.PublicKey(hello.Delegation[:len(d.Delegate)])
	d.Signature = identity.Signature(hello.Delegation[len(d.Delegate):])
	if d.VerifyWord(root, wire.IncarnationSigned(root, hello.Incarnation), identity.Signature(hello.Restored)) != nil {
		return 0
	}
	return hello.Incarnation
}

// joinedLogs notes that this device came into the room by the log as it is now.
// The caller holds mu.
func (c *chat) joinedLogs() {
	if c.met != nil {
		c.rec.Restored = max(c.rec.Restored, c.met.restored)
	}
}

// loss is what a restore means for one room.
type loss struct {
	entries uint64 // that this device knows of and the backup lacked
	outcome string
}

// reconcile holds the log of a restored server against this device's, before
// anything else is done with it. It returns false while there is nothing to do
// but wait.
func (c *chat) reconcile(ctx context.Context, s *session) (ready bool, err error) {
	c.mu.Lock()
	due := c.state != nil && s.restored > c.rec.Restored && c.rec.Entering != enterFounder
	c.mu.Unlock()
	if !due {
		return true, nil
	}
	var lost loss
	for {
		core, found, err := c.coreState(ctx, s)
		if err != nil {
			return false, err
		}
		if !found {
			back, err := c.comeBack(ctx, s)
			if err != nil || !back {
				return false, err
			}
			continue
		}
		c.mu.Lock()
		position, chain := c.state.Position()
		there, known := c.state.Chain(core.Seq)
		c.mu.Unlock()
		lost.note(position, core)
		switch {
		case core.Seq >= position:
			same, err := c.leadsTo(ctx, s, position, chain, core)
			if err != nil {
				return false, err
			}
			if same {
				lost.outcome = "Everything was given back."
				return true, c.reconciled(ctx, s, lost)
			}
		case known && there == room.Hash(core.Chain):
			if err := c.giveBack(ctx, s, core.Seq, position); err == nil {
				continue
			} else if !errors.Is(err, errNotTaken) {
				return false, err
			}
			fallthrough
		case !known:
			if c.othersMay(s) {
				return false, nil
			}
		}
		return true, c.goOn(ctx, s, core, lost)
	}
}

// othersMay reports whether there is time left in which another member could
// give back what this device has not kept.
func (c *chat) othersMay(s *session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.healing.missed.IsZero() {
		c.healing.missed = time.Now()
	}
	limits := wire.LimitsFrom(s.hello.Limits)
	return time.Since(c.healing.missed) < limits.Time(wire.RestoreTime)
}

// note counts what the backup lacked.
func (l *loss) note(position uint64, core wire.RoomState) {
	end := core.Seq
	if core.Restored != nil {
		end = min(end, *core.Restored)
	}
	if position > end {
		l.entries = max(l.entries, position-end)
	}
}

// coreState asks for the state of the room; found is false while this device
// gets nothing of it.
func (c *chat) coreState(ctx context.Context, s *session) (wire.RoomState, bool, error) {
	var seen wire.WatchOK
	if err := s.call(ctx, wire.Key{}, wire.Watch{Rooms: []wire.RoomID{c.id}}, &seen); err != nil {
		return wire.RoomState{}, false, err
	}
	if len(seen.Rooms) != 1 || seen.Rooms[0].Room != c.id || !seen.Rooms[0].Routed {
		return wire.RoomState{}, false, nil
	}
	return seen.Rooms[0], true, nil
}

// leadsTo reports whether the log goes on from where this device stands.
func (c *chat) leadsTo(ctx context.Context, s *session, position uint64, chain room.Hash, core wire.RoomState) (bool, error) {
	at, mark := position, wire.Hash(chain)
	for at < core.Seq {
		var page wire.SyncOK
		if err := s.call(ctx, wire.Key{}, wire.Sync{Room: c.id, After: at}, &page); err != nil {
			return false, err
		}
		if len(page.Entries) == 0 {
			return false, nil
		}
		for _, raw := range page.Entries {
			entry, err := raw.Decode()
			if err != nil {
				return false, fmt.Errorf("%w: %w", errProtocol, err)
			}
			if entry.Seq != at+1 || at == core.Seq {
				break
			}
			at, mark = entry.Seq, entry.Next(mark)
		}
	}
	return mark == core.Chain, nil
}

// reconciled notes that the room's log and this device's agree again.
func (c *chat) reconciled(ctx context.Context, s *session, lost loss) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		return nil
	}
	b := c.newBatch()
	c.rec.Restored, c.healing.away, c.healing.missed = s.restored, "", time.Time{}
	c.behind = true
	seq, _ := c.state.Position()
	c.tellLoss(b, lost, seq)
	if err := b.commitLocked(ctx); err != nil {
		return err
	}
	c.notifyLocked()
	return nil
}

// tellLoss raises the alarm, after the line of an entry.
func (c *chat) tellLoss(b *batch, lost loss, seq uint64) {
	if lost.entries == 0 {
		return
	}
	text := "1 entry of this room was lost there."
	if lost.entries != 1 {
		text = fmt.Sprintf("%d entries of this room were lost there.", lost.entries)
	}
	c.alarm(b, room.Alarm{Code: "log-reset", Seq: seq, Text: text + " " + lost.outcome}, seq, resetSlot, time.Now().UnixMilli())
}
