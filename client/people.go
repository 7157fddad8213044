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

// members lists who is in the room.
func (c *chat) members() ([]Member, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		return nil, errOut
	}
	var all []Member
	for _, m := range c.state.Info().Members {
		view := Member{
			User: m.User.String(), Name: m.Name, Tag: c.e.tag(wire.UserID(m.User), m.Name), Role: roleName(m.Role),
			Own: m.Own, Devices: len(m.Devices),
		}
		view.Delivered, view.Read, view.Present = c.mateLocked(m.User)
		c.e.mu.Lock()
		if known := c.e.peers[wire.UserID(m.User)]; known != nil {
			view.Verified, view.Changed = known.Verified, known.Changed
		}
		c.e.mu.Unlock()
		all = append(all, view)
	}
	return all, nil
}

// bans lists who may not come in, by the names that this device knows.
func (c *chat) bans() ([]Member, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		return nil, errOut
	}
	info := c.state.Info()
	if info == nil {
		return nil, nil
	}
	var all []Member
	for _, id := range info.Bans {
		user := wire.UserID(id)
		name := c.e.nameOf(user)
		all = append(all, Member{User: user.String(), Name: name, Tag: c.e.tag(user, name)})
	}
	return all, nil
}

// accept goes into a room that somebody else has added this user to.
func (c *chat) accept(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		return errOut
	}
	c.rec.Invited = false
	if err := c.e.save(ctx, c.recordLocked()); err != nil {
		return err
	}
	c.notifyLocked()
	c.poke()
	return nil
}

// invite adds a user, with all devices.
func (c *chat) invite(ctx context.Context, who string) error {
	s, err := c.e.online(ctx)
	if err != nil {
		return err
	}
	user, err := c.e.findUser(ctx, s, who)
	if err != nil {
		return err
	}
	if c.holds(user.User) {
		return &Problem{Code: ProblemUsage, Text: Named(c.e.nameOf(user.User)) + " is in this room already."}
	}
	packages, err := c.e.claim(ctx, s, user.User, nil)
	if err != nil {
		return err
	}
	return c.achieve(ctx, room.Intent{Kind: room.IntentAdd, User: identity.UserID(user.User), KeyPackages: packages})
}

// holds reports whether a user is a member of the room.
func (c *chat) holds(user wire.UserID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state != nil && slices.ContainsFunc(c.state.Info().Members, func(m room.Member) bool { return wire.UserID(m.User) == user })
}

// claim takes a key package of each device of a user, and checks whose they
// are.
func (e *Engine) claim(ctx context.Context, s *session, user wire.UserID, devices []wire.DeviceID) ([][]byte, error) {
	self, err := e.self()
	if err != nil {
		return nil, err
	}
	var once wire.Key
	fill(once[:])
	var claimed wire.ClaimKeyPackagesOK
	if err := s.call(ctx, once, wire.ClaimKeyPackages{User: user, Devices: devices}, &claimed); err != nil {
		return nil, err
	}
	var packages [][]byte
	for _, p := range claimed.Packages {
		credential, err := room.CheckKeyPackage(self.Root, p.Data, time.Now())
		if err != nil {
			e.log(LogWarn, "key package", "error", err.Error())
			continue
		}
		if wire.UserID(credential.User(self.Root)) != user {
			return nil, errNotTheirs
		}
		packages = append(packages, p.Data)
	}
	if len(packages) == 0 {
		return nil, &Problem{Code: ProblemGone, Text: "That user has no device that could be let in now.", Hint: "It works once they have connected."}
	}
	return packages, nil
}

// direct opens the chat of two people: the same room, whoever begins.
func (e *Engine) direct(ctx context.Context, r Request) (*Room, error) {
	s, err := e.online(ctx)
	if err != nil {
		return nil, err
	}
	user, err := e.findUser(ctx, s, r.User)
	if err != nil {
		return nil, err
	}
	me := e.me()
	if user.User == me {
		return nil, &Problem{Code: ProblemUsage, Text: "That is you."}
	}
	id := wire.DirectRoom(me, user.User, 0)
	e.mu.Lock()
	c := e.rooms[id]
	e.mu.Unlock()
	if c != nil {
		c.mu.Lock()
		inside := c.state != nil
		c.mu.Unlock()
		if inside {
			if err := c.accept(ctx); err != nil {
				return nil, err
			}
			return c.inside(ctx)
		}
	}
	packages, err := e.claim(ctx, s, user.User, nil)
	if err != nil {
		return nil, err
	}
	spec := room.Spec{Group: identity.GroupID(id), Mode: room.ModeDirect, Peer: identity.UserID(user.User)}
	_, err = e.make(ctx, spec, chatRecord{Kind: uint8(wire.RoomDirect), Entering: enterFounder, Peer: user.User})
	var taken *Problem
	if errors.As(err, &taken) && taken.Code == wire.Conflict.String() {
		// The other one was faster: the Welcome is on its way.
		c = e.chat(id)
		c.mu.Lock()
		c.trouble = nil
		c.mu.Unlock()
		if _, err := c.inside(ctx); err != nil {
			return nil, err
		}
		if err := c.accept(ctx); err != nil {
			return nil, err
		}
		return c.inside(ctx)
	}
	if err != nil {
		return nil, err
	}
	c = e.chat(id)
	c.mu.Lock()
	together := c.state != nil && len(c.state.Info().Members) > 1
	c.mu.Unlock()
	if together {
		if err := c.accept(ctx); err != nil {
			return nil, err
		}
		return c.inside(ctx)
	}
	if err := c.achieve(ctx, room.Intent{Kind: room.IntentAdd, User: identity.UserID(user.User), KeyPackages: packages}); err != nil {
		return nil, err
	}
	return c.inside(ctx)
}
