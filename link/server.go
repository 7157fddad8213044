package link

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// serverTimeout is how long a handshake may take by default, from the first
// byte to the last.
const serverTimeout = 5 * time.Second

// errServerClosed ends the handshakes of a server that closes.
var errServerClosed = errors.New("server is closed")

// ServerConfig says who a server is and what it spends on handshakes.
type ServerConfig struct {
	// Root is the public root key. Its secret half is not needed here.
	Root [32]byte
	// Online is the key that signs handshakes, with its certificate by the root.
	Online Online
	// Tickets, if not nil, lets clients resume.
	Tickets ServerTickets
	// Workers is how many handshakes are computed at the same time; 0 means one
	// less than there are processors, and at least one.
	Workers int
	// Timeout bounds a whole handshake; 0 means 5 s.
	Timeout time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Server does the server's side of handshakes. What they compute runs in a few
// workers, which take turns between address prefixes, so that many hellos from
// one place delay that place.
type Server struct {
	root    [32]byte
	online  atomic.Pointer[Online]
	tickets ServerTickets
	timeout time.Duration
	now     func() time.Time

	queue   *fairQueue
	ctx     context.Context
	cancel  context.CancelCauseFunc
	workers sync.WaitGroup

	mu      sync.Mutex // guards closed and the start of accepts
	closed  bool
	accepts sync.WaitGroup
}

// NewServer starts the workers; Close ends them.
func NewServer(cfg ServerConfig) (*Server, error) {
	if cfg.Workers == 0 {
		cfg.Workers = max(1, runtime.GOMAXPROCS(0)-1)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = serverTimeout
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{root: cfg.Root, tickets: cfg.Tickets, timeout: cfg.Timeout, now: cfg.Now, queue: newFairQueue()}
	if err := s.Renew(cfg.Online); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	for range cfg.Workers {
		s.workers.Go(s.work)
	}
	return s, nil
}

// Renew makes the server use another online key from now on. The tickets made
// under the old key die with it. It refuses one that the root did not sign or
// that has expired.
func (s *Server) Renew(o Online) error {
	if !o.cert.Verify(s.root, s.now()) {
		return fmt.Errorf("link: certificate not by this root or expired: %w", errKeys)
	}
	s.online.Store(&o)
	return nil
}

// Close ends the handshakes that are under way, waits for their Accepts to
// return and for the workers to end. Links that are open stay so.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel(errServerClosed)
	s.accepts.Wait()
	s.queue.close()
	s.workers.Wait()
	return nil
}

// work computes handshakes until the queue is closed.
func (s *Server) work() {
	for {
		j := s.queue.next()
		if j == nil {
			return
		}
		j.answer, j.err = s.compute(j.ch, &j.hello, j.psk)
		close(j.done)
	}
}

// Accept does the server's side of a handshake over fc, which takes up to the
// timeout; it is for the goroutine that the connection will be served by. If it
// fails, fc is closed, and the error is an [ErrHandshake], an [ErrLost],
// [ErrBusy] or the context's: the peer learns nothing of it.
func (s *Server) Accept(ctx context.Context, fc FrameConn) (*Conn, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		fc.Close()
		return nil, fmt.Errorf("link: %w", errServerClosed)
	}
	s.accepts.Add(1)
	s.mu.Unlock()
	defer s.accepts.Done()

	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	stop := context.AfterFunc(s.ctx, cancel)
	defer stop()
	return guard(ctx, fc, func() (*Conn, error) { return s.accept(ctx, fc) })
}

func (s *Server) accept(ctx context.Context, fc FrameConn) (*Conn, error) {
	a, err := s.receive(ctx, fc)
	if err != nil {
		return nil, err
	}
	defer a.secrets.wipe()
	if err := fc.WriteFrames(a.frame); err != nil {
		return nil, transportError(err)
	}
	a.frame = nil // thousands may wait here
	cfin, err := fc.ReadFrame()
	if err != nil {
		return nil, transportError(err)
	}
	if !hmac.Equal(cfin, a.cfin[:]) {
		return nil, ErrHandshake
	}
	c := &Conn{
		fc:       fc,
		now:      s.now,
		root:     s.root,
		epoch:    a.online.cert.Epoch,
		exporter: a.secrets.exporter,
		resumed:  a.resumed,
		in:       newHalf(clientToServer, a.secrets.c2s),
		out:      newHalf(serverToClient, a.secrets.s2c),
	}
	if s.tickets != nil {
		c.first = s.issue(ctx, a)
	}
	return c, nil
}

