package link

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"time"
)

// clientTimeout is how long a client's handshake may take by default.
const clientTimeout = 10 * time.Second

// ClientConfig says whom a client trusts and where its keys come from.
type ClientConfig struct {
	// Pin is the fingerprint of the server's root key. Zero trusts any on first
	// use: store Fingerprint(conn.PeerRoot()) once Client returned, and show it.
	Pin [32]byte
	// MinEpoch is the lowest certificate epoch to accept: store the highest
	// conn.CertEpoch() seen of a root key.
	MinEpoch uint64
	// RSA supplies the one-use key pair of a full handshake. If nil, the pair is
	// made while the handshake waits.
	RSA KeySource
	// Tickets, if not nil, makes the client resume when it has a ticket, and keep
	// the server's. Without a pin it does neither.
	Tickets ClientTickets
	// Timeout bounds the whole handshake; 0 means 10 s.
	Timeout time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Client does the client's side of the handshake over fc. If it fails, fc is
// closed, and the error is an [ErrHandshake], a [*PinError], an [ErrLost] or the
// context's. A ticket is spent by the attempt: after a failure, dial again, and
// the next attempt resumes with another ticket or is a full handshake.
func Client(ctx context.Context, fc FrameConn, cfg ClientConfig) (*Conn, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = clientTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	h := clientHandshake{cfg: cfg, fc: fc}
	conn, err := guard(ctx, fc, func() (*Conn, error) { return h.run(ctx) })
	h.wipe()
	return conn, err
}

// guard runs a handshake, ends it when ctx does, and closes fc if it fails.
func guard(ctx context.Context, fc FrameConn, run func() (*Conn, error)) (*Conn, error) {
	limitFrames(fc, helloFrame)
	stop := context.AfterFunc(ctx, func() { fc.Close() })
	conn, err := run()
	if !stop() && err == nil {
		conn.in.wipe()
		conn.out.wipe()
		conn, err = nil, ctx.Err()
	}
	if err != nil {
		fc.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("link: %w", err)
	}
	limitFrames(fc, MaxFrame)
	return conn, nil
}

// transportError is what a handshake says when its transport failed.
func transportError(err error) error {
	return fmt.Errorf("%w in the handshake: %w", ErrLost, err)
}

// clientHandshake is what a client holds while it waits for the server.
type clientHandshake struct {
	cfg    ClientConfig
	fc     FrameConn
	ticket Ticket // if resuming
	rsa    KeyPair
	xwing  hpke.PrivateKey
	hello  clientHello
	ch     []byte // hello as sent
	server serverHello
	cert   Cert
}

func (h *clientHandshake) wipe() {
	h.ticket, h.rsa, h.xwing = Ticket{}, nil, nil
}

func (h *clientHandshake) run(ctx context.Context) (*Conn, error) {
	if err := h.prepare(ctx); err != nil {
		return nil, err
	}
	if err := h.fc.WriteFrames(h.ch); err != nil {
		return nil, transportError(err)
	}
	return h.receive(ctx)
}

// receive takes the server's answer and finishes.
func (h *clientHandshake) receive(ctx context.Context) (*Conn, error) {
	frame, err := h.fc.ReadFrame()
	if err != nil {
		return nil, transportError(err)
	}
	server, unsigned, ok := parseServerHello(frame, h.hello.resumed)
	if !ok {
		return nil, ErrHandshake
	}
	h.server = server
	th := transcript(h.hello.resumed, h.ch, unsigned)
	if err := h.authenticate(th); err != nil {
		return nil, err
	}
	s, err := h.agree(ctx, th)
	if err != nil {
		return nil, err
	}
	defer s.wipe()
	if !hmac.Equal(server.fin, finished(s.s2cFin, finishedServer, th[:], server.sig)) {
		return nil, ErrHandshake
	}
	cfin := finished(s.c2sFin, finishedClient, th[:], server.sig, server.fin)
	if err := h.fc.WriteFrames(cfin); err != nil {
		return nil, transportError(err)
	}
	return h.conn(&s), nil
}

// prepare makes the hello, with a ticket if there is one.
func (h *clientHandshake) prepare(ctx context.Context) error {
	private, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		return err
	}
	h.xwing = private
	h.hello = clientHello{suites: []uint16{suiteRSAXWing}, pin: h.cfg.Pin, xwing: private.PublicKey().Bytes()}
	rand.Read(h.hello.random[:])
	if h.cfg.Tickets != nil && h.cfg.Pin != [32]byte{} {
		t, ok := h.cfg.Tickets.Take(h.cfg.Pin)
		if ok && h.cfg.Now().Before(t.Expires) {
			h.ticket = t
			h.hello.resumed, h.hello.ticket = true, t.ID
		}
	}
	if !h.hello.resumed {
		if h.rsa, err = h.pair(ctx); err != nil {
			return err
		}
		h.hello.modulus = h.rsa.Modulus()
	}
	h.ch = h.hello.encode()
	return nil
}

func (h *clientHandshake) pair(ctx context.Context) (KeyPair, error) {
	if h.cfg.RSA == nil {
		return GenerateKey()
	}
	return h.cfg.RSA.Take(ctx)
}

// authenticate checks that the pinned server, by a certificate in force, has
// signed this handshake.
func (h *clientHandshake) authenticate(th [32]byte) error {
	got := Fingerprint(h.server.root)
	if h.cfg.Pin != [32]byte{} && h.cfg.Pin != got {
		return &PinError{Want: h.cfg.Pin, Got: got}
	}
	h.cert = parseCert(h.server.cert)
	if !h.cert.Verify(h.server.root, h.cfg.Now()) || h.cert.Epoch < h.cfg.MinEpoch {
		return ErrHandshake
	}
	if !ed25519.Verify(h.cert.Online[:], signed(th), h.server.sig) {
		return ErrHandshake
	}
	return nil
}

// agree opens both legs.
func (h *clientHandshake) agree(ctx context.Context, th [32]byte) (secrets, error) {
	k2, err := decapsulate(h.xwing, h.server.xwing, h.ch)
	if err != nil {
		return secrets{}, ErrHandshake
	}
	defer clear(k2)
	first := h.ticket.PSK[:]
	if !h.hello.resumed {
		first, err = h.rsa.DecryptOAEP(ctx, h.server.rsa, bound(labelRSA, h.ch))
		if err != nil || len(first) != secretSize {
			return secrets{}, ErrHandshake
		}
		defer clear(first)
	}
	return schedule(h.hello.resumed, th, first, k2)
}

// conn is the link that the handshake made.
func (h *clientHandshake) conn(s *secrets) *Conn {
	c := &Conn{
		fc:       h.fc,
		now:      h.cfg.Now,
		root:     h.server.root,
		epoch:    h.cert.Epoch,
		exporter: s.exporter,
		resumed:  h.hello.resumed,
		in:       newHalf(serverToClient, s.s2c),
		out:      newHalf(clientToServer, s.c2s),
	}
	pin, tickets, now := h.cfg.Pin, h.cfg.Tickets, h.cfg.Now
	if tickets == nil || pin == [32]byte{} {
		c.keep = func(_, _ [32]byte) {}
		return c
	}
	resume := s.resume
	c.keep = func(id, nonce [32]byte) {
		psk := ticketPSK(resume, nonce[:])
		clear(resume[:])
		// Without the ticket the next handshake is a full one.
		_ = tickets.Put(pin, Ticket{ID: id, PSK: psk, Expires: now().Add(TicketLife)})
	}
	return c
}

// ticketHash is what the server finds a ticket by.
func ticketHash(id [32]byte) [32]byte { return sha256.Sum256(id[:]) }
