package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// RoomID names a room; it is the MLS group id too. Random, except for direct
// chats ([DirectRoom]).
type RoomID [16]byte

// DeviceID names a device of a user; chosen at random by the device.
type DeviceID [16]byte

// MessageID names what a client appends to a room, message or handshake;
// random, the same in every retry.
type MessageID [16]byte

// StayID names a device's time in a room; in its leaf (identity.JoinID).
type StayID [16]byte

// LinkID names a join link of a room; derived from the link's secret.
type LinkID [16]byte

// Key is an idempotency key: random, the same in every retry of one request.
type Key [16]byte

// UserID is the hash of a user's identity key under this server's root.
type UserID [32]byte

// Hash is a SHA-256 hash.
type Hash [32]byte

// Token is a bearer secret: an administrator's link, an invitation to
// register, the fetch token of a join link. It never prints.
type Token [32]byte

// Secret is a byte string that never prints: a password's proof.
type Secret []byte

func (id RoomID) String() string    { return hex.EncodeToString(id[:]) }
func (id DeviceID) String() string  { return hex.EncodeToString(id[:]) }
func (id MessageID) String() string { return hex.EncodeToString(id[:]) }
func (id LinkID) String() string    { return hex.EncodeToString(id[:]) }
func (id UserID) String() string    { return hex.EncodeToString(id[:]) }
func (id Hash) String() string      { return hex.EncodeToString(id[:]) }

const redacted = "[redacted]"

// Format hides the token whatever the verb.
func (Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// Format hides the key whatever the verb: who knows it can ask for the
// response to another's request of the same account.
func (Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// Format hides the secret whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText hides the token from encoders that print.
func (Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalText hides the key from encoders that print.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalText hides the secret from encoders that print.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// IsZero reports whether the id is not set.
func (id RoomID) IsZero() bool { return id == RoomID{} }

// IsZero reports whether the id is not set.
func (id DeviceID) IsZero() bool { return id == DeviceID{} }

// IsZero reports whether the id is not set.
func (id UserID) IsZero() bool { return id == UserID{} }

// IsZero reports whether the key is not set.
func (k Key) IsZero() bool { return k == Key{} }

// DirectRoom is the id of the direct chat of two users: the same whoever
// starts it, so that two who start at once end in one room. generation counts
// the chats that the two had to start anew.
//
//	SHA-256("SecureLink/1 direct" 00 | smaller user id | larger user id | u32 generation)[:16]
func DirectRoom(a, b UserID, generation uint32) RoomID {
	if string(a[:]) > string(b[:]) {
		a, b = b, a
	}
	in := append([]byte("SecureLink/1 direct\x00"), a[:]...)
	in = append(in, b[:]...)
	in = binary.BigEndian.AppendUint32(in, generation)
	sum := sha256.Sum256(in)
	return RoomID(sum[:16])
}
