package core

import (
	"fmt"

	"github.com/securelink-chat/securelink/wire"
)

// done answers and pushes, once the entry is durable. The writer's finisher
// calls it in the order of the log.
func (a *appending) done(err error) {
	c, room := a.c, a.room
	c.inFlight.Add(-1)
	c.s.answers.end(c.user, a.key, err == nil)
	if err != nil {
		room.mu.Lock()
		room.pending--
		room.mu.Unlock()
		c.refuse(a.id, fmt.Errorf("append: %w", err))
		return
	}
	room.mu.Lock()
	joined := a.hookJoinersLocked()
	room.shown = a.head
	room.mu.Unlock()
	c.s.count.accepted.Add(1)
	c.respond(a.id, encodedBody(a.answer))
	for _, w := range a.welcomes {
		c.s.tell(w.Device, wire.WelcomeEvent{Welcome: w.Welcome})
	}
	a.push(joined)
	room.mu.Lock()
	room.pending--
	room.mu.Unlock()
}

// push tells the entry to all who get it, and the change of the routing list to
// those whom it concerns.
func (a *appending) push(joined map[wire.DeviceID]wire.RoomState) {
	for device, state := range joined {
		a.c.s.tell(device, wire.RoomEvent{State: state})
	}
	frame := wire.AppendEntryEvent(make([]byte, 0, len(a.raw)+32), a.room.id, a.raw)
	a.c.s.bus.Publish(roomTopic(a.room.id), Message{Seq: a.head.Seq, Data: frame})
	a.unhookRemoved()
	a.logRoutes()
}

// logRoutes notes who came and who went.
func (a *appending) logRoutes() {
	for _, m := range a.added {
		a.c.log.Info("joined", logRoom(a.room.id), "joiner", logID(m.Device[:]), "seq", a.head.Seq)
	}
	for _, m := range a.removed {
		a.c.log.Info("left", logRoom(a.room.id), "leaver", logID(m.Device[:]), "seq", a.head.Seq)
	}
}

// hookJoinersLocked lets the connections of devices that this entry routed
// watch the room, if they asked for all rooms. It returns what to tell them;
// the entry itself follows.
func (a *appending) hookJoinersLocked() map[wire.DeviceID]wire.RoomState {
	var joined map[wire.DeviceID]wire.RoomState
	for _, m := range a.added {
		conns := a.c.s.devices.of(m.Device)
		if len(conns) == 0 {
			continue
		}
		if joined == nil {
			joined = map[wire.DeviceID]wire.RoomState{}
		}
		joined[m.Device] = a.room.stateLocked(m.Device)
		for _, c := range conns {
			c.watch.Lock()
			all, presence := c.watch.all, c.watch.presence
			c.watch.Unlock()
			if all {
				a.room.watchLocked(c, presence)
			}
		}
	}
	return joined
}

// unhookRemoved ends the watching of devices that this entry took out. In open
// rooms they may watch again, as strangers.
func (a *appending) unhookRemoved() {
	for _, m := range a.removed {
		a.room.mu.Lock()
		if _, again := a.room.members[m.Device]; again {
			a.room.mu.Unlock()
			continue
		}
		state := a.room.stateLocked(m.Device)
		state.Seq, state.Handshake, state.Chain = a.head.Seq, a.head.Handshake, a.head.Chain
		state.From, state.Until = m.From, m.Until
		conns := a.c.s.devices.of(m.Device)
		for _, c := range conns {
			c.watch.Lock()
			delete(c.watch.rooms, a.room.id)
			c.watch.Unlock()
			a.room.unwatchLocked(c)
		}
		a.room.mu.Unlock()
		a.c.s.tell(m.Device, wire.RoomEvent{State: state})
	}
}
