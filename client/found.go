package client

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// foundOpen makes the group of an open room that nobody has entered yet.
func (c *chat) foundOpen(ctx context.Context, s *session, self room.Self) error {
	state, made, err := room.Create(self, room.Spec{Group: identity.GroupID(c.id), Mode: room.ModeOpen, Title: c.title(s)})
	if err != nil {
		return err
	}
	tree, err := part(ctx, s, c.id, made.Tree)
	if err != nil {
		return err
	}
	if err := c.install(ctx, state, made.Records); err != nil {
		return err
	}
	err = s.call(ctx, wire.Key{}, wire.CreateRoom{Room: c.id, Kind: wire.RoomOpen, GroupInfo: made.GroupInfo, Tree: tree}, nil)
	var refused *wire.Error
	if errors.As(err, &refused) {
		c.mu.Lock()
		c.discardLocked(ctx)
		c.mu.Unlock()
		return err
	}
	if err != nil {
		return err
	}
	return c.settle(ctx)
}

func (c *chat) title(s *session) string {
	if s.hello.Lounge == c.id {
		return "Lounge"
	}
	return "Open room"
}

// settle notes that this device is in.
func (c *chat) settle(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rec.Entering = enterNot
	if err := c.e.save(ctx, c.recordLocked()); err != nil {
		return err
	}
	c.notifyLocked()
	return nil
}

// found tells the server of a room that was made here; again, if its answer
// was lost.
func (c *chat) found(ctx context.Context, s *session) error {
	c.mu.Lock()
	kind, peer := wire.RoomKind(c.rec.Kind), c.rec.Peer
	c.mu.Unlock()
	request := wire.CreateRoom{Room: c.id, Kind: kind}
	if kind == wire.RoomDirect {
		request.Peer = &peer
	}
	err := s.call(ctx, wire.Key{}, request, nil)
	var refused *wire.Error
	if errors.As(err, &refused) && refused.Code.Hint() == wire.HintNever {
		c.mu.Lock()
		if c.rec.Entering == enterFounder {
			c.trouble, c.rec.Entering = refusal(refused), enterNot
			c.discardLocked(ctx)
			c.notifyLocked()
		}
		c.mu.Unlock()
		return errAgain
	}
	if err != nil {
		return err
	}
	return c.settle(ctx)
}

// create makes a room of this device's own.
func (e *Engine) create(ctx context.Context, r Request) (*Room, error) {
	var id wire.RoomID
	rand.Read(id[:])
	spec := room.Spec{Group: identity.GroupID(id), Mode: room.ModeInvite, Title: r.Text, Topic: r.Topic}
	switch r.Mode {
	case "", ModeInvite:
	case ModeLink:
		spec.Mode = room.ModeLink
	default:
		return nil, &Problem{Code: ProblemUsage, Text: "A new room is for invited people, or for those with a link."}
	}
	if r.Text == "" || len(r.Text) > 200 {
		return nil, &Problem{Code: ProblemUsage, Text: "A room needs a name of at most 200 bytes."}
	}
	return e.make(ctx, spec, chatRecord{Kind: uint8(wire.RoomInvite), Entering: enterFounder})
}

// make founds a room here; the server is told by the room's own goroutine.
func (e *Engine) make(ctx context.Context, spec room.Spec, rec chatRecord) (*Room, error) {
	self, err := e.self()
	if err != nil {
		return nil, err
	}
	state, made, err := room.Create(self, spec)
	if err != nil {
		return nil, err
	}
	c := e.chat(wire.RoomID(spec.Group))
	var view Room
	c.mu.Lock()
	if c.state != nil {
		// A Welcome was faster; that room is the one.
		view = c.viewLocked()
		c.mu.Unlock()
		return &view, nil
	}
	c.rec, c.trouble = rec, nil
	c.rec.Founder = true
	err = c.installLocked(ctx, state, made.Records)
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	c.poke()
	err = c.until(ctx, func() (bool, error) {
		view = c.viewLocked()
		return c.rec.Entering == enterNot, c.trouble
	})
	return &view, err
}
