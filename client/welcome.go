package client

import (
	"context"
	"errors"

	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// takeWelcomes joins by, or heals with, what others have left for this device.
func (c *chat) takeWelcomes(ctx context.Context, s *session) error {
	for {
		c.mu.Lock()
		if len(c.welcomes) == 0 {
			c.mu.Unlock()
			return nil
		}
		w := c.welcomes[0]
		c.mu.Unlock()
		if err := c.takeWelcome(ctx, s, w); err != nil {
			return err
		}
		if err := s.call(ctx, wire.Key{}, wire.AckWelcomes{IDs: []uint64{w.ID}}, nil); err != nil {
			return err
		}
		c.mu.Lock()
		c.welcomes = c.welcomes[1:]
		c.mu.Unlock()
	}
}

// takeWelcome returns an error only for what may go better later.
func (c *chat) takeWelcome(ctx context.Context, s *session, w wire.Welcome) error {
	self, err := c.e.self()
	if err != nil {
		return err
	}
	in := room.Welcome{Data: w.Data}
	if w.Tree != nil {
		if in.Tree, err = getBlob(ctx, s, c.id, *w.Tree, nil); err != nil {
			return err
		}
	}
	keys, err := c.e.packages(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	state := c.state
	// A room that was made here and that the server does not know yet gives
	// way: in a direct chat the other one was faster.
	fresh := state == nil || c.rec.Entering == enterFounder || c.rec.Stranded
	c.mu.Unlock()
	var result *room.Result
	if !fresh {
		c.mu.Lock()
		result, err = c.state.Rejoin(in, keys)
		c.mu.Unlock()
	} else {
		state, result, err = room.JoinWelcome(self, in, keys)
	}
	if errors.Is(err, room.ErrEarly) {
		return c.early(ctx, s, w)
	}
	if err != nil {
		if !errors.Is(err, room.ErrUnwanted) {
			c.e.log(LogWarn, "welcome", "room", c.id.String(), "error", err.Error())
		}
		return nil
	}
	return c.welcomed(ctx, state, w, result, fresh)
}

// early follows the log first, for a Welcome whose place was not reached yet.
func (c *chat) early(ctx context.Context, s *session, w wire.Welcome) error {
	if err := c.follow(ctx, s); err != nil {
		return err
	}
	c.mu.Lock()
	position := uint64(0)
	if c.state != nil {
		position, _ = c.state.Position()
	}
	c.mu.Unlock()
	if position < w.Seq {
		return nil // the log ends before it: it is for another history
	}
	return errAgain
}

// welcomed keeps the state that a Welcome brought.
func (c *chat) welcomed(ctx context.Context, state *room.Room, w wire.Welcome, result *room.Result, fresh bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.newBatch()
	var inviter wire.UserID
	if fresh {
		old, err := c.e.cfg.Storage.Load(ctx, Range{Prefix: key(keyState, c.id[:])})
		if err != nil {
			return err
		}
		for _, p := range old {
			b.add(drop(p.Key))
		}
		c.state = state
		// By another device of this user it is no invitation, nor where one was
		// in already. Who let this device in is whoever has signed for it, not
		// whom the server names.
		asked := (c.rec.Entering == enterAsked || c.rec.Entering == enterLink) && c.opensLocked(state)
		inviter = wire.UserID(state.Info().Inviter)
		c.rec.Invited = inviter != c.e.me() && c.rec.Entering != enterMember && !asked
		c.rec.Out, c.rec.Leaving, c.rec.Entering, c.rec.Stranded = 0, false, enterNot, false
		c.joinedLogs()
		c.keepRecords(b, state.Records())
	}
	c.behind, c.inbox, c.trouble = true, nil, nil
	if err := c.digest(ctx, b, wire.Entry{Seq: w.Seq}, result); err != nil {
		return err
	}
	c.refresh(b)
	if fresh && c.rec.Invited {
		c.rec.InvitedBy = c.e.nameOf(inviter)
	}
	if err := b.commitLocked(ctx); err != nil {
		return err
	}
	c.notifyLocked()
	b.finish()
	return nil
}
