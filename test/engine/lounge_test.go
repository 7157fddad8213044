package engine

import (
	"slices"
	"testing"
)

// Three people meet in the Lounge and talk; all of them see the same.
func TestThreePeopleTalk(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	alice, lounge := s.guest("Alice")
	bob, _ := s.guest("Bob")
	carol, _ := s.guest("Carol")
	alice.say(lounge, "Hey")
	bob.hears(lounge, "Hey")
	bob.say(lounge, "Hello")
	carol.hears(lounge, "Hello")
	carol.say(lounge, "Hey guys")
	want := []string{"Alice: Hey", "Bob: Hello", "Carol: Hey guys"}
	for _, p := range []*person{alice, bob, carol} {
		p.hears(lounge, "Hey guys")
		if got := p.texts(lounge); !slices.Equal(got, want) {
			t.Errorf("%s sees %q", p.name, got)
		}
	}
}
