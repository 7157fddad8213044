package client

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/internal/pack"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// company is what this device knows of the others in a room through signals.
type company struct {
	kept   signalsRecord
	dirty  bool                       // kept is not on disk
	here   map[wire.DeviceID]presence // who is there
	claims map[wire.DeviceID]claim    // of a log that this device has not read so far
	told   *session                   // on which this device has said that it is there
	due    time.Time                  // when to say how it stands; zero: with the next minute
	asked  bool                       // and to ask the others
	at     time.Time                  // when it was said last
	typed  typingState
}

type presence struct {
	user  wire.UserID
	until time.Time
}

type claim struct {
	user wire.UserID
	standing
}

func newCompany() company {
	return company{here: map[wire.DeviceID]presence{}, claims: map[wire.DeviceID]claim{}}
}

// standing is how a device stands to a room: u8 here | u8 asks | u64 got |
// chain[32] | u64 read. got is the newest entry that it has examined and chain the log's
// chain there: who was shown another log has received something else. read is
// the newest entry that its user has seen.
type standing struct {
	here  bool
	asks  bool // wants to know how the others stand
	got   uint64
	chain room.Hash
	read  uint64
}

func (s *standing) encode() []byte {
	var w pack.Writer
	w.Bool(s.here)
	w.Bool(s.asks)
	w.U64(s.got)
	w.Fixed(s.chain[:])
	w.U64(s.read)
	return w.B
}

func decodeStanding(b []byte) (s standing, ok bool) {
	r := pack.Read(b)
	s.here, s.asks, s.got = r.Bool(), r.Bool(), r.U64()
	r.Fixed(s.chain[:])
	s.read = r.U64()
	return s, r.Done() == nil && s.read <= s.got
}

// mate is what this device was told of another user: how far they have come, as
// places in this device's timeline.
type mate struct {
	_    struct{} `cbor:",toarray"`
	User wire.UserID
	Got  uint64
	Read uint64
}

// heardLocked takes how another device stands.
func (c *chat) heardLocked(user wire.UserID, device wire.DeviceID, s standing) {
	before := c.viewLocked()
	if s.here {
		c.mates.here[device] = presence{user, time.Now().Add(presenceLasts)}
	} else {
		delete(c.mates.here, device)
	}
	c.mates.claims[device] = claim{user, s}
	c.believeLocked()
	if s.asks {
		c.standSoonLocked()
	}
	if c.viewLocked() != before {
		c.notifyLocked()
	}
}

// believeLocked notes how far others have come, as soon as this device has come
// so far itself and was shown the same log.
func (c *chat) believeLocked() {
	if c.state == nil {
		return
	}
	position, _ := c.state.Position()
	for device, said := range c.mates.claims {
		if said.got > position {
			continue
		}
		delete(c.mates.claims, device)
		if mine, known := c.state.Chain(said.got); !known || mine != said.chain {
			continue
		}
		i := slices.IndexFunc(c.mates.kept.Mates, func(m mate) bool { return m.User == said.user })
		if i < 0 {
			i = len(c.mates.kept.Mates)
			c.mates.kept.Mates = append(c.mates.kept.Mates, mate{User: said.user})
		}
		m := &c.mates.kept.Mates[i]
		if got, read := c.place(said.got), c.place(said.read); got > m.Got || read > m.Read {
			m.Got, m.Read = max(m.Got, got), max(m.Read, read)
			c.mates.dirty = true
		}
	}
}

// forgetMatesLocked drops what is known of people who are no longer here.
func (c *chat) forgetMatesLocked(members []room.Member) {
	inside := func(user wire.UserID) bool {
		return slices.ContainsFunc(members, func(m room.Member) bool { return wire.UserID(m.User) == user })
	}
	kept := slices.DeleteFunc(c.mates.kept.Mates, func(m mate) bool { return !inside(m.User) })
	c.mates.dirty = c.mates.dirty || len(kept) != len(c.mates.kept.Mates)
	c.mates.kept.Mates = kept
	for device, p := range c.mates.here {
		if !inside(p.user) {
			delete(c.mates.here, device)
		}
	}
	for device, said := range c.mates.claims {
		if !inside(said.user) {
			delete(c.mates.claims, device)
		}
	}
}

// went takes the server's word that a device has disconnected. Its word
// that one has come counts for nothing: that is for the device to say.
func (c *chat) went(device wire.DeviceID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, here := c.mates.here[device]; here {
		delete(c.mates.here, device)
		c.notifyLocked()
	}
}

