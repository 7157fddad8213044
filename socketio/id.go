package socketio

import (
	"crypto/rand"
	"encoding/base64"
)

// newID is a socket's identifier, 120 random bits.
func newID() string {
	var b [15]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}
