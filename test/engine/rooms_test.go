package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/client"
)

// register makes an account with a login name, which others can invite.
func (s *server) register(name string) *person {
	s.t.Helper()
	p := s.person(name)
	p.must(client.Request{Op: client.OpRegister, Name: name, Login: strings.ToLower(name), Password: "correct horse " + name})
	return p
}

// account is the person's newest standing.
func (p *person) account() client.Account {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	var a client.Account
	for _, ev := range p.Events {
		if ev.Kind == client.EvAccount {
			a = *ev.Account
		}
	}
	return a
}

// inRoom waits until the newest word on a room is as wanted.
func (p *person) inRoom(id, what string, ready func(client.Room) bool) {
	p.t.Helper()
	p.until(what, func() bool {
		for _, ev := range slices.Backward(p.Events) {
			if ev.Kind == client.EvRoom && ev.Room.ID == id {
				return ready(*ev.Room)
			}
		}
		return false
	})
}

// bring invites somebody and waits until both are in.
func (p *person) bring(room string, guest *person) {
	p.t.Helper()
	p.must(client.Request{Op: client.OpInvite, Room: room, User: guest.account().User})
	guest.inRoom(room, "invitation", func(r client.Room) bool { return r.State == client.RoomInvited })
	guest.must(client.Request{Op: client.OpAccept, Room: room})
	guest.inRoom(room, "place in the room", func(r client.Room) bool { return r.State == client.RoomMember })
}

// pair is two people in a room of their own, which Alice has made.
func (s *server) pair() (alice, bob *person, room string) {
	s.t.Helper()
	alice, bob = s.register("Alice"), s.register("Bob")
	room = alice.must(client.Request{Op: client.OpCreate, Text: "Family"}).Room.ID
	alice.bring(room, bob)
	return alice, bob, room
}

func TestInvitedPeopleTalk(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	alice, bob, carol := s.register("Alice"), s.register("Bob"), s.register("Carol")
	room := alice.must(client.Request{Op: client.OpCreate, Text: "Family"}).Room.ID
	alice.must(client.Request{Op: client.OpInvite, Room: room, User: "bob"})
	bob.inRoom(room, "invitation", func(r client.Room) bool {
		return r.State == client.RoomInvited && r.Title == "Family" && r.InvitedBy == "Alice"
	})
	bob.must(client.Request{Op: client.OpAccept, Room: room})
	alice.bring(room, carol)
	alice.say(room, "hi")
	bob.hears(room, "hi")
	bob.say(room, "ho")
	carol.hears(room, "ho")
	carol.say(room, "hum")
	alice.hears(room, "hum")

	// Who is removed reads nothing of what follows, and knows it.
	alice.must(client.Request{Op: client.OpRemove, Room: room, User: bob.account().User})
	bob.inRoom(room, "removal", func(r client.Room) bool { return r.State == client.RoomRemoved })
	alice.say(room, "without bob")
	carol.hears(room, "without bob")
	if got := bob.texts(room); slices.Contains(got, "Alice: without bob") || !slices.Contains(got, "Alice: hi") {
		t.Errorf("after the removal bob holds %q", got)
	}
	if ev := bob.ask(client.Request{Op: client.OpSend, Room: room, Text: "let me"}); ev.Problem == nil {
		t.Error("somebody who was removed may still write")
	}
	// A member may not remove the owner.
	if ev := carol.ask(client.Request{Op: client.OpRemove, Room: room, User: alice.account().User}); ev.Problem == nil || ev.Problem.Code != client.ProblemRefused {
		t.Errorf("a member removed the owner: %+v", ev.Problem)
	}
	// Who leaves is carried out by the others.
	carol.must(client.Request{Op: client.OpLeave, Room: room})
	alice.inRoom(room, "carol's leaving", func(r client.Room) bool { return r.Members == 1 })
	carol.inRoom(room, "the end", func(r client.Room) bool { return r.State == client.RoomLeft })
}

