//go:build !browser

package link

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"math/big"
)

// rsaPair is a key pair of this process.
type rsaPair struct {
	key *rsa.PrivateKey
}

// GenerateKey makes a key pair, which takes a processor about a tenth of a
// second. [NewKeyPool] makes them ahead.
func GenerateKey() (KeyPair, error) {
	key, err := rsa.GenerateKey(rand.Reader, modulusSize*8)
	if err != nil {
		return nil, fmt.Errorf("link: generating an RSA key: %w", err)
	}
	return rsaPair{key}, nil
}

// Modulus implements [KeyPair].
func (p rsaPair) Modulus() (m [256]byte) {
	p.key.N.FillBytes(m[:])
	return m
}

// DecryptOAEP implements [KeyPair].
func (p rsaPair) DecryptOAEP(_ context.Context, ciphertext, label []byte) ([]byte, error) {
	return rsa.DecryptOAEP(sha256.New(), nil, p.key, ciphertext, label)
}

// Format prints [redacted] whatever the verb.
func (p rsaPair) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[redacted]") }

// encryptOAEP encrypts secret to a modulus that goodModulus accepted.
func encryptOAEP(modulus *[modulusSize]byte, secret, label []byte) ([]byte, error) {
	pk := &rsa.PublicKey{N: new(big.Int).SetBytes(modulus[:]), E: publicExponent}
	return rsa.EncryptOAEP(sha256.New(), rand.Reader, pk, secret, label)
}
