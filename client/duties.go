package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// duties does what the room's rules ask of this device: carrying out what
// others have announced, acknowledging joiners, healing itself. Each has its
// time, spread so that not all members do it at once.
func (c *chat) duties(ctx context.Context, s *session) (time.Duration, error) {
	c.mu.Lock()
	if c.state == nil {
		c.mu.Unlock()
		return never, nil
	}
	now := time.Now()
	todos := c.state.Todo(now)
	next := never
	var ripe []room.Todo
	still := map[room.TodoKind]time.Time{}
	for _, todo := range todos {
		k := todo.Kind
		at, waiting := c.due[k]
		if !waiting {
			at = now.Add(todo.After + c.e.cfg.Spread(todo.Jitter))
		}
		still[k] = at
		if left := at.Sub(now); left > 0 {
			next = min(next, left)
			continue
		}
		ripe = append(ripe, todo)
		still[k] = now.Add(todo.After + idleRetry) // not at once again, if it does no good
	}
	c.due = still
	c.mu.Unlock()
	for _, todo := range ripe {
		if err := c.duty(ctx, s, todo); err != nil {
			if errors.Is(err, errOffline) || errors.Is(err, errAgain) {
				return 0, err
			}
			c.e.log(LogWarn, "duty", "room", c.id.String(), "kind", int(todo.Kind), "error", err.Error())
		}
		next = min(next, todo.After+idleRetry)
	}
	return next, nil
}

func (c *chat) duty(ctx context.Context, s *session, todo room.Todo) error {
	switch todo.Kind {
	case room.TodoCarry:
		return c.commitNow(ctx, s, nil)
	case room.TodoAck:
		return c.state1(ctx, s, func(r *room.Room) (*room.Append, error) {
			var id room.MessageID
			rand.Read(id[:])
			return r.Message(room.Draft{ID: id, Kind: room.ItemAck})
		})
	case room.TodoRefresh:
		return c.commitNow(ctx, s, []*intention{{Intent: room.Intent{Kind: room.IntentRefresh}}})
	case room.TodoNack:
		return c.plead(ctx, s, func(r *room.Room) (*room.Append, error) { return r.Nack(time.Now()) })
	case room.TodoRejoin:
		return c.plead(ctx, s, func(r *room.Room) (*room.Append, error) { return r.AskRejoin(0, time.Now()) })
	case room.TodoPublish:
		return c.publish(ctx, s)
	case room.TodoVerify:
		return c.verifyOffer(ctx, s)
	case room.TodoEnter:
		err := c.state1(ctx, s, (*room.Room).Enter)
		if errors.Is(err, room.ErrStale) {
			return c.startOver(ctx)
		}
		return err
	case room.TodoUndo:
		c.mu.Lock()
		open := c.rec.Mode == ModeOpen
		c.mu.Unlock()
		if open {
			return c.resync(ctx, s)
		}
		return c.plead(ctx, s, func(r *room.Room) (*room.Append, error) { return r.Undo(time.Now()) })
	}
	return fmt.Errorf("client: an unknown duty %d", todo.Kind)
}

// plead sends what a device says that cannot follow the room, unless it was
// removed meanwhile.
func (c *chat) plead(ctx context.Context, s *session, make1 func(*room.Room) (*room.Append, error)) error {
	if out, err := c.shutOut(ctx, s); out || err != nil {
		return err
	}
	return c.state1(ctx, s, make1)
}

// state1 lets the state machine make one entry and appends it.
func (c *chat) state1(ctx context.Context, s *session, make1 func(*room.Room) (*room.Append, error)) error {
	c.mu.Lock()
	if c.state == nil {
		c.mu.Unlock()
		return nil
	}
	made, err := make1(c.state)
	if err == nil {
		b := c.newBatch()
		c.keepRecords(b, made.Records)
		err = b.commitLocked(ctx)
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	return c.appendHandshake(ctx, s, made)
}

// published lets the state machine make what strangers join by, and keeps that
// it has. The caller holds mu.
func (c *chat) published(ctx context.Context) (*room.Append, error) {
	made, err := c.state.Publish()
	if err != nil {
		return nil, err
	}
	b := c.newBatch()
	c.keepRecords(b, made.Records)
	return made, b.commitLocked(ctx)
}

// publish gives strangers what they join by, where the server has something
// older.
func (c *chat) publish(ctx context.Context, s *session) error {
	c.mu.Lock()
	if c.state == nil {
		c.mu.Unlock()
		return nil
	}
	made, err := c.published(ctx)
	c.mu.Unlock()
	if errors.Is(err, room.ErrNothing) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(made.GroupInfo) > 0 {
		tree, err := part(ctx, s, c.id, made.Tree)
		if err != nil {
			return err
		}
		if err := s.call(ctx, wire.Key{}, wire.PutGroupInfo{Room: c.id, Seq: made.Examined, GroupInfo: made.GroupInfo, Tree: tree}, nil); err != nil {
			return err
		}
	}
	for _, l := range made.Links {
		tree, err := part(ctx, s, c.id, l.Tree)
		if err != nil {
			return err
		}
		link := wire.LinkID(l.ID)
		if err := s.call(ctx, wire.Key{}, wire.PutGroupInfo{Room: c.id, Seq: made.Examined, GroupInfo: l.GroupInfo, Tree: tree, Link: &link}, nil); err != nil {
			return err
		}
	}
	return nil
}
