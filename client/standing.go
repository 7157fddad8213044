package client

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// loadRooms takes up every room where it was left.
func (e *Engine) loadRooms(ctx context.Context) error {
	pairs, err := e.cfg.Storage.Load(ctx, Range{Prefix: []byte(keyRoom)})
	if err != nil {
		return err
	}
	for _, p := range pairs {
		if len(p.Key) != len(keyRoom)+16 {
			return fmt.Errorf("client: damaged record of a room")
		}
		c := e.newChat(wire.RoomID(p.Key[len(keyRoom):]))
		if err := wire.Decode(p.Value, &c.rec); err != nil {
			return fmt.Errorf("client: damaged record of a room: %w", err)
		}
		if err := c.restore(ctx); err != nil {
			return err
		}
		e.rooms[c.id] = c
	}
	for _, c := range e.rooms {
		c.mu.Lock()
		c.notifyLocked()
		c.mu.Unlock()
		e.begin(func() { c.run(ctx) })
	}
	return nil
}

// restore loads the state machine, the outbox and the wishes of a room.
func (c *chat) restore(ctx context.Context) error {
	storage := c.e.cfg.Storage
	prefix := key(keyState, c.id[:])
	pairs, err := storage.Load(ctx, Range{Prefix: prefix})
	if err != nil {
		return err
	}
	if len(pairs) > 0 {
		records := make([]room.Record, len(pairs))
		for i, p := range pairs {
			records[i] = room.Record{Key: p.Key[len(prefix):], Value: p.Value}
		}
		self, err := c.e.self()
		if err != nil {
			return err
		}
		if c.state, err = room.Load(self, records); err != nil {
			return fmt.Errorf("client: room %s: %w", c.id, err)
		}
		c.suspectLocked() // nobody else has the room yet
	}
	if _, err := get(ctx, storage, key(keySeen, c.id[:]), &c.mates.kept); err != nil {
		return err
	}
	c.mates.kept.Setting %= uint8(len(settings))
	if _, err := get(ctx, storage, key(keyLinks, c.id[:]), &c.linked); err != nil {
		return err
	}
	waiting, err := storage.Load(ctx, Range{Prefix: key(keyOutbox, c.id[:])})
	if err != nil {
		return err
	}
	for _, p := range waiting {
		o := &outgoing{n: binary.BigEndian.Uint64(p.Key[len(p.Key)-8:])}
		if err := wire.Decode(p.Value, &o.outRecord); err != nil {
			return fmt.Errorf("client: damaged outbox: %w", err)
		}
		c.out = append(c.out, o)
	}
	wishes, err := storage.Load(ctx, Range{Prefix: key(keyIntent, c.id[:])})
	if err != nil {
		return err
	}
	for _, p := range wishes {
		intent, err := room.DecodeIntent(p.Value)
		if err != nil {
			return fmt.Errorf("client: damaged wish: %w", err)
		}
		c.intents = append(c.intents, &intention{Intent: intent, n: binary.BigEndian.Uint64(p.Key[len(p.Key)-8:])})
	}
	return nil
}

// enter makes a connection that is logged in the engine's: from here on the
// rooms use it.
func (e *Engine) enter(ctx context.Context, s *session, standing wire.LoginOK) error {
	// What this device is not in yet is asked before others can bring it in.
	var seen wire.WatchOK
	if err := s.call(ctx, wire.Key{}, wire.Watch{Presence: true}, &seen); err != nil {
		return err
	}
	if err := e.awaitOthers(ctx, s, seen); err != nil {
		return err
	}
	if err := e.stockPackages(ctx, s, standing.KeyPackages, standing.LastResort); err != nil {
		return err
	}
	for _, state := range seen.Rooms {
		c := e.chat(state.Room)
		c.checkHead(ctx, s, state)
		c.announced(state)
	}
	if err := e.inbox(ctx, s); err != nil {
		return err
	}
	if err := e.watchOpen(ctx, s, seen.Rooms); err != nil {
		return err
	}
	e.setSession(s, true)
	e.setConn(Conn{State: ConnConnected})
	e.later(e.checkDevices)
	if e.cfg.Lounge && !s.hello.Lounge.IsZero() {
		e.loungeOnce(ctx, s.hello.Lounge)
	}
	for _, c := range e.chats() {
		c.poke()
	}
	return nil
}

// loungeOnce enters the Lounge unless the user has been in it and left.
func (e *Engine) loungeOnce(ctx context.Context, lounge wire.RoomID) {
	c := e.chat(lounge)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != nil || c.rec.Out != 0 || c.rec.Entering != enterNot && c.rec.Entering != enterMember {
		return
	}
	c.rec.Entering, c.rec.Kind, c.rec.Mode, c.rec.Title = enterOpen, uint8(wire.RoomOpen), ModeOpen, "Lounge"
	if e.save(ctx, c.recordLocked()) == nil {
		c.notifyLocked()
	}
}

