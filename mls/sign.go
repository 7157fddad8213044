package mls

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
)

// signatureScheme is a suite's signature algorithm over raw keys.
type signatureScheme interface {
	generate() (private []byte, err error)
	public(private []byte) ([]byte, error)
	sign(private, message []byte) ([]byte, error)
	verify(public, message, signature []byte) bool
	samePublic(a, b []byte) bool
}

type ed25519Scheme struct{}

func (ed25519Scheme) generate() ([]byte, error) { return random(ed25519.SeedSize), nil }

func (ed25519Scheme) public(private []byte) ([]byte, error) {
	if len(private) != ed25519.SeedSize {
		return nil, fmt.Errorf("Ed25519 seed of %d bytes: %w", len(private), ErrUsage)
	}
	return ed25519.NewKeyFromSeed(private)[32:], nil
}

func (ed25519Scheme) sign(private, message []byte) ([]byte, error) {
	return ed25519.Sign(ed25519.NewKeyFromSeed(private), message), nil
}

func (ed25519Scheme) verify(public, message, signature []byte) bool {
	return len(public) == ed25519.PublicKeySize && ed25519.Verify(public, message, signature)
}

func (ed25519Scheme) samePublic(a, b []byte) bool { return bytes.Equal(a, b) }

// A SigningKey is a device's signature key pair. It prints as [redacted].
type SigningKey struct {
	cs      *suite
	private []byte
	public  []byte
	// expanded is Ed25519's private key with its public half, made once: the
	// expansion costs as much as the signature.
	expanded ed25519.PrivateKey
}

// NewSigningKey makes a key pair for the suite's signature algorithm.
func NewSigningKey(s Suite) (*SigningKey, error) {
	cs, err := lookup(s)
	if err != nil {
		return nil, err
	}
	private, err := cs.sig.generate()
	if err != nil {
		return nil, fmt.Errorf("new signature key: %w", err)
	}
	return newSigningKey(cs, private)
}

// ParseSigningKey reads a private key: for Ed25519 the 32-byte seed, or the 64
// bytes of seed and public key; for ECDSA the scalar.
func ParseSigningKey(s Suite, raw []byte) (*SigningKey, error) {
	cs, err := lookup(s)
	if err != nil {
		return nil, err
	}
	if _, ok := cs.sig.(ed25519Scheme); ok && len(raw) == ed25519.PrivateKeySize {
		raw = raw[:ed25519.SeedSize]
	}
	return newSigningKey(cs, bytesClone(raw))
}

func newSigningKey(cs *suite, private []byte) (*SigningKey, error) {
	public, err := cs.sig.public(private)
	if err != nil {
		return nil, err
	}
	k := &SigningKey{cs: cs, private: private, public: public}
	if _, ok := cs.sig.(ed25519Scheme); ok {
		k.expanded = ed25519.NewKeyFromSeed(private)
	}
	return k, nil
}

// Public is the public key as in a leaf.
func (k *SigningKey) Public() []byte { return bytesClone(k.public) }

// Bytes is the private key as [ParseSigningKey] reads it: a secret.
func (k *SigningKey) Bytes() []byte { return bytesClone(k.private) }

// bytes is the private key, nil of a nil key.
func (k *SigningKey) bytes() []byte {
	if k == nil {
		return nil
	}
	return k.private
}

// String keeps the key out of logs.
func (k *SigningKey) String() string { return "[redacted]" }

// GoString keeps the key out of logs.
func (k *SigningKey) GoString() string { return "[redacted]" }

// signLabelled is section 5.1.2's SignWithLabel.
func (k *SigningKey) signLabelled(label string, content []byte) ([]byte, error) {
	if k == nil {
		return nil, fmt.Errorf("sign %s without a signature key: %w", label, ErrUsage)
	}
	if k.expanded != nil {
		return ed25519.Sign(k.expanded, labelled(label, content)), nil
	}
	sig, err := k.cs.sig.sign(k.private, labelled(label, content))
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", label, err)
	}
	return sig, nil
}

// verifyLabelled is section 5.1.2's VerifyWithLabel.
func (cs *suite) verifyLabelled(public []byte, label string, content, signature []byte) bool {
	return cs.sig.verify(public, labelled(label, content), signature)
}
