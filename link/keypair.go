package link

import (
	"context"
	"errors"
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

// errPoolClosed ends those who wait for a pool.
var errPoolClosed = errors.New("link: key pool is closed")

// KeyPool makes key pairs ahead, in one goroutine, and holds a few.
type KeyPool struct {
	pairs chan madePair
	quit  chan struct{}
	once  sync.Once
	done  sync.WaitGroup
}

type madePair struct {
	pair KeyPair
	err  error
}

// NewKeyPool starts a pool that holds n key pairs; Close ends it.
func NewKeyPool(n int) *KeyPool {
	p := &KeyPool{pairs: make(chan madePair, max(n-1, 0)), quit: make(chan struct{})}
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
		select {
		case p.pairs <- madePair{pair, err}:
		case <-p.quit:
			return
		}
	}
}

// Take implements [KeySource].
func (p *KeyPool) Take(ctx context.Context) (KeyPair, error) {
	select {
	case made := <-p.pairs:
		return made.pair, made.err
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
