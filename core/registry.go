package core

import (
	"sync"
	"time"

	"github.com/securelink-chat/securelink/wire"
)

// registry knows which devices are connected, and what each has spent of its
// budgets, also for a while after it left.
type registry struct {
	mu sync.Mutex
	by map[wire.DeviceID]*deviceState
}

// deviceState is one device's budgets, which all its connections share.
type deviceState struct {
	conns []*conn // guarded by registry.mu
	left  time.Time

	mu         sync.Mutex
	messages   bucket
	signals    bucket
	lookups    bucket
	claims     bucket
	blobs      bucket
	founded    bucket
	handshakes map[wire.RoomID]*bucket
	targets    map[wire.UserID]*bucket
	seen       uint64 // ms, to the hour: what the store has
}

// keepBudgets is how long the budgets of a device that left are kept: the
// longest that most of them need to be full again.
const keepBudgets = time.Hour

func newRegistry() *registry { return &registry{by: map[wire.DeviceID]*deviceState{}} }

// enter adds a connection. If its device has more than most, it returns the
// oldest, to be cut.
func (r *registry) enter(c *conn, device wire.DeviceID, most int) (state *deviceState, replaced *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	state = r.by[device]
	if state == nil {
		state = &deviceState{}
		r.by[device] = state
	}
	state.conns = append(state.conns, c)
	if len(state.conns) > most {
		replaced = state.conns[0]
		state.conns = append([]*conn(nil), state.conns[1:]...)
	}
	return state, replaced
}

func (r *registry) leave(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, other := range c.state.conns {
		if other == c {
			c.state.conns = append(c.state.conns[:i:i], c.state.conns[i+1:]...)
			break
		}
	}
	c.state.left = time.Now()
}

// of lists the connections of a device.
func (r *registry) of(device wire.DeviceID) []*conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	state := r.by[device]
	if state == nil {
		return nil
	}
	return append([]*conn(nil), state.conns...)
}

// forgetSeen lets the next login of a device be noted, whatever was before.
func (r *registry) forgetSeen(device wire.DeviceID) {
	r.mu.Lock()
	state := r.by[device]
	r.mu.Unlock()
	if state != nil {
		state.mu.Lock()
		state.seen = 0
		state.mu.Unlock()
	}
}

func (r *registry) sweep(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for device, state := range r.by {
		if len(state.conns) == 0 && now.Sub(state.left) > keepBudgets {
			delete(r.by, device)
		}
	}
}

// spend takes from one of the device's buckets.
func (d *deviceState) spend(b *bucket, l *limits, limit wire.Limit, period float64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return spend(b, l, limit, period)
}

func (d *deviceState) spendBurst(b *bucket, l *limits, burst, rate wire.Limit, period float64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return spendBurst(b, l, burst, rate, period)
}

// maxKeyedBuckets bounds the rooms and users that a device has budgets for;
// when there are more, those that are full again are forgotten.
const maxKeyedBuckets = 2048

// spendHandshake takes one handshake entry in a room.
func (d *deviceState) spendHandshake(room wire.RoomID, l *limits) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := keyedBucket(&d.handshakes, room, float64(l.Get(wire.HandshakeRate))/perMinute)
	if b == nil {
		return wire.RefuseLimit(wire.HandshakeRate, time.Minute)
	}
	return spendBurst(b, l, wire.HandshakeBurst, wire.HandshakeRate, perMinute)
}

// spendClaim takes one claim from a user. Nobody has to be protected from their
// own devices, which bring each other into all rooms.
func (d *deviceState) spendClaim(target wire.UserID, own bool, l *limits) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if own {
		return spend(&d.claims, l, wire.ClaimsPerHour, perHour)
	}
	b := keyedBucket(&d.targets, target, float64(l.Get(wire.ClaimsPerTarget))/perHour)
	if b == nil {
		return wire.RefuseLimit(wire.ClaimsPerTarget, time.Hour)
	}
	if err := spend(b, l, wire.ClaimsPerTarget, perHour); err != nil {
		return err
	}
	return spend(&d.claims, l, wire.ClaimsPerHour, perHour)
}

func keyedBucket[K comparable](m *map[K]*bucket, key K, rate float64) *bucket {
	if b := (*m)[key]; b != nil {
		return b
	}
	if *m == nil {
		*m = map[K]*bucket{}
	}
	if len(*m) >= maxKeyedBuckets {
		now := time.Now()
		for k, b := range *m {
			if b.full(now, rate) {
				delete(*m, k)
			}
		}
		if len(*m) >= maxKeyedBuckets {
			return nil
		}
	}
	b := &bucket{}
	(*m)[key] = b
	return b
}

// spendRate takes from a bucket with a burst of its own.
func (d *deviceState) spendRate(b *bucket, limit wire.Limit, burst, rate float64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ok, wait := b.take(time.Now(), burst, rate); !ok {
		return wire.RefuseLimit(limit, wait)
	}
	return nil
}
