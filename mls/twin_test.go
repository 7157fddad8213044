package mls

import (
	"errors"
	"testing"
)

// TestTwin: a copy of a member's state sends; the original can tell that from
// its own messages, and from damage to them.
func TestTwin(t *testing.T) {
	alice := loner(t)
	twin := alice.Clone()
	mine, err := alice.Encrypt([]byte("mine"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alice.Process(mine); !errors.Is(err, ErrOwnMessage) || errors.Is(err, ErrTwin) {
		t.Errorf("an own message: %v", err)
	}
	twin.Encrypt([]byte("spent"), nil)
	foreign, err := twin.Encrypt([]byte("not mine"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alice.Process(foreign); !errors.Is(err, ErrTwin) {
		t.Errorf("a message by a copy: %v", err)
	}
	foreign[len(foreign)-1] ^= 1
	if _, err := alice.Process(foreign); !errors.Is(err, ErrDecrypt) {
		t.Errorf("a damaged message: %v", err)
	}
}

func loner(t *testing.T) *Group {
	t.Helper()
	signer, err := NewSigningKey(X25519AES128)
	if err != nil {
		t.Fatal(err)
	}
	g, err := Create(Config{Credential: AnyCredential}, CreateOptions{Suite: X25519AES128, GroupID: []byte("twin"), Signer: signer, Credential: BasicCredential([]byte("alice"))})
	if err != nil {
		t.Fatal(err)
	}
	return g
}
