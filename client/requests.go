package client

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
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
		if err == nil && (r.Topic != "" || r.On) {
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
