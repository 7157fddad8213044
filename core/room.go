package core

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/securelink-chat/securelink/wire"
)

// rooms holds the rooms that are in use. Its lock is held for the map alone;
// everything of a room has the room's own.
type rooms struct {
	s  *Server
	mu sync.Mutex
	by map[wire.RoomID]*room
}

// room is one room in memory.
type room struct {
	s  *Server
	id wire.RoomID

	mu      sync.Mutex
	dropped bool      // no longer in the map: look it up again
	broken  bool      // a commit failed: read head and routes again
	used    time.Time // when somebody last looked
	pending int       // appends that are not finished
	rec     RoomRecord
	head    Head // where the next append goes, durable or on its way
	shown   Head // durable, and pushed to those who watch
	members map[wire.DeviceID]RouteRecord
	watch   []watcher
	turn    turns
	starved starved
	links   map[wire.LinkID]uint32 // uses of links, durable or on their way
	backup  *uint64                // where a restored log ended when it was first read
	cancel  func()                 // of the bus; set before the room is seen
}

// watcher is a connection that gets a room's entries above a seq.
type watcher struct {
	c        *conn
	from     uint64
	presence bool
}

func roomTopic(id wire.RoomID) Topic {
	t := Topic{Kind: TopicRoom}
	copy(t.ID[:], id[:])
	return t
}

func newRooms(s *Server) *rooms { return &rooms{s: s, by: map[wire.RoomID]*room{}} }

// lock finds a room and takes its lock; the caller unlocks. NotFound if there
// is no such room.
func (rs *rooms) lock(ctx context.Context, id wire.RoomID) (*room, error) {
	for {
		rs.mu.Lock()
		r := rs.by[id]
		fresh := r == nil
		if fresh {
			r = &room{s: rs.s, id: id, broken: true}
			r.mu.Lock() // until it hears the bus, nobody may watch it
			rs.by[id] = r
		}
		rs.mu.Unlock()
		if fresh {
			r.cancel = rs.s.bus.Subscribe(roomTopic(id), r.deliver)
		} else {
			r.mu.Lock()
		}
		if r.dropped {
			r.mu.Unlock()
			continue
		}
		r.used = time.Now()
		if !r.broken {
			return r, nil
		}
		if err := rs.load(ctx, r); err != nil {
			return nil, err
		}
		return r, nil
	}
}

// load reads a room whose lock is held. If it cannot, whatever the reason, it
// gives the lock back, and forgets a room that nobody watches.
func (rs *rooms) load(ctx context.Context, r *room) error {
	loaded := false
	defer func() {
		if loaded {
			return
		}
		r.dropped = len(r.watch) == 0
		dropped := r.dropped
		r.mu.Unlock()
		if dropped {
			rs.remove(r)
		}
	}()
	err := r.loadLocked(ctx)
	loaded = err == nil
	return err
}

// remove takes a dropped room out of the map and off the bus.
func (rs *rooms) remove(r *room) {
	rs.mu.Lock()
	if rs.by[r.id] == r {
		delete(rs.by, r.id)
	}
	rs.mu.Unlock()
	if r.cancel != nil {
		r.cancel()
	}
}

func (r *room) loadLocked(ctx context.Context) error {
	rec, head, ok, err := r.s.store.Room(ctx, r.id)
	if err != nil {
		return fmt.Errorf("core: read room: %w", err)
	}
	if !ok {
		return wire.Refuse(wire.NotFound)
	}
	routes, err := r.s.store.Routes(ctx, r.id)
	if err != nil {
		return fmt.Errorf("core: read routes: %w", err)
	}
	r.rec, r.head = rec, head
	if r.backup == nil && r.endsAtBackupLocked() {
		r.backup = &head.Seq
	}
	if len(r.watch) == 0 {
		r.shown = head
	}
	r.members = make(map[wire.DeviceID]RouteRecord, len(routes))
	for _, route := range routes {
		r.members[route.Device] = route
	}
	r.links = nil
	r.broken = false
	return nil
}

// distrust makes every room be read again: a commit failed, and what was built
// on it does not exist. The writer calls it between two commits.
func (rs *rooms) distrust() {
	for _, r := range rs.all() {
		r.mu.Lock()
		r.broken = true
		r.mu.Unlock()
	}
}

