package core

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/securelink-chat/securelink/wire"
)

// runAppend is the one way into a log. It answers when the entry is durable,
// without holding up the requests behind it.
func runAppend(ctx context.Context, c *conn, it *wire.Item) (any, error) {
	r := new(wire.Append)
	if err := it.DecodeBody(r); err != nil {
		return nil, wire.Refuse(wire.Malformed)
	}
	if err := c.checkAppend(r); err != nil {
		return nil, err
	}
	old, err := c.s.answers.begin(ctx, c.user, it.Key, it.Op)
	if err != nil {
		return nil, err
	}
	if old != nil {
		return encodedBody(old), nil
	}
	a := &appending{c: c, id: it.ID, key: it.Key, r: r}
	if err := a.start(ctx); err != nil {
		c.s.answers.end(c.user, it.Key, false)
		return nil, err
	}
	return nil, errLater
}

// checkAppend holds the request against what needs no room.
func (c *conn) checkAppend(r *wire.Append) error {
	l := c.s.limits
	handshake := r.Kind == wire.EntryHandshake
	switch {
	case !handshake && r.Kind != wire.EntryMessage,
		r.Message == wire.MessageID{},
		r.PayloadBlob == nil && len(r.Payload) == 0,
		r.PayloadBlob != nil && len(r.Payload) != 0,
		!handshake && (len(r.Add)+len(r.Remove)+len(r.Welcomes)+len(r.GroupInfo)+len(r.Links) != 0 || r.Tree != nil || r.Link != nil || r.PayloadBlob != nil):
		return wire.Refuse(wire.Malformed)
	case len(r.Payload) > l.Get(wire.InlineBytes):
		return wire.RefuseSize(wire.InlineBytes)
	case len(r.Body) > l.Get(wire.BodyBytes):
		return wire.RefuseSize(wire.BodyBytes)
	case len(r.Add) > l.Get(wire.JoinersPerEntry), len(r.Welcomes) > l.Get(wire.JoinersPerEntry):
		return wire.RefuseSize(wire.JoinersPerEntry)
	case len(r.Remove) > l.Get(wire.RoutesPerRoom):
		return wire.RefuseSize(wire.RoutesPerRoom)
	case len(r.GroupInfo) > l.Get(wire.InlineBytes):
		return wire.RefuseSize(wire.InlineBytes)
	case len(r.Links) > l.Get(wire.LinksPerRoom):
		return wire.RefuseSize(wire.LinksPerRoom)
	}
	for _, w := range r.Welcomes {
		if len(w.Data) == 0 || len(w.Data) > l.Get(wire.WelcomeBytes) {
			return wire.RefuseSize(wire.WelcomeBytes)
		}
	}
	for i := range r.Links {
		if err := c.checkPart(r.Links[i].Tree); err != nil {
			return err
		}
		if len(r.Links[i].GroupInfo) > l.Get(wire.InlineBytes) {
			return wire.RefuseSize(wire.InlineBytes)
		}
	}
	return c.checkPart(r.Tree)
}

func (c *conn) checkPart(p *wire.Part) error {
	switch {
	case p == nil:
		return nil
	case (len(p.Data) == 0) == (p.Blob == nil):
		return wire.Refuse(wire.Malformed)
	case len(p.Data) > c.s.limits.Get(wire.InlineBytes):
		return wire.RefuseSize(wire.InlineBytes)
	}
	return nil
}

// appending is one append on its way.
type appending struct {
	c    *conn
	id   uint64
	key  wire.Key
	r    *wire.Append
	room *room

	entry    wire.Entry
	raw      wire.RawEntry
	answer   []byte
	head     Head // after this entry
	changes  []Change
	added    []RouteRecord
	removed  []RouteRecord
	welcomes []PutWelcome
	linkUsed uint32 // uses of the link with this one; 0 = none is used
}

