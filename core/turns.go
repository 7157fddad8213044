package core

import (
	"context"
	"slices"
	"time"

	"github.com/securelink-chat/securelink/wire"
)

// turns is the queue of devices that want to commit in a room. The first has
// the turn, for a time. It is guarded by the room's lock.
type turns struct {
	queue []*conn
	until time.Time
	timer *time.Timer
}

func (t *turns) empty() bool { return len(t.queue) == 0 }

func (t *turns) stop() {
	if t.timer != nil {
		t.timer.Stop()
	}
	t.queue = nil
}

func (t *turns) find(device wire.DeviceID) int {
	return slices.IndexFunc(t.queue, func(c *conn) bool { return c.device == device })
}

// grantLocked gives the turn to the first in the queue.
func (r *room) grantLocked() {
	t := &r.turn
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
	for len(t.queue) > 0 && t.queue[0].hasEnded() {
		t.queue = t.queue[1:]
	}
	if len(t.queue) == 0 {
		return
	}
	long := r.s.limits.Time(wire.TurnTime)
	holder := t.queue[0]
	t.until = time.Now().Add(long)
	t.timer = time.AfterFunc(long, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(t.queue) > 0 && t.queue[0] == holder && !time.Now().Before(t.until) {
			t.queue = t.queue[1:]
			r.nextLocked()
		}
	})
}

// nextLocked grants the turn to who is first now, and tells it.
func (r *room) nextLocked() {
	r.grantLocked()
	if len(r.turn.queue) > 0 {
		r.turn.queue[0].event(wire.TurnEvent{Room: r.id, Millis: uint64(r.s.limits.Time(wire.TurnTime).Milliseconds())})
	}
}

// releaseLocked takes a device out of the queue.
func (r *room) releaseLocked(device wire.DeviceID) {
	i := r.turn.find(device)
	if i < 0 {
		return
	}
	r.turn.queue = slices.Delete(r.turn.queue, i, i+1)
	if i == 0 {
		r.nextLocked()
	}
}

func (c *conn) doTurn(ctx context.Context, req *wire.Turn) (any, error) {
	r, err := c.lockVisible(ctx, req.Room, req.Link)
	if err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	// A turn ends with the connection, which therefore has to be known here.
	if i := r.turn.find(c.device); i >= 0 {
		r.turn.queue[i] = c
	} else {
		if len(r.turn.queue) >= r.s.limits.Get(wire.TurnQueue) {
			return nil, wire.RefuseLimit(wire.TurnQueue, r.s.limits.Time(wire.TurnTime))
		}
		r.turn.queue = append(r.turn.queue, c)
		if len(r.turn.queue) == 1 {
			r.grantLocked()
		}
	}
	i := r.turn.find(c.device)
	if i > 0 {
		return wire.TurnOK{Ahead: uint(i)}, nil
	}
	return wire.TurnOK{Granted: true, Millis: uint64(max(0, time.Until(r.turn.until)).Milliseconds())}, nil
}

func (c *conn) doReleaseTurn(ctx context.Context, req *wire.ReleaseTurn) (any, error) {
	r, err := c.s.rooms.lock(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	r.releaseLocked(c.device)
	return wire.Empty{}, nil
}

// starved protects a message that handshakes keep overtaking: after some
// refusals others' handshakes wait until it is in, or a moment has passed.
// It is guarded by the room's lock.
type starved struct {
	counts map[wire.MessageID]refusals
	device wire.DeviceID
	until  time.Time
}

type refusals struct {
	n      int
	device wire.DeviceID
	at     time.Time
}

// maxStarved bounds the messages that are watched over in one room.
const maxStarved = 256

func (s *starved) refused(id wire.MessageID, device wire.DeviceID, now time.Time, l *limits) {
	if s.counts == nil {
		s.counts = map[wire.MessageID]refusals{}
	}
	one := s.counts[id]
	if one.n == 0 && len(s.counts) >= maxStarved {
		s.forget(now)
		if len(s.counts) >= maxStarved {
			return
		}
	}
	one.n, one.device, one.at = one.n+1, device, now
	s.counts[id] = one
	if one.n >= l.Get(wire.StarvedRefusals) && !now.Before(s.until) {
		s.device, s.until = device, now.Add(l.Time(wire.StarvedTime))
		one.n = 0 // one moment for so many refusals
		s.counts[id] = one
	}
}

func (s *starved) forget(now time.Time) {
	for id, one := range s.counts {
		if now.Sub(one.at) > time.Minute {
			delete(s.counts, id)
		}
	}
}

// accepted ends the moment that the message was given.
func (s *starved) accepted(id wire.MessageID) {
	if one, ok := s.counts[id]; ok {
		if one.device == s.device {
			s.until = time.Time{}
		}
		delete(s.counts, id)
	}
}

// wait is how long a device's handshakes have to wait.
func (s *starved) wait(device wire.DeviceID, now time.Time) time.Duration {
	if device == s.device || !now.Before(s.until) {
		return 0
	}
	return s.until.Sub(now)
}
