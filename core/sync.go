package core

import (
	"context"

	"github.com/securelink-chat/securelink/wire"
)

// pageRooms is how many rooms one answer lists.
const pageRooms = 200

// maxOutside bounds the devices that one answer names as not in a room yet.
const maxOutside = 50

// maxPage bounds the entries of one answer, below what an array may hold.
const maxPage = 500

// lockVisible locks a room that the device may see: it is routed, the room is
// open, or it holds a join link.
func (c *conn) lockVisible(ctx context.Context, id wire.RoomID, link *wire.Link) (*room, error) {
	byLink := false
	if link != nil {
		rec, err := c.s.openLink(ctx, link)
		if err != nil {
			return nil, err
		}
		byLink = rec.Room == id
	}
	r, err := c.s.rooms.lock(ctx, id)
	if err != nil {
		return nil, err
	}
	if _, routed := r.members[c.device]; routed || byLink || r.rec.Kind == wire.RoomOpen {
		return r, nil
	}
	r.mu.Unlock()
	return nil, wire.Refuse(wire.NotFound)
}

// lockRouted locks a room in which the device is routed.
func (c *conn) lockRouted(ctx context.Context, id wire.RoomID) (*room, error) {
	r, err := c.s.rooms.lock(ctx, id)
	if err != nil {
		return nil, err
	}
	if _, routed := r.members[c.device]; !routed {
		r.mu.Unlock()
		return nil, wire.Refuse(wire.NotFound)
	}
	return r, nil
}

// doWatch starts the push. A room's head in the answer and the beginning of
// its push are taken under one lock: nothing falls between them.
func (c *conn) doWatch(ctx context.Context, req *wire.Watch) (any, error) {
	ids, out := req.Rooms, wire.WatchOK{}
	if len(ids) == 0 {
		c.watch.Lock()
		c.watch.all, c.watch.presence = true, req.Presence
		c.watch.Unlock()
		var err error
		if ids, err = c.routedRooms(ctx); err != nil {
			return nil, err
		}
		if out.Outside, err = c.outsideRooms(ctx, ids); err != nil {
			return nil, err
		}
	}
	for _, id := range ids {
		r, err := c.lockVisible(ctx, id, nil)
		if codeOf(err) == wire.NotFound && err != nil {
			continue
		}
		if err != nil {
			return nil, err
		}
		r.watchLocked(c, req.Presence)
		st := r.stateLocked(c.device)
		r.mu.Unlock()
		if err := c.addInfoSeq(ctx, &st); err != nil {
			return nil, err
		}
		out.Rooms = append(out.Rooms, st)
	}
	return out, nil
}

// outsideRooms lists rooms where another device of the user is routed and this
// one is not.
func (c *conn) outsideRooms(ctx context.Context, inside []wire.RoomID) ([]wire.RoomID, error) {
	devices, err := c.s.store.Devices(ctx, c.user)
	if err != nil {
		return nil, err
	}
	seen := map[wire.RoomID]bool{}
	for _, id := range inside {
		seen[id] = true
	}
	var out []wire.RoomID
	for _, d := range devices {
		if d.ID == c.device || d.State != wire.DeviceEnrolled {
			continue
		}
		rooms, err := c.s.routedRooms(ctx, d.ID)
		if err != nil {
			return nil, err
		}
		for _, id := range rooms {
			if !seen[id] && len(out) < pageRooms {
				seen[id] = true
				out = append(out, id)
			}
		}
	}
	return out, nil
}

func (c *conn) routedRooms(ctx context.Context) ([]wire.RoomID, error) {
	return c.s.routedRooms(ctx, c.device)
}

// routedRooms lists the rooms where a device is routed.
func (s *Server) routedRooms(ctx context.Context, device wire.DeviceID) ([]wire.RoomID, error) {
	var out []wire.RoomID
	var after wire.RoomID
	for {
		routes, err := s.store.RoomsOf(ctx, device, after, pageRooms)
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			if r.Until == 0 {
				out = append(out, r.Room)
			}
			after = r.Room
		}
		if len(routes) < pageRooms {
			return out, nil
		}
	}
}

// addInfoSeq adds which epoch strangers of an open room would join by.
func (c *conn) addInfoSeq(ctx context.Context, st *wire.RoomState) error {
	if st.Kind != wire.RoomOpen {
		return nil
	}
	info, ok, err := c.s.store.GroupInfo(ctx, st.Room, wire.LinkID{})
	if ok {
		st.GroupInfoSeq = &info.Seq
	}
	return err
}

