package malice

import (
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/securelink-chat/securelink/client"
	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/wire"
)

// story is what people live through, while the server lies or not. It says
// w.turn() where a lying server begins, and waits for nothing that a lie may
// prevent.
type story struct {
	name string
	tell func(w *world)
}

// talk: three people in a closed room; each says something after the turn, and
// only after hearing what was said before: so it is certain what its author has
// seen.
var talk = &story{"three people talk", func(w *world) {
	all := w.family("", "Bob", "Carol")
	alice, bob, carol := all[0], all[1], all[2]
	alice.says(w.main, "before")
	w.together(w.main, all...)
	alice.must(client.Request{Op: client.OpTitle, Room: w.main, Text: "Kin"})
	for _, p := range all {
		p.sees(w.main, "the new title", func(i client.Item) bool { return i.Kind == client.ItemTitle })
	}
	w.turn()
	alice.says(w.main, "one")
	alice.says(w.main, "two")
	alice.says(w.main, "three")
	carol.hears(w.main, "three")
	carol.says(w.main, "four")
	w.heard(bob, "four")
	bob.says(w.main, "five")
	w.heard(alice, "five")
	alice.says(w.main, "end")
	w.ends(all...)
}}

// twoRooms: the same two people in two rooms.
var twoRooms = &story{"two people talk in two rooms", func(w *world) {
	all := w.family("", "Bob")
	alice, bob := all[0], all[1]
	w.other = alice.must(client.Request{Op: client.OpCreate, Text: "Work"}).Room.ID
	alice.brings(w.other, bob)
	alice.says(w.other, "at work")
	bob.hears(w.other, "at work")
	w.turn()
	alice.says(w.main, "one")
	alice.says(w.main, "end")
	w.ends(all...)
}}

// changes: the room is changed between two messages.
var changes = &story{"a room is renamed while people talk", func(w *world) {
	all := w.family("", "Bob", "Carol")
	alice := all[0]
	alice.says(w.main, "before")
	w.together(w.main, all...)
	w.turn()
	alice.says(w.main, "one")
	alice.must(client.Request{Op: client.OpTitle, Room: w.main, Text: "Kin"})
	alice.says(w.main, "end")
	w.ends(all...)
	for _, p := range w.unharmed(all) {
		p.until("the new title", func() bool { return p.room(w.main).Title == "Kin" })
	}
}}

// comesBack: Bob's connection ends, and he comes back.
var comesBack = &story{"somebody loses the connection and comes back", func(w *world) {
	all := w.family("", "Bob", "Carol")
	alice, bob := all[0], all[1]
	for _, text := range []string{"one", "two", "three"} {
		alice.says(w.main, text)
	}
	w.together(w.main, all...)
	w.turn()
	bob.returns()
	alice.says(w.main, "four")
	alice.says(w.main, "end")
	w.ends(all...)
}}

// away: Bob is away while others talk, and catches up.
var away = &story{"somebody is away and catches up", func(w *world) {
	all := w.family("", "Bob", "Carol")
	alice, bob := all[0], all[1]
	alice.says(w.main, "before")
	w.together(w.main, all...)
	bob.stop()
	w.turn()
	for _, text := range []string{"one", "two", "three", "end"} {
		alice.says(w.main, text)
	}
	bob.run()
	w.ends(all...)
}}

// lounge: guests in the open room.
var lounge = &story{"guests talk in the Lounge", func(w *world) {
	alice, bob := w.guest("Alice"), w.guest("Bob")
	w.main = alice.must(client.Request{Op: client.OpJoin, Text: "lounge"}).Room.ID
	alice.says(w.main, "nobody here?") // so the Lounge has been founded
	bob.must(client.Request{Op: client.OpJoin, Text: "lounge"})
	bob.until("the other one", func() bool { return bob.room(w.main).Members == 2 })
	w.turn()
	carol := w.guest("Carol")
	carol.must(client.Request{Op: client.OpJoin, Text: "lounge"})
	carol.says(w.main, "hello")
	w.together(w.main, alice, bob)
	bob.says(w.main, "end")
	w.ends(alice)
}}

// claims: Alice spends the administrator's link, which makes her the owner of
// the Lounge.
var claims = &story{"somebody claims the server", func(w *world) {
	alice, bob := w.guest("Alice"), w.guest("Bob")
	w.main = alice.must(client.Request{Op: client.OpJoin, Text: "lounge"}).Room.ID
	alice.says(w.main, "nobody here?")
	bob.must(client.Request{Op: client.OpJoin, Text: "lounge"})
	bob.until("the other one", func() bool { return bob.room(w.main).Members == 2 })
	token, err := w.server.core.NewToken(w.t.Context(), core.TokenAdmin, 1, time.Hour, "")
	must(err)
	w.turn()
	if ev := alice.ask(client.Request{Op: client.OpClaim, Link: "#admin=" + hex.EncodeToString(token[:])}); ev.Problem == nil {
		alice.until("rank", func() bool { return alice.room(w.main).Role == client.RoleOwner })
	}
	bob.says(w.main, "end")
	w.ends(alice)
}}

