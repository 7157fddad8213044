package client

import (
	"context"
	"errors"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

const (
	maxNewcomers = 50                     // devices that are to be brought into one room
	newcomerStep = 100 * time.Millisecond // that each member waits at random, for every member there is
	newcomerMost = 5 * time.Second
)

// newcomer is a device of somebody in the room that is not in it itself, by
// the server's word. The word decides nothing: what is added is a key package
// with a certificate by the identity key of somebody who is in the room, and
// everybody checks it again.
type newcomer struct {
	user wire.UserID
	at   time.Time // when to bring it in, unless somebody was faster
	done bool      // tried on this connection
}

// newcomers are those devices, as this connection has told of them.
type newcomers struct {
	outside  map[wire.DeviceID]*newcomer
	fetching bool // a turn was asked for because of them
}

// newDevice takes note of a device that the server says is outside. All
// members are told, and the first one brings it in: an own device at once, the
// others after a while at random, so that fifty do not claim fifty of its key
// packages.
func (c *chat) newDevice(route wire.Route) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil || c.newcomers.outside[route.Device] != nil || len(c.newcomers.outside) >= maxNewcomers {
		return
	}
	info := c.state.Info()
	if info == nil || inside(info, route.Device) || !isMember(info, route.User) {
		return
	}
	wait := newcomerStep
	if route.User != c.e.me() {
		wait = min(newcomerStep*time.Duration(len(info.Members)), newcomerMost)
	}
	if c.newcomers.outside == nil {
		c.newcomers.outside = map[wire.DeviceID]*newcomer{}
	}
	c.newcomers.outside[route.Device] = &newcomer{user: route.User, at: time.Now().Add(spread(wait))}
	c.poke()
}

func inside(info *room.Info, device wire.DeviceID) bool {
	for _, m := range info.Members {
		for _, d := range m.Devices {
			if d.Device == identity.DeviceID(device) {
				return true
			}
		}
	}
	return false
}

func isMember(info *room.Info, user wire.UserID) bool {
	for _, m := range info.Members {
		if m.User == identity.UserID(user) {
			return true
		}
	}
	return false
}

// nextNewcomer returns a device whose time has come, or how long until there
// is one. It forgets those that are in, or whose users are gone.
func (c *chat) nextNewcomer(now time.Time) (device wire.DeviceID, next *newcomer, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wait = never
	if len(c.newcomers.outside) == 0 || c.state == nil || c.state.State() != room.StateMember {
		return device, nil, wait
	}
	info := c.state.Info()
	for id, n := range c.newcomers.outside {
		if inside(info, id) || !isMember(info, n.user) {
			delete(c.newcomers.outside, id)
			continue
		}
		if n.done {
			continue
		}
		if left := n.at.Sub(now); left > 0 {
			wait = min(wait, left)
			continue
		}
		return id, n, 0
	}
	return device, nil, wait
}

// bringIn wishes for the devices of members that are to come in. A key package
// is claimed only with the turn to commit in hand, when nobody was faster.
func (c *chat) bringIn(ctx context.Context, s *session) (time.Duration, error) {
	for {
		device, next, wait := c.nextNewcomer(time.Now())
		if next == nil {
			return wait, c.dropTurn(ctx, s)
		}
		c.mu.Lock()
		c.newcomers.fetching = true
		c.mu.Unlock()
		if wait, granted, err := c.turn(ctx, s); err != nil || !granted {
			return wait, err
		}
		packages, err := c.e.claim(ctx, s, next.user, []wire.DeviceID{device})
		var refused *wire.Error
		switch {
		case errors.Is(err, errOffline), errors.Is(err, context.Canceled):
			return never, err
		case errors.As(err, &refused) && refused.RetryAfter() > 0:
			c.mu.Lock()
			next.at = time.Now().Add(refused.RetryAfter())
			c.mu.Unlock()
			continue
		}
		c.mu.Lock()
		next.done = true
		c.mu.Unlock()
		if err == nil {
			_, err = c.intend(room.Intent{Kind: room.IntentAdd, User: identity.UserID(next.user), KeyPackages: packages})
		}
		if err != nil {
			c.e.log(LogInfo, "new device", "room", c.id.String(), "error", err.Error())
		}
	}
}

// dropTurn gives the turn back if others have brought everybody in meanwhile.
func (c *chat) dropTurn(ctx context.Context, s *session) error {
	c.mu.Lock()
	idle := c.newcomers.fetching && c.commit.granted && len(c.intents) == 0 && c.commit.sent == room.MessageID{}
	c.newcomers.fetching = c.newcomers.fetching && !idle && len(c.intents) == 0
	c.mu.Unlock()
	if idle {
		c.giveTurnBack(ctx, s)
	}
	return nil
}

// awaitOthers shows the rooms of this user that this device is not in yet. The
// server names them; what they are called only their members can tell.
func (e *Engine) awaitOthers(ctx context.Context, s *session, seen wire.WatchOK) error {
	listed := map[wire.RoomID]bool{}
	for _, state := range seen.Rooms {
		listed[state.Room] = true
	}
	for _, id := range seen.Outside {
		if e.cfg.Lounge && id == s.hello.Lounge {
			continue // it enters that by itself
		}
		listed[id] = true
		if err := e.chat(id).awaitMember(ctx); err != nil {
			return err
		}
	}
	for _, c := range e.chats() {
		if listed[c.id] {
			continue
		}
		if err := c.awaitNobody(ctx); err != nil {
			return err
		}
	}
	return nil
}

// awaitMember notes that this device waits for somebody in the room.
func (c *chat) awaitMember(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != nil || c.rec.Out != 0 || c.rec.Entering != enterNot {
		return nil
	}
	c.rec.Entering, c.rec.Title = enterMember, "A room of yours"
	if err := c.e.save(ctx, c.recordLocked()); err != nil {
		return err
	}
	c.notifyLocked()
	return nil
}

// awaitNobody forgets a room that this user is in no longer.
func (c *chat) awaitNobody(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != nil || c.rec.Entering != enterMember || len(c.welcomes) > 0 {
		return nil
	}
	c.rec = chatRecord{}
	if err := c.e.save(ctx, drop(key(keyRoom, c.id[:]))); err != nil {
		return err
	}
	c.e.out.tell(Event{Kind: EvRoomGone, Room: &Room{ID: c.id.String()}})
	return nil
}
