package link

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// CertSize is the length of a certificate.
const CertSize = 8 + 32 + 8 + sigSize

// onlineSize is the length of an online key with its certificate.
const onlineSize = ed25519.SeedSize + CertSize

// errKeys says that stored keys are not in their form or do not belong together.
var errKeys = errors.New("link: malformed or mismatched keys")

// Fingerprint is the pin of a root key: SHA-256 of it.
func Fingerprint(root [32]byte) [32]byte { return sha256.Sum256(root[:]) }

// RootKey is the server's identity. It signs online keys and nothing else, so
// that it can stay off the server. Printing it shows nothing.
type RootKey struct {
	key ed25519.PrivateKey
}

// GenerateRoot makes a new root key.
func GenerateRoot() RootKey {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	defer clear(seed)
	return RootKey{ed25519.NewKeyFromSeed(seed)}
}

// ParseRoot makes the root key of a seed of 32 bytes.
func ParseRoot(seed []byte) (RootKey, error) {
	if len(seed) != ed25519.SeedSize {
		return RootKey{}, fmt.Errorf("root: %w", errKeys)
	}
	return RootKey{ed25519.NewKeyFromSeed(seed)}, nil
}

// Seed is the secret of 32 bytes that [ParseRoot] takes.
func (r RootKey) Seed() []byte { return r.key.Seed() }

// Public is the Ed25519 public key.
func (r RootKey) Public() [32]byte { return [32]byte(r.key.Public().(ed25519.PublicKey)) }

// Pin is the fingerprint by which clients know the server.
func (r RootKey) Pin() [32]byte { return Fingerprint(r.Public()) }

// Format prints [redacted] whatever the verb.
func (r RootKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[redacted]") }

// NewOnline makes an online key and its certificate. Clients refuse an epoch
// below one that they have seen, so each new online key gets a higher one, and
// refuse all after notAfter, which counts in whole seconds.
func (r RootKey) NewOnline(epoch uint64, notAfter time.Time) Online {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	defer clear(seed)
	return r.certify(seed, epoch, notAfter)
}

// certify signs the online key of seed.
func (r RootKey) certify(seed []byte, epoch uint64, notAfter time.Time) Online {
	o := Online{key: ed25519.NewKeyFromSeed(seed)}
	o.cert = Cert{Epoch: epoch, NotAfter: time.Unix(notAfter.Unix(), 0)}
	o.cert.Online = [32]byte(o.key.Public().(ed25519.PublicKey))
	o.cert.Sig = [sigSize]byte(ed25519.Sign(r.key, o.cert.signed(r.Public())))
	return o
}

// Cert says that an online key speaks for a root key until a time:
//
//	u64 epoch | online_pk[32] | u64 not_after | sig[64]
//
// where not_after is in seconds since 1970 and sig is Ed25519 by the root key
// over "SecureLink/1 online key" 00 | root_pk | epoch | online_pk | not_after.
type Cert struct {
	Epoch    uint64
	Online   [32]byte
	NotAfter time.Time
	Sig      [sigSize]byte
}

// Bytes is the certificate's encoding.
func (c Cert) Bytes() [CertSize]byte {
	var b [CertSize]byte
	binary.BigEndian.PutUint64(b[:], c.Epoch)
	copy(b[8:], c.Online[:])
	binary.BigEndian.PutUint64(b[40:], uint64(c.NotAfter.Unix()))
	copy(b[48:], c.Sig[:])
	return b
}

// parseCert reads a certificate. It checks nothing.
func parseCert(b [CertSize]byte) Cert {
	return Cert{
		Epoch:    binary.BigEndian.Uint64(b[:]),
		Online:   [32]byte(b[8:]),
		NotAfter: time.Unix(int64(binary.BigEndian.Uint64(b[40:])), 0),
		Sig:      [sigSize]byte(b[48:]),
	}
}

func (c Cert) signed(root [32]byte) []byte {
	b := c.Bytes()
	msg := append([]byte(labelOnline+"\x00"), root[:]...)
	return append(msg, b[:CertSize-sigSize]...)
}

// Verify says whether root signed the certificate and it is still valid at now.
func (c Cert) Verify(root [32]byte, now time.Time) bool {
	return now.Before(c.NotAfter) && ed25519.Verify(root[:], c.signed(root), c.Sig[:])
}

// Online is the key that a running server signs handshakes with, and its
// certificate. Printing it shows nothing.
type Online struct {
	key  ed25519.PrivateKey
	cert Cert
}

// Cert is the certificate.
func (o Online) Cert() Cert { return o.cert }

// Format prints [redacted] whatever the verb.
func (o Online) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[redacted]") }

// Bytes is seed[32] | cert[112], a secret.
func (o Online) Bytes() [onlineSize]byte {
	var b [onlineSize]byte
	copy(b[:], o.key.Seed())
	cert := o.cert.Bytes()
	copy(b[ed25519.SeedSize:], cert[:])
	return b
}

// ParseOnline reads what Bytes wrote. Whether the root signed it is checked by
// [NewServer].
func ParseOnline(b []byte) (Online, error) {
	if len(b) != onlineSize {
		return Online{}, fmt.Errorf("online: %w", errKeys)
	}
	o := Online{key: ed25519.NewKeyFromSeed(b[:ed25519.SeedSize])}
	o.cert = parseCert([CertSize]byte(b[ed25519.SeedSize:]))
	if !bytes.Equal(o.key.Public().(ed25519.PublicKey), o.cert.Online[:]) {
		return Online{}, fmt.Errorf("online: %w", errKeys)
	}
	return o, nil
}