// invites: Alice invites Dora to the room of Alice and Bob.
var invites = &story{"somebody is invited", func(w *world) {
	all := w.family("", "Bob")
	alice, dora := all[0], w.register("Dora")
	alice.says(w.main, "before")
	w.together(w.main, all...)
	w.turn()
	if ev := alice.ask(client.Request{Op: client.OpInvite, Room: w.main, User: "dora"}); ev.Problem == nil && !w.hurts(dora) {
		dora.accepts(w.main)
		dora.until("who invites", func() bool { return dora.room(w.main).InvitedBy == "Alice" })
		alice.says(w.main, "welcome")
		dora.hears(w.main, "welcome")
		dora.says(w.main, "thanks")
	}
	alice.says(w.main, "end")
	w.ends(all...)
}}

// invitesMeanwhile: Alice invites Dora while Bob, an admin, renames the room.
var invitesMeanwhile = &story{"somebody is invited while the room is renamed", func(w *world) {
	all := w.family("", "Bob")
	alice, bob, dora := all[0], all[1], w.register("Dora")
	alice.must(client.Request{Op: client.OpRole, Room: w.main, User: bob.user(), Role: client.RoleAdmin})
	bob.until("role", func() bool { return bob.room(w.main).Role == client.RoleAdmin })
	before := w.server.requested("Alice", wire.OpAppend)
	w.turn()
	invited := alice.start(client.Request{Op: client.OpInvite, Room: w.main, User: "dora"})
	w.server.awaitRequest("Alice", wire.OpAppend, before+1)
	bob.must(client.Request{Op: client.OpTitle, Room: w.main, Text: "Kin"})
	if ev := invited(); ev.Problem == nil && !w.hurts(dora) {
		dora.accepts(w.main)
		alice.says(w.main, "welcome")
		dora.hears(w.main, "welcome")
	}
	alice.says(w.main, "end")
	w.ends(all...)
}}

// invitesTwice: Dora is invited to two rooms, one after the other.
var invitesTwice = &story{"somebody is invited to two rooms", func(w *world) {
	alice := w.family("")[0]
	dora := w.register("Dora")
	w.other = alice.must(client.Request{Op: client.OpCreate, Text: "Work"}).Room.ID
	w.turn()
	alice.brings(w.main, dora)
	if ev := alice.ask(client.Request{Op: client.OpInvite, Room: w.other, User: "dora"}); ev.Problem == nil && !w.hurts(dora) {
		dora.accepts(w.other)
		alice.says(w.other, "welcome")
		dora.hears(w.other, "welcome")
	}
	alice.says(w.main, "end")
	w.ends(alice, dora)
}}

// knowsBob: Alice has met Bob by his login name, and looks him up again.
var knowsBob = &story{"somebody is looked up again by login name", func(w *world) {
	all := w.family("", "Bob")
	alice := all[0]
	w.register("Mallory")
	w.other = alice.must(client.Request{Op: client.OpCreate, Text: "Work"}).Room.ID
	w.turn()
	if ev := alice.ask(client.Request{Op: client.OpInvite, Room: w.other, User: "bob"}); ev.Problem == nil {
		all[1].accepts(w.other)
		alice.says(w.other, "welcome")
		all[1].hears(w.other, "welcome")
	}
	alice.says(w.main, "end")
	w.ends(all...)
}}

// joins: Dora, a guest, comes in by a join link.
var joins = &story{"somebody comes in by a join link", func(w *world) {
	all := w.family(client.ModeLink, "Bob")
	alice, dora := all[0], w.guest("Dora")
	w.other = alice.must(client.Request{Op: client.OpCreate, Text: "Work", Mode: client.ModeLink}).Room.ID
	w.otherLink = alice.must(client.Request{Op: client.OpLink, Room: w.other}).Link
	w.text = alice.must(client.Request{Op: client.OpLink, Room: w.main}).Link
	alice.says(w.main, "before")
	w.together(w.main, all...)
	w.turn()
	alice.must(client.Request{Op: client.OpTitle, Room: w.main, Text: "Kin"})
	if ev := dora.ask(client.Request{Op: client.OpJoin, Link: w.text}); ev.Problem == nil && !w.hurts(dora) {
		dora.reaches(w.main, client.RoomMember)
		alice.says(w.main, "welcome")
		dora.hears(w.main, "welcome")
		dora.says(w.main, "thanks")
	}
	alice.says(w.main, "end")
	w.ends(all...)
}}

