package scenario

import (
	"regexp"
	"strings"
	"testing"
)

// refused is what the client says of what the rules forbid.
const refused = `^The rules of this room do not let you do that`

// A room's life: what a member may not do is refused in a sentence, what admins
// do is seen by all, the room changes hands, and when everybody with a role has
// gone, whoever stays can take it.
func TestRolesAndOwners(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice, bob, carol, dave := w.account("Alice"), w.account("Bob"), w.account("Carol"), w.account("Dave")
	all := []*process{alice, bob, carol, dave}
	see := func(line string, who ...*process) {
		t.Helper()
		for _, p := range who {
			p.then("^" + line)
		}
	}
	alice.types("/new Club")
	alice.then("^You are in Club")
	alice.brings("Club", bob, carol)
	for _, forbidden := range []string{"/title Mine", "/topic Mine", "/remove Carol", "/remove Alice", "/role Carol admin", "/role Bob owner", "/invite dave", "/link"} {
		bob.types(forbidden)
		bob.then(refused)
	}
	alice.brings("Club", dave)
	alice.types("/role Bob admin")
	see("Notice: Alice made Bob an admin", all...)
	bob.types("/title Tea room")
	see(`Bob named this room "Tea room"`, alice, carol, dave)
	bob.types("/topic Which tea?")
	see(`Notice: Bob set the topic: Which tea\?`, all...)
	bob.types("/topic")
	see("Notice: Bob took the topic away", all...)
	bob.types("/invite carol")
	bob.then("^Carol is in this room already")
	for _, forbidden := range []string{"/role Carol admin", "/role Bob owner", "/remove Alice"} {
		bob.types(forbidden)
		bob.then(refused)
	}
	// The room changes hands, and the new owner shows it.
	alice.types("/role Carol owner")
	see("Notice: Carol is the owner of this room now", all...)
	alice.types("/remove Carol")
	alice.then(refused)
	carol.types("/remove Alice")
	see("Alice was removed from the chat by Carol", bob, carol, dave)
	see(`Warning \(removed\)`, alice)
	carol.says("without Alice", bob, dave)
	alice.types("let me in")
	alice.then(`^You are no longer in this room`)
	// The owner leaves: the admin can take the room.
	dave.types("/role Dave owner")
	dave.then(refused)
	carol.types("/leave")
	see("Carol has left the chat", bob, dave)
	dave.types("/role Dave owner")
	dave.then(refused)
	bob.types("/role Bob owner")
	see("Notice: Bob is the owner of this room now", dave)
	// Everybody with a role is gone: whoever is left takes it.
	bob.types("/leave")
	see("Bob has left the chat", dave)
	dave.types("/role Dave owner")
	see("Notice: Dave is the owner of this room now", dave)
	dave.types("/who")
	see("1 person is here:\n  Dave \\(you, owner\\)", dave)
	if text := alice.text(); strings.Contains(text, "without Alice") {
		t.Errorf("Alice reads on after her removal:\n%s", text)
	}
}

// Two admins remove each other at once. One is faster, the room goes on with
// that one, and both sides agree who that is.
func TestAdminsRemoveEachOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice, bob, carol := w.account("Alice"), w.account("Bob"), w.account("Carol")
	alice.types("/new Club")
	alice.then("^You are in Club")
	alice.brings("Club", bob, carol)
	for _, name := range []string{"Bob", "Carol"} {
		alice.types("/role " + name + " admin")
		bob.then("^Notice: Alice made " + name + " an admin")
		carol.then("^Notice: Alice made " + name + " an admin")
	}
	bob.types("/remove Carol")
	carol.types("/remove Bob")
	gone := alice.expect("^(Bob|Carol) was removed from the chat by (Bob|Carol)$")
	loser, winner := bob, carol
	if gone[1] == "Carol" {
		loser, winner = carol, bob
	}
	winner.expect("^" + loser.name + " was removed from the chat by " + winner.name)
	loser.expect(`^Warning \(removed\)`)
	loser.expect("^" + loser.name + " was removed from the chat by " + winner.name)
	for _, p := range []*process{alice, winner} {
		p.at = 0
		p.types("/who")
		p.then("^2 people are here:\n(  .*\n)*?  " + winner.name + " ")
	}
	winner.says("and the room goes on", alice)
	alice.says("so it does", winner)
	for _, p := range []*process{alice, bob, carol} {
		if n := strings.Count(p.text(), "was removed from the chat"); n != 1 {
			t.Errorf("%s saw %d removals:\n%s", p.name, n, p.text())
		}
	}
	if text := loser.text(); strings.Contains(text, "goes on") {
		t.Errorf("who was removed reads on:\n%s", text)
	}
}

