package mls

import (
	"errors"
	"testing"
)

// refused demands that a message is refused for the given reason.
func refused(t testing.TB, g *Group, message []byte, want error) {
	t.Helper()
	if _, err := g.Process(message); !errors.Is(err, want) {
		t.Errorf("refused with %v, want %v", err, want)
	}
}
