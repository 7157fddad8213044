package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// quick does requests that need no answer of the server, in order. done is
// false for the others.
func (e *Engine) quick(ctx context.Context, r Request) (ev Event, err error, done bool) {
	switch r.Op {
	case OpConnect:
		if r.On {
			if err := e.signBackIn(); err != nil {
				return ev, err, true
			}
		}
		select {
		case e.wake <- struct{}{}:
		default:
		}
		return ev, nil, true
	case OpInfo:
		return Event{Info: e.info()}, nil, true
	case OpRooms:
		return Event{Rooms: e.roomList()}, nil, true
	case OpVerify:
		ev.Safety, err = e.verify(ctx, r.User, r.On)
		return ev, err, true
	case OpTrust:
		if r.User != "" {
			return ev, e.trust(ctx, r.User), true
		}
	case OpSignals:
		return ev, e.switchSignals(ctx, r), true
	case OpSearch:
		ev.Items, err = e.search(ctx, r)
		return ev, err, true
	case OpSend, OpEdit, OpDelete, OpReact, OpRetry, OpDiscard, OpHistory, OpRead, OpMembers, OpAccept, OpTyping, OpRequests, OpBans:
		c, err := e.known(r.Room)
		if err != nil {
			return ev, err, true
		}
		ev, err := c.quick(ctx, r)
		return ev, err, true
	}
	return ev, nil, false
}

// quick does what concerns one room.
func (c *chat) quick(ctx context.Context, r Request) (ev Event, err error) {
	switch r.Op {
	case OpSend:
		if r.Text == "" {
			return ev, &Problem{Code: ProblemUsage, Text: "There is nothing to send."}
		}
		kind := room.ItemText
		if r.Message != "" {
			kind = room.ItemReply
		}
		ev.Item, err = c.compose(ctx, r, kind)
	case OpEdit:
		if r.Text == "" {
			return ev, &Problem{Code: ProblemUsage, Text: "There is nothing to send."}
		}
		_, err = c.compose(ctx, r, room.ItemEdit)
	case OpDelete:
		_, err = c.compose(ctx, r, room.ItemDelete)
	case OpReact:
		if !r.On {
			r.Text = ""
		}
		_, err = c.compose(ctx, r, room.ItemReaction)
	case OpRetry, OpDiscard:
		err = c.retry(ctx, r.Message, r.Op == OpDiscard)
	case OpHistory:
		ev.Items, err = c.history(ctx, r)
	case OpRead:
		err = c.read(ctx, r.After)
	case OpMembers:
		ev.Members, err = c.members()
	case OpAccept:
		err = c.accept(ctx)
	case OpTyping:
		err = c.typing(r.On)
	case OpBans:
		ev.Members, err = c.bans()
	case OpRequests:
		ev.Knocks, err = c.requests()
	}
	return ev, err
}

// slow does requests that wait for the server.
func (e *Engine) slow(ctx context.Context, r Request) (ev Event, err error) {
	switch r.Op {
	case OpGuest:
		return ev, e.guest(ctx, r)
	case OpRegister:
		return ev, e.register(ctx, r)
	case OpLogin:
		return ev, e.login(ctx, r)
	case OpLogout:
		return ev, e.logout(ctx, r.On)
	case OpClaim:
		return ev, e.claimAdmin(ctx, r.Link)
	case OpProfile:
		return ev, e.rename(ctx, r.Name)
	case OpCreate:
		ev.Room, err = e.create(ctx, r)
		return ev, err
	case OpJoin:
		ev.Room, err = e.join(ctx, r)
		return ev, err
	case OpDirect:
		ev.Room, err = e.direct(ctx, r)
		return ev, err
	case OpDevices:
		ev.Devices, err = e.devices(ctx)
		return ev, err
	case OpApprove:
		return ev, e.approve(ctx, r.Text)
	case OpRename:
		return ev, e.renameDevice(ctx, r)
	case OpRevoke:
		return ev, e.revoke(ctx, r)
	case OpInvite, OpRemove, OpBan, OpUnban, OpRole, OpLeave, OpDecline, OpTitle, OpLink, OpUnlink, OpLinks, OpSealed, OpTrust, OpAdmit, OpRefuse:
		c, err := e.known(r.Room)
		if err != nil {
			return ev, err
		}
		return c.slow(ctx, r)
	}
	return ev, &Problem{Code: ProblemUsage, Text: fmt.Sprintf("There is no request %q.", r.Op)}
}