// What is written while there is no server waits, survives the program, and is
// sent once.
func TestOutboxOutlivesServerAndClient(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	alice, lounge := s.guest("Alice")
	bob, _ := s.guest("Bob")
	alice.say(lounge, "before")
	bob.hears(lounge, "before")
	alice.hears(lounge, "before")
	s.halt()
	for i := range 5 {
		alice.say(lounge, fmt.Sprintf("offline %d", i))
	}
	alice.stop()
	alice.run(s)
	items := alice.must(client.Request{Op: client.OpHistory, Room: lounge, Limit: 10}).Items
	waiting := 0
	for _, item := range items {
		if item.State == client.StateWaiting {
			waiting++
		}
	}
	if waiting != 5 {
		t.Fatalf("%d messages wait after the restart, want 5", waiting)
	}
	s.start()
	alice.engine.Do(client.Request{Op: client.OpConnect})
	bob.engine.Do(client.Request{Op: client.OpConnect})
	bob.hears(lounge, "offline 4")
	alice.hears(lounge, "offline 4")
	want := []string{"Alice: before", "Alice: offline 0", "Alice: offline 1", "Alice: offline 2", "Alice: offline 3", "Alice: offline 4"}
	for _, p := range []*person{alice, bob} {
		if got := p.texts(lounge); !slices.Equal(got, want) {
			t.Errorf("%s sees %q", p.name, got)
		}
	}
}

func TestRepliesEditsReactions(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	alice, lounge := s.guest("Alice")
	bob, _ := s.guest("Bob")
	first := alice.must(client.Request{Op: client.OpSend, Room: lounge, Text: "helo"}).Item.ID
	bob.hears(lounge, "helo")
	alice.hears(lounge, "helo")
	alice.must(client.Request{Op: client.OpEdit, Room: lounge, Message: first, Text: "hello"})
	bob.hears(lounge, "hello")
	bob.must(client.Request{Op: client.OpReact, Room: lounge, Message: first, Text: "👍", On: true})
	bob.must(client.Request{Op: client.OpSend, Room: lounge, Message: first, Text: "hi Alice"})
	alice.hears(lounge, "hi Alice")
	items := alice.must(client.Request{Op: client.OpHistory, Room: lounge}).Items
	var hello, reply client.Item
	for _, item := range items {
		switch item.ID {
		case first:
			hello = item
		}
		if item.Text == "hi Alice" {
			reply = item
		}
	}
	if !hello.Edited || hello.Text != "hello" || len(hello.Reactions) != 1 || hello.Reactions[0].Text != "👍" {
		t.Errorf("the first message is %+v", hello)
	}
	if reply.ReplyTo != first || reply.ReplyName != "Alice" || reply.ReplyText != "hello" || !reply.Mention {
		t.Errorf("the reply is %+v", reply)
	}
	// Nobody changes what others wrote.
	if ev := bob.ask(client.Request{Op: client.OpEdit, Room: lounge, Message: first, Text: "I am silly"}); ev.Problem == nil {
		t.Error("bob edited what alice wrote")
	}
	alice.must(client.Request{Op: client.OpDelete, Room: lounge, Message: first})
	bob.until("deletion", func() bool {
		for _, ev := range bob.Events {
			if ev.Kind == client.EvItem && ev.Item.ID == first && ev.Item.Deleted {
				return true
			}
		}
		return false
	})
	found := bob.must(client.Request{Op: client.OpSearch, Text: "hi ALICE"}).Items
	if len(found) != 1 || found[0].Text != "hi Alice" {
		t.Errorf("search finds %+v", found)
	}
}

// The same id twice is one message.
func TestSendIsIdempotent(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	alice, lounge := s.guest("Alice")
	id := strings.Repeat("ab", 16)
	for range 3 {
		if got := alice.must(client.Request{Op: client.OpSend, Room: lounge, Text: "once", Key: id}).Item.ID; got != id {
			t.Fatalf("the message has id %s", got)
		}
	}
	alice.hears(lounge, "once")
	alice.must(client.Request{Op: client.OpSend, Room: lounge, Text: "once", Key: id})
	alice.say(lounge, "end")
	alice.hears(lounge, "end")
	if got := alice.texts(lounge); !slices.Equal(got, []string{"Alice: once", "Alice: end"}) {
		t.Errorf("the room holds %q", got)
	}
}

func TestTwoOfOneNameAreToldApart(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	alice, lounge := s.guest("Alice")
	one, _ := s.guest("Bob")
	two, _ := s.guest("Bob")
	alice.inRoom(lounge, "three people", func(r client.Room) bool { return r.Members == 3 })
	members := alice.must(client.Request{Op: client.OpMembers, Room: lounge}).Members
	tags := map[string]bool{}
	for _, m := range members {
		if m.Name == "Bob" {
			tags[m.Tag] = true
		} else if m.Tag != "" {
			t.Errorf("%s has the mark %q without need", m.Name, m.Tag)
		}
	}
	if len(tags) != 2 || tags[""] {
		t.Errorf("two people called Bob have the marks %v", tags)
	}
	one.say(lounge, "I am Bob")
	two.hears(lounge, "I am Bob")
}

