package room

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/internal/pack"
	"github.com/securelink-chat/securelink/seal"
)

// TestKnock: who asks at the door is who they say; nobody asks in another's
// name, at another door, or with what the server makes up.
func TestKnock(t *testing.T) {
	s := newServer()
	bob, carol := s.device(t, s.person("Bob")), s.device(t, s.person(strings.Repeat("é", identity.MaxNameRunes)))
	root, group, secret := bob.self.Root, identity.GroupID{7}, identity.NewLinkSecret()
	knock := SealKnock(bob.self, group, secret, s.now)
	asker, err := OpenKnock(root, group, secret, knock)
	if err != nil || asker.Credential.User(root) != bob.user() || asker.Credential.Profile.Name != "Bob" || asker.At != uint64(s.now.UnixMilli()) {
		t.Fatalf("Bob's knock opens as %+v, %v", asker, err)
	}
	if long := SealKnock(carol.self, group, secret, s.now); len(long) != len(knock) {
		t.Errorf("a long name makes %d bytes, a short one %d", len(long), len(knock))
	}

	// A holder of the link has Bob's certificate and name from another room,
	// and signs with the key that he has.
	forged := func(change func(word *identity.Knock, credential *identity.Credential)) []byte {
		word := identity.Knock{Group: group, Link: secret.ID(), Device: carol.self.Device(), At: 1}
		credential := carol.self.Credential
		change(&word, &credential)
		signature := carol.self.Key.SignKnock(root, word)
		var plain pack.Writer
		plain.Bytes(credential.Encode())
		plain.U64(1)
		plain.Fixed(signature[:])
		id := secret.ID()
		return seal.NewKey(secret.SealKey(), knockLabel).Seal(nil, append(plain.B, make([]byte, knockSize-len(plain.B))...), group[:], id[:])
	}
	if _, err := OpenKnock(root, group, secret, forged(func(*identity.Knock, *identity.Credential) {})); err != nil {
		t.Fatalf("the forger's own honest knock: %v", err)
	}
	bent := slices.Clone(knock)
	bent[len(bent)/2] ^= 1
	other := identity.NewLinkSecret()
	for name, box := range map[string][]byte{
		"in Bob's name":              forged(func(_ *identity.Knock, c *identity.Credential) { *c = bob.self.Credential }),
		"in Bob's name and device":   forged(func(w *identity.Knock, c *identity.Credential) { *c, w.Device = bob.self.Credential, bob.self.Device() }),
		"under another's name":       forged(func(_ *identity.Knock, c *identity.Credential) { c.Profile = bob.self.Credential.Profile }),
		"signed for another room":    forged(func(w *identity.Knock, _ *identity.Credential) { w.Group[0] ^= 1 }),
		"signed for another link":    forged(func(w *identity.Knock, _ *identity.Credential) { w.Link = other.ID() }),
		"sealed for another link":    SealKnock(bob.self, group, other, s.now),
		"sealed for another room":    SealKnock(bob.self, identity.GroupID{8}, secret, s.now),
		"with a bit changed":         bent,
		"cut short":                  knock[:len(knock)-1],
		"empty":                      nil,
		"made of the link's own box": seal.NewKey(secret.SealKey(), linkLabel).Seal(nil, make([]byte, knockSize), group[:]),
	} {
		if _, err := OpenKnock(root, group, secret, box); !errors.Is(err, ErrKnock) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if bytes.Contains(knock, []byte("Bob")) {
		t.Error("the name can be read in the box")
	}
}