// standSoonLocked has this device say how it stands, in a moment.
func (c *chat) standSoonLocked() {
	if c.mates.due.IsZero() {
		c.mates.due = time.Now().Add(standingSoon + spread(standingSoon))
		c.poke()
	}
}

// stand says how this device stands to the room when that is due: on a new
// connection, when there is news, and once a minute. It returns when it is due
// again.
func (c *chat) stand(ctx context.Context, s *session) (time.Duration, error) {
	c.mu.Lock()
	if c.state == nil || c.state.State() != room.StateMember || c.rec.Invited || !c.signalsLocked() {
		c.mu.Unlock()
		return never, nil
	}
	now := time.Now()
	if c.mates.told != s {
		// Whoever was there may have gone in the meantime.
		c.mates.told, c.mates.asked, c.mates.due = s, true, now
		c.expireLocked(now.Add(presenceLasts))
	}
	due := c.mates.due
	if due.IsZero() {
		due = c.mates.at.Add(standingEvery)
	}
	if wait := due.Sub(now); wait > 0 {
		c.mu.Unlock()
		return wait, nil
	}
	c.expireLocked(now)
	word := c.standingLocked()
	word.asks = c.mates.asked
	sealed, err := c.state.SealSignal(signalStanding, word.encode(), now)
	c.mates.due, c.mates.at, c.mates.asked = time.Time{}, now, false
	c.mu.Unlock()
	if err != nil {
		return standingEvery, nil // not now somebody who may speak here
	}
	err = s.call(ctx, wire.Key{}, wire.Signal{Room: c.id, Data: sealed}, nil)
	var refused *wire.Error
	if errors.As(err, &refused) {
		c.mu.Lock()
		c.mates.asked = c.mates.asked || word.asks
		c.mates.due = time.Now().Add(max(refused.RetryAfter(), time.Second) + spread(time.Second))
		wait := time.Until(c.mates.due)
		c.mu.Unlock()
		return wait, nil
	}
	return standingEvery, err
}

// standingLocked is how this device stands now.
func (c *chat) standingLocked() standing {
	got, chain := c.state.Position()
	read, held := c.entryAt(c.rec.Read)
	if !held {
		read = 0 // a line that a restored server's log has lost; others know it from before
	}
	return standing{here: true, got: got, chain: chain, read: min(read, got)}
}

// sendStandingLocked says it out of turn. It is lost where that cannot be now.
func (c *chat) sendStandingLocked(word standing) {
	if c.state == nil {
		return
	}
	sealed, err := c.state.SealSignal(signalStanding, word.encode(), time.Now())
	if err != nil {
		return
	}
	c.e.later(func(ctx context.Context, s *session) error {
		return s.call(ctx, wire.Key{}, wire.Signal{Room: c.id, Data: sealed}, nil)
	})
}

// expireLocked forgets who has not been heard for long.
func (c *chat) expireLocked(now time.Time) {
	before := len(c.mates.here)
	for device, p := range c.mates.here {
		if now.After(p.until) {
			delete(c.mates.here, device)
		}
	}
	if len(c.mates.here) != before {
		c.notifyLocked()
	}
}

// reachLocked is how far others have come: the newest cursors that somebody
// else has got, and read; and how many others are there.
func (c *chat) reachLocked() (got, read uint64, here int) {
	if !c.signalsLocked() {
		return 0, 0, 0
	}
	me := c.e.me()
	for _, m := range c.mates.kept.Mates {
		if m.User != me {
			got, read = max(got, m.Got), max(read, m.Read)
		}
	}
	there := map[wire.UserID]bool{me: true}
	for _, p := range c.mates.here {
		there[p.user] = true
	}
	return cursorsTo(got), cursorsTo(read), len(there) - 1
}

// cursorsTo is the last cursor at a place of the timeline.
func cursorsTo(place uint64) uint64 {
	if place == 0 {
		return 0
	}
	return place<<8 | 255
}

// mateLocked is what is known of one user.
func (c *chat) mateLocked(user identity.UserID) (got, read uint64, here bool) {
	if !c.signalsLocked() {
		return 0, 0, false
	}
	for _, m := range c.mates.kept.Mates {
		if m.User == wire.UserID(user) {
			got, read = cursorsTo(m.Got), cursorsTo(m.Read)
		}
	}
	for _, p := range c.mates.here {
		here = here || p.user == wire.UserID(user)
	}
	return got, read, here
}
