// Package identity says who is who: users as identity keys, devices with
// certificates by them, names that their owners sign, and the signed words by
// which devices leave, are revoked and come back. It is pure: bytes in, bytes
// and verdicts out, so that clients and the core judge alike, and nothing that
// a server stores can make a user, a device or a name.
//
// Every signature is Ed25519 (RFC 8032) over a label, a zero byte and fields of
// fixed width or behind a length; every label begins "SecureLink/1 ", so no
// signature of one kind can pass as another. The root key of the server is in
// all of them: an identity of one server is nobody on another.
package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/securelink-chat/securelink/internal/pack"
)

var (
	// ErrSignature is the one error of everything that is signed and does not verify.
	ErrSignature = errors.New("identity: signature does not verify")
	// ErrFormat means bytes that are not the structure they should be.
	ErrFormat = errors.New("identity: malformed")
)

// UserID names a user on one server: a hash of the identity key and the
// server's root key. Member, role and ban always mean this id.
type UserID [32]byte

// DeviceID names a device; random, chosen by the device.
type DeviceID [16]byte

// GroupID is a room's id, which is its MLS group id too.
type GroupID [16]byte

// JoinID is random in every leaf of a room, so that what is signed about one
// stay of a device says nothing about the next.
type JoinID [16]byte

// PublicKey is an Ed25519 public key.
type PublicKey [32]byte

// Signature is an Ed25519 signature.
type Signature [64]byte

func (u UserID) String() string    { return hex.EncodeToString(u[:]) }
func (d DeviceID) String() string  { return hex.EncodeToString(d[:]) }
func (g GroupID) String() string   { return hex.EncodeToString(g[:]) }
func (p PublicKey) String() string { return hex.EncodeToString(p[:]) }

// Short is enough of the id to tell people in a list apart; never to trust one.
func (u UserID) Short() string { return hex.EncodeToString(u[:4]) }

// UserOf computes the user id of an identity key on the server with this root key.
func UserOf(root, identity PublicKey) UserID {
	w := labelled("SecureLink/1 user")
	w.Fixed(root[:])
	w.Fixed(identity[:])
	return sha256.Sum256(w.B)
}

// labelled starts what is hashed or signed: the label and a zero byte.
func labelled(label string) *pack.Writer {
	return &pack.Writer{B: append([]byte(label), 0)}
}

// signer is an Ed25519 key pair that prints nothing of itself.
type signer struct{ private ed25519.PrivateKey }

func newSigner() signer {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return signer{private}
}

// Public gives the public key.
func (s signer) Public() PublicKey { return PublicKey(s.private.Public().(ed25519.PublicKey)) }

// Seed gives the 32 bytes that make the key again (RFC 8032 section 5.1.5): a secret.
func (s signer) Seed() [32]byte { return [32]byte(s.private.Seed()) }

// Wipe erases the private key; the key is useless afterwards.
func (s signer) Wipe() { clear(s.private) }

func (s signer) sign(message []byte) Signature {
	return Signature(ed25519.Sign(s.private, message))
}

// String hides the key from every print.
func (s signer) String() string { return "[redacted]" }

// GoString hides the key from %#v.
func (s signer) GoString() string { return "[redacted]" }

// Key is a user's identity key.
type Key struct{ signer }

// NewKey makes an identity key from the system's random source.
func NewKey() *Key { return &Key{newSigner()} }

// KeyFromSeed restores an identity key.
func KeyFromSeed(seed [32]byte) *Key { return &Key{signer{ed25519.NewKeyFromSeed(seed[:])}} }

// User is the user that this key is, on the server with this root key.
func (k *Key) User(root PublicKey) UserID { return UserOf(root, k.Public()) }

// DeviceKey is a device's signature key, and the signature key of its MLS leaves.
type DeviceKey struct{ signer }

// NewDeviceKey makes a device key from the system's random source.
func NewDeviceKey() *DeviceKey { return &DeviceKey{newSigner()} }

// DeviceKeyFromSeed restores a device key.
func DeviceKeyFromSeed(seed [32]byte) *DeviceKey {
	return &DeviceKey{signer{ed25519.NewKeyFromSeed(seed[:])}}
}

// Private gives the key to MLS, which signs leaves and messages with it.
func (d *DeviceKey) Private() ed25519.PrivateKey { return d.private }

func verify(key PublicKey, message []byte, signature Signature) error {
	if !ed25519.Verify(key[:], message, signature[:]) {
		return ErrSignature
	}
	return nil
}