// receive reads a hello and has the answer to it computed.
func (s *Server) receive(ctx context.Context, fc FrameConn) (*answer, error) {
	ch, err := fc.ReadFrame()
	if err != nil {
		return nil, transportError(err)
	}
	hello, ok := parseClientHello(ch)
	if !ok {
		return nil, ErrHandshake
	}
	j := &job{ch: ch, hello: hello, done: make(chan struct{})}
	if hello.resumed {
		if j.psk, err = s.redeem(ctx, hello.ticket); err != nil {
			return nil, err
		}
		defer clear(j.psk[:])
	}
	if err := s.queue.add(prefixOf(fc.RemoteAddr()), j); err != nil {
		return nil, err
	}
	select {
	case <-j.done:
		return j.answer, j.err
	case <-ctx.Done():
		if !s.queue.remove(j) {
			<-j.done // a worker has it: its memory is not ours until then
		}
		return nil, ctx.Err()
	}
}

// redeem takes a ticket out of the store: the client's secret, if it is good.
func (s *Server) redeem(ctx context.Context, id [32]byte) (psk [32]byte, err error) {
	if s.tickets == nil {
		return psk, ErrHandshake
	}
	t, ok, err := s.tickets.TakeTicket(ctx, ticketHash(id))
	if err != nil {
		return psk, fmt.Errorf("taking a ticket: %w", err)
	}
	if !ok || t.Online != s.online.Load().cert.Online || !s.now().Before(t.Expires) {
		return psk, ErrHandshake
	}
	return t.PSK, nil
}

// issue makes a ticket, keeps the server's side of it, and returns the record's
// payload; nil if it cannot be kept, which costs the client a full handshake.
func (s *Server) issue(ctx context.Context, a *answer) []byte {
	record := make([]byte, ticketRecordSize)
	rand.Read(record)
	id, nonce := [32]byte(record), record[32:]
	err := s.tickets.PutTicket(ctx, ticketHash(id), StoredTicket{
		PSK:     ticketPSK(a.secrets.resume, nonce),
		Online:  a.online.cert.Online,
		Expires: s.now().Add(TicketLife),
	})
	if err != nil {
		return nil
	}
	return record
}

// answer is what a worker made of a hello, and all that is held for a client
// until its CFin comes.
type answer struct {
	resumed bool
	online  *Online
	frame   []byte // SH | SFin
	cfin    [finSize]byte
	secrets secrets
}

// compute makes the answer to a hello. psk is its ticket's, if it resumes.
func (s *Server) compute(ch []byte, hello *clientHello, psk [32]byte) (*answer, error) {
	a := &answer{resumed: hello.resumed, online: s.online.Load()}
	sh := serverHello{resumed: hello.resumed, suite: suiteRSAXWing, root: s.root, cert: a.online.cert.Bytes()}
	rand.Read(sh.random[:])
	xwing, k2, err := encapsulate(hello.xwing, ch)
	if err != nil {
		return nil, ErrHandshake
	}
	defer clear(k2)
	sh.xwing = xwing
	first := psk
	defer clear(first[:])
	if !hello.resumed {
		rand.Read(first[:])
		if sh.rsa, err = encryptOAEP(&hello.modulus, first[:], bound(labelRSA, ch)); err != nil {
			return nil, ErrHandshake
		}
	}
	frame := sh.encodeUnsigned()
	th := transcript(hello.resumed, ch, frame)
	if a.secrets, err = schedule(hello.resumed, th, first[:], k2); err != nil {
		return nil, ErrHandshake
	}
	sig := ed25519.Sign(a.online.key, signed(th))
	sfin := finished(a.secrets.s2cFin, finishedServer, th[:], sig)
	a.cfin = [finSize]byte(finished(a.secrets.c2sFin, finishedClient, th[:], sig, sfin))
	a.frame = append(append(frame, sig...), sfin...)
	return a, nil
}
