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
	keptEntries = 1000 // of a room, as the server delivered them
	refillPage  = 200
	refillBytes = 200 << 10
	resetRetry  = 3 * time.Second
	resetSlot   = 250 // where among the lines of an entry the alarm stands
)

// shift is how much later than its entry's number a line stands in this
// device's timeline, from a place on: what lay behind it before a restore keeps
// its lines.
type shift struct {
	_     struct{} `cbor:",toarray"`
	After uint64   // entries of the log after this one
	By    uint64
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

// place is where an entry stands in the timeline.
func (c *chat) place(seq uint64) uint64 {
	for i := len(c.rec.Shifts) - 1; i >= 0; i-- {
		if s := c.rec.Shifts[i]; seq > s.After {
			return seq + s.By
		}
	}
	return seq
}

// entryAt is the entry that a line belongs to; false if the log has lost it.
func (c *chat) entryAt(cursor uint64) (uint64, bool) {
	place, end := cursor>>8, ^uint64(0)
	for i := len(c.rec.Shifts) - 1; i >= 0; i-- {
		s := c.rec.Shifts[i]
		if place > s.After+s.By {
			return place - s.By, place-s.By <= end
		}
		end = min(end, s.After)
	}
	return place, place <= end
}

// joinedLogs notes that this device came into the room by the log as it is now.
// The caller holds mu.
func (c *chat) joinedLogs() {
	if c.met != nil {
		c.rec.Restored = max(c.rec.Restored, c.met.restored)
	}
}

// keepRaw keeps an entry as it came, so that it can be given back.
func (c *chat) keepRaw(b *batch, entry wire.Entry) {
	raw, err := wire.Encode(&entry)
	if err != nil {
		return // it did not come from a server of ours
	}
	b.add(Put{Key: key(keyRaw, c.id[:], number(entry.Seq)), Value: raw})
	if entry.Seq > keptEntries {
		b.add(drop(key(keyRaw, c.id[:], number(entry.Seq-keptEntries))))
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
	if c.missed.IsZero() {
		c.missed = time.Now()
	}
	limits := wire.LimitsFrom(s.hello.Limits)
	return time.Since(c.missed) < limits.Time(wire.RestoreTime)
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

// errNotTaken says that entries cannot be given back.
var errNotTaken = errors.New("client: the server does not take the entries back")

// giveBack hands the next entries after a place to the server.
func (c *chat) giveBack(ctx context.Context, s *session, after, upTo uint64) error {
	pairs, err := c.e.cfg.Storage.Load(ctx, Range{
		Prefix: key(keyRaw, c.id[:]), After: key(keyRaw, c.id[:], number(after)), Before: key(keyRaw, c.id[:], number(upTo+1)), Limit: refillPage,
	})
	if err != nil {
		return err
	}
	request, size := wire.Refill{Room: c.id}, 0
	for _, p := range pairs {
		entry, err := wire.RawEntry(p.Value).Decode()
		if err != nil {
			return fmt.Errorf("client: damaged entry: %w", err)
		}
		if entry.Seq != after+1+uint64(len(request.Entries)) || size > refillBytes {
			break
		}
		if entry.PayloadBlob != nil {
			if _, err := putBlob(ctx, s, c.id, entry.Payload); err != nil {
				return err
			}
			entry.Payload = nil
		}
		raw, err := wire.Encode(&entry)
		if err != nil {
			return err
		}
		request.Entries, size = append(request.Entries, raw), size+len(raw)
	}
	if len(request.Entries) == 0 {
		return errNotTaken
	}
	err = s.call(ctx, wire.Key{}, request, nil)
	var refused *wire.Error
	switch {
	case err == nil:
		c.mu.Lock()
		c.republish = true
		c.mu.Unlock()
	case errors.As(err, &refused) && refused.Code == wire.Stale:
		return nil // somebody else is giving back too: look again
	case refused != nil && refused.Code.Hint() == wire.HintNever:
		return errNotTaken
	}
	return err
}

// reconciled notes that the room's log and this device's agree again.
func (c *chat) reconciled(ctx context.Context, s *session, lost loss) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		return nil
	}
	b := c.newBatch()
	c.rec.Restored, c.away, c.missed = s.restored, "", time.Time{}
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

// comeBack takes this device's place in the room again, when its account was
// lost with the backup and the members have given back the entry that brought
// it in.
func (c *chat) comeBack(ctx context.Context, s *session) (bool, error) {
	e := c.e
	e.mu.Lock()
	me := wire.Route{User: e.account.user(), Device: e.account.Device}
	e.mu.Unlock()
	err := s.call(ctx, wire.Key{}, wire.RouteChange{Room: c.id, Add: []wire.Route{me}}, nil)
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, wire.Refuse(wire.NotFound)) {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	const why = "The restored server does not know that this device is in the room. It waits until another member gives that back."
	if c.away != why {
		c.away = why
		c.notifyLocked()
	}
	return false, nil
}

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
		return errProtocol // it said otherwise a moment ago
	}
	lost.entries = max(lost.entries, position-end)
	b := c.newBatch()
	if c.state.Mark() > end || !c.rewind(ctx, b, end) {
		return c.strand(ctx, b, s, end, lost)
	}
	lost.outcome = "The room has gone on without them. Your own messages among them are sent again."
	c.rec.Restored, c.behind, c.inbox, c.missed = s.restored, true, nil, time.Time{}
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
func (c *chat) rewind(ctx context.Context, b *batch, end uint64) bool {
	position, _ := c.state.Position()
	own, err := c.ownAmong(ctx, end, position)
	if err != nil {
		return false
	}
	records, err := c.state.Rewind(end, own)
	if err != nil {
		c.e.log(LogWarn, "rewind", "room", c.id.String(), "error", err.Error())
		return false
	}
	c.keepRecords(b, records)
	c.rebuild(b)
	return c.resendAfter(ctx, b, end) == nil
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

// renew gives strangers what they join by anew, after entries were given back:
// the server may have that of an earlier epoch.
func (c *chat) renew(ctx context.Context, s *session) error {
	c.mu.Lock()
	due := c.republish
	c.republish = false
	c.mu.Unlock()
	if !due {
		return nil
	}
	err := c.publish(ctx, s)
	if errors.Is(err, errOffline) {
		return err
	}
	if err != nil {
		c.e.log(LogInfo, "publish after a restore", "room", c.id.String(), "error", err.Error())
	}
	return nil
}
