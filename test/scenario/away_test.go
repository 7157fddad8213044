package scenario

import (
	"fmt"
	"strings"
	"testing"

	"github.com/securelink-chat/securelink/room"
)

// Somebody is away for a thousand messages and ten changes of the room, comes
// back, and has missed nothing: every message once and in order, everybody who
// came, and no alarm.
func TestAwayForLong(t *testing.T) {
	t.Parallel()
	const messages, changes = 1000, 10
	w := newWorld(t)
	alice, bob := w.joins("Alice"), w.joins("Bob")
	alice.says("see you", bob)
	bob.quits()
	before := w.headOf("Bob")
	for i := range messages {
		alice.types(fmt.Sprintf("n%d.", i+1))
		if i%(messages/changes) == 0 {
			name := fmt.Sprintf("Guest %d", i)
			w.sends(name, "hello from "+name)
		}
	}
	alice.expect(fmt.Sprintf(`^You: n%d\.$`, messages))
	alice.quits()
	bob = w.chat("Bob")
	bob.expect(fmt.Sprintf(`^Alice: n%d\.$`, messages)) // of the past it shows the end
	if strings.Contains(bob.text(), "Warning") {
		t.Errorf("Bob's return raised an alarm:\n%s", bob.text())
	}
	bob.quits()
	held := w.timeline("Bob")
	ascending(t, "Bob's device", held, "Alice", messages)
	if n := strings.Count(held, "hello from Guest"); n != changes {
		t.Errorf("Bob's device has the words of %d guests", n)
	}
	w.halt()
	commits := 0
	for id, r := range w.states("Bob") {
		if after, _ := r.Position(); after <= before {
			t.Fatalf("Bob is at entry %d, he was at %d", after, before)
		}
		for _, e := range w.logOf(id) {
			if e.Seq > before && e.Kind == room.EntryHandshake {
				commits++
			}
		}
	}
	if commits < changes {
		t.Errorf("the room was changed %d times while Bob was away, wanted %d", commits, changes)
	}
	t.Logf("%d changes while Bob was away", commits)
}
