package core

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/wire"
)

// ErrClosed means that the server was closed.
var ErrClosed = errors.New("core: closed")

// Server is one core. New starts its goroutines, Close ends them.
type Server struct {
	cfg     Config
	limits  *limits
	store   Store
	bus     Bus
	log     *slog.Logger
	link    *link.Server
	lounge  wire.RoomID
	writer  *writer
	answers *answers
	gate    *admission
	guesses *guesses
	bans    *bans
	devices *registry
	rooms   *rooms
	hands   *hands
	count   *counters
	keyed   keyedLock // serialises claims, names, links: one lock a key

	incarnation uint64 // restores of the store
	restored    []byte // the delegate's word on it
	opened      time.Time

	registration atomic.Uint32 // a wire.Registration

	welcomeID atomic.Uint64
	connID    atomic.Uint64

	ctx    context.Context // ends when Close begins
	cancel context.CancelFunc
	loops  sync.WaitGroup // writer, finisher, sweeper

	mu     sync.Mutex
	conns  map[*conn]struct{}
	closed bool
	serves sync.WaitGroup // Serve calls, with the connections' writers
}

// New makes a server over a store. It must be closed.
func New(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, limits: newLimits(*cfg.Limits), store: cfg.Store, bus: cfg.Bus, log: cfg.Log, lounge: LoungeID(cfg.Keys.Root),
		devices: newRegistry(), hands: newHands(), count: newCounters(cfg.Metrics), conns: map[*conn]struct{}{}, opened: time.Now()}
	s.gate, s.guesses = newAdmission(s.limits), newGuesses(s.limits)
	s.registration.Store(uint32(cfg.Registration))
	s.rooms = newRooms(s)
	s.writer = newWriter(s.store, s.log, s.count, s.rooms.distrust)
	last, err := s.store.LastWelcome(ctx)
	if err != nil {
		return nil, fmt.Errorf("core: read welcomes: %w", err)
	}
	s.welcomeID.Store(last)
	if s.incarnation, err = s.store.Incarnation(ctx); err != nil {
		return nil, fmt.Errorf("core: read incarnation: %w", err)
	}
	if s.incarnation > 0 {
		s.restored = ed25519.Sign(cfg.Keys.Delegate, wire.IncarnationSigned(cfg.Keys.Root, s.incarnation))
	}
	if s.answers, err = newAnswers(ctx, s.store); err != nil {
		return nil, err
	}
	if s.bans, err = newBans(ctx, s.store); err != nil {
		return nil, err
	}
	s.link, err = link.NewServer(link.ServerConfig{Root: cfg.Keys.Root, Online: cfg.Keys.Online, Tickets: &tickets{s: s, waiting: map[wire.Hash]TicketRecord{}}, Workers: cfg.Handshakes})
	if err != nil {
		return nil, fmt.Errorf("core: %w", err)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.loops.Go(s.writer.run)
	s.loops.Go(s.writer.runFinish)
	s.loops.Go(s.sweep)
	if err := s.openLounge(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// openLounge makes the room that everybody may enter. Its group is founded by
// whoever enters first.
func (s *Server) openLounge(ctx context.Context) error {
	_, _, ok, err := s.store.Room(ctx, s.lounge)
	if err != nil || ok {
		return err
	}
	return s.writer.commit(PutRoom{RoomRecord{ID: s.lounge, Kind: wire.RoomOpen, Name: "Lounge", Created: s.now()}})
}

// Pin is the fingerprint that clients pin.
func (s *Server) Pin() [32]byte { return link.Fingerprint(s.cfg.Keys.Root) }

// Lounge is the id of the room that the server opens with.
func (s *Server) Lounge() wire.RoomID { return s.lounge }

// Limits are the numbers in force.
func (s *Server) Limits() wire.Limits { return *s.limits.table.Load() }

func (s *Server) now() uint64 { return uint64(time.Now().UnixMilli()) }

// Link is what a session needs of a secure link whose handshake is done:
// a [link.Conn], or what stands for one.
type Link interface {
	Read() ([]byte, error)
	Write(payloads ...[]byte) error
	Close() error
	Abort() error
	Exporter() [32]byte
	RemoteAddr() netip.AddrPort
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// Serve runs one connection to its end: admission, the link's handshake, the
// session. It closes fc. The error says why the connection ended; nil when the
// client closed it, and ErrClosed when the server stops.
func (s *Server) Serve(ctx context.Context, fc link.FrameConn) error {
	addr := fc.RemoteAddr().Addr()
	if err := s.begin(); err != nil {
		return errors.Join(err, fc.Close())
	}
	defer s.serves.Done()
	if err := s.bans.address(addr); err != nil {
		return errors.Join(err, fc.Close())
	}
	if err := s.gate.enter(addr); err != nil {
		s.log.Warn("connection refused", "addr", logAddr(addr), "why", err)
		return errors.Join(err, fc.Close())
	}
	defer s.gate.leave(addr)
	var lc *link.Conn
	var err error
	s.hands.do(func() { lc, err = s.accept(ctx, fc) })
	if err != nil {
		return err
	}
	return s.serveLink(ctx, lc)
}

// accept does the handshake, unless the server stops first.
func (s *Server) accept(ctx context.Context, fc link.FrameConn) (*link.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	addr, start := fc.RemoteAddr().Addr(), time.Now()
	lc, err := s.link.Accept(ctx, fc)
	if err != nil {
		s.count.failed.Add(1)
		s.log.Info("handshake failed", "addr", logAddr(addr), "err", err)
		return nil, fmt.Errorf("core: %w", err)
	}
	if lc.Resumed() {
		s.count.resumed.Add(1)
	} else {
		s.count.full.Add(1)
	}
	s.log.Debug("handshake", "addr", logAddr(addr), "resumed", lc.Resumed(), "took", time.Since(start))
	return lc, nil
}

// ServeLink runs a session over a link whose handshake was done elsewhere, by
// whoever holds the server's keys, to its end. Admission is then theirs to
// give. It closes lc and says why the connection ended, as Serve does.
func (s *Server) ServeLink(ctx context.Context, lc Link) error {
	if err := s.begin(); err != nil {
		return errors.Join(err, lc.Abort())
	}
	defer s.serves.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	return s.serveLink(ctx, lc)
}

func (s *Server) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.serves.Add(1)
	return nil
}

// closing is what clients hear when the server goes down.
var closing = wire.Cut{Code: wire.Closing, Retry: 1000}

// serveLink runs the session over a link whose handshake is done.
func (s *Server) serveLink(ctx context.Context, lc Link) error {
	c := newConn(s, lc)
	s.mu.Lock()
	s.conns[c] = struct{}{}
	closed := s.closed
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	if closed {
		c.cut(closing) // Close did not see it
	}
	// Reading is what a stop has to interrupt; the rest follows.
	stop := context.AfterFunc(ctx, func() { c.cut(closing) })
	defer stop()
	err := c.run(ctx)
	c.log.Info("connection ended", "why", err)
	return err
}

// Close tells every client that the server goes down, ends the connections,
// commits what waits and stops. The store stays open.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	open := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	s.cancel() // ends handshakes
	for _, c := range open {
		c.cut(closing)
	}
	s.serves.Wait()
	s.writer.close()
	s.loops.Wait()
	s.rooms.close()
	s.hands.close()
	return s.link.Close()
}

// Intervals of the sweeper.
const (
	sweepEvery   = time.Minute
	collectEvery = time.Hour
)

// sweep forgets what is out of date, in memory every minute and in the store
// every hour.
func (s *Server) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	collected, turned := time.Now(), time.Now()
	for {
		select {
		case <-s.ctx.Done():
			return
		case now := <-tick.C:
			s.gate.sweep(now)
			s.guesses.sweep(now)
			s.devices.sweep(now)
			s.rooms.sweep(now)
			if now.Sub(turned) >= s.limits.Time(wire.IdempotencyTime) {
				s.answers.seen.turn()
				turned = now
			}
			if now.Sub(collected) >= collectEvery {
				collected = now
				if err := s.store.Collect(s.ctx, s.now()); err != nil && s.ctx.Err() == nil {
					s.log.Error("collect failed", "err", err)
				}
			}
		}
	}
}

// keyedLock is a lock for each key, as long as somebody holds or wants it.
type keyedLock struct {
	mu    sync.Mutex
	locks map[any]*keyLock
}

type keyLock struct {
	mu    sync.Mutex
	users int
}

// lock takes the lock of a key and returns its unlock.
func (k *keyedLock) lock(key any) (unlock func()) {
	k.mu.Lock()
	if k.locks == nil {
		k.locks = map[any]*keyLock{}
	}
	l := k.locks[key]
	if l == nil {
		l = &keyLock{}
		k.locks[key] = l
	}
	l.users++
	k.mu.Unlock()
	l.mu.Lock()
	return func() {
		l.mu.Unlock()
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(k.locks, key)
		}
	}
}
