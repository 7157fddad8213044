package identity

import (
	"bytes"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"

	"github.com/securelink-chat/securelink/internal/pack"
)

// ErrMismatch means that a scanned code does not belong to this pair of people.
var ErrMismatch = errors.New("identity: the safety codes differ")

// safetyRounds is how often each half is hashed (Signal's
// NumericFingerprintGenerator: 5200), which makes searching for a key with
// the same digits slower by as much.
const safetyRounds = 5200

// Peer is one side of a comparison.
type Peer struct {
	User     UserID
	Identity PublicKey
}

// fingerprint is 32 bytes: SHA-512 iterated over version | key | id, each round
// followed by the key, as Signal computes its numeric fingerprints, with the
// user id as the stable identifier.
func (p Peer) fingerprint() [32]byte {
	hash := append([]byte{0, 0}, p.Identity[:]...)
	hash = append(hash, p.User[:]...)
	for range safetyRounds {
		sum := sha512.Sum512(append(hash, p.Identity[:]...))
		hash = append(hash[:0], sum[:]...)
	}
	return [32]byte(hash[:32])
}

// Safety is what two people compare to know that nobody stands between them:
// 60 digits, the same on both sides.
type Safety struct{ digits string }

// SafetyNumber computes the number of two people; the order does not matter.
// It takes about 10 ms.
func SafetyNumber(a, b Peer) Safety {
	first, second := a.fingerprint(), b.fingerprint()
	if bytes.Compare(first[:], second[:]) > 0 {
		first, second = second, first
	}
	return Safety{digits(first) + digits(second)}
}

// digits turns 30 bytes into 30 digits: five bytes give five.
func digits(half [32]byte) string {
	var out strings.Builder
	for at := 0; at < 30; at += 5 {
		var chunk uint64
		for _, b := range half[at : at+5] {
			chunk = chunk<<8 | uint64(b)
		}
		fmt.Fprintf(&out, "%05d", chunk%100000)
	}
	return out.String()
}

// Digits gives the 60 digits without spaces.
func (s Safety) Digits() string { return s.digits }

// String gives twelve groups of five digits.
func (s Safety) String() string {
	groups := make([]string, 0, 12)
	for at := 0; at < len(s.digits); at += 5 {
		groups = append(groups, s.digits[at:at+5])
	}
	return strings.Join(groups, " ")
}

// safetyQRVersion is the first byte of a QR code's content.
const safetyQRVersion = 1

// SafetyQR gives the bytes that a person's QR code holds: u8 version | own
// fingerprint[32] | the other's fingerprint[32].
func SafetyQR(me, other Peer) []byte {
	own, theirs := me.fingerprint(), other.fingerprint()
	var w pack.Writer
	w.U8(safetyQRVersion)
	w.Fixed(own[:])
	w.Fixed(theirs[:])
	return w.B
}

// MatchQR checks the bytes scanned from the other's screen: ErrFormat if they
// are no safety code, ErrMismatch if they are that of another pair.
func MatchQR(me, other Peer, scanned []byte) error {
	if len(scanned) != 65 || scanned[0] != safetyQRVersion {
		return ErrFormat
	}
	if subtle.ConstantTimeCompare(scanned, SafetyQR(other, me)) != 1 {
		return ErrMismatch
	}
	return nil
}