// start takes the entry's place in the log and hands it to the writer.
func (a *appending) start(ctx context.Context) error {
	c, r := a.c, a.r
	if err := a.spend(); err != nil {
		return err
	}
	joining, err := a.lookup(ctx)
	if err != nil {
		return err
	}
	room, err := c.s.rooms.lock(ctx, r.Room)
	if err != nil {
		return err
	}
	defer room.mu.Unlock()
	a.room = room
	if err := a.admitLocked(joining); err != nil {
		return err
	}
	if err := a.routesLocked(joining); err != nil {
		return err
	}
	if err := a.extrasLocked(joining); err != nil {
		return err
	}
	if err := a.useLinkLocked(joining); err != nil {
		return err
	}
	if err := a.buildLocked(); err != nil {
		return err
	}
	c.inFlight.Add(1)
	room.pending++
	size := len(a.raw) + 256
	for _, w := range a.welcomes {
		size += len(w.Welcome.Data)
	}
	if err := c.s.writer.submit(job{changes: a.changes, size: size, done: a.done}); err != nil {
		c.inFlight.Add(-1)
		room.pending--
		return err
	}
	// From here on the entry exists, unless its transaction fails; then the room
	// is read again.
	room.head = a.head
	if a.linkUsed != 0 {
		if room.links == nil {
			room.links = map[wire.LinkID]uint32{}
		}
		room.links[joining.link.ID] = a.linkUsed
	}
	for _, route := range a.removed {
		delete(room.members, route.Device)
	}
	for _, route := range a.added {
		room.members[route.Device] = route
	}
	if r.Kind == wire.EntryHandshake {
		room.releaseLocked(c.device)
	} else {
		room.starved.accepted(r.Message)
	}
	return nil
}

// spend takes from the device's budgets, before any work.
func (a *appending) spend() error {
	st, l := a.c.state, a.c.s.limits
	if a.r.Kind == wire.EntryHandshake {
		return st.spendHandshake(a.r.Room, l)
	}
	return st.spendBurst(&st.messages, l, wire.MessageBurst, wire.MessageRate, 1)
}

// joiners is what the store says about a request, read before the room's lock.
type joiners struct {
	devices map[wire.DeviceID]DeviceRecord // of Add
	before  map[wire.DeviceID]RouteRecord  // their places in this room, also earlier ones
	full    wire.Limit                     // a joiner that has no room for more
	link    *LinkRecord
}

// lookup reads what an append that changes routes needs.
func (a *appending) lookup(ctx context.Context) (*joiners, error) {
	if a.r.Kind != wire.EntryHandshake {
		return nil, nil
	}
	store, l := a.c.s.store, a.c.s.limits
	j := &joiners{devices: map[wire.DeviceID]DeviceRecord{}, before: map[wire.DeviceID]RouteRecord{}}
	for _, add := range a.r.Add {
		d, ok, err := store.Device(ctx, add.Device)
		if err != nil {
			return nil, err
		}
		if !ok || d.User != add.User || d.State != wire.DeviceEnrolled {
			return nil, wire.Refuse(wire.NotFound)
		}
		j.devices[d.ID] = d
		n, err := store.CountRooms(ctx, d.ID)
		if err != nil {
			return nil, err
		}
		if n >= l.Get(wire.RoomsPerDevice) {
			j.full = wire.RoomsPerDevice
		}
	}
	for _, w := range a.r.Welcomes {
		n, err := store.CountWelcomes(ctx, w.Device)
		if err != nil {
			return nil, err
		}
		if n >= l.Get(wire.WelcomesPerDevice) {
			j.full = wire.WelcomesPerDevice
		}
	}
	if a.r.Link != nil {
		link, err := a.c.s.openLink(ctx, a.r.Link)
		if err != nil {
			return nil, err
		}
		j.link = &link
	}
	for _, blob := range []*wire.Hash{a.r.PayloadBlob, blobOf(a.r.Tree)} {
		if err := a.c.s.complete(ctx, a.r.Room, blob); err != nil {
			return nil, err
		}
	}
	if a.r.PayloadBlob != nil {
		a.changes = append(a.changes, KeepBlob{Room: a.r.Room, Hash: *a.r.PayloadBlob})
	}
	for i := range a.r.Links {
		if err := a.c.s.complete(ctx, a.r.Room, blobOf(a.r.Links[i].Tree)); err != nil {
			return nil, err
		}
	}
	if j.full != 0 {
		return nil, wire.RefuseLimit(j.full, 0)
	}
	return j, nil
}

