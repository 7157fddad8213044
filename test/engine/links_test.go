package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/client"
)

// asks waits until the person is told that somebody asks to be let in.
func (p *person) asks(room, name string) client.Knock {
	p.t.Helper()
	var ask client.Knock
	p.until(name+" at the door", func() bool {
		for _, ev := range p.Events {
			if ev.Kind == client.EvKnock && ev.Knock.Room == room && ev.Knock.Name == name {
				ask = *ev.Knock
				return true
			}
		}
		return false
	})
	return ask
}

// atDoor is how many people wait at the door, as the person sees it.
func (p *person) atDoor(room string) int {
	p.t.Helper()
	return len(p.must(client.Request{Op: client.OpRequests, Room: room}).Knocks)
}

// uses is how often the room's only link was used, by the server's word.
func (p *person) uses(room string) int {
	p.t.Helper()
	links := p.must(client.Request{Op: client.OpLinks, Room: room}).Links
	if len(links) != 1 {
		p.t.Fatalf("%s: the room has the links %+v", p.name, links)
	}
	return links[0].Uses
}

// Who has a link that needs approval asks; an admin sees who it is and lets
// them in, or does not. Nobody else can, and looking costs nothing.
func TestAskingToComeIn(t *testing.T) {
	s := newServer(t)
	alice, carol := s.register("Alice"), s.register("Carol")
	bob, _ := s.guest("Bob")
	dave, _ := s.guest("Dave")
	room := alice.must(client.Request{Op: client.OpCreate, Text: "Club"}).Room.ID
	alice.bring(room, carol)
	link := alice.must(client.Request{Op: client.OpLink, Room: room, Mode: client.ModeApprove, Limit: 2}).Link
	wrong := link[:len(link)-3] + map[bool]string{true: "AAA", false: "BBB"}[!strings.HasSuffix(link, "AAA")]
	for range 3 {
		if ev := bob.ask(client.Request{Op: client.OpJoin, Link: wrong}); ev.Problem == nil {
			t.Fatal("a wrong secret opened the room")
		}
	}
	if alice.uses(room) != 0 || alice.atDoor(room) != 0 {
		t.Fatal("a wrong secret has left something behind")
	}
	if got := bob.must(client.Request{Op: client.OpJoin, Link: link}).Room; got.State != client.RoomAsking || got.Blocked == "" {
		t.Fatalf("after asking, Bob is told %+v", got)
	}
	ask := alice.asks(room, "Bob")
	if ask.User != bob.account().User || len(strings.Fields(ask.Safety)) != 12 || ask.Link != "1" {
		t.Errorf("Alice sees %+v", ask)
	}
	alice.inRoom(room, "mark that somebody waits", func(r client.Room) bool { return r.Asking == 1 })

	// A member is not asked, and cannot answer.
	if carol.atDoor(room) != 0 {
		t.Error("a member sees who waits")
	}
	for _, op := range []string{client.OpAdmit, client.OpRefuse} {
		if ev := carol.ask(client.Request{Op: op, Room: room, User: ask.User}); ev.Problem == nil {
			t.Errorf("a member could %s", op)
		}
	}
	// Both restart; the wait goes on, and nobody is told twice.
	bob.stop()
	bob.run(s)
	alice.stop()
	alice.run(s)
	alice.asks(room, "Bob")
	if got := alice.atDoor(room); got != 1 || alice.uses(room) != 0 {
		t.Errorf("after a restart %d wait", got)
	}
	alice.must(client.Request{Op: client.OpAdmit, Room: room, User: ask.User})
	bob.inRoom(room, "place in the room", func(r client.Room) bool { return r.State == client.RoomMember && r.Title == "Club" })
	bob.say(room, "here I am")
	alice.hears(room, "here I am")
	alice.inRoom(room, "empty door", func(r client.Room) bool { return r.Asking == 0 })
	if got := bob.must(client.Request{Op: client.OpVerify, User: alice.account().User}).Safety.Number; got != ask.Safety {
		t.Errorf("at the door Bob had the safety number %s, inside %s", ask.Safety, got)
	}

	// Dave is turned away, asks again, and the link ends while he waits.
	asking := func(p *person) {
		t.Helper()
		p.must(client.Request{Op: client.OpJoin, Link: link})
	}
	refused := func(p *person, why string) {
		t.Helper()
		p.inRoom(room, "refusal", func(r client.Room) bool {
			return r.State == client.RoomRefused && strings.Contains(r.Blocked, why)
		})
	}
	asking(dave)
	alice.must(client.Request{Op: client.OpRefuse, Room: room, User: alice.asks(room, "Dave").User})
	refused(dave, "not let in")
	if got := alice.uses(room); got != 1 {
		t.Errorf("the link was used %d times, want once", got)
	}
	asking(dave)
	alice.inRoom(room, "Dave again", func(r client.Room) bool { return r.Asking == 1 })
	alice.must(client.Request{Op: client.OpUnlink, Room: room, Link: "1"})
	refused(dave, "link")
	if ev := dave.ask(client.Request{Op: client.OpJoin, Link: link}); ev.Problem == nil {
		t.Error("a link that has ended still lets people ask")
	}
	alice.inRoom(room, "empty door", func(r client.Room) bool { return r.Asking == 0 })
}

