package link

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"sync"
)

// publicExponent is implied: it is never sent.
const publicExponent = 65537

// KeyPair is an RSA-2048 key pair that serves one handshake. A browser's comes
// from WebCrypto, which is why decrypting takes a context.
type KeyPair interface {
	// Modulus is the public modulus in big endian; the exponent is 65537.
	Modulus() [256]byte
	// DecryptOAEP opens RSAES-OAEP with SHA-256 for both hash and mask (RFC 8017
	// section 7.1.2). label may contain any bytes.
	DecryptOAEP(ctx context.Context, ciphertext, label []byte) ([]byte, error)
}

// KeySource supplies key pairs, each of them once.
type KeySource interface {
	Take(ctx context.Context) (KeyPair, error)
}

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

// errPoolClosed ends those who wait for a pool.
var errPoolClosed = errors.New("link: key pool is closed")

// KeyPool makes key pairs ahead, in one goroutine, and holds a few.
type KeyPool struct {
	pairs chan KeyPair
	quit  chan struct{}
	once  sync.Once
	done  sync.WaitGroup
}

// NewKeyPool starts a pool that holds n key pairs; Close ends it.
func NewKeyPool(n int) *KeyPool {
	p := &KeyPool{pairs: make(chan KeyPair, max(n-1, 0)), quit: make(chan struct{})}
	p.done.Go(p.work)
	return p
}

func (p *KeyPool) work() {
	for {
		select {
		case <-p.quit:
			return
		default:
		}
		pair, err := GenerateKey()
		if err != nil {
			panic(err) // the arguments are fixed: only a broken library gets here
		}
		select {
		case p.pairs <- pair:
		case <-p.quit:
			return
		}
	}
}

// Take implements [KeySource].
func (p *KeyPool) Take(ctx context.Context) (KeyPair, error) {
	select {
	case pair := <-p.pairs:
		return pair, nil
	case <-p.quit:
		return nil, errPoolClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close ends the pool and waits for its goroutine, which may be in the middle of
// making a key.
func (p *KeyPool) Close() error {
	p.once.Do(func() { close(p.quit) })
	p.done.Wait()
	return nil
}