func (c *conn) doUnwatch(_ context.Context, req *wire.Unwatch) (any, error) {
	c.watch.Lock()
	var leave []*room
	if len(req.Rooms) == 0 {
		c.watch.all = false
		for _, r := range c.watch.rooms {
			leave = append(leave, r)
		}
		clear(c.watch.rooms)
	}
	for _, id := range req.Rooms {
		if r := c.watch.rooms[id]; r != nil {
			leave = append(leave, r)
			delete(c.watch.rooms, id)
		}
	}
	c.watch.Unlock()
	for _, r := range leave {
		r.unwatch(c)
	}
	return wire.Empty{}, nil
}

func (c *conn) doListRooms(ctx context.Context, req *wire.ListRooms) (any, error) {
	var after wire.RoomID
	if req.After != nil {
		after = *req.After
	}
	out := wire.ListRoomsOK{}
	if req.Open {
		rooms, err := c.s.store.OpenRooms(ctx, after, pageRooms)
		if err != nil {
			return nil, err
		}
		out.More = len(rooms) == pageRooms
		for _, rec := range rooms {
			if err := c.listRoom(ctx, &out, rec.ID, nil); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	routes, err := c.s.store.RoomsOf(ctx, c.device, after, pageRooms)
	if err != nil {
		return nil, err
	}
	out.More = len(routes) == pageRooms
	for i := range routes {
		if err := c.listRoom(ctx, &out, routes[i].Room, &routes[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (c *conn) listRoom(ctx context.Context, out *wire.ListRoomsOK, id wire.RoomID, place *RouteRecord) error {
	r, err := c.s.rooms.lock(ctx, id)
	if err != nil {
		return err
	}
	st := r.stateLocked(c.device)
	r.mu.Unlock()
	if !st.Routed && place != nil {
		st.From, st.Until = place.From, place.Until
		if st.Kind != wire.RoomOpen {
			// Where the log stands now is no longer this device's to know.
			st.Seq, st.Handshake, st.Chain = place.Until, 0, wire.Hash{}
		}
	}
	if err := c.addInfoSeq(ctx, &st); err != nil {
		return err
	}
	out.Rooms = append(out.Rooms, st)
	return nil
}

// readable is the part of a room's log that a device may read.
type readable struct {
	from, upTo uint64 // both included
	handshake  uint64
}

// mayRead works out what the device may read of a room.
func (c *conn) mayRead(ctx context.Context, id wire.RoomID, link *wire.Link) (readable, error) {
	r, err := c.s.rooms.lock(ctx, id)
	if err != nil {
		return readable{}, err
	}
	span := readable{from: 1, upTo: r.shown.Seq, handshake: r.shown.Handshake}
	m, routed := r.members[c.device]
	open := r.rec.Kind == wire.RoomOpen
	r.mu.Unlock()
	switch {
	case open:
		return span, nil
	case routed:
		span.from = m.From
		return span, nil
	case link != nil:
		rec, err := c.s.openLink(ctx, link)
		if err != nil {
			return span, err
		}
		info, ok, err := c.s.store.GroupInfo(ctx, id, rec.ID)
		if err != nil {
			return span, err
		}
		if !ok || rec.Room != id {
			return span, wire.Refuse(wire.NotFound)
		}
		span.from = max(info.Seq, 1)
		return span, nil
	}
	place, ok, err := c.s.store.Route(ctx, id, c.device)
	if err != nil {
		return span, err
	}
	if !ok {
		return span, wire.Refuse(wire.NotFound)
	}
	return readable{from: place.From, upTo: min(span.upTo, place.Until), handshake: min(span.handshake, place.Until)}, nil
}

func (c *conn) doSync(ctx context.Context, req *wire.Sync) (any, error) {
	span, err := c.mayRead(ctx, req.Room, req.Link)
	if err != nil {
		return nil, err
	}
	limit := maxPage
	if req.Limit > 0 {
		limit = min(limit, int(min(req.Limit, maxPage)))
	}
	after := max(req.After, span.from-1)
	out := wire.SyncOK{Seq: span.upTo, Handshake: span.handshake}
	if after >= span.upTo {
		return out, nil
	}
	out.Entries, err = c.s.store.Entries(ctx, req.Room, after, span.upTo, limit, c.s.limits.Get(wire.SyncBytes))
	if err != nil {
		return nil, err
	}
	out.More = after+uint64(len(out.Entries)) < span.upTo
	return out, nil
}

func (c *conn) doMembers(ctx context.Context, req *wire.Members) (any, error) {
	r, err := c.lockRouted(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	out := wire.MembersOK{Handshake: r.head.Handshake}
	for _, m := range r.members {
		out.Routes = append(out.Routes, wire.Route{User: m.User, Device: m.Device})
	}
	r.mu.Unlock()
	out.Outside, err = c.s.store.Outside(ctx, req.Room, maxOutside)
	return out, err
}
