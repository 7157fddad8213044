package client

import (
	"context"
	"time"

	"github.com/securelink-chat/securelink/wire"
)

const (
	// typingMost is the largest room, in people, whose members are told that
	// somebody writes: beyond it the news is noise, and its cost grows with
	// the square of the members.
	typingMost = 20
	// typingEvery is how soon the same news is told again. An interface
	// forgets it after a little longer.
	typingEvery = 4 * time.Second
)

// signalTyping is the kind of a signal whose data is one byte: 1 writes,
// 0 has stopped.
const signalTyping = 1

// typingState is what was last told of the own writing.
type typingState struct {
	on bool
	at time.Time
}

// typing tells the room that the user writes, or has stopped. It is sealed to
// the members, kept nowhere, and lost where it cannot be told at once.
func (c *chat) typing(on bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.state == nil || c.rec.Members > typingMost || on == c.typed.on && now.Sub(c.typed.at) < typingEvery {
		return nil
	}
	word := []byte{0}
	if on {
		word[0] = 1
	}
	sealed, err := c.state.SealSignal(signalTyping, word, now)
	if err != nil {
		return nil // not yet, or no longer, somebody who may speak here
	}
	c.typed = typingState{on, now}
	c.e.later(func(ctx context.Context, s *session) error {
		return s.call(ctx, wire.Key{}, wire.Signal{Room: c.id, Data: sealed}, nil)
	})
	return nil
}

// signalled opens another device's signal. One that does not open is no
// alarm: an epoch may have ended while it was on its way.
func (c *chat) signalled(data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil || c.rec.Members > typingMost {
		return
	}
	signal, err := c.state.OpenSignal(data)
	if err != nil || signal.Kind != signalTyping || len(signal.Data) != 1 || c.e.me() == wire.UserID(signal.User) {
		return
	}
	c.e.out.tell(Event{Kind: EvTyping, Typing: &Typing{
		Room: c.id.String(), User: signal.User.String(), Name: c.e.nameOf(wire.UserID(signal.User)), On: signal.Data[0] == 1,
	}})
}
