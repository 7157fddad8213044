package mls

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
	"hash"
)

// Suite is a cipher suite's number (RFC 9420, section 17.1).
type Suite uint16

// The suites. The hybrid ones have numbers for private use until IANA gives
// them their own; they are those of draft-ietf-mls-pq-ciphersuites, except
// XWingSHA512, which is for interoperability tests only.
const (
	X25519AES128 Suite = 0x0001
	P256AES128   Suite = 0x0002
	X25519ChaCha Suite = 0x0003
	P521AES256   Suite = 0x0005
	P384AES256   Suite = 0x0007
	XWingSHA512  Suite = 83
	XWingAES128  Suite = 0xF601
	XWingAES256  Suite = 0xF602

	// DefaultSuite is X-Wing (ML-KEM-768 with X25519), HKDF-SHA384,
	// AES-256-GCM, SHA-384, Ed25519.
	DefaultSuite = XWingAES256
)

// suite is what a number stands for.
type suite struct {
	id      Suite
	name    string
	kem     hpke.KEM
	kdf     hpke.KDF
	aead    hpke.AEAD
	newAEAD func(key []byte) (cipher.AEAD, error)
	nk      int // bytes of an AEAD key
	hash    func() hash.Hash
	nh      int // bytes of a hash, and of every secret
	sig     signatureScheme
	// expandIKM is what suite 83 does before the KEM's DeriveKeyPair.
	expandIKM bool
}

// nn is the size of an AEAD nonce in every suite.
const nn = 12

// suites are all that this build knows. What a browser loads is built with the
// tag browser, which leaves the classical ones out.
var suites = append(classicalSuites(), []*suite{
	{XWingSHA512, "X-Wing AES-256-GCM SHA-512 Ed25519", hpke.MLKEM768X25519(), hpke.HKDFSHA512(), hpke.AES256GCM(), newGCM, 32, sha512.New, 64, ed25519Scheme{}, true},
	{XWingAES128, "X-Wing AES-128-GCM SHA-256 Ed25519", hpke.MLKEM768X25519(), hpke.HKDFSHA256(), hpke.AES128GCM(), newGCM, 16, sha256.New, 32, ed25519Scheme{}, false},
	{XWingAES256, "X-Wing AES-256-GCM SHA-384 Ed25519", hpke.MLKEM768X25519(), hpke.HKDFSHA384(), hpke.AES256GCM(), newGCM, 32, sha512.New384, 48, ed25519Scheme{}, false},
}...)

func lookup(s Suite) (*suite, error) {
	for _, cs := range suites {
		if cs.id == s {
			return cs, nil
		}
	}
	return nil, fmt.Errorf("cipher suite %#04x: %w", uint16(s), ErrUnsupported)
}

// Suites lists the supported suites, the classical ones first.
func Suites() []Suite {
	list := make([]Suite, len(suites))
	for i, cs := range suites {
		list[i] = cs.id
	}
	return list
}

// Supported tells whether the package implements s.
func (s Suite) Supported() bool { _, err := lookup(s); return err == nil }

func (s Suite) String() string {
	if cs, err := lookup(s); err == nil {
		return cs.name
	}
	return fmt.Sprintf("suite %#04x", uint16(s))
}