func (c *chat) slow(ctx context.Context, r Request) (ev Event, err error) {
	switch r.Op {
	case OpInvite:
		return ev, c.invite(ctx, r.User)
	case OpAdmit:
		return ev, c.admit(ctx, r.User)
	case OpRefuse:
		return ev, c.refuse(ctx, r.User)
	case OpLeave, OpDecline:
		return ev, c.leave(ctx)
	case OpLink:
		ev.Link, err = c.makeLink(ctx, r)
		return ev, err
	case OpUnlink:
		return ev, c.endLink(ctx, r.Link)
	case OpTrust:
		return ev, c.giveWay(ctx)
	case OpLinks:
		ev.Links, err = c.links(ctx)
		return ev, err
	case OpSealed:
		ev.Sealed, err = c.sealed(ctx, r.Message)
		return ev, err
	case OpTitle:
		if r.Text != "" {
			err = c.achieve(ctx, room.Intent{Kind: room.IntentTitle, Text: r.Text})
		}
		if err == nil && r.Topic != "" {
			err = c.achieve(ctx, room.Intent{Kind: room.IntentTopic, Text: r.Topic})
		}
		return ev, err
	}
	user, err := parseUser(r.User)
	if err != nil {
		return ev, err
	}
	intent := room.Intent{User: identity.UserID(user)}
	switch r.Op {
	case OpRemove:
		intent.Kind = room.IntentRemove
	case OpUnban:
		intent.Kind = room.IntentUnban
	case OpBan:
		intent.Kind = room.IntentBan
	case OpRole:
		intent.Kind = room.IntentRole
		switch r.Role {
		case RoleOwner:
			intent.Role = room.RoleOwner
		case RoleAdmin:
			intent.Role = room.RoleAdmin
		case RoleMember:
			intent.Role = room.RoleMember
		default:
			return ev, &Problem{Code: ProblemUsage, Text: "A role is owner, admin or member."}
		}
	}
	return ev, c.achieve(ctx, intent)
}

// roomList lists the rooms, those with the newest messages first.
func (e *Engine) roomList() []Room {
	var all []Room
	for _, c := range e.chats() {
		c.mu.Lock()
		if c.state != nil || c.rec.Entering != enterNot || c.rec.Out != 0 {
			all = append(all, c.viewLocked())
		}
		c.mu.Unlock()
	}
	return sorted(all, func(a, b *Room) int {
		return cmp.Or(cmp.Compare(b.Last, a.Last), cmp.Compare(a.Title, b.Title), cmp.Compare(a.ID, b.ID))
	})
}

// sorted is a list in order. It sorts pointers: what sorts one kind of pointer
// sorts all, and every kind of structure would bring that code anew into a
// browser.
func sorted[T any](list []T, compare func(a, b *T) int) []T {
	at := make([]*T, len(list))
	for i := range list {
		at[i] = &list[i]
	}
	slices.SortFunc(at, compare)
	out := make([]T, len(list))
	for i, p := range at {
		out[i] = *p
	}
	return out
}

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
	packages, err := c.e.claim(ctx, s, user.User, nil)
	if err != nil {
		return err
	}
	return c.achieve(ctx, room.Intent{Kind: room.IntentAdd, User: identity.UserID(user.User), KeyPackages: packages})
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

// leave says that this device's user wants to be out. Alone in the room it is
// out at once; else another member's commit carries it out.
func (c *chat) leave(ctx context.Context) error {
	s, err := c.e.online(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	if c.state == nil {
		asked := c.rec.Entering == enterAsked
		c.rec.Entering, c.rec.Out = enterNot, outLeft
		err := c.e.save(ctx, c.recordLocked())
		c.notifyLocked()
		c.mu.Unlock()
		if err == nil && asked {
			err = c.withdraw(ctx, s)
		}
		return err
	}
	joining := c.state.State() == room.StateJoining
	alone := !joining && len(c.state.Info().Members) == 1
	c.mu.Unlock()
	if joining { // an invitation: its commit is about to come
		if _, err := c.inside(ctx); err != nil {
			return err
		}
	}
	for attempt := 0; ; attempt++ {
		err = c.state1(ctx, s, func(r *room.Room) (*room.Append, error) { return r.Leave() })
		if !errors.Is(err, errAgain) || attempt == 5 {
			break
		}
		if err := c.settled(ctx); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rec.Leaving, c.rec.Invited = true, false
	if alone && c.state != nil {
		b := c.newBatch()
		var finished []func()
		c.leaveLocked(ctx, b, &finished)
		if err := b.commitLocked(ctx); err != nil {
			return err
		}
		for _, f := range finished {
			f()
		}
	} else if err := c.e.save(ctx, c.recordLocked()); err != nil {
		return err
	}
	c.notifyLocked()
	return nil
}

// settled waits until the log has been followed to its end.
func (c *chat) settled(ctx context.Context) error {
	c.poke()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		c.mu.Lock()
		idle := !c.behind && len(c.inbox) == 0
		c.mu.Unlock()
		if idle {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
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
		c.rec.Invited = false
		view := c.viewLocked()
		c.mu.Unlock()
		if inside {
			return &view, nil
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