// Bob is invited with both of his devices, sees by whom and to what, declines
// once and accepts once.
func TestInvitations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice, bob := w.account("Alice"), w.account("Bob")
	phone := w.chat("Phone", "--login", "bob")
	phone.types("correct horse Bob")
	bob.types(phone.expect(`(/device approve \S+)`)[1])
	phone.expect("^This device is in")
	phone.expect("^You are in Lounge")
	alice.types("/new Club")
	alice.then("^You are in Club")
	alice.types("/invite nobody")
	alice.then("^Nobody here has that login name")
	alice.types("/invite bob")
	for _, p := range []*process{bob, phone} {
		p.then("^Alice invites you to Club. Type /accept Club or /decline Club")
	}
	bob.types("/decline Club")
	bob.then("^Declined")
	alice.then("^Bob has left the chat")
	// By the user id that /info shows, which names the key and not the login.
	bob.types("/info")
	alice.types("/invite " + bob.then(`^Your user id: ([0-9a-f]{64})`)[1])
	for _, p := range []*process{bob, phone} {
		p.then("^Alice invites you to Club")
	}
	phone.types("/accept Club")
	phone.then("^You are in Club")
	phone.says("hello", alice)
	// What Bob accepted and wrote on one device is his on the other one.
	alice.says("hello Bob, on both", phone)
	bob.then("^New in Club: /join Club")
	bob.types("/join Club")
	bob.then("^You are in Club")
	bob.then("^You: hello")
	bob.then("^Alice: hello Bob, on both")
	bob.says("hello again", alice, phone)
	if n := strings.Count(bob.text()+phone.text(), "Type /accept"); n != 4 {
		t.Errorf("Bob's devices were told of two invitations %d times:\n%s\n%s", n, bob.text(), phone.text())
	}
}

// Two who start a direct chat with each other at once find themselves in one.
func TestDirectChat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice, bob := w.account("Alice"), w.account("Bob")
	alice.types("/dm bob")
	bob.types("/dm alice")
	alice.then("^You are in Bob")
	bob.then("^You are in Alice")
	alice.says("just us", bob)
	bob.says("so it is", alice)
	for _, p := range []*process{alice, bob} {
		p.types("/rooms")
		p.then("the two of you \\(here\\)")
		if n := strings.Count(p.text(), "the two of you"); n != 1 {
			t.Errorf("%s has %d direct chats:\n%s", p.name, n, p.text())
		}
	}
}

// A link brings a guest in while everybody who runs the room is away, and is
// dead from the moment in which it is revoked.
func TestLinkOfARoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice, bob, carol := w.account("Alice"), w.account("Bob"), w.account("Carol")
	alice.types("/new Club")
	alice.then("^You are in Club")
	alice.brings("Club", bob, carol)
	alice.types("/link")
	link := alice.then(`^  (securelink:\S+)`)[1]
	alice.quits()
	guest := w.visits("Guest", link)
	guest.then("^You are in Club")
	bob.then("^Guest has joined the chat")
	guest.says("is anybody here?", bob, carol)
	bob.says("two of us", guest)

	alice = w.chat("Alice", "--room", "Club")
	alice.then("two of us")
	alice.types("/links")
	id := alice.then(`^  (\S+)  used`)[1]
	alice.types("/unlink " + id)
	alice.then("^That link is dead")
	late := w.visits("Late", link)
	late.then("^The server knows of no such thing")
	if code := late.ends(); code != 7 {
		t.Errorf("a dead link ends with code %d", code)
	}
	if text := late.text(); regexp.MustCompile(`(?m)^You are in Club`).MatchString(text) {
		t.Errorf("a dead link opened the room:\n%s", text)
	}
	guest.says("still here", alice, bob, carol)
}