func (rs *rooms) all() []*room {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	out := make([]*room, 0, len(rs.by))
	for _, r := range rs.by {
		out = append(out, r)
	}
	return out
}

func (rs *rooms) count() int {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return len(rs.by)
}

// keepRoom is how long a room that nobody watches stays in memory.
const keepRoom = 5 * time.Minute

func (rs *rooms) sweep(now time.Time) {
	for _, r := range rs.all() {
		r.mu.Lock()
		idle := len(r.watch) == 0 && r.pending == 0 && r.turn.empty() && now.Sub(r.used) > keepRoom
		r.dropped = r.dropped || idle
		r.mu.Unlock()
		if idle {
			rs.remove(r)
		}
	}
}

// close stops the timers of all rooms.
func (rs *rooms) close() {
	for _, r := range rs.all() {
		r.mu.Lock()
		r.dropped = true
		r.turn.stop()
		r.mu.Unlock()
		rs.remove(r)
	}
}

// deliver pushes what the bus brings to those who watch.
func (r *room) deliver(m Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.watch {
		if w := &r.watch[i]; m.Seq == 0 || m.Seq > w.from {
			r.s.count.pushed.Add(1)
			w.c.out.push(m.Data)
		}
	}
}

// stateLocked is the room as one device sees it.
func (r *room) stateLocked(device wire.DeviceID) wire.RoomState {
	st := wire.RoomState{Room: r.id, Kind: r.rec.Kind, Founded: r.rec.Founded, Seq: r.shown.Seq, Handshake: r.shown.Handshake,
		Chain: r.shown.Chain, Name: r.rec.Name, Restored: r.backup}
	if m, ok := r.members[device]; ok {
		st.Routed, st.From = true, m.From
		if r.rec.Kind == wire.RoomDirect {
			peer := r.rec.Users[0]
			if peer == m.User {
				peer = r.rec.Users[1]
			}
			st.Peer = &peer
		}
	}
	return st
}

// watchLocked adds a connection to those that get the entries.
func (r *room) watchLocked(c *conn, presence bool) {
	c.watch.Lock()
	defer c.watch.Unlock()
	if c.watch.ended {
		return
	}
	if _, already := c.watch.rooms[r.id]; already {
		return
	}
	if c.watch.rooms == nil {
		c.watch.rooms = map[wire.RoomID]*room{}
	}
	c.watch.rooms[r.id] = r
	r.tellPresenceLocked(c, true)
	r.watch = append(r.watch, watcher{c: c, from: r.shown.Seq, presence: presence})
}

// unwatch removes a connection.
func (r *room) unwatch(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unwatchLocked(c)
}

func (r *room) unwatchLocked(c *conn) {
	i := slices.IndexFunc(r.watch, func(w watcher) bool { return w.c == c })
	if i < 0 {
		return
	}
	r.watch = slices.Delete(r.watch, i, i+1)
	if len(r.watch) == 0 {
		r.watch = nil
		r.used = time.Now()
	}
	r.tellPresenceLocked(c, false)
	if !slices.ContainsFunc(r.watch, func(w watcher) bool { return w.c.device == c.device }) {
		r.releaseLocked(c.device)
	}
}

// tellPresenceLocked tells those who asked that a device came or went. It goes
// to this core's connections only: presence is a courtesy.
func (r *room) tellPresenceLocked(c *conn, online bool) {
	if len(r.members) > r.s.limits.Get(wire.PresenceDevices) {
		return
	}
	if slices.ContainsFunc(r.watch, func(w watcher) bool { return w.c.device == c.device }) {
		return // another connection of the same device is here
	}
	if _, routed := r.members[c.device]; !routed {
		return
	}
	var raw []byte
	for i := range r.watch {
		if !r.watch[i].presence {
			continue
		}
		if raw == nil {
			var err error
			raw, err = wire.AppendEvent(nil, wire.PresenceEvent{Room: r.id, Route: wire.Route{User: c.user, Device: c.device}, Online: online})
			if err != nil {
				return
			}
		}
		r.watch[i].c.out.push(raw)
	}
}
