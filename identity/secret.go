package identity

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"
)

// ErrWeak means password parameters below the floor or beyond what a client will compute.
var ErrWeak = errors.New("identity: password parameters out of bounds")

// derive is HKDF-SHA-256 (RFC 5869) with a zero salt, 32 bytes.
func derive(secret []byte, info string) [32]byte {
	out, err := hkdf.Key(sha256.New, secret, nil, info, 32)
	if err != nil {
		panic(err) // 32 bytes are within HKDF's bound
	}
	return [32]byte(out)
}

// LinkSecret is the secret of a join link; everything else of the link follows from it.
type LinkSecret [32]byte

// NewLinkSecret draws a secret from the system's random source.
func NewLinkSecret() (s LinkSecret) {
	rand.Read(s[:])
	return s
}

// String hides the secret from every print.
func (s LinkSecret) String() string { return "[redacted]" }

// GoString hides the secret from %#v.
func (s LinkSecret) GoString() string { return "[redacted]" }

// ID names the link to the core and in the room.
func (s LinkSecret) ID() [16]byte {
	id := derive(s[:], "SecureLink/1 link id")
	return [16]byte(id[:16])
}

// FetchToken lets its holder fetch the sealed GroupInfo and tree from the core,
// which stores TokenHash of it.
func (s LinkSecret) FetchToken() [32]byte { return derive(s[:], "SecureLink/1 link fetch") }

// SealKey seals GroupInfo and tree for whoever holds the link.
func (s LinkSecret) SealKey() [32]byte { return derive(s[:], "SecureLink/1 link seal") }

// PSK is the external pre-shared key that a joiner's commit must carry (RFC 9420 section 8.4).
func (s LinkSecret) PSK() [32]byte { return derive(s[:], "SecureLink/1 link psk") }

// TokenHash is what the core keeps of a fetch token.
func TokenHash(token [32]byte) [32]byte {
	w := labelled("SecureLink/1 link token")
	w.Fixed(token[:])
	return sha256.Sum256(w.B)
}

// PasswordParams are the parameters of Argon2id (RFC 9106), which the client computes.
type PasswordParams struct {
	MemoryKiB uint32
	Time      uint32
	Threads   uint8
}

// DefaultPasswordParams are used for a new password: 64 MiB, three passes. One
// lane, because a browser has one.
var DefaultPasswordParams = PasswordParams{MemoryKiB: 64 << 10, Time: 3, Threads: 1}

// ceiling bounds what a server may make a client compute.
var ceiling = PasswordParams{MemoryKiB: 1 << 20, Time: 16, Threads: 8}

// Check refuses parameters below DefaultPasswordParams, below what this account
// used before (floor; zero if unknown), or beyond what a client will compute.
func (p PasswordParams) Check(floor PasswordParams) error {
	if p.MemoryKiB < max(DefaultPasswordParams.MemoryKiB, floor.MemoryKiB) ||
		p.Time < max(DefaultPasswordParams.Time, floor.Time) || p.Threads < 1 ||
		p.MemoryKiB > ceiling.MemoryKiB || p.Time > ceiling.Time || p.Threads > ceiling.Threads {
		return ErrWeak
	}
	return nil
}

// PasswordSalt binds the salt to server and account: the same password gives
// another key for every name, whatever salt16 a server answers.
func PasswordSalt(root PublicKey, canonical string, salt16 [16]byte) [32]byte {
	w := labelled("SecureLink/1 pw salt")
	w.Fixed(root[:])
	w.U8(uint8(len(canonical)))
	w.Fixed([]byte(canonical))
	w.Fixed(salt16[:])
	return sha256.Sum256(w.B)
}

// PasswordAuth computes what is shown to the core in the password's place. It
// fails with ErrWeak outside the bounds of Check; callers that know the
// account's earlier parameters check them first.
func PasswordAuth(password string, salt [32]byte, p PasswordParams) ([32]byte, error) {
	return PasswordAuthWith(nil, password, salt, p)
}

// Argon computes Argon2id: one lane, 32 bytes.
type Argon func(password, salt []byte, time, memoryKiB uint32) ([]byte, error)

// PasswordAuthWith is PasswordAuth with Argon2id computed elsewhere: in a
// browser that is a worker of its own, because the memory that it takes is
// given back only when the worker ends. nil computes it here.
func PasswordAuthWith(argon Argon, password string, salt [32]byte, p PasswordParams) ([32]byte, error) {
	if err := p.Check(PasswordParams{}); err != nil {
		return [32]byte{}, err
	}
	var master []byte
	if argon == nil || p.Threads != 1 {
		master = argon2.IDKey([]byte(password), salt[:], p.Time, p.MemoryKiB, p.Threads, 32)
	} else {
		var err error
		if master, err = argon([]byte(password), salt[:], p.Time, p.MemoryKiB); err != nil {
			return [32]byte{}, fmt.Errorf("identity: password: %w", err)
		}
		if len(master) != 32 {
			return [32]byte{}, fmt.Errorf("%w: %d bytes of Argon2id, want 32", ErrFormat, len(master))
		}
	}
	defer clear(master)
	return derive(master, "SecureLink/1 pw auth"), nil
}

// PasswordVerifier is what the core stores: a hash of auth with a salt of its own.
func PasswordVerifier(auth [32]byte, salt2 [16]byte) [32]byte {
	w := labelled("SecureLink/1 pw verifier")
	w.Fixed(auth[:])
	w.Fixed(salt2[:])
	return sha256.Sum256(w.B)
}

// CheckPassword compares in constant time.
func CheckPassword(verifier, auth [32]byte, salt2 [16]byte) bool {
	got := PasswordVerifier(auth, salt2)
	return subtle.ConstantTimeCompare(got[:], verifier[:]) == 1
}

// FakeSalt answers for a login name that does not exist, the same each time,
// so that an answer does not say who has an account.
func FakeSalt(secret [32]byte, canonical string) [16]byte {
	mac := hmac.New(sha256.New, secret[:])
	w := labelled("SecureLink/1 pw fake salt")
	w.String(canonical)
	mac.Write(w.B)
	return [16]byte(mac.Sum(nil)[:16])
}
