package main

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/internal/profile"
)

// A send that has the profile for a moment does not keep a listener from
// beginning; a listener that has it is known at once.
func TestClaimAProfileThatIsInUse(t *testing.T) {
	home, pin := t.TempDir(), [32]byte{1}
	first, err := profile.Open(home, pin, "p")
	if err != nil {
		t.Fatal(err)
	}
	freed := time.AfterFunc(100*time.Millisecond, func() { first.Close() })
	defer freed.Stop()
	second, err := claim(t.Context(), home, pin, "p")
	if err != nil {
		t.Fatalf("the profile was given back, and not taken: %v", err)
	}
	defer second.Close()

	path, forget, err := short(second.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer forget()
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	begun := time.Now()
	if _, err := claim(t.Context(), home, pin, "p"); !errors.Is(err, profile.ErrBusy) {
		t.Errorf("a profile whose user takes messages gives %v, want ErrBusy", err)
	}
	if waited := time.Since(begun); waited > localPatience/2 {
		t.Errorf("it took %v to find out", waited)
	}
}
