package malice

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/bus/local"
	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/dial"
	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/store/sqlite"
	"github.com/securelink-chat/securelink/wire"
)

// server is the real server in the hands of somebody who lies.
type server struct {
	t     *testing.T
	root  link.RootKey
	keys  core.Keys
	store *sqlite.Store
	core  *core.Server
	link  *link.Server
	conns sync.WaitGroup

	mu      sync.Mutex
	taps    map[*tap]struct{}
	lies    []lie
	applied int              // how often something was not as the core or a client had it
	views   map[view]history // other histories than the real one

	learnt  sync.Mutex                 // taken after mu
	devices map[string]wire.DeviceID   // by client
	asked   map[string]map[wire.Op]int // how often each client asked for what
	heard   chan struct{}              // closed and replaced when that changes
}

// limits are small where a client does work for each of them, and out of the
// way where people in tests are faster than people.
func limits() *wire.Limits {
	l := wire.DefaultLimits().With(wire.MessageBurst, 100_000).With(wire.MessageRate, 100_000).
		With(wire.ConnectionsPerAddress, 1000).With(wire.NewConnections, 100_000).
		With(wire.KeyPackagesLowMark, 2).With(wire.KeyPackagesPerDevice, 4)
	return &l
}

func newServer(t *testing.T) *server {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "core.db"))
	if err != nil {
		t.Fatal(err)
	}
	s := &server{
		t: t, root: link.GenerateRoot(), store: store, taps: map[*tap]struct{}{}, views: map[view]history{},
		devices: map[string]wire.DeviceID{}, asked: map[string]map[wire.Op]int{},
		heard: make(chan struct{}),
	}
	s.keys = core.NewKeys(s.root, s.root.NewOnline(1, time.Now().Add(core.OnlineTime)))
	if s.core, err = core.New(t.Context(), core.Config{Keys: s.keys, Store: store, Bus: local.New(), Limits: limits()}); err != nil {
		t.Fatal(err)
	}
	// The links end here, with the keys that clients pin.
	if s.link, err = link.NewServer(link.ServerConfig{Root: s.keys.Root, Online: s.keys.Online}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.halt)
	return s
}

func (s *server) halt() {
	if err := s.core.Close(); err != nil {
		s.t.Error(err)
	}
	s.conns.Wait()
	if err := s.link.Close(); err != nil {
		s.t.Error(err)
	}
	if err := s.store.Close(); err != nil {
		s.t.Error(err)
	}
}

// door opens a port of a client's own, so that the server knows whom it lies
// to before anybody has logged in. The address of a person would tell as well.
func (s *server) door(client string) dial.TCP {
	s.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { listener.Close() })
	s.conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.conns.Go(func() { s.serve(client, conn) })
		}
	})
	return dial.TCP{Address: listener.Addr().String()}
}

// serve ends the client's link and hands it to the core with a tap on it.
func (s *server) serve(client string, conn net.Conn) {
	secure, err := s.link.Accept(context.Background(), link.NetConn(conn))
	if err != nil {
		return // the client says so
	}
	t := &tap{Link: secure, s: s, client: client, asked: map[uint64]wire.Item{}, pushed: map[wire.RoomID]uint64{}}
	s.mu.Lock()
	s.taps[t] = struct{}{}
	s.mu.Unlock()
	// How a client's connection ends is for the client to say.
	_ = s.core.ServeLink(context.Background(), t)
	s.mu.Lock()
	delete(s.taps, t)
	s.mu.Unlock()
}

// hangUp ends a client's connections; it comes back by itself.
func (s *server) hangUp(client string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.taps {
		if t.client == client {
			_ = t.Abort()
		}
	}
}

// push tells a client something that the core knows nothing of.
func (s *server) push(client string, ev wire.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sayTo(client, ev)
	s.applied++
}

// sayTo is push for lies, which run with mu held.
func (s *server) sayTo(client string, ev wire.Event) {
	for t := range s.taps {
		if t.client == client {
			t.say(ev)
		}
	}
}

// tell applies every lie to a message. The caller holds mu.
func (s *server) tell(t *tap, m *message) fate {
	all := pass
	t.now = m
	for _, l := range s.lies {
		if l.victim != "" && l.victim != t.client {
			continue
		}
		f := l.see(t, m)
		if f.touched {
			s.applied++
			all.touched = true
		}
		all.dropped = all.dropped || f.dropped
		if f.refused != nil || f.answer != nil {
			all = f
		}
	}
	return all
}

// note keeps what a server learns by the way.
func (s *server) note(client string, m *message) {
	s.learnt.Lock()
	defer s.learnt.Unlock()
	if s.asked[client] == nil {
		s.asked[client] = map[wire.Op]int{}
	}
	s.asked[client][m.Op]++
	close(s.heard)
	s.heard = make(chan struct{})
	var account wire.Account
	switch m.Op {
	case wire.OpLogin:
		var r wire.Login
		must(m.DecodeBody(&r))
		s.devices[client] = r.Device
	case wire.OpGuest:
		var r wire.Guest
		must(m.DecodeBody(&r))
		account = r.Account
	case wire.OpRegister:
		var r wire.Register
		must(m.DecodeBody(&r))
		account = r.Account
	}
	if certificate, err := identity.DecodeCertificate(account.Certificate); err == nil {
		s.devices[client] = wire.DeviceID(certificate.Device)
	}
}

// add makes the server lie from now on.
func (s *server) add(l ...lie) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lies = append(s.lies, l...)
}

// count says how often the server has lied.
func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.applied
}

// requested says how often a client asked for something.
func (s *server) requested(client string, op wire.Op) int {
	s.learnt.Lock()
	defer s.learnt.Unlock()
	return s.asked[client][op]
}

// awaitRequest waits until a client has asked for something n times.
func (s *server) awaitRequest(client string, op wire.Op, n int) {
	s.t.Helper()
	deadline := time.After(*patience)
	for {
		s.learnt.Lock()
		have, changed := s.asked[client][op], s.heard
		s.learnt.Unlock()
		if have >= n {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			s.t.Fatalf("%s has asked for %d %d times, not %d", client, op, have, n)
		}
	}
}

// device is a client's device, as it logged in.
func (s *server) device(client string) wire.DeviceID {
	s.learnt.Lock()
	defer s.learnt.Unlock()
	return s.devices[client]
}
