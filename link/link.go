// Package link is the secure link between a client and a server: confidential,
// authentic and ordered over any connection that carries frames, whoever relays
// it. The client knows the server by a pin, the hash of its Ed25519 root key.
//
// The handshake is RSA-2048 and X-Wing together: the server sends one secret
// under a fresh RSA key of the client and shares another by X-Wing, and the
// link's keys need both. Everything after it is AES-256-CBC with HMAC (package
// seal), padded, numbered and rekeyed. doc/link.md is the specification.
//
//	conn, err := link.Client(ctx, frames, link.ClientConfig{Pin: pin, RSA: pool})
//
//	server, err := link.NewServer(link.ServerConfig{Root: root.Public(), Online: online})
//	conn, err := server.Accept(ctx, frames)
//
// The package starts goroutines in two places: [NewServer] (its workers, until
// Close) and [NewKeyPool] (one that works ahead, until Close). A [Conn] has none.
package link

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// MaxFrame is the longest frame, in bytes.
const MaxFrame = 1 << 20

// helloFrame is the longest frame before the handshake is over.
const helloFrame = 4 << 10

// FrameConn carries frames of 1 to [MaxFrame] bytes, in order, between two
// sides. One reader and one writer may use it at a time, and Close at any time.
type FrameConn interface {
	// ReadFrame waits for the next frame; the slice is the caller's. It returns
	// io.EOF if the transport ended at a frame's border.
	ReadFrame() ([]byte, error)
	// WriteFrames sends all frames in one system call, as far as the transport
	// can. It does not keep the slices.
	WriteFrames(frames ...[]byte) error
	// Close ends the connection and whatever waits in it.
	Close() error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	RemoteAddr() netip.AddrPort
}

// FrameLimiter is what a [FrameConn] may be as well: it refuses frames longer
// than n before it takes memory for them. Without it, a longer frame is refused
// after it came.
type FrameLimiter interface {
	SetFrameLimit(n int)
}

// limitFrames sets the limit if fc can.
func limitFrames(fc FrameConn, n int) {
	if l, ok := fc.(FrameLimiter); ok {
		l.SetFrameLimit(n)
	}
}

var (
	// ErrClosed says that the peer ended the link with a close record: nothing
	// of what it said is missing. After one's own Close it says just that.
	ErrClosed = errors.New("link: closed")
	// ErrLost says that the connection ended without a close record: what was
	// under way may or may not have been done.
	ErrLost = errors.New("link: connection lost")
	// ErrRecord says that a record was refused, which ends the link. It is one
	// error for every reason, and an [ErrLost].
	ErrRecord = fmt.Errorf("%w: record refused", ErrLost)
	// ErrHandshake says that the handshake failed. It is one error for every
	// reason but a root key that is not the pinned one.
	ErrHandshake = errors.New("link: handshake failed")
	// ErrPin says that the server's root key is not the pinned one. It comes as
	// a [*PinError] and is an [ErrHandshake].
	ErrPin = fmt.Errorf("%w: not the pinned server", ErrHandshake)
	// ErrTooLarge says that a payload is longer than [MaxPayload], or a frame
	// longer than [MaxFrame].
	ErrTooLarge = errors.New("link: too large")
	// ErrBusy says that the server has too many handshakes waiting.
	ErrBusy = errors.New("link: too many handshakes")
)

// PinError says which server was expected and which one answered, as the
// fingerprints (SHA-256) of their root keys. It is an [ErrPin].
type PinError struct {
	Want, Got [32]byte
}

// Error shows both fingerprints in full.
func (e *PinError) Error() string {
	return fmt.Sprintf("%v: want %x, got %x", ErrPin, e.Want, e.Got)
}

// Unwrap is [ErrPin].
func (e *PinError) Unwrap() error { return ErrPin }
