package scenario

import (
	"strings"
	"testing"
)

// A profile was copied to a second machine and runs on both. The one that meets
// what the other has written says so and asks for keys of its own, and one of
// the two goes on. Neither seals anything under a place in the ratchets that
// the other has used.
func TestCopiedProfile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.witness()
	alice, bob := w.joins("Alice"), w.joins("Bob")
	bob.types("one")
	alice.expect("^Bob: one")
	bob.quits()
	for _, copied := range []string{"Twin", "Forger"} {
		w.copies("Bob", copied)
	}
	first, second := w.joins("Bob"), w.joins("Twin")
	first.types("from the first machine")
	second.expect(`^Warning \(clone\): A copy of this profile is in use elsewhere`)
	alice.expect("^Notice: Bob came back with a fresh key")
	first.types("1: I go on")
	second.types("2: I go on")
	alice.expect("^Bob: [12]: I go on")
	if text := alice.text(); strings.Contains(text, "Warning") {
		t.Errorf("Bob's copy alarms Alice:\n%s", text)
	}
	w.halt()
	w.usedOnce("Witness", 4, "Forger")
}

// A backup of a profile is put back in the place of the newer one. It sees
// that it has written what it does not know, says so, sends nothing until the
// others have given it new keys, and then goes on.
func TestRestoredProfile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.witness()
	alice, bob := w.joins("Alice"), w.joins("Bob")
	bob.types("one")
	alice.expect("^Bob: one")
	bob.quits()
	for _, copied := range []string{"Backup", "Forger"} {
		w.copies("Bob", copied)
	}
	bob = w.joins("Bob")
	bob.types("two")
	bob.types("three")
	alice.expect("^Bob: three")
	bob.quits()
	w.copies("Backup", "Bob")
	bob = w.joins("Bob")
	bob.types("back again")
	bob.expect(`^Warning \(rollback\): This room, or this profile, was set back to an older state`)
	alice.expect("^Notice: Bob came back with a fresh key")
	alice.expect("^Bob: back again")
	alice.types("welcome back")
	bob.expect("^Alice: welcome back")
	if text := alice.text(); strings.Contains(text, "Warning") {
		t.Errorf("Bob's backup alarms Alice:\n%s", text)
	}
	w.halt()
	w.usedOnce("Witness", 5, "Forger")
}
