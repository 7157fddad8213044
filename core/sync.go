package core

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/securelink-chat/securelink/wire"
)

// pageRooms is how many rooms one answer lists.
const pageRooms = 200

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
	ids := req.Rooms
	if len(ids) == 0 {
		c.watch.Lock()
		c.watch.all, c.watch.presence = true, req.Presence
		c.watch.Unlock()
		var err error
		if ids, err = c.routedRooms(ctx); err != nil {
			return nil, err
		}
	}
	out := wire.WatchOK{}
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

// routedRooms lists the rooms where the device is routed.
func (c *conn) routedRooms(ctx context.Context) ([]wire.RoomID, error) {
	var out []wire.RoomID
	var after wire.RoomID
	for {
		routes, err := c.s.store.RoomsOf(ctx, c.device, after, pageRooms)
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
	defer r.mu.Unlock()
	out := wire.MembersOK{}
	for _, m := range r.members {
		out.Routes = append(out.Routes, wire.Route{User: m.User, Device: m.Device})
	}
	return out, nil
}

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
		} else if ok {
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
