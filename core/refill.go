package core

import (
	"context"
	"maps"
	"time"

	"github.com/securelink-chat/securelink/wire"
)

// A backup is older than the server that it was made of: what was said since
// is lost here, and the members still have it. They give it back before
// anything new is written over it, byte by byte, so that the chain, the order
// and the group come out as they were. The core cannot judge what it is given;
// every member holds it against its own chain, and a member who gives back
// something else is found out as one who appends garbage is.

// heldTime is how long after a restore a start of the server holds rooms.
const heldTime = time.Hour

// restoredAt is the time (ms) of the newest restore; 0: never. What was lost is
// older, what is new is younger.
func (s *Server) restoredAt() uint64 { return s.incarnation * 1000 }

// endsAtBackupLocked reports whether nothing has followed what a backup had,
// but what was given back. A backup had nothing of a room that was made since,
// and that its founder makes again.
func (r *room) endsAtBackupLocked() bool {
	at := r.s.restoredAt()
	return at != 0 && r.head.Time < at
}

// heldLocked is how long the room takes nothing new, because members may have
// something to give back first.
func (r *room) heldLocked(now time.Time) time.Duration {
	at := r.s.restoredAt()
	fresh := r.rec.Created >= at && r.head.Seq == 0 // a new room, and not one that is made again
	if !r.endsAtBackupLocked() || fresh || now.Sub(time.UnixMilli(int64(at))) > heldTime {
		return 0
	}
	return r.s.opened.Add(r.s.limits.Time(wire.RestoreTime)).Sub(now)
}