func blobOf(p *wire.Part) *wire.Hash {
	if p == nil {
		return nil
	}
	return p.Blob
}

// admitLocked says whether this device may append this now.
func (a *appending) admitLocked(j *joiners) error {
	c, r, room := a.c, a.r, a.room
	if !room.rec.Founded {
		return wire.Refuse(wire.NotFound)
	}
	if _, routed := room.members[c.device]; !routed && !a.entersLocked(j) {
		return wire.Refuse(wire.NotFound)
	}
	if wait := room.heldLocked(time.Now()); wait > 0 {
		return wire.RefuseRetry(wire.Busy, wait)
	}
	if r.Examined != room.head.Handshake {
		if r.Examined > room.head.Handshake {
			return wire.Refuse(wire.Malformed)
		}
		if r.Kind == wire.EntryMessage {
			room.starved.refused(r.Message, c.device, time.Now(), room.s.limits)
		}
		return &wire.Error{Code: wire.Stale, Refusal: wire.Refusal{Seq: room.head.Handshake}}
	}
	if r.Kind == wire.EntryHandshake {
		if wait := room.starved.wait(c.device, time.Now()); wait > 0 {
			return wire.RefuseRetry(wire.Busy, wait)
		}
	}
	return nil
}

// entersLocked says whether a device that is not routed appends the one thing
// that it may: its own joining, to an open room or by a link.
func (a *appending) entersLocked(j *joiners) bool {
	r := a.r
	if r.Kind != wire.EntryHandshake || len(r.Add) != 1 || r.Add[0].Device != a.c.device || len(r.Remove) != 0 || len(r.Welcomes) != 0 {
		return false
	}
	if a.room.rec.Kind == wire.RoomOpen {
		return true
	}
	return j.link != nil && j.link.Room == r.Room && !j.link.Approval
}

// routesLocked works out who gets this entry and later ones.
func (a *appending) routesLocked(j *joiners) error {
	room, seq := a.room, a.room.head.Seq+1
	for _, out := range a.r.Remove {
		if m, ok := room.members[out.Device]; ok {
			m.Until, m.OutAt = seq, a.c.s.now()
			a.removed = append(a.removed, m)
			a.changes = append(a.changes, PutRoute{m})
		}
	}
	for _, in := range a.r.Add {
		if room.rec.Kind == wire.RoomDirect && in.User != room.rec.Users[0] && in.User != room.rec.Users[1] {
			return wire.Refuse(wire.NotFound)
		}
		m, routed := room.members[in.Device]
		if routed {
			m.Until, m.OutAt = 0, 0 // a re-join keeps what it may read
		} else {
			m = RouteRecord{Room: room.id, User: in.User, Device: in.Device, From: max(a.r.Examined, 1)}
		}
		a.added = append(a.added, m)
		a.changes = append(a.changes, PutRoute{m})
	}
	if len(room.members)+len(a.added)-len(a.removed) > room.s.limits.Get(wire.RoutesPerRoom) {
		return wire.RefuseLimit(wire.RoutesPerRoom, 0)
	}
	return nil
}

// useLinkLocked takes one use of the link that the device enters by.
func (a *appending) useLinkLocked(j *joiners) error {
	if _, routed := a.room.members[a.c.device]; j == nil || j.link == nil || routed {
		return nil
	}
	used, known := a.room.links[j.link.ID]
	if !known {
		used = j.link.Used
	}
	if j.link.Uses != 0 && used >= j.link.Uses {
		return wire.Refuse(wire.NotFound)
	}
	a.linkUsed = used + 1
	a.changes = append(a.changes, UseLink{Link: j.link.ID, Used: a.linkUsed})
	return nil
}

