//go:build !browser

package mls

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"
)

// classicalSuites are for other implementations: no room of ours has one. They
// come with the NIST curves, ECDSA and ChaCha20, a tenth of a megabyte that a
// browser need not load.
func classicalSuites() []*suite {
	return []*suite{
		{X25519AES128, "X25519 AES-128-GCM SHA-256 Ed25519", hpke.DHKEM(ecdh.X25519()), hpke.HKDFSHA256(), hpke.AES128GCM(), newGCM, 16, sha256.New, 32, ed25519Scheme{}, false},
		{P256AES128, "P-256 AES-128-GCM SHA-256 ECDSA", hpke.DHKEM(ecdh.P256()), hpke.HKDFSHA256(), hpke.AES128GCM(), newGCM, 16, sha256.New, 32, ecdsaScheme{elliptic.P256(), sha256.New}, false},
		{X25519ChaCha, "X25519 ChaCha20-Poly1305 SHA-256 Ed25519", hpke.DHKEM(ecdh.X25519()), hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), chacha20poly1305.New, 32, sha256.New, 32, ed25519Scheme{}, false},
		{P521AES256, "P-521 AES-256-GCM SHA-512 ECDSA", hpke.DHKEM(ecdh.P521()), hpke.HKDFSHA512(), hpke.AES256GCM(), newGCM, 32, sha512.New, 64, ecdsaScheme{elliptic.P521(), sha512.New}, false},
		{P384AES256, "P-384 AES-256-GCM SHA-384 ECDSA", hpke.DHKEM(ecdh.P384()), hpke.HKDFSHA384(), hpke.AES256GCM(), newGCM, 32, sha512.New384, 48, ecdsaScheme{elliptic.P384(), sha512.New384}, false},
	}
}

// ecdsaScheme signs with DER signatures and uncompressed points.
type ecdsaScheme struct {
	curve elliptic.Curve
	hash  func() hash.Hash
}

func (s ecdsaScheme) generate() ([]byte, error) {
	key, err := ecdsa.GenerateKey(s.curve, rand.Reader)
	if err != nil {
		return nil, err
	}
	return key.Bytes()
}

// key reads a scalar, which may lack leading zeros.
func (s ecdsaScheme) key(private []byte) (*ecdsa.PrivateKey, error) {
	size := (s.curve.Params().BitSize + 7) / 8
	if len(private) < size {
		private = append(make([]byte, size-len(private)), private...)
	}
	key, err := ecdsa.ParseRawPrivateKey(s.curve, private)
	if err != nil {
		return nil, fmt.Errorf("signature key: %w: %w", ErrUsage, err)
	}
	return key, nil
}

func (s ecdsaScheme) public(private []byte) ([]byte, error) {
	key, err := s.key(private)
	if err != nil {
		return nil, err
	}
	return key.PublicKey.Bytes()
}

func (s ecdsaScheme) sign(private, message []byte) ([]byte, error) {
	key, err := s.key(private)
	if err != nil {
		return nil, err
	}
	h := s.hash()
	h.Write(message)
	return ecdsa.SignASN1(rand.Reader, key, h.Sum(nil))
}

func (s ecdsaScheme) verify(public, message, signature []byte) bool {
	key, err := ecdsa.ParseUncompressedPublicKey(s.curve, s.uncompressed(public))
	if err != nil {
		return false
	}
	h := s.hash()
	h.Write(message)
	return ecdsa.VerifyASN1(key, h.Sum(nil), signature)
}

// uncompressed brings a point to the form that RFC 9420 demands. Compressed
// ones are read too, since ts-mls writes its signature keys so.
func (s ecdsaScheme) uncompressed(public []byte) []byte {
	size := (s.curve.Params().BitSize + 7) / 8
	if len(public) != 1+size {
		return public
	}
	x, y := elliptic.UnmarshalCompressed(s.curve, public)
	if x == nil {
		return public
	}
	point := make([]byte, 1+2*size)
	point[0] = 4
	x.FillBytes(point[1 : 1+size])
	y.FillBytes(point[1+size:])
	return point
}

func (s ecdsaScheme) samePublic(a, b []byte) bool {
	return bytes.Equal(s.uncompressed(a), s.uncompressed(b))
}