// Who asks may think better of it; who was banned is not even announced.
func TestAskingEnds(t *testing.T) {
	s := newServer(t)
	alice := s.register("Alice")
	bob, _ := s.guest("Bob")
	room := alice.must(client.Request{Op: client.OpCreate, Text: "Club"}).Room.ID
	link := func() string {
		return alice.must(client.Request{Op: client.OpLink, Room: room, Mode: client.ModeApprove}).Link
	}
	first := link()
	bob.must(client.Request{Op: client.OpJoin, Link: first})
	alice.asks(room, "Bob")
	bob.must(client.Request{Op: client.OpLeave, Room: room})
	alice.inRoom(room, "empty door", func(r client.Room) bool { return r.Asking == 0 })
	bob.must(client.Request{Op: client.OpJoin, Link: first})
	alice.inRoom(room, "Bob again", func(r client.Room) bool { return r.Asking == 1 })
	alice.must(client.Request{Op: client.OpAdmit, Room: room, User: bob.account().User})
	bob.inRoom(room, "place in the room", func(r client.Room) bool { return r.State == client.RoomMember })
	alice.must(client.Request{Op: client.OpBan, Room: room, User: bob.account().User})
	bob.inRoom(room, "removal", func(r client.Room) bool { return r.State == client.RoomRemoved })
	again := link()
	bob.must(client.Request{Op: client.OpJoin, Link: again})
	bob.inRoom(room, "refusal", func(r client.Room) bool { return r.State == client.RoomRefused })
	if alice.atDoor(room) != 0 {
		t.Error("somebody who was banned waits at the door")
	}
	alice.must(client.Request{Op: client.OpUnban, Room: room, User: bob.account().User})
	bob.must(client.Request{Op: client.OpJoin, Link: again})
	alice.inRoom(room, "Bob at the door", func(r client.Room) bool { return r.Asking == 1 })
}

// Who asks by a link that names another inviter than the room's own is not led
// into it unasked, however the adding came about.
func TestAskedForAnotherRoom(t *testing.T) {
	s := newServer(t)
	alice := s.register("Alice")
	bob, _ := s.guest("Bob")
	room := alice.must(client.Request{Op: client.OpCreate, Text: "Club"}).Room.ID
	link, err := client.ParseLink(alice.must(client.Request{Op: client.OpLink, Room: room, Mode: client.ModeApprove}).Link)
	if err != nil {
		t.Fatal(err)
	}
	link.Inviter[0] ^= 1
	bob.must(client.Request{Op: client.OpJoin, Link: link.Text()})
	alice.must(client.Request{Op: client.OpAdmit, Room: room, User: alice.asks(room, "Bob").User})
	bob.inRoom(room, "invitation", func(r client.Room) bool { return r.State == client.RoomInvited && r.InvitedBy == "Alice" })
}

// A removal ends the addresses that were handed out, and the links go on under
// new ones, with what is left of their uses.
func TestLinksOutliveARemoval(t *testing.T) {
	s := newServer(t)
	alice := s.register("Alice")
	bob, _ := s.guest("Bob")
	carol, _ := s.guest("Carol")
	dave, _ := s.guest("Dave")
	room := alice.must(client.Request{Op: client.OpCreate, Text: "Club"}).Room.ID
	old := alice.must(client.Request{Op: client.OpLink, Room: room, Limit: 2}).Link
	bob.must(client.Request{Op: client.OpJoin, Link: old})
	bob.inRoom(room, "place in the room", func(r client.Room) bool { return r.State == client.RoomMember })
	alice.must(client.Request{Op: client.OpRemove, Room: room, User: bob.account().User})
	if ev := carol.ask(client.Request{Op: client.OpJoin, Link: old}); ev.Problem == nil {
		t.Fatal("the address that Bob knows still opens the room")
	}
	var links []client.Link
	for began := time.Now(); len(links) != 1 || links[0].MaxUses == 0; {
		if links = alice.must(client.Request{Op: client.OpLinks, Room: room}).Links; time.Since(began) > patience {
			t.Fatalf("the server does not have the link under its new id: %+v", links)
		}
	}
	if links[0].Link == old || links[0].MaxUses-links[0].Uses != 1 {
		t.Fatalf("after the removal the link is %+v", links[0])
	}
	carol.must(client.Request{Op: client.OpJoin, Link: links[0].Link})
	carol.inRoom(room, "place in the room", func(r client.Room) bool { return r.State == client.RoomMember })
	if ev := dave.ask(client.Request{Op: client.OpJoin, Link: links[0].Link}); ev.Problem == nil {
		t.Error("a link for two let three in")
	}
	carol.say(room, "hi")
	alice.hears(room, "hi")
}
