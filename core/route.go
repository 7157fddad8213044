package core

import (
	"context"

	"github.com/securelink-chat/securelink/wire"
)

// rerouteTime is how long a device that was taken out may take itself back in.
const rerouteTime = 7 * 24 * 3600 * 1000

// doRoute mends the routing list without an entry. What it adds gets nothing
// but ciphertext; what it removes is visible to those who are removed.
func (c *conn) doRoute(ctx context.Context, req *wire.RouteChange) (any, error) {
	if len(req.Add) > c.s.limits.Get(wire.JoinersPerEntry) || len(req.Remove) > c.s.limits.Get(wire.JoinersPerEntry) {
		return nil, wire.RefuseSize(wire.JoinersPerEntry)
	}
	if err := c.state.spendHandshake(req.Room, c.s.limits); err != nil {
		return nil, err
	}
	places := map[wire.DeviceID]RouteRecord{}
	for _, add := range req.Add {
		d, ok, err := c.s.store.Device(ctx, add.Device)
		if err != nil {
			return nil, err
		}
		if !ok || d.User != add.User || d.State != wire.DeviceEnrolled {
			return nil, wire.Refuse(wire.NotFound)
		}
		if p, ok, err := c.s.store.Route(ctx, req.Room, add.Device); err != nil {
			return nil, err
		} else if ok && p.User == add.User {
			places[add.Device] = p
		}
	}
	r, err := c.s.rooms.lock(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	changes, err := r.rerouteLocked(c, req, places)
	if err != nil || len(changes) == 0 {
		r.broken = r.broken || err != nil // what was changed here is read again
		r.mu.Unlock()
		return wire.Empty{}, err
	}
	result := make(chan error, 1)
	err = c.s.writer.submit(job{changes: changes, done: func(err error) { result <- err }})
	if err != nil {
		r.broken = true // what was changed here is read again
	}
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := <-result; err != nil {
		return nil, err
	}
	c.log.Info("routes mended", logRoom(req.Room), "added", len(req.Add), "removed", len(req.Remove))
	return wire.Empty{}, nil
}

func (r *room) rerouteLocked(c *conn, req *wire.RouteChange, places map[wire.DeviceID]RouteRecord) ([]Change, error) {
	now := c.s.now()
	if _, routed := r.members[c.device]; !routed {
		// Only oneself, and only if it was taken out a short while ago.
		place, was := places[c.device]
		if len(req.Add) != 1 || req.Add[0].Device != c.device || len(req.Remove) != 0 || !was || place.OutAt+rerouteTime < now {
			return nil, wire.Refuse(wire.NotFound)
		}
	}
	if len(r.members)+len(req.Add) > r.s.limits.Get(wire.RoutesPerRoom) {
		return nil, wire.RefuseLimit(wire.RoutesPerRoom, 0)
	}
	var changes []Change
	for _, out := range req.Remove {
		if m, ok := r.members[out.Device]; ok {
			m.Until, m.OutAt = r.head.Seq, now
			delete(r.members, out.Device)
			changes = append(changes, PutRoute{m})
		}
	}
	for _, in := range req.Add {
		if _, already := r.members[in.Device]; already {
			continue
		}
		if r.rec.Kind == wire.RoomDirect && in.User != r.rec.Users[0] && in.User != r.rec.Users[1] {
			return nil, wire.Refuse(wire.NotFound)
		}
		m, was := places[in.Device]
		if !was {
			m = RouteRecord{Room: r.id, User: in.User, Device: in.Device, From: r.head.Seq + 1}
		}
		m.Until, m.OutAt = 0, 0
		r.members[in.Device] = m
		changes = append(changes, PutRoute{m})
	}
	return changes, nil
}
