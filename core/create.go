package core

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/securelink-chat/securelink/wire"
)

// doCreateRoom founds a room with its creator as the only member. The same
// creator may repeat it.
func (c *conn) doCreateRoom(ctx context.Context, req *wire.CreateRoom) (any, error) {
	if err := c.checkCreate(req); err != nil {
		return nil, err
	}
	defer c.s.keyed.lock(req.Room)()
	rec, _, exists, err := c.s.store.Room(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	switch {
	case exists && rec.Founded && rec.Founder == c.device && rec.Kind == req.Kind:
		return c.roomState(ctx, req.Room)
	case exists && req.Kind == wire.RoomDirect && rec.Kind != wire.RoomDirect:
		// The id is a hash of the two users: whoever made another kind of room
		// under it wanted to be in their way.
		if err := c.evict(ctx, req.Room); err != nil {
			return nil, err
		}
		exists = false
	case exists && (rec.Founded || rec.Kind != req.Kind), !exists && req.Kind == wire.RoomOpen:
		return nil, wire.Refuse(wire.Conflict)
	}
	if err := c.state.spend(&c.state.founded, c.s.limits, wire.RoomsCreatedPerDay, perDay); err != nil {
		return nil, err
	}
	if n, err := c.s.store.CountRooms(ctx, c.device); err != nil {
		return nil, err
	} else if n >= c.s.limits.Get(wire.RoomsPerDevice) {
		return nil, wire.RefuseLimit(wire.RoomsPerDevice, 0)
	}
	if err := c.s.complete(ctx, req.Room, blobOf(req.Tree)); err != nil {
		return nil, err
	}
	if !exists {
		rec = RoomRecord{ID: req.Room, Kind: req.Kind, Generation: req.Generation, Created: c.s.now()}
	}
	if req.Peer != nil {
		rec.Users = [2]wire.UserID{c.user, *req.Peer}
		if bytes.Compare(rec.Users[0][:], rec.Users[1][:]) > 0 {
			rec.Users[0], rec.Users[1] = rec.Users[1], rec.Users[0]
		}
	}
	rec.Founded, rec.Founder = true, c.device
	route := RouteRecord{Room: req.Room, User: c.user, Device: c.device, From: 1}
	changes := []Change{PutRoom{rec}, PutRoute{route}}
	if len(req.GroupInfo) > 0 && req.Kind == wire.RoomOpen {
		changes = append(changes, PutGroupInfo{infoRecord(req.Room, wire.LinkID{}, 0, req.GroupInfo, req.Tree)})
	}
	if err := c.s.writer.commit(changes...); err != nil {
		return nil, err
	}
	c.log.Info("room founded", logRoom(req.Room), "kind", uint8(req.Kind))
	c.s.rooms.founded(ctx, rec, route)
	c.watchNew(ctx, req.Room)
	return c.roomState(ctx, req.Room)
}

// evict empties a room that stands where a direct chat belongs.
func (c *conn) evict(ctx context.Context, id wire.RoomID) error {
	r, err := c.s.rooms.lock(ctx, id)
	if err != nil {
		return err
	}
	if r.pending > 0 {
		r.mu.Unlock()
		return wire.RefuseRetry(wire.Busy, 100*time.Millisecond)
	}
	// With nobody routed and nothing founded, nothing more is appended.
	members, watching := r.members, slices.Clone(r.watch)
	r.members, r.rec.Founded = map[wire.DeviceID]RouteRecord{}, false
	r.mu.Unlock()
	for _, w := range watching {
		w.c.watch.Lock()
		delete(w.c.watch.rooms, id)
		w.c.watch.Unlock()
		r.unwatch(w.c)
	}
	err = c.s.writer.commit(ClearRoom{Room: id}, c.s.audit(c.user.String(), "room in the place of a direct chat cleared", id.String()))
	r.mu.Lock()
	r.broken, r.shown = true, Head{}
	r.mu.Unlock()
	c.log.Warn("room in the place of a direct chat cleared", logRoom(id), "devices", len(members))
	return err
}

func (c *conn) checkCreate(req *wire.CreateRoom) error {
	if req.Room.IsZero() || req.Kind < wire.RoomInvite || req.Kind > wire.RoomDirect || (req.Kind == wire.RoomDirect) != (req.Peer != nil) ||
		req.Kind == wire.RoomOpen && len(req.GroupInfo) == 0 {
		return wire.Refuse(wire.Malformed)
	}
	if req.Peer != nil && (*req.Peer == c.user || req.Room != wire.DirectRoom(c.user, *req.Peer, req.Generation)) {
		return wire.Refuse(wire.Malformed)
	}
	if len(req.GroupInfo) > c.s.limits.Get(wire.InlineBytes) {
		return wire.RefuseSize(wire.InlineBytes)
	}
	return c.checkPart(req.Tree)
}

// founded brings a room that was in memory before it was founded up to date.
func (rs *rooms) founded(ctx context.Context, rec RoomRecord, route RouteRecord) {
	r, err := rs.lock(ctx, rec.ID)
	if err != nil {
		return // it will be read when it is needed
	}
	defer r.mu.Unlock()
	r.rec = rec
	r.members[route.Device] = route
}

// watchNew lets this connection watch a room that its device just founded.
func (c *conn) watchNew(ctx context.Context, id wire.RoomID) {
	c.watch.Lock()
	all, presence := c.watch.all, c.watch.presence
	c.watch.Unlock()
	if !all {
		return
	}
	if r, err := c.s.rooms.lock(ctx, id); err == nil {
		r.watchLocked(c, presence)
		r.mu.Unlock()
	}
}

func (c *conn) roomState(ctx context.Context, id wire.RoomID) (any, error) {
	r, err := c.lockVisible(ctx, id, nil)
	if err != nil {
		return nil, err
	}
	st := r.stateLocked(c.device)
	r.mu.Unlock()
	return st, c.addInfoSeq(ctx, &st)
}