func TestSafetyNumbersAgree(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	alice, lounge := s.guest("Alice")
	bob, _ := s.guest("Bob")
	alice.inRoom(lounge, "two people", func(r client.Room) bool { return r.Members == 2 })
	a := alice.must(client.Request{Op: client.OpVerify, User: bob.account().User}).Safety
	b := bob.must(client.Request{Op: client.OpVerify, User: alice.account().User}).Safety
	if a.Number != b.Number || len(strings.Fields(a.Number)) != 12 {
		t.Errorf("the numbers are %q and %q", a.Number, b.Number)
	}
	alice.must(client.Request{Op: client.OpVerify, User: bob.account().User, On: true})
	for _, m := range alice.must(client.Request{Op: client.OpMembers, Room: lounge}).Members {
		if m.Name == "Bob" && !m.Verified {
			t.Error("the comparison is not remembered")
		}
	}
}

// A second device of an account is let in by its code and then reads what
// follows in every room.
func TestSecondDevice(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	alice := s.register("Alice")
	room := alice.must(client.Request{Op: client.OpCreate, Text: "Notes"}).Room.ID
	alice.say(room, "before")
	phone := s.person("Alice's phone")
	if ev := phone.ask(client.Request{Op: client.OpLogin, Login: "alice", Password: "wrong horse"}); ev.Problem == nil {
		t.Fatal("a wrong password opened the account")
	}
	phone.must(client.Request{Op: client.OpLogin, Login: "alice", Password: "correct horse Alice"})
	code := phone.code()
	if ev := alice.ask(client.Request{Op: client.OpApprove, Text: "ABCD-EFGH-JKMN-PQRS"}); ev.Problem == nil {
		t.Fatal("a wrong code was approved")
	}
	alice.must(client.Request{Op: client.OpApprove, Text: strings.ToLower(code)})
	phone.inRoom(room, "place in the room", func(r client.Room) bool { return r.State == client.RoomMember })
	alice.say(room, "after")
	phone.hears(room, "after")
	phone.say(room, "from the phone")
	alice.hears(room, "from the phone")
	if got := phone.texts(room); slices.Contains(got, "Alice: before") {
		t.Errorf("the new device reads what was said before it came: %q", got)
	}
	devices := alice.must(client.Request{Op: client.OpDevices}).Devices
	if len(devices) != 2 {
		t.Fatalf("alice has %d devices", len(devices))
	}
	for _, d := range devices {
		if !d.Own {
			alice.must(client.Request{Op: client.OpRevoke, Device: d.ID})
		}
	}
	phone.until("end", func() bool {
		for _, ev := range phone.Events {
			if ev.Kind == client.EvConnection && ev.Conn.State == client.ConnSignedOut || ev.Kind == client.EvAccount && ev.Account.State == client.AccountRevoked {
				return true
			}
		}
		return false
	})
	alice.say(room, "alone again")
	alice.hears(room, "alone again")
}

// Who has signed out is still in their rooms, and comes back with the keys that
// are on the device, after a restart too.
func TestSignOutAndIn(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	alice, lounge := s.guest("Alice")
	bob := s.register("Bob")
	bob.must(client.Request{Op: client.OpJoin, Text: "lounge"})
	bob.must(client.Request{Op: client.OpLogout})
	alice.say(lounge, "where is Bob?")
	bob.stop()
	bob.run(s)
	bob.until("word that he is signed out", func() bool { return len(bob.Events) > 0 && bob.Events[0].Kind == client.EvAccount })
	if a := bob.account(); a.State != client.AccountSignedOut {
		t.Fatalf("after a restart Bob is %+v", a)
	}
	bob.must(client.Request{Op: client.OpConnect}) // what only wants a connection signs nobody in
	if a := bob.account(); a.State != client.AccountSignedOut {
		t.Fatalf("Bob was signed in unasked: %+v", a)
	}
	bob.must(client.Request{Op: client.OpConnect, On: true})
	bob.hears(lounge, "where is Bob?")
	bob.say(lounge, "here again")
	alice.hears(lounge, "here again")
	if a := bob.account(); a.State != client.AccountRegistered || a.Login != "bob" {
		t.Errorf("Bob is %+v", a)
	}
}