// inbox takes the Welcomes that wait for this device.
func (e *Engine) inbox(ctx context.Context, s *session) error {
	var after uint64
	for {
		var page wire.ListWelcomesOK
		if err := s.call(ctx, wire.Key{}, wire.ListWelcomes{After: after}, &page); err != nil {
			return err
		}
		for _, w := range page.Welcomes {
			e.welcome(w)
			after = w.ID
		}
		if !page.More || len(page.Welcomes) == 0 {
			return nil
		}
	}
}

func (e *Engine) welcome(w wire.Welcome) {
	c := e.chat(w.Room)
	c.mu.Lock()
	known := false
	for _, have := range c.welcomes {
		known = known || have.ID == w.ID
	}
	if !known {
		c.welcomes = append(c.welcomes, w)
	}
	c.mu.Unlock()
	c.poke()
}

// watchOpen asks for the pushes of rooms that this device is in and the
// server's list leaves out.
func (e *Engine) watchOpen(ctx context.Context, s *session, listed []wire.RoomState) error {
	have := map[wire.RoomID]bool{}
	for _, state := range listed {
		have[state.Room] = true
	}
	var missing []wire.RoomID
	for _, c := range e.chats() {
		c.mu.Lock()
		if c.state != nil && !have[c.id] && c.rec.Mode == ModeOpen {
			missing = append(missing, c.id)
		}
		c.mu.Unlock()
	}
	if len(missing) == 0 {
		return nil
	}
	var seen wire.WatchOK
	if err := s.call(ctx, wire.Key{}, wire.Watch{Rooms: missing, Presence: true}, &seen); err != nil {
		return err
	}
	for _, state := range seen.Rooms {
		e.chat(state.Room).announced(state)
	}
	return nil
}

// event takes what the server tells by itself. It runs in the session's
// reader, and so never asks the server for anything itself.
func (e *Engine) event(item wire.Item) error {
	switch item.Event {
	case wire.EventEntry:
		var ev wire.EntryEvent
		if err := item.DecodeBody(&ev); err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
		entry, err := ev.Entry.Decode()
		if err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
		e.chat(ev.Room).pushed(entry)
	case wire.EventWelcome:
		var ev wire.WelcomeEvent
		if err := item.DecodeBody(&ev); err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
		e.welcome(ev.Welcome)
	case wire.EventRoom:
		var ev wire.RoomEvent
		if err := item.DecodeBody(&ev); err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
		e.chat(ev.State.Room).announced(ev.State)
	case wire.EventTurn:
		var ev wire.TurnEvent
		if err := item.DecodeBody(&ev); err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
		e.chat(ev.Room).turnGranted()
	case wire.EventKeyPackages:
		var ev wire.KeyPackagesLow
		if err := item.DecodeBody(&ev); err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
		e.later(func(ctx context.Context, s *session) error { return e.stockPackages(ctx, s, ev.OneTime, ev.LastResort) })
	case wire.EventPending, wire.EventEnrolled, wire.EventRevoked:
		return e.deviceEvent(item)
	case wire.EventOutside:
		var ev wire.OutsideEvent
		if err := item.DecodeBody(&ev); err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
		e.chat(ev.Room).newDevice(ev.Route)
	case wire.EventPresence:
		var ev wire.PresenceEvent
		if err := item.DecodeBody(&ev); err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
		if c := e.met(ev.Room); c != nil && !ev.Online {
			c.went(ev.Route.Device)
		}
	case wire.EventKnock:
		var ev wire.KnockEvent
		if err := item.DecodeBody(&ev); err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
		e.atDoor(ev.Room)
	case wire.EventKnockGone:
		var ev wire.KnockGone
		if err := item.DecodeBody(&ev); err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
		e.atDoor(ev.Room)
	case wire.EventSignal:
		var ev wire.SignalEvent
		if err := item.DecodeBody(&ev); err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
		e.chat(ev.Room).signalled(ev.Data)
	}
	return nil
}

// atDoor takes the news that somebody came to, or went from, a room's door.
func (e *Engine) atDoor(id wire.RoomID) {
	if c := e.met(id); c != nil {
		c.knocked()
	}
}

// met is the room of that id, if this device knows it; nil if not.
func (e *Engine) met(id wire.RoomID) *chat {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rooms[id]
}

// later does what an event asks for, outside of the reader.
func (e *Engine) later(f func(context.Context, *session) error) {
	e.begin(func() {
		e.mu.Lock()
		s := e.session
		e.mu.Unlock()
		if s == nil || e.ctx.Err() != nil {
			return
		}
		if err := f(e.ctx, s); err != nil {
			e.log(LogWarn, "later", "error", err.Error())
		}
	})
}

// upkeep does what is due once a day.
func (e *Engine) upkeep(ctx context.Context) {
	ticker := time.NewTicker(24 * time.Hour)
	defer ticker.Stop()
	for {
		if err := e.expirePackages(ctx); err != nil && ctx.Err() == nil {
			e.log(LogWarn, "upkeep", "error", err.Error())
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
