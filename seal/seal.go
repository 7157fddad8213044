// Package seal encrypts with AES-256-CBC in the one way that is safe: a random
// IV for every box, then a MAC over everything (encrypt-then-MAC), with both
// keys derived from one, so that a box commits to its key.
//
// A box is
//
//	iv[16] | ciphertext | tag[32]
//
// A 32-byte key k serves one label. HKDF-SHA-256 (RFC 5869; Extract with a salt
// of 32 zero bytes, Expand with the label as info) makes enc[32] | mac[32] of
// it. The ciphertext is AES-256-CBC under enc with PKCS#7 padding. The tag is
// HMAC-SHA-256 under mac over
//
//	label | 00 | u64 len(aad) | aad | iv | ciphertext
//
// with integers in big endian. Whatever varies between boxes of one key (ids,
// an index, a direction, a sequence number) belongs in aad, in fixed widths.
//
// The package knows nothing of what it seals. It protects neither the length of
// a plaintext (beyond the block it is padded to) nor against a box shown twice:
// both are the caller's, who pads and counts.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"sync"
)

const (
	// IVSize is the length of the random IV in front of every box.
	IVSize = aes.BlockSize
	// TagSize is the length of the tag at the end of every box.
	TagSize = sha256.Size
	// Overhead is the most that a box is longer than its plaintext.
	Overhead = IVSize + aes.BlockSize + TagSize

	// scratchAAD is how much of the aad is gathered before the MAC takes it.
	scratchAAD = 64
)

// ErrOpen is the only thing that opening ever says: the key, the label, the aad,
// the box or its order was wrong. Which one is nobody's business.
var ErrOpen = errors.New("seal: box does not open")

// Key seals and opens boxes under one key and one label. It is safe for
// concurrent use; calls on one Key take turns. Printing it shows nothing.
type Key struct {
	label string

	mu      sync.Mutex // guards what is below
	encKey  [32]byte
	mac     hash.Hash
	enc     settable // made when first sealing
	dec     settable // made when first opening
	sum     [TagSize]byte
	scratch []byte // label | 00 | room for the length and some aad
}

// settable is a CBC mode that takes a new IV, as those of crypto/aes do: a box
// then costs no key schedule and no allocation.
type settable interface {
	cipher.BlockMode
	SetIV([]byte)
}

// NewKey derives the keys of k under label. The label is a constant of the
// program: NewKey panics if it is empty, not ASCII or has a zero byte in it.
func NewKey(k [32]byte, label string) *Key {
	if label == "" || strings.ContainsFunc(label, func(r rune) bool { return r == 0 || r > 0x7e }) {
		panic("seal: a label is ASCII, without zero bytes")
	}
	keys, err := hkdf.Key(sha256.New, k[:], nil, label, 64)
	if err != nil {
		panic("seal: " + err.Error()) // only a longer output could fail
	}
	key := &Key{label: label, mac: hmac.New(sha256.New, keys[32:])}
	copy(key.encKey[:], keys)
	clear(keys)
	key.scratch = make([]byte, len(label)+1, len(label)+1+8+scratchAAD)
	copy(key.scratch, label)
	return key
}

// Format prints [redacted] whatever the verb.
func (k *Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[redacted]") }

// Wipe forgets the key: using it afterwards panics.
func (k *Key) Wipe() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.encKey[:])
	clear(k.sum[:])
	k.mac, k.enc, k.dec = nil, nil, nil
}

// SealedLen is the length of the box around a plaintext of n bytes.
func SealedLen(n int) int {
	return IVSize + n + aes.BlockSize - n%aes.BlockSize + TagSize
}

// Seal appends to dst the box around plaintext and returns the longer slice. The
// parts of aad count as one byte string. It does not allocate if dst has room
// for [SealedLen] more bytes. The plaintext may lie exactly where its ciphertext
// will, at dst[len(dst)+IVSize:]; otherwise it must not overlap that room.
func (k *Key) Seal(dst, plaintext []byte, aad ...[]byte) []byte {
	start, n := len(dst), len(plaintext)
	size := SealedLen(n)
	dst = slices.Grow(dst, size)[:start+size]
	box := dst[start:]
	iv, body, tag := box[:IVSize], box[IVSize:size-TagSize], box[size-TagSize:]
	copy(body, plaintext)
	for i := n; i < len(body); i++ {
		body[i] = byte(len(body) - n)
	}
	rand.Read(iv) // never fails: the process ends if the system has no randomness

	k.mu.Lock()
	defer k.mu.Unlock()
	if k.enc == nil {
		k.enc = cipher.NewCBCEncrypter(k.block(), iv).(settable)
	} else {
		k.enc.SetIV(iv)
	}
	k.enc.CryptBlocks(body, body)
	k.tag(aad, box[:size-TagSize])
	copy(tag, k.sum[:])
	return dst
}

