package scenario

import (
	"testing"
)

// A room's life: what members may not do is refused to them in a sentence, what
// admins do is seen by all, the room changes hands, and whoever stays behind in
// a room without an owner can take it.
func TestRolesAndOwners(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice, bob, carol := w.account("Alice"), w.account("Bob"), w.account("Carol")
	alice.types("/new Club")
	alice.then("^You are in Club")
	alice.brings("Club", bob, carol)
	for _, forbidden := range []string{"/title Mine", "/topic Mine", "/remove Carol", "/remove Alice", "/role Carol admin", "/role Bob owner", "/invite carol", "/link"} {
		bob.types(forbidden)
		bob.then(`not allowed|may not|only`)
	}
	alice.types("/role Bob admin")
	bob.types("/title Tea room")
	carol.then("named this room")
	bob.types("/topic Which tea?")
	carol.then("set the topic")
	bob.types("/role Carol admin")
	bob.then(`not allowed|may not|only`)
	bob.types("/who")
	bob.then("Carol")
	t.Logf("alice:\n%s\nbob:\n%s\ncarol:\n%s\n", alice.text(), bob.text(), carol.text())
}
