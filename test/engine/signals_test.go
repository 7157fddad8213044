package engine

import (
	"slices"
	"testing"

	"github.com/securelink-chat/securelink/client"
)

// mate is one member as another one sees them.
func (p *person) mate(room, name string) client.Member {
	p.t.Helper()
	members := p.must(client.Request{Op: client.OpMembers, Room: room}).Members
	i := slices.IndexFunc(members, func(m client.Member) bool { return m.Name == name })
	if i < 0 {
		p.t.Fatalf("%s: %s is not in the room", p.name, name)
	}
	return members[i]
}

// writes sends a text and returns its place in the log.
func (p *person) writes(room, text string) (cursor uint64) {
	p.t.Helper()
	p.say(room, text)
	p.hears(room, text)
	for _, item := range p.must(client.Request{Op: client.OpHistory, Room: room, Limit: 50}).Items {
		if item.Text == text {
			cursor = item.Cursor
		}
	}
	return cursor
}

// Who is there, who has got a message and who has read it reaches the others,
// outlives a restart, and ends with the connection or the setting.
func TestReceiptsAndPresence(t *testing.T) {
	s := newServer(t)
	alice, lounge := s.guest("Alice")
	bob, _ := s.guest("Bob")
	there := func(n int) func(client.Room) bool { return func(r client.Room) bool { return r.Present == n } }
	for _, p := range []*person{alice, bob} {
		p.inRoom(lounge, "other person", there(1))
	}
	first := alice.writes(lounge, "did you see this?")
	alice.inRoom(lounge, "delivery", func(r client.Room) bool { return r.Delivered >= first })
	bob.hears(lounge, "did you see this?")
	if m := alice.mate(lounge, "Bob"); !m.Present || m.Delivered < first || m.Read >= first {
		t.Errorf("before Bob has read it he is shown as %+v", m)
	}
	bob.must(client.Request{Op: client.OpRead, Room: lounge, After: first})
	alice.inRoom(lounge, "receipt", func(r client.Room) bool { return r.Seen >= first })
	if m := alice.mate(lounge, "Bob"); m.Read < first {
		t.Errorf("after Bob has read it he is shown as %+v", m)
	}

	bob.stop()
	alice.inRoom(lounge, "Bob's going", there(0))
	second := alice.writes(lounge, "are you there?")
	if m := alice.mate(lounge, "Bob"); m.Present || m.Delivered >= second {
		t.Errorf("while Bob is away he is shown as %+v", m)
	}
	alice.stop()
	alice.run(s)
	if m := alice.mate(lounge, "Bob"); m.Read < first || m.Read >= second {
		t.Errorf("after a restart Bob is shown as %+v", m)
	}
	bob.run(s)
	alice.inRoom(lounge, "delivery", func(r client.Room) bool { return r.Present == 1 && r.Delivered >= second })

	// Off is off both ways.
	bob.must(client.Request{Op: client.OpSignals, Room: lounge, Mode: client.SignalsOff})
	alice.inRoom(lounge, "Bob's hiding", there(0))
	bob.inRoom(lounge, "silence", func(r client.Room) bool { return !r.Signals && r.Present == 0 && r.Seen == 0 })
	third := alice.writes(lounge, "hiding?")
	bob.hears(lounge, "hiding?")
	bob.must(client.Request{Op: client.OpRead, Room: lounge, After: third})
	// Carol's coming makes everybody else say how they stand, within a second;
	// after two answers of Alice's, half a second each at least, Bob's would
	// have left, and comes before what he writes then.
	carol, _ := s.guest("Carol")
	carol.inRoom(lounge, "answer", there(1))
	carol.stop()
	carol.run(s)
	carol.inRoom(lounge, "answer", there(1))
	bob.say(lounge, "nobody sees me")
	alice.hears(lounge, "nobody sees me")
	if m := alice.mate(lounge, "Bob"); m.Present || m.Delivered >= third {
		t.Errorf("with signals off Bob is shown as %+v", m)
	}
	carol.stop()
	alice.inRoom(lounge, "Carol's going", there(0))
	// For all rooms, where a room has no setting of its own.
	bob.must(client.Request{Op: client.OpSignals, Mode: client.SignalsOff})
	bob.must(client.Request{Op: client.OpSignals, Room: lounge, Mode: client.SignalsAuto})
	if got := bob.must(client.Request{Op: client.OpInfo}).Info.Signals; got != client.SignalsOff {
		t.Errorf("the setting of all rooms is %q", got)
	}
	bob.inRoom(lounge, "silence", func(r client.Room) bool { return !r.Signals })
	bob.stop()
	bob.run(s)
	bob.inRoom(lounge, "silence after a restart", func(r client.Room) bool { return !r.Signals })
	bob.must(client.Request{Op: client.OpSignals, Mode: client.SignalsAuto})
	alice.inRoom(lounge, "Bob again", func(r client.Room) bool { return r.Present == 1 && r.Seen >= third })
	if ev := bob.ask(client.Request{Op: client.OpSignals, Mode: "loud"}); ev.Problem == nil {
		t.Error("there is a setting of that name")
	}
}
