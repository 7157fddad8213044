package client

import (
	"context"
	"slices"
	"time"

	"github.com/securelink-chat/securelink/wire"
)

// Signals are passing words to the members of a room, sealed and all of one
// size: that somebody writes, is there, has got and read what. The server keeps
// none, and learns from them no more than when a device says something that is
// no message. They are on in rooms of up to signalsMost people, and a user may
// switch them for one room or for all. Off is off both ways: nothing is told and
// nothing is shown.

const (
	// signalsMost is the largest room, in people, where signals are on by
	// themselves: beyond it the news is noise, and its cost grows with the
	// square of the members.
	signalsMost = 20
	// typingEvery is how soon the same news of writing is told again. An
	// interface forgets it after a little longer.
	typingEvery = 4 * time.Second
	// standingEvery is how often a device says that it is still there, and
	// presenceLasts how long it is believed.
	standingEvery = time.Minute
	presenceLasts = 5 * standingEvery / 2
	// standingSoon is how long news of what was got and read are gathered.
	standingSoon = 500 * time.Millisecond
)

// Kinds of signals.
const (
	signalTyping   = 1 // one byte: 1 writes, 0 has stopped
	signalStanding = 2 // standing
)

// Settings of the signals of a room, or of all: what the size of the room says,
// or what the user says.
const (
	signalsAuto = 0
	signalsOn   = 1
	signalsOff  = 2
)

// typingState is what was last told of the own writing.
type typingState struct {
	on bool
	at time.Time
}

// signalsRecord is what is kept of a room's signals.
type signalsRecord struct {
	_       struct{} `cbor:",toarray"`
	Setting uint8
	Mates   []mate
}

// signalsLocked reports whether signals are on in this room.
func (c *chat) signalsLocked() bool {
	setting := c.mates.kept.Setting
	if setting == signalsAuto {
		setting = c.e.signals()
	}
	if setting == signalsAuto {
		return c.rec.Members <= signalsMost
	}
	return setting == signalsOn
}

func (e *Engine) signals() uint8 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.signalling
}

// settings are the words for them, in the order of their numbers.
var settings = []string{SignalsAuto, SignalsOn, SignalsOff}

// switchSignals changes the setting of a room, or of all rooms.
func (e *Engine) switchSignals(ctx context.Context, r Request) error {
	to := slices.Index(settings, r.Mode)
	if to < 0 {
		return &Problem{Code: ProblemUsage, Text: "Signals are on, off or auto."}
	}
	if r.Room != "" {
		c, err := e.known(r.Room)
		if err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		before := c.signalsLocked()
		c.mates.kept.Setting, c.mates.dirty = uint8(to), true
		return c.switchedLocked(ctx, before)
	}
	before := map[*chat]bool{}
	for _, c := range e.chats() {
		c.mu.Lock()
		before[c] = c.signalsLocked()
		c.mu.Unlock()
	}
	e.mu.Lock()
	e.signalling = uint8(to)
	e.mu.Unlock()
	if err := e.save(ctx, put([]byte(keySignals), uint8(to))); err != nil {
		return err
	}
	for c, on := range before {
		c.mu.Lock()
		err := c.switchedLocked(ctx, on)
		c.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// switchedLocked carries a change of the setting out. Whoever switches signals
// off says once more that they are gone, and forgets what they were told.
func (c *chat) switchedLocked(ctx context.Context, before bool) error {
	on := c.signalsLocked()
	switch {
	case on && !before:
		c.mates.told = nil
	case before && !on:
		c.sendStandingLocked(standing{})
		c.mates.kept.Mates, c.mates.dirty = nil, true
		clear(c.mates.here)
		clear(c.mates.claims)
	}
	if err := c.newBatch().commitLocked(ctx); err != nil {
		return err
	}
	c.notifyLocked()
	c.poke()
	return nil
}

// typing tells the room that the user writes, or has stopped. It is lost where
// it cannot be told at once.
func (c *chat) typing(on bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.state == nil || !c.signalsLocked() || on == c.mates.typed.on && now.Sub(c.mates.typed.at) < typingEvery {
		return nil
	}
	if c.viewLocked().Blocked != "" {
		return nil // what is written cannot be sent, so nobody is to wait for it
	}
	word := []byte{0}
	if on {
		word[0] = 1
	}
	sealed, err := c.state.SealSignal(signalTyping, word, now)
	if err != nil {
		return nil // not yet, or no longer, somebody who may speak here
	}
	c.mates.typed = typingState{on, now}
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
	if c.state == nil || !c.signalsLocked() {
		return
	}
	signal, err := c.state.OpenSignal(data)
	if err != nil {
		return
	}
	switch signal.Kind {
	case signalTyping:
		if len(signal.Data) == 1 && c.e.me() != wire.UserID(signal.User) {
			c.e.out.tell(Event{Kind: EvTyping, Typing: &Typing{
				Room: c.id.String(), User: signal.User.String(), Name: c.e.nameOf(wire.UserID(signal.User)), On: signal.Data[0] == 1,
			}})
		}
	case signalStanding:
		if s, ok := decodeStanding(signal.Data); ok {
			c.heardLocked(wire.UserID(signal.User), wire.DeviceID(signal.Device), s)
		}
	}
}