// doRefill takes entries back. It answers when they are durable.
func (c *conn) doRefill(ctx context.Context, req *wire.Refill) (any, error) {
	if err := c.state.spendHandshake(req.Room, c.s.limits); err != nil {
		return nil, err
	}
	entries, known, err := c.readRefill(ctx, req)
	if err != nil {
		return nil, err
	}
	r, err := c.lockRouted(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	if !r.endsAtBackupLocked() {
		return nil, wire.Refuse(wire.Conflict)
	}
	var taken []*appending
	head, places := r.head, &refillPlaces{members: maps.Clone(r.members), known: known, absent: map[wire.DeviceID]RouteRecord{}}
	for i := range entries {
		if entries[i].Seq <= head.Seq {
			continue
		}
		a := &appending{c: c, room: r, entry: entries[i]}
		if err := a.takeBackLocked(head, places); err != nil {
			return nil, err
		}
		head = a.head
		taken = append(taken, a)
	}
	if len(taken) == 0 {
		return wire.RefillOK{Seq: head.Seq}, nil
	}
	return wire.RefillOK{Seq: head.Seq}, c.refillLocked(ctx, r, places.members, taken)
}

// readRefill decodes the entries and finds the devices that they route.
func (c *conn) readRefill(ctx context.Context, req *wire.Refill) ([]wire.Entry, map[wire.DeviceID]bool, error) {
	if len(req.Entries) > maxPage {
		return nil, nil, wire.Refuse(wire.Malformed)
	}
	entries, known := make([]wire.Entry, len(req.Entries)), map[wire.DeviceID]bool{}
	for i, raw := range req.Entries {
		entry, err := raw.Decode()
		if err != nil || len(entry.Payload) > c.s.limits.Get(wire.InlineBytes) || len(entry.Body) > c.s.limits.Get(wire.BodyBytes) ||
			entry.Kind < wire.EntryHandshake || entry.Kind > wire.EntryNotice || entry.PayloadBlob != nil && len(entry.Payload) > 0 {
			return nil, nil, wire.Refuse(wire.Malformed)
		}
		if err := c.s.complete(ctx, req.Room, entry.PayloadBlob); err != nil {
			return nil, nil, err
		}
		for _, add := range entry.Added {
			device, ok, err := c.s.store.Device(ctx, add.Device)
			if err != nil {
				return nil, nil, err
			}
			known[add.Device] = ok && device.User == add.User && device.State == wire.DeviceEnrolled
		}
		entries[i] = entry
	}
	return entries, known, nil
}

// refillPlaces is who is routed while entries are taken back.
type refillPlaces struct {
	members map[wire.DeviceID]RouteRecord
	known   map[wire.DeviceID]bool        // devices that the core knows
	absent  map[wire.DeviceID]RouteRecord // those of accounts that the backup lacks
}

// takeBackLocked makes the entry the next one after head, with what it changed
// in the list of who is routed.
func (a *appending) takeBackLocked(head Head, places *refillPlaces) error {
	r, e := a.room, &a.entry
	if e.Seq != head.Seq+1 {
		return &wire.Error{Code: wire.Stale, Refusal: wire.Refusal{Seq: head.Seq}}
	}
	if e.Time < head.Time || e.Time >= r.s.restoredAt() {
		return wire.Refuse(wire.Malformed)
	}
	a.head = Head{Seq: e.Seq, Handshake: head.Handshake, Time: e.Time, Chain: e.Next(head.Chain)}
	if e.Kind == wire.EntryHandshake {
		a.head.Handshake = e.Seq
	} else if len(e.Added)+len(e.Removed) > 0 {
		return wire.Refuse(wire.Malformed)
	}
	raw, err := wire.Encode(e)
	if err != nil {
		return err
	}
	a.raw = raw
	a.changes = append(a.changes, PutEntry{Room: r.id, Seq: e.Seq, Time: e.Time, Kind: e.Kind, Chain: a.head.Chain, Data: raw})
	if e.PayloadBlob != nil {
		a.changes = append(a.changes, KeepBlob{Room: r.id, Hash: *e.PayloadBlob})
	}
	places.changeLocked(a)
	return nil
}

// changeLocked carries out what an entry changed. A device whose account is
// lost gets a place that it has left, so that it can take itself back in when
// it has come back, unless a later entry removes it.
func (p *refillPlaces) changeLocked(a *appending) {
	r, e, now := a.room, &a.entry, a.c.s.now()
	for _, out := range e.Removed {
		if m, ok := p.members[out.Device]; ok {
			delete(p.members, out.Device)
			m.Until, m.OutAt = e.Seq, now
			a.removed = append(a.removed, m)
			a.changes = append(a.changes, PutRoute{m})
		}
		if m, ok := p.absent[out.Device]; ok {
			m.Until, m.OutAt = e.Seq, 0
			a.changes = append(a.changes, PutRoute{m})
		}
	}
	for _, in := range e.Added {
		m, routed := p.members[in.Device]
		if !routed {
			m = RouteRecord{Room: r.id, User: in.User, Device: in.Device, From: max(a.head.Handshake-1, 1)}
		}
		switch {
		case !p.known[in.Device]:
			m.Until, m.OutAt = e.Seq, now
			p.absent[in.Device] = m
		case len(p.members) < r.s.limits.Get(wire.RoutesPerRoom):
			m.Until, m.OutAt = 0, 0
			p.members[in.Device] = m
			a.added = append(a.added, m)
		default:
			continue
		}
		a.changes = append(a.changes, PutRoute{m})
	}
}

// refillLocked commits what was taken back and waits until it is durable; the
// room's lock is given up meanwhile.
func (c *conn) refillLocked(ctx context.Context, r *room, members map[wire.DeviceID]RouteRecord, taken []*appending) error {
	result := make(chan error, 1)
	j := job{done: func(err error) {
		for _, a := range taken {
			if err == nil {
				a.shownAgain()
			}
		}
		r.mu.Lock()
		r.pending--
		r.mu.Unlock()
		result <- err
	}}
	for _, a := range taken {
		j.changes = append(j.changes, a.changes...)
		j.size += len(a.raw) + 256
	}
	if err := c.s.writer.submit(j); err != nil {
		return err
	}
	r.pending++
	r.head, r.members = taken[len(taken)-1].head, members
	c.log.Info("entries given back", logRoom(r.id), "entries", len(taken), "seq", r.head.Seq)
	r.mu.Unlock()
	defer r.mu.Lock()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// shownAgain pushes an entry that was given back.
func (a *appending) shownAgain() {
	a.room.mu.Lock()
	joined := a.hookJoinersLocked()
	a.room.shown = a.head
	a.room.mu.Unlock()
	a.push(joined)
}