// Two who open a direct chat at once end in one.
func TestDirectChat(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	alice, bob := s.register("Alice"), s.register("Bob")
	const both = 99
	alice.engine.Do(client.Request{ID: both, Op: client.OpDirect, User: "bob"})
	bob.engine.Do(client.Request{ID: both, Op: client.OpDirect, User: "alice"})
	var one string
	for _, p := range []*person{alice, bob} {
		p.until("direct chat", func() bool { return p.Replies[both].Kind != "" })
		ev := p.Replies[both]
		if ev.Problem != nil {
			t.Fatalf("%s: %s; last events: %s", p.name, ev.Problem.Text, p.Tail())
		}
		if one != "" && one != ev.Room.ID {
			t.Fatalf("two direct chats: %s and %s", one, ev.Room.ID)
		}
		one = ev.Room.ID
	}
	alice.say(one, "hi bob")
	bob.hears(one, "hi bob")
	bob.say(one, "hi alice")
	alice.hears(one, "hi alice")
}

// Whoever opens a direct chat that the other one has opened before has accepted
// it, for good.
func TestDirectChatIsAccepted(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	alice, bob := s.register("Alice"), s.register("Bob")
	chat := alice.must(client.Request{Op: client.OpDirect, User: "bob"}).Room.ID
	invited := func(r client.Room) bool { return r.State == client.RoomInvited }
	bob.inRoom(chat, "invitation", invited)
	bob.must(client.Request{Op: client.OpDirect, User: "alice"})
	bob.stop()
	bob.run(s)
	for _, r := range bob.must(client.Request{Op: client.OpRooms}).Rooms {
		if r.ID == chat && invited(r) {
			t.Error("after a restart Bob is asked again")
		}
	}
	bob.say(chat, "hi alice")
	alice.hears(chat, "hi alice")
}

func TestJoinLink(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	alice := s.register("Alice")
	bob, _ := s.guest("Bob")
	room := alice.must(client.Request{Op: client.OpCreate, Text: "Club", Mode: client.ModeLink}).Room.ID
	link := alice.must(client.Request{Op: client.OpLink, Room: room}).Link
	wrong := link[:len(link)-2] + "AA"
	if ev := bob.ask(client.Request{Op: client.OpJoin, Link: wrong}); ev.Problem == nil {
		t.Fatal("a wrong secret opened the room")
	}
	// It works while whoever made it is away.
	alice.stop()
	if got := bob.must(client.Request{Op: client.OpJoin, Link: link}).Room; got.ID != room || got.Title != "Club" {
		t.Fatalf("the link led to %+v", got)
	}
	alice.run(s)
	bob.inRoom(room, "word from alice", func(r client.Room) bool { return r.State == client.RoomMember })
	bob.say(room, "here I am")
	alice.hears(room, "here I am")
}

// A long absence costs time, and nothing else.
func TestAwayForLong(t *testing.T) {
	t.Parallel()
	const messages = 1000
	s := newServer(t)
	alice, lounge := s.guest("Alice")
	bob, _ := s.guest("Bob")
	alice.inRoom(lounge, "two people", func(r client.Room) bool { return r.Members == 2 })
	bob.stop()
	began := time.Now()
	for i := range messages {
		alice.say(lounge, fmt.Sprintf("message %d", i))
		if i%100 == 50 {
			extra, _ := s.guest(fmt.Sprintf("Guest %d", i))
			extra.stop()
		}
	}
	alice.hears(lounge, fmt.Sprintf("message %d", messages-1))
	t.Logf("%d messages sent in %v", messages, time.Since(began))
	began = time.Now()
	bob.run(s)
	bob.hears(lounge, fmt.Sprintf("message %d", messages-1))
	t.Logf("caught up in %v", time.Since(began))
	got := bob.texts(lounge)
	if len(got) != messages {
		t.Fatalf("bob sees %d messages of %d", len(got), messages)
	}
	for i, text := range got {
		if text != fmt.Sprintf("Alice: message %d", i) {
			t.Fatalf("message %d is %q", i, text)
		}
	}
}

// TestTyping: what is told of writing reaches the others and nobody else's
// device, and its end as well.
func TestTyping(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	alice, lounge := s.guest("Alice")
	bob, _ := s.guest("Bob")
	alice.say(lounge, "so that both are in")
	bob.hears(lounge, "so that both are in")
	told := func(p *person, on bool) bool {
		for _, ev := range p.Events {
			if ev.Kind == client.EvTyping && ev.Typing.Room == lounge && ev.Typing.Name == "Alice" && ev.Typing.On == on {
				return true
			}
		}
		return false
	}
	for _, on := range []bool{true, false} {
		alice.must(client.Request{Op: client.OpTyping, Room: lounge, On: on})
		bob.until("word of Alice's writing", func() bool { return told(bob, on) })
	}
	alice.Mu.Lock()
	defer alice.Mu.Unlock()
	if told(alice, true) {
		t.Error("Alice was told of her own writing")
	}
}
