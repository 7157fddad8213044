package proxyproto

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// headerTime is what a peer has to send its header in.
	headerTime = 2 * time.Second
	// maxWaiting is how many connections may be without a verified header.
	maxWaiting = 256
	// acceptPause is the wait after an accept that failed.
	acceptPause = 50 * time.Millisecond
	// maxNonces bounds the memory of the replay check for each of two halves
	// of the window; only who knows the secret can fill it.
	maxNonces = 1 << 17
)

// alive answers a LOCAL header: the core is there and knows this gateway.
const alive = "OK\n"

// Verifier accepts headers of gateways that know the secret, each once.
// It may be used by many goroutines.
type Verifier struct {
	secret []byte
	now    func() time.Time

	mu        sync.Mutex
	turned    time.Time             // when older became older
	seen      map[[16]byte]struct{} // since turned
	older     map[[16]byte]struct{} // the span before it
	forgetful int                   // maxNonces, less in tests
}

// NewVerifier makes a verifier. It keeps secret, which must not change. now may
// be nil: time.Now.
func NewVerifier(secret []byte, now func() time.Time) (*Verifier, error) {
	if len(secret) < MinSecret {
		return nil, ErrSecret
	}
	if now == nil {
		now = time.Now
	}
	return &Verifier{secret: secret, now: now, turned: now(), seen: map[[16]byte]struct{}{}, forgetful: maxNonces}, nil
}

// Verify checks one header as Read returned it: tag, then time, then that it is
// new, then what it says.
func (v *Verifier) Verify(b []byte) (Header, error) {
	if len(b) < fixed+authTLV || string(b[:len(signature)]) != signature {
		return Header{}, ErrAuth
	}
	auth := b[len(b)-authTLV:]
	before, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if !hmac.Equal(tag(v.secret, before), sum) {
		return Header{}, ErrAuth
	}
	if auth[0] != authType || binary.BigEndian.Uint16(auth[1:]) != authLength || auth[3] != authV1 {
		return Header{}, ErrAuth
	}
	if int(binary.BigEndian.Uint16(b[14:])) != len(b)-fixed {
		return Header{}, ErrHeader
	}
	sent := time.UnixMilli(int64(binary.BigEndian.Uint64(auth[4:])))
	if !v.fresh(sent, [16]byte(auth[12:28])) {
		return Header{}, ErrAuth
	}
	return parse(b)
}

// fresh says whether the header is of now and was not seen before, and
// remembers it.
func (v *Verifier) fresh(sent time.Time, nonce [16]byte) bool {
	now := v.now()
	if d := now.Sub(sent); d > Window || d < -Window {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	// A header can come for two windows: from one before its time to one after.
	if age := now.Sub(v.turned); age > 2*Window {
		v.older = v.seen
		if age > 4*Window {
			v.older = nil
		}
		v.seen, v.turned = map[[16]byte]struct{}{}, now
	}
	_, again := v.seen[nonce]
	_, before := v.older[nonce]
	if again || before || len(v.seen) >= v.forgetful {
		return false
	}
	v.seen[nonce] = struct{}{}
	return true
}

// Serve accepts connections of gateways on l until ctx ends, then closes l and
// waits for every handle. A connection without a verified header within 2 s is
// closed and handle never sees it; refused (which may be nil) hears why. handle
// owns the connection; client is the address behind it.
func (v *Verifier) Serve(ctx context.Context, l net.Listener, refused func(netip.AddrPort, error), handle func(ctx context.Context, c net.Conn, client netip.AddrPort)) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	waiting := make(chan struct{}, maxWaiting)
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("proxyproto: accept: %w", err)
			}
			// No file left, or a peer gone before it was taken: it passes.
			select {
			case <-time.After(acceptPause):
			case <-ctx.Done():
			}
			continue
		}
		select {
		case waiting <- struct{}{}:
		default: // Everybody waits: who comes now would wait longer than it may.
			c.Close()
			continue
		}
		wg.Go(func() {
			h, err := v.admit(ctx, c)
			<-waiting
			if err != nil {
				if refused != nil {
					refused(peer(c), err)
				}
				c.Close()
				return
			}
			if h.Local {
				_, _ = c.Write([]byte(alive))
				c.Close()
				return
			}
			handle(ctx, c, h.Source)
		})
	}
}

// admit reads and verifies the header of a new connection.
func (v *Verifier) admit(ctx context.Context, c net.Conn) (Header, error) {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if err := c.SetDeadline(time.Now().Add(headerTime)); err != nil {
		return Header{}, err
	}
	b, err := Read(c)
	if err != nil {
		return Header{}, err
	}
	h, err := v.Verify(b)
	if err != nil {
		return Header{}, err
	}
	if h.Local {
		return h, nil // The deadline stays for the answer.
	}
	return h, c.SetDeadline(time.Time{})
}

// peer is the address of the other end of c.
func peer(c net.Conn) netip.AddrPort {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}

// Ask opens a LOCAL connection on c and waits until the core has answered that
// it is there and knows this gateway. It closes c.
func Ask(ctx context.Context, c net.Conn, secret []byte) error {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if err := c.SetDeadline(time.Now().Add(headerTime)); err != nil {
		return fmt.Errorf("proxyproto: ask: %w", err)
	}
	b, err := Header{Local: true}.Sign(secret, time.Now())
	if err != nil {
		return err
	}
	if _, err := c.Write(b); err != nil {
		return fmt.Errorf("proxyproto: ask: %w", err)
	}
	answer := make([]byte, len(alive))
	for have := 0; have < len(answer); {
		n, err := c.Read(answer[have:])
		if have += n; err != nil && have < len(answer) {
			return fmt.Errorf("proxyproto: the core does not know this gateway: %w", noEOF(err))
		}
	}
	if string(answer) != alive {
		return fmt.Errorf("proxyproto: ask: %w", ErrHeader)
	}
	return nil
}
