package engine

import (
	"slices"
	"testing"

	"github.com/securelink-chat/securelink/client"
	"github.com/securelink-chat/securelink/store/mem"
	"github.com/securelink-chat/securelink/wire"
)

// A profile is set back to an old copy of itself. It says so, asks to be let in
// again and is; there is one line about it, for everybody.
func TestOldCopyOfAProfileIsLetInAgain(t *testing.T) {
	s := newServer(t)
	alice, bob, room := s.pair()
	bob.say(room, "one")
	alice.hears(room, "one")
	bob.stop()
	old := copied(t, bob.storage)
	bob.run(s)
	bob.say(room, "two")
	alice.hears(room, "two")
	bob.hears(room, "two")
	bob.stop()
	bob.storage = old
	bob.run(s)
	bob.warned("rollback")
	bob.until("line that it is back", func() bool {
		return slices.ContainsFunc(bob.Events, func(ev client.Event) bool {
			return ev.Kind == client.EvItem && ev.Item.Text == "Bob came back with a fresh key."
		})
	})
	bob.inRoom(room, "place in the room", func(r client.Room) bool { return r.State == client.RoomMember })
	bob.say(room, "three")
	alice.hears(room, "three")
	alice.say(room, "welcome back")
	bob.hears(room, "welcome back")
	alice.hears(room, "welcome back")
	for _, p := range []*person{alice, bob} {
		if n := p.lines(room, "came back with a fresh key"); n != 1 {
			t.Errorf("%s has %d lines that Bob is back", p.name, n)
		}
	}
	if got := bob.alarms(room, "rollback"); len(got) != 1 {
		t.Errorf("bob was warned %d times: %q", len(got), got)
	}
	if got := alice.texts(room); !slices.Equal(got, []string{"Bob: one", "Bob: two", "Bob: three", "Alice: welcome back"}) {
		t.Errorf("alice reads %q", got)
	}
}

// A guest who is away for long is let go by the members, on the word of the
// server's delegate; who is there stays. Coming back, the guest enters again.
func TestGuestsWhoAreGoneAreLetGo(t *testing.T) {
	s := newServerOn(t, mem.New(), wire.DefaultLimits().With(wire.RetireAfter, 1))
	alice, lounge := s.guest("Alice")
	bob, _ := s.guest("Bob")
	ghost, _ := s.guest("Casper")
	for _, p := range []*person{alice, bob} {
		p.inRoom(lounge, "three", func(r client.Room) bool { return r.Members == 3 })
	}
	ghost.stop()
	bob.say(lounge, "still here")
	alice.hears(lounge, "still here")
	alice.stop()
	alice.run(s) // members look when they connect
	for _, p := range []*person{alice, bob} {
		p.inRoom(lounge, "two", func(r client.Room) bool { return r.Members == 2 })
		if n := p.lines(lounge, "Casper has not been here for a long time"); n != 1 {
			t.Errorf("%s has %d lines that he was let go", p.name, n)
		}
	}
	ghost.run(s)
	ghost.inRoom(lounge, "place in the Lounge", func(r client.Room) bool { return r.State == client.RoomMember && r.Members == 3 })
	ghost.say(lounge, "boo")
	bob.hears(lounge, "boo")
	if got := ghost.alarms(lounge, "removed"); len(got) != 0 {
		t.Errorf("the guest was warned: %q", got)
	}
}
