package client

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// routing is how this device holds the server's list of devices against the
// room's own.
type routing struct {
	looked *session // on which the list was looked at
	tries  int      // how often it was behind, on this connection
	denied *session // on which the server had no log for this device
	back   *session // on which this device has taken itself back in
}

// takeBack puts this device back on the server's list, once a connection, if it
// follows the room: it was taken off by an entry that does not count, which the
// server cannot know.
func (c *chat) takeBack(ctx context.Context, s *session) bool {
	c.mu.Lock()
	due := c.state != nil && c.state.Follows() && c.routing.back != s
	if due {
		c.routing.back = s
	}
	c.mu.Unlock()
	if !due || c.routeMe(ctx, s) != nil {
		return false
	}
	var seen wire.WatchOK // whoever is taken off is not told of entries any more
	if s.call(ctx, wire.Key{}, wire.Watch{Rooms: []wire.RoomID{c.id}, Presence: true}, &seen) != nil {
		return false
	}
	c.setBehind()
	return true
}

// routeMe asks for the room's entries.
func (c *chat) routeMe(ctx context.Context, s *session) error {
	c.e.mu.Lock()
	me := wire.Route{User: c.e.account.user(), Device: c.e.account.Device}
	c.e.mu.Unlock()
	return s.call(ctx, wire.Key{}, wire.RouteChange{Room: c.id, Add: []wire.Route{me}}, nil)
}

// unrouted tells the room, once a connection, that the server has no log of it
// for this device any more. Who was removed has read that in the log before.
func (c *chat) unrouted(ctx context.Context, s *session, why error) error {
	if !errors.Is(why, wire.Refuse(wire.NotFound)) {
		return nil
	}
	if c.takeBack(ctx, s) {
		return errAgain
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil || c.state.State() == room.StateJoining || c.rec.Entering != enterNot || c.routing.denied == s {
		return nil
	}
	c.routing.denied = s
	b := c.newBatch()
	seq, _ := c.state.Position()
	if err := c.digest(ctx, b, wire.Entry{Seq: seq, Time: uint64(time.Now().UnixMilli())}, c.state.Unrouted()); err != nil {
		return err
	}
	if err := b.commitLocked(ctx); err != nil {
		return err
	}
	c.notifyLocked()
	b.finish()
	return nil
}

// shutOut asks whether the server still has the room for a device that cannot
// follow it. Who was removed after it was locked out cannot read that in the
// log, and the server lets it read up to there as before.
func (c *chat) shutOut(ctx context.Context, s *session) (bool, error) {
	if _, routed, err := c.coreState(ctx, s); routed || err != nil {
		return false, err
	}
	c.setBehind() // what was there until then is examined first
	if err := c.follow(ctx, s); err != nil {
		return false, err
	}
	return true, c.unrouted(ctx, s, wire.Refuse(wire.NotFound))
}

// takenOff says whether the server has taken this device off its list for an
// entry.
func (c *chat) takenOff(entry *wire.Entry) bool {
	if len(entry.Removed) == 0 {
		return false
	}
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	me := func(r wire.Route) bool { return r.Device == c.e.account.Device }
	return slices.ContainsFunc(entry.Removed, me) && !slices.ContainsFunc(entry.Added, me)
}

// checkRouting holds the server's list of the devices that get this room's
// entries against the members, once a connection, when both are of the same
// place in the log.
func (c *chat) checkRouting(ctx context.Context, s *session) error {
	c.mu.Lock()
	if c.state == nil || c.routing.looked == s || c.state.State() != room.StateMember {
		c.mu.Unlock()
		return nil
	}
	denied := c.routing.denied == s
	c.mu.Unlock()
	var list wire.MembersOK
	err := s.call(ctx, wire.Key{}, wire.Members{Room: c.id}, &list)
	if errors.Is(err, errOffline) {
		return err
	}
	if errors.Is(err, wire.Refuse(wire.NotFound)) && !denied { // not this device's to see any more
		_, err := c.shutOut(ctx, s)
		return err
	}
	if err != nil {
		return nil
	}
	if err := c.follow(ctx, s); err != nil {
		return err
	}
	c.mu.Lock()
	if c.state == nil || c.state.Mark() != list.Handshake {
		if c.state != nil && c.state.Mark() > list.Handshake && c.routing.tries < maxAsked {
			c.routing.tries++
			c.poke() // else the entry that is missing wakes it
		}
		c.mu.Unlock()
		return nil
	}
	c.routing.looked = s
	defer func() { // with mu given back
		for _, r := range list.Outside {
			c.newDevice(r)
		}
	}()
	defer c.mu.Unlock()
	var routes []room.Route
	for _, r := range list.Routes {
		routes = append(routes, room.Route{User: identity.UserID(r.User), Device: identity.DeviceID(r.Device)})
	}
	alarms := c.state.CheckRouting(routes)
	if len(alarms) == 0 {
		return nil
	}
	b := c.newBatch()
	seq, _ := c.state.Position()
	for _, alarm := range alarms {
		c.alarm(b, alarm, seq, uint64(128+c.alarms%100), c.rec.Last)
		c.alarms++
	}
	return b.commitLocked(ctx)
}
