package client

import (
	"context"
	"errors"
	"time"

	"github.com/securelink-chat/securelink/room"
)

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
	b := c.newBatch()
	if alone && c.state != nil {
		c.leaveLocked(ctx, b)
	}
	if err := b.commitLocked(ctx); err != nil {
		return err
	}
	c.notifyLocked()
	b.finish()
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
