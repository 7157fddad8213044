package client

import (
	"crypto/ed25519"
	"testing"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/wire"
)

// A restore counts when the delegate of this very server has signed that very
// number.
func TestRestoresAreSigned(t *testing.T) {
	public, root, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	speaks, delegate, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	word := identity.SignDelegation(root, identity.PublicKey(speaks))
	hello := func() *wire.HelloOK {
		return &wire.HelloOK{
			Incarnation: 7, Delegation: append(word.Delegate[:], word.Signature[:]...),
			Restored: ed25519.Sign(delegate, wire.IncarnationSigned([32]byte(public), 7)),
		}
	}
	if got := signedRestore([32]byte(public), hello()); got != 7 {
		t.Fatalf("a signed restore counts as %d", got)
	}
	for name, change := range map[string]func(*wire.HelloOK){
		"another number":       func(h *wire.HelloOK) { h.Incarnation = 8 },
		"no number":            func(h *wire.HelloOK) { h.Incarnation = 0 },
		"no signature":         func(h *wire.HelloOK) { h.Restored = nil },
		"a broken signature":   func(h *wire.HelloOK) { h.Restored[3] ^= 1 },
		"a short delegation":   func(h *wire.HelloOK) { h.Delegation = h.Delegation[:95] },
		"another's delegation": func(h *wire.HelloOK) { h.Delegation[40] ^= 1 },
		"a delegate of its own": func(h *wire.HelloOK) {
			mine, key, _ := ed25519.GenerateKey(nil)
			copy(h.Delegation, mine)
			h.Restored = ed25519.Sign(key, wire.IncarnationSigned([32]byte(public), 7))
		},
	} {
		h := hello()
		change(h)
		if got := signedRestore([32]byte(public), h); got != 0 {
			t.Errorf("%s counts as restore %d", name, got)
		}
	}
	if got := signedRestore([32]byte(speaks), hello()); got != 0 {
		t.Errorf("another server's restore counts as %d", got)
	}
}

// Lines keep their places over restores: what came later stands later, and a
// line leads to its entry as long as the log has it.
func TestPlacesOverRestores(t *testing.T) {
	c := &chat{rec: chatRecord{Shifts: []shift{{After: 100, By: 20}, {After: 90, By: 45}}}}
	for _, known := range []struct{ seq, place uint64 }{{1, 1}, {90, 90}, {91, 136}, {200, 245}} {
		if got := c.place(known.seq); got != known.place {
			t.Errorf("entry %d stands at %d, not %d", known.seq, got, known.place)
		}
		if seq, held := c.entryAt(known.place << 8); seq != known.seq || !held {
			t.Errorf("the line at %d is of entry %d (%t), not %d", known.place, seq, held, known.seq)
		}
	}
	for _, lost := range []uint64{91, 100, 115, 121, 135} {
		if seq, held := c.entryAt(lost << 8); held {
			t.Errorf("the line at %d, which the log has lost, is of entry %d", lost, seq)
		}
	}
}
