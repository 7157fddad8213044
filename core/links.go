package core

import (
	"context"
	"crypto/subtle"
	"slices"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/wire"
)

// openLink finds the link that a token opens. A wrong token, an expired or
// spent link and an unknown one are one answer, and cost nothing.
func (s *Server) openLink(ctx context.Context, l *wire.Link) (LinkRecord, error) {
	rec, ok, err := s.store.Link(ctx, l.ID)
	if err != nil {
		return rec, err
	}
	hash := identity.TokenHash(l.Token)
	right := subtle.ConstantTimeCompare(hash[:], rec.TokenHash[:]) == 1
	spent := rec.Uses != 0 && rec.Used >= rec.Uses
	if !ok || !right || spent || rec.Expires != 0 && rec.Expires <= s.now() {
		return LinkRecord{}, wire.Refuse(wire.NotFound)
	}
	return rec, nil
}

func (c *conn) doCreateLink(ctx context.Context, req *wire.CreateLink) (any, error) {
	if err := c.mayOffer(ctx, req.Room, req.GroupInfo, req.Tree); err != nil {
		return nil, err
	}
	defer c.s.keyed.lock(req.Room)()
	r, err := c.lockRouted(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	head, kind := r.head, r.rec.Kind
	r.mu.Unlock()
	if kind == wire.RoomDirect {
		return nil, wire.Refuse(wire.NotFound)
	}
	old, exists, err := c.s.store.Link(ctx, req.Link)
	if err != nil {
		return nil, err
	}
	if exists {
		if old.Room != req.Room || old.TokenHash != req.TokenHash {
			return nil, wire.Refuse(wire.Conflict)
		}
		return wire.Empty{}, nil
	}
	if req.Seq != head.Handshake {
		return nil, &wire.Error{Code: wire.Stale, Refusal: wire.Refusal{Seq: head.Handshake}}
	}
	all, err := c.s.store.Links(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	if len(all) >= c.s.limits.Get(wire.LinksPerRoom) {
		return nil, wire.RefuseLimit(wire.LinksPerRoom, 0)
	}
	rec := LinkRecord{ID: req.Link, Room: req.Room, TokenHash: req.TokenHash, By: wire.Route{User: c.user, Device: c.device},
		Created: c.s.now(), Expires: req.Expires, Uses: req.Uses, Approval: req.Approval}
	changes := []Change{PutLink{rec}}
	if len(req.GroupInfo) > 0 {
		changes = append(changes, PutGroupInfo{infoRecord(req.Room, req.Link, req.Seq, req.GroupInfo, req.Tree)})
	}
	c.log.Info("link made", logRoom(req.Room), "approval", req.Approval)
	return wire.Empty{}, c.s.writer.commit(changes...)
}

func (c *conn) doListLinks(ctx context.Context, req *wire.ListLinks) (any, error) {
	r, err := c.lockRouted(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	r.mu.Unlock()
	all, err := c.s.store.Links(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	out := wire.ListLinksOK{}
	for _, l := range all {
		st := wire.LinkState{Link: l.ID, By: l.By, Created: l.Created, Expires: l.Expires, Uses: l.Uses, Used: l.Used, Approval: l.Approval}
		if info, ok, err := c.s.store.GroupInfo(ctx, req.Room, l.ID); err != nil {
			return nil, err
		} else if ok {
			st.Seq = info.Seq
		}
		out.Links = append(out.Links, st)
	}
	return out, nil
}

func (c *conn) doRevokeLink(ctx context.Context, req *wire.RevokeLink) (any, error) {
	r, err := c.lockRouted(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	r.mu.Unlock()
	rec, ok, err := c.s.store.Link(ctx, req.Link)
	if err != nil {
		return nil, err
	}
	if !ok || rec.Room != req.Room {
		return wire.Empty{}, nil // it is gone, which is what was asked
	}
	defer c.s.keyed.lock(req.Room)()
	waiting, err := c.s.store.Knocks(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	c.log.Info("link revoked", logRoom(req.Room))
	if err := c.s.writer.commit(DropLink{Link: req.Link}); err != nil {
		return nil, err
	}
	for _, k := range waiting {
		if k.Link == req.Link {
			c.s.tellGone(ctx, req.Room, k.Route.Device)
		}
	}
	return wire.Empty{}, nil
}

func (c *conn) doFetchLink(ctx context.Context, req *wire.FetchLink) (any, error) {
	rec, err := c.s.openLink(ctx, &req.Link)
	if err != nil {
		return nil, err
	}
	r, err := c.s.rooms.lock(ctx, rec.Room)
	if err != nil {
		return nil, err
	}
	head := r.shown
	r.mu.Unlock()
	out := wire.FetchLinkOK{Room: rec.Room, Approval: rec.Approval, Handshake: head.Handshake}
	if rec.Approval {
		knock, err := c.s.knockOf(ctx, rec.Room, c.device)
		if err != nil {
			return nil, err
		}
		out.Knocked = knock != nil
	}
	info, ok, err := c.s.store.GroupInfo(ctx, rec.Room, rec.ID)
	if err != nil {
		return nil, err
	}
	if ok {
		out.Seq, out.GroupInfo, out.Tree = info.Seq, info.GroupInfo, partOf(info)
	}
	return out, nil
}

// doKnock puts a stranger at the door and tells the members who are there.
func (c *conn) doKnock(ctx context.Context, req *wire.Knock) (any, error) {
	if len(req.Data) > c.s.limits.Get(wire.KnockBytes) {
		return nil, wire.RefuseSize(wire.KnockBytes)
	}
	rec, err := c.s.openLink(ctx, &req.Link)
	if err != nil {
		return nil, err
	}
	if !rec.Approval {
		return nil, wire.Refuse(wire.NotFound)
	}
	if err := c.state.spendHandshake(rec.Room, c.s.limits); err != nil {
		return nil, err
	}
	defer c.s.keyed.lock(rec.Room)()
	all, err := c.s.store.Knocks(ctx, rec.Room)
	if err != nil {
		return nil, err
	}
	waiting := 0
	for _, k := range all {
		if k.Route.Device != c.device {
			waiting++
		}
	}
	if waiting >= c.s.limits.Get(wire.KnocksPerRoom) {
		return nil, wire.RefuseLimit(wire.KnocksPerRoom, time.Hour)
	}
	ev := wire.KnockEvent{Room: rec.Room, Link: rec.ID, Route: wire.Route{User: c.user, Device: c.device}, Time: c.s.now(), Data: req.Data}
	if err := c.s.writer.commit(PutKnock{KnockRecord{ev}}); err != nil {
		return nil, err
	}
	return wire.Empty{}, c.s.tellMembers(ctx, rec.Room, ev)
}

// knockOf finds the knock of a device; nil if it does not wait there.
func (s *Server) knockOf(ctx context.Context, room wire.RoomID, device wire.DeviceID) (*KnockRecord, error) {
	all, err := s.store.Knocks(ctx, room)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Route.Device == device {
			return &all[i], nil
		}
	}
	return nil, nil
}

// tellMembers publishes an event for every device of a room.
func (s *Server) tellMembers(ctx context.Context, room wire.RoomID, ev wire.Event) error {
	r, err := s.rooms.lock(ctx, room)
	if err != nil {
		return err
	}
	members := make([]wire.DeviceID, 0, len(r.members))
	for id := range r.members {
		members = append(members, id)
	}
	r.mu.Unlock()
	for _, id := range members {
		s.tell(id, ev)
	}
	return nil
}

// tellGone tells who waited, and those who might have answered, that a knock is
// no more.
func (s *Server) tellGone(ctx context.Context, room wire.RoomID, device wire.DeviceID) {
	ev := wire.KnockGone{Room: room, Device: device}
	s.tell(device, ev)
	if err := s.tellMembers(ctx, room, ev); err != nil {
		s.log.Error("members of a room", "err", err)
	}
}

func (c *conn) doListKnocks(ctx context.Context, req *wire.ListKnocks) (any, error) {
	r, err := c.lockRouted(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	r.mu.Unlock()
	all, err := c.s.store.Knocks(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	out := wire.ListKnocksOK{}
	for _, k := range all {
		out.Knocks = append(out.Knocks, k.KnockEvent)
	}
	return out, nil
}

// doDropKnock ends a wait at the door: by a member, or by who waits.
func (c *conn) doDropKnock(ctx context.Context, req *wire.DropKnock) (any, error) {
	own := req.Device == c.device && !req.LetIn
	if !own {
		r, err := c.lockRouted(ctx, req.Room)
		if err != nil {
			return nil, err
		}
		r.mu.Unlock()
	}
	defer c.s.keyed.lock(req.Room)()
	knock, err := c.s.knockOf(ctx, req.Room, req.Device)
	if err != nil {
		return nil, err
	}
	if knock == nil {
		return wire.Empty{}, nil // it is gone, which is what was asked
	}
	changes := []Change{DropKnock{Room: req.Room, Device: req.Device}}
	if req.LetIn {
		used, err := c.useLink(ctx, knock.Link)
		if err != nil {
			return nil, err
		}
		changes = append(changes, used...)
	}
	if err := c.s.writer.commit(changes...); err != nil {
		return nil, err
	}
	c.s.tellGone(ctx, req.Room, req.Device)
	return wire.Empty{}, nil
}

// useLink takes one use of a link that somebody was let in by.
func (c *conn) useLink(ctx context.Context, id wire.LinkID) ([]Change, error) {
	rec, ok, err := c.s.store.Link(ctx, id)
	if err != nil || !ok {
		return nil, err
	}
	r, err := c.s.rooms.lock(ctx, rec.Room)
	if err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	if r.links == nil {
		r.links = map[wire.LinkID]uint32{}
	}
	r.links[id] = max(r.links[id], rec.Used) + 1
	return []Change{UseLink{Link: id, Used: r.links[id]}}, nil
}

// doListRetired gives members the delegate's word on guests that are gone.
func (c *conn) doListRetired(ctx context.Context, req *wire.ListRetired) (any, error) {
	r, err := c.lockRouted(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	open := r.rec.Kind == wire.RoomOpen
	r.mu.Unlock()
	out := wire.ListRetiredOK{}
	if !open {
		return out, nil
	}
	now, after := c.s.now(), uint64(c.s.limits.Time(wire.RetireAfter).Milliseconds())
	if now < after {
		return out, nil
	}
	const most = 50
	gone, err := c.s.store.Unseen(ctx, req.Room, now-after, most)
	if err != nil {
		return nil, err
	}
	for _, g := range gone {
		if len(c.s.devices.of(g.Device)) > 0 {
			continue
		}
		out.Gone = append(out.Gone, wire.Route{User: g.User, Device: g.Device})
		if i := slices.IndexFunc(req.Stays, func(stay wire.Stay) bool { return stay.Device == g.Device }); i >= 0 {
			out.Notices = append(out.Notices, c.s.notice(identity.NoticeRetired, req.Room, g.User, req.Stays[i]))
		}
	}
	return out, nil
}