// HashSize is the length of the suite's hashes and secrets in bytes, 0 for an
// unknown suite.
func (s Suite) HashSize() int {
	if cs, err := lookup(s); err == nil {
		return cs.nh
	}
	return 0
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// random returns n bytes of the system's random source, which cannot fail.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func (cs *suite) digest(parts ...[]byte) []byte {
	h := cs.hash()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func (cs *suite) mac(key, data []byte) []byte {
	h := hmac.New(cs.hash, key)
	h.Write(data)
	return h.Sum(nil)
}

func equalSecret(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// extract is KDF.Extract of RFC 9420, with the salt first as there.
func (cs *suite) extract(salt, ikm []byte) []byte {
	prk, err := hkdf.Extract(cs.hash, ikm, salt)
	if err != nil {
		panic("mls: HKDF-Extract: " + err.Error()) // only FIPS enforcement can
	}
	return prk
}

const labelPrefix = "MLS 1.0 "

// kdfLabel is section 8's KDFLabel.
func kdfLabel(label string, context []byte, n int) []byte {
	info := make([]byte, 0, 2+2+len(labelPrefix)+len(label)+4+len(context))
	info = appendU16(info, uint16(n))
	info = appendLength(info, len(labelPrefix)+len(label))
	info = append(append(info, labelPrefix...), label...)
	return appendVec(info, context)
}

// expandBlock is the first block of HKDF-Expand, which is all that nearly
// every call needs. h is keyed with the secret and can be used again.
func expandBlock(h hash.Hash, info []byte, n int) []byte {
	h.Reset()
	h.Write(info)
	h.Write([]byte{1})
	return h.Sum(nil)[:n:n]
}

// expandWithLabel is section 8's ExpandWithLabel.
func (cs *suite) expandWithLabel(secret []byte, label string, context []byte, n int) []byte {
	info := kdfLabel(label, context, n)
	if n <= cs.nh {
		return expandBlock(hmac.New(cs.hash, secret), info, n)
	}
	out, err := hkdf.Expand(cs.hash, secret, string(info), n)
	if err != nil {
		panic("mls: HKDF-Expand: " + err.Error()) // n is bounded by the callers
	}
	return out
}

func (cs *suite) deriveSecret(secret []byte, label string) []byte {
	return cs.expandWithLabel(secret, label, nil, cs.nh)
}

// deriveTreeSecret is section 9's DeriveTreeSecret.
func (cs *suite) deriveTreeSecret(secret []byte, label string, generation uint32, n int) []byte {
	return cs.expandWithLabel(secret, label, appendU32(nil, generation), n)
}

// refHash is section 5.2's RefHash.
func (cs *suite) refHash(label string, value []byte) []byte {
	return cs.digest(appendVec(nil, label), appendLength(nil, len(value)), value)
}

const (
	keyPackageRefLabel = "MLS 1.0 KeyPackage Reference"
	proposalRefLabel   = "MLS 1.0 Proposal Reference"
)

// signContent is what section 5.1.2 signs and encrypts with a label.
func labelled(label string, content []byte) []byte {
	b := make([]byte, 0, len(labelPrefix)+len(label)+len(content)+8)
	b = appendLength(b, len(labelPrefix)+len(label))
	b = append(append(b, labelPrefix...), label...)
	return appendVec(b, content)
}

// deriveKeyPair is the KEM's DeriveKeyPair.
func (cs *suite) deriveKeyPair(ikm []byte) (hpke.PrivateKey, error) {
	if cs.expandIKM {
		return cs.kem.NewPrivateKey(sha3.SumSHAKE256(ikm, 32))
	}
	return cs.kem.DeriveKeyPair(ikm)
}

// privateKey reads a private key as saved. P-521 scalars of other
// implementations may lack leading zeros.
func (cs *suite) privateKey(raw []byte) (hpke.PrivateKey, error) {
	if cs.id == P521AES256 && len(raw) < 66 {
		raw = append(make([]byte, 66-len(raw)), raw...)
	}
	key, err := cs.kem.NewPrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return key, nil
}

func (cs *suite) publicKey(raw []byte) (hpke.PublicKey, error) {
	key, err := cs.kem.NewPublicKey(raw)
	if err != nil {
		return nil, fmt.Errorf("encryption key: %w: %w", ErrLeaf, err)
	}
	return key, nil
}

// checkPublic judges whether raw is a public key of the suite's KEM, without
// the work of decoding it where that can be told from the encoding alone.
func (cs *suite) checkPublic(raw []byte) error {
	if cs.kem.ID() != kemXWing {
		_, err := cs.publicKey(raw)
		return err
	}
	if len(raw) != xwingKeySize {
		return fmt.Errorf("encryption key of %d bytes: %w", len(raw), ErrLeaf)
	}
	// FIPS 203, section 7.2: every coefficient is below q. Any 32 bytes are an
	// X25519 key.
	for b := raw[:mlkemCoefficients]; len(b) > 0; b = b[3:] {
		low := uint16(b[0]) | uint16(b[1]&0xf)<<8
		high := uint16(b[1]>>4) | uint16(b[2])<<4
		if low >= mlkemQ || high >= mlkemQ {
			return fmt.Errorf("encryption key: coefficient: %w", ErrLeaf)
		}
	}
	return nil
}

const (
	kemXWing     = 0x647a
	xwingKeySize = 1216 // ML-KEM-768's 1184, its seed at the end, and X25519's 32
	mlkemQ       = 3329

	mlkemCoefficients = 1152 // bytes: three polynomials, 12 bits a coefficient
)

// ciphertext is HPKECiphertext.
type ciphertext struct{ kem, ct []byte }

func (c ciphertext) append(b []byte) []byte { return appendVec(appendVec(b, c.kem), c.ct) }

func readCiphertext(r *reader) ciphertext { return ciphertext{r.vec(), r.vec()} }

// seal is section 5.1.3's EncryptWithLabel.
func (cs *suite) seal(to hpke.PublicKey, label string, context, plaintext []byte) (ciphertext, error) {
	enc, sender, err := hpke.NewSender(to, cs.kdf, cs.aead, labelled(label, context))
	if err != nil {
		return ciphertext{}, fmt.Errorf("%s: %w", label, err)
	}
	ct, err := sender.Seal(nil, plaintext)
	if err != nil {
		return ciphertext{}, fmt.Errorf("%s: %w", label, err)
	}
	return ciphertext{enc, ct}, nil
}

// open is section 5.1.3's DecryptWithLabel; all its failures look alike.
func (cs *suite) open(key hpke.PrivateKey, label string, context []byte, c ciphertext) ([]byte, error) {
	recipient, err := hpke.NewRecipient(c.kem, key, cs.kdf, cs.aead, labelled(label, context))
	if err != nil {
		return nil, ErrDecrypt
	}
	pt, err := recipient.Open(nil, c.ct)
	if err != nil {
		return nil, ErrDecrypt
	}
	return pt, nil
}