// extrasLocked adds what goes along with a handshake: welcomes, the tree, what
// strangers join by.
func (a *appending) extrasLocked(j *joiners) error {
	if j == nil {
		return nil
	}
	r, seq := a.r, a.room.head.Seq+1
	tree := blobOf(r.Tree)
	if len(r.Welcomes) > 0 && r.Tree != nil && tree == nil {
		sum := wire.Hash(sha256.Sum256(r.Tree.Data))
		tree = &sum
		a.changes = append(a.changes, a.c.s.putWhole(r.Room, sum, a.c.device, r.Tree.Data)...)
	}
	reached := map[wire.DeviceID]bool{}
	for _, m := range a.added {
		reached[m.Device] = true
	}
	expires := a.c.s.now() + uint64(a.c.s.limits.Time(wire.WelcomeTime).Milliseconds())
	for _, w := range r.Welcomes {
		if _, routed := a.room.members[w.Device]; !routed && !reached[w.Device] {
			return wire.Refuse(wire.NotFound)
		}
		put := PutWelcome{Device: w.Device, Expires: expires, Welcome: wire.Welcome{ID: a.c.s.welcomeID.Add(1), Room: r.Room, Seq: seq,
			From: wire.Route{User: a.c.user, Device: a.c.device}, Data: w.Data, Tree: tree}}
		a.welcomes = append(a.welcomes, put)
		a.changes = append(a.changes, put)
	}
	if len(r.GroupInfo) > 0 && a.room.rec.Kind == wire.RoomOpen {
		a.changes = append(a.changes, PutGroupInfo{infoRecord(r.Room, wire.LinkID{}, seq, r.GroupInfo, r.Tree)})
	}
	for _, l := range r.Links {
		a.changes = append(a.changes, PutGroupInfo{infoRecord(r.Room, l.Link, seq, l.GroupInfo, l.Tree)})
	}
	return nil
}

func infoRecord(room wire.RoomID, link wire.LinkID, seq uint64, info []byte, tree *wire.Part) GroupInfoRecord {
	rec := GroupInfoRecord{Room: room, Link: link, Seq: seq, GroupInfo: info}
	if tree != nil {
		rec.Tree, rec.TreeBlob = tree.Data, tree.Blob
	}
	return rec
}

// buildLocked makes the entry, its mark in the chain, and the answer.
func (a *appending) buildLocked() error {
	r, head := a.r, a.room.head
	now := max(a.c.s.now(), head.Time)
	a.entry = wire.Entry{Seq: head.Seq + 1, Time: now, Kind: r.Kind, Payload: r.Payload, PayloadBlob: r.PayloadBlob, Body: r.Body,
		Device: a.c.device, Message: r.Message, Added: wireRoutes(a.added), Removed: wireRoutes(a.removed)}
	raw, err := wire.Encode(&a.entry)
	if err != nil {
		return err
	}
	a.raw = raw
	a.head = Head{Seq: a.entry.Seq, Handshake: head.Handshake, Time: now, Chain: a.entry.Next(head.Chain)}
	if r.Kind == wire.EntryHandshake {
		a.head.Handshake = a.entry.Seq
	}
	a.answer, err = wire.Encode(wire.AppendOK{Seq: a.entry.Seq, Time: now, Chain: a.head.Chain})
	if err != nil {
		return err
	}
	a.changes = append(a.changes,
		PutEntry{Room: r.Room, Seq: a.entry.Seq, Time: now, Kind: r.Kind, Chain: a.head.Chain, Data: a.raw},
		PutAnswer{AnswerRecord{User: a.c.user, Key: a.key, Op: wire.OpAppend, Body: a.answer, Time: now}})
	return nil
}

func wireRoutes(routes []RouteRecord) []wire.Route {
	var out []wire.Route
	for _, r := range routes {
		out = append(out, wire.Route{User: r.User, Device: r.Device})
	}
	return out
}