// newDevice: a second device of Alice's logs in by password and is approved.
var newDevice = &story{"a second device is let in", func(w *world) {
	all := w.family("", "Bob")
	alice, phone := all[0], w.person("Alice's phone")
	w.register("Mallory")
	w.turn()
	if ev := phone.ask(client.Request{Op: client.OpLogin, Login: "alice", Password: alice.password}); ev.Problem == nil {
		code := ""
		phone.until("code", func() bool {
			for _, ev := range phone.Events {
				if ev.Kind == client.EvCode && ev.Code != "" {
					code = ev.Code
				}
			}
			return code != ""
		})
		if ev := alice.ask(client.Request{Op: client.OpApprove, Text: code}); ev.Problem == nil && !w.hurts(phone) {
			phone.reaches(w.main, client.RoomMember)
			alice.says(w.main, "to both")
			phone.hears(w.main, "to both")
		}
	}
	alice.says(w.main, "end")
	w.ends(all...)
}}

// types: people are told who writes.
var types = &story{"somebody is seen to write", func(w *world) {
	all := w.family("", "Bob", "Carol")
	alice, bob := all[0], all[1]
	w.other = alice.must(client.Request{Op: client.OpCreate, Text: "Work"}).Room.ID
	alice.brings(w.other, bob)
	w.turn()
	for _, on := range []bool{true, false} {
		alice.must(client.Request{Op: client.OpTyping, Room: w.main, On: on})
		bob.until("word of Alice's writing", func() bool { return slices.Contains(bob.writing(), "Family Alice "+onOff(on)) })
	}
	alice.says(w.main, "end")
	w.ends(all...)
	if got := bob.writing(); !slices.Equal(got, []string{"Family Alice on", "Family Alice off"}) {
		w.t.Errorf("Bob was told of writing: %q", got)
	}
}}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// writing is what the person was told of others' writing. The caller does not
// hold mu, except in until.
func (p *person) writing() []string {
	var all []string
	for _, ev := range p.Events {
		if ev.Kind == client.EvTyping {
			all = append(all, strings.Join([]string{p.room(ev.Typing.Room).Title, ev.Typing.Name, onOff(ev.Typing.On)}, " "))
		}
	}
	return all
}

// bothChange: two admins change the room at once.
var bothChange = &story{"two admins change the room", func(w *world) {
	all := w.family("", "Bob")
	alice, bob := all[0], all[1]
	alice.must(client.Request{Op: client.OpRole, Room: w.main, User: bob.user(), Role: client.RoleAdmin})
	bob.until("role", func() bool { return bob.room(w.main).Role == client.RoleAdmin })
	w.turn()
	bob.must(client.Request{Op: client.OpTitle, Room: w.main, Text: "Bob's"})
	alice.must(client.Request{Op: client.OpTitle, Room: w.main, Text: "Alice's"})
	alice.says(w.main, "one")
	w.heard(bob, "one")
	bob.says(w.main, "two")
	w.heard(alice, "two")
	alice.says(w.main, "end")
	w.ends(all...)
}}

// changesAndReturns: Alice loses the connection while she changes the room.
var changesAndReturns = &story{"a connection is lost during a change", func(w *world) {
	all := w.family("", "Bob")
	alice := all[0]
	before := w.server.requested("Alice", wire.OpAppend)
	w.turn()
	answer := alice.start(client.Request{Op: client.OpTitle, Room: w.main, Text: "Kin"})
	w.server.awaitRequest("Alice", wire.OpAppend, before+1)
	alice.returns()
	if ev := answer(); ev.Problem != nil {
		w.t.Errorf("the change failed: %s", ev.Problem.Text)
	}
	alice.says(w.main, "end")
	w.ends(all...)
	all[1].until("the new title", func() bool { return all[1].room(w.main).Title == "Kin" })
}}

// hurries: Alice does not wait to see what she has written.
var hurries = &story{"somebody writes fast", func(w *world) {
	all := w.family("", "Bob")
	alice, bob := all[0], all[1]
	w.turn()
	for _, text := range []string{"one", "two", "three"} {
		alice.writes(w.main, text)
	}
	bob.hears(w.main, "three")
	alice.writes(w.main, "end")
	bob.hears(w.main, "end")
	w.ends(all...)
}}