// Open appends to dst the plaintext of box and returns the longer slice, or
// returns dst as it was and [ErrOpen]. dst's spare room must not overlap box.
func (k *Key) Open(dst, box []byte, aad ...[]byte) ([]byte, error) {
	start := len(dst)
	if !wellFormed(box) {
		return dst, ErrOpen
	}
	size := len(box) - IVSize - TagSize
	out := slices.Grow(dst, size)[:start+size]
	n, ok := k.open(out[start:], box, aad)
	if !ok {
		return dst, ErrOpen
	}
	return out[:start+n], nil
}

// OpenInPlace is Open with the plaintext in the box's own memory: the result is
// a part of box. The box is destroyed, whether it opens or not.
func (k *Key) OpenInPlace(box []byte, aad ...[]byte) ([]byte, error) {
	if !wellFormed(box) {
		return nil, ErrOpen
	}
	body := box[IVSize : len(box)-TagSize]
	n, ok := k.open(body, box, aad)
	if !ok {
		return nil, ErrOpen
	}
	return body[:n:n], nil
}

// wellFormed says whether a box can be one by its length, which is no secret.
func wellFormed(box []byte) bool {
	return len(box) >= Overhead && (len(box)-IVSize-TagSize)%aes.BlockSize == 0
}

// open checks the tag and then decrypts to out. The tag decides, before anything
// of the plaintext is looked at; a box that it refuses is nevertheless taken
// through the same steps as one it accepts and then wiped, so that a wrong tag
// and wrong padding under a right tag take the same time.
func (k *Key) open(out, box []byte, aad [][]byte) (n int, ok bool) {
	sealed, tag := box[:len(box)-TagSize], box[len(box)-TagSize:]
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tag(aad, sealed)
	good := subtle.ConstantTimeCompare(k.sum[:], tag)
	if k.dec == nil {
		k.dec = cipher.NewCBCDecrypter(k.block(), sealed[:IVSize]).(settable)
	} else {
		k.dec.SetIV(sealed[:IVSize])
	}
	k.dec.CryptBlocks(out, sealed[IVSize:])
	pad, padded := padding(out)
	if good&padded != 1 {
		clear(out)
		return 0, false
	}
	return len(out) - pad, true
}

// padding says how long the PKCS#7 padding of out is and whether it is right (1),
// in a time that depends on neither. out is at least one block.
func padding(out []byte) (n, good int) {
	last := out[len(out)-1]
	n = int(last)
	good = subtle.ConstantTimeLessOrEq(1, n) & subtle.ConstantTimeLessOrEq(n, aes.BlockSize)
	for i, b := range out[len(out)-aes.BlockSize:] {
		inside := subtle.ConstantTimeLessOrEq(aes.BlockSize-i, n)
		good &= subtle.ConstantTimeByteEq(b, last) | (1 ^ inside)
	}
	return n, good
}

// tag leaves in k.sum the tag over aad and sealed (iv | ciphertext). The aad is
// copied through scratch, so that callers' arrays stay on their stacks.
func (k *Key) tag(aad [][]byte, sealed []byte) {
	var total uint64
	for _, part := range aad {
		total += uint64(len(part))
	}
	k.mac.Reset()
	s := binary.BigEndian.AppendUint64(k.scratch, total)
	for _, part := range aad {
		for len(part) > 0 {
			if len(s) == cap(s) {
				k.mac.Write(s)
				s = s[:0]
				// scratch starts with the label: what is written over it is put back below.
			}
			n := copy(s[len(s):cap(s)], part)
			s, part = s[:len(s)+n], part[n:]
		}
	}
	k.mac.Write(s)
	copy(k.scratch, k.label)
	k.scratch[len(k.label)] = 0
	k.mac.Write(sealed)
	k.mac.Sum(k.sum[:0])
}

// block is the cipher under the encryption key.
func (k *Key) block() cipher.Block {
	block, err := aes.NewCipher(k.encKey[:])
	if err != nil {
		panic("seal: " + err.Error()) // only another key length could fail
	}
	return block
}
