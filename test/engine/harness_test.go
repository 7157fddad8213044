// Package engine tests the client engine against the real core, in one
// process: memory stores, memory connections.
package engine

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/bus/local"
	"github.com/securelink-chat/securelink/client"
	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/store/mem"
	"github.com/securelink-chat/securelink/test/people"
	"github.com/securelink-chat/securelink/wire"
)

// patience is for machines that are busy with other things.
const patience = 3 * time.Minute

// server is a core that can be stopped and started again on its store.
type server struct {
	t      testing.TB
	root   link.RootKey
	store  core.Store
	limits *wire.Limits
	rsa    link.KeySource // nil: each person's own

	mu    sync.Mutex
	core  *core.Server
	stop  context.CancelFunc
	conns sync.WaitGroup
}

func newServer(t testing.TB) *server {
	t.Helper()
	// People in tests talk faster than people.
	limits := wire.DefaultLimits().With(wire.MessageBurst, 100_000).With(wire.MessageRate, 100_000)
	return newServerOn(t, mem.New(), limits)
}

func newServerOn(t testing.TB, store core.Store, limits wire.Limits) *server {
	t.Helper()
	s := &server{t: t, root: link.GenerateRoot(), store: store, limits: &limits}
	s.start()
	t.Cleanup(s.halt)
	return s
}

func (s *server) start() {
	s.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	c, err := core.New(ctx, core.Config{
		Keys: core.NewKeys(s.root, s.root.NewOnline(1, time.Now().Add(core.OnlineTime))), Store: s.store, Bus: local.New(), Limits: s.limits,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.core, s.stop = c, stop
	s.mu.Unlock()
}

// halt stops the server as a restart does; connections end.
func (s *server) halt() {
	s.mu.Lock()
	c, stop := s.core, s.stop
	s.core = nil
	s.mu.Unlock()
	if c == nil {
		return
	}
	c.Close()
	stop()
	s.conns.Wait()
}

// Dial connects a client.
func (s *server) Dial(ctx context.Context) (link.FrameConn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core == nil {
		return nil, fmt.Errorf("the server is down")
	}
	here, there := link.Pipe()
	c := s.core
	s.conns.Go(func() { c.Serve(context.Background(), there) })
	return here, nil
}

// person is a client with everything that it has told.
type person struct {
	t       testing.TB
	name    string
	engine  *client.Engine
	storage client.Storage
	end     func(time.Duration) error // nil: it does not run

	people.Ear
}

func (s *server) person(name string) *person {
	p := &person{t: s.t, name: name, storage: client.NewMemory()}
	p.run(s)
	s.t.Cleanup(p.stop)
	return p
}

// run starts, or starts again, the engine on the person's storage.
func (p *person) run(s *server) {
	p.t.Helper()
	engine, err := client.New(client.Config{Storage: p.storage, Dialer: s, Pin: s.root.Pin(), RSA: s.rsa, Server: "127.0.0.1:7443", Logger: people.Log{Name: p.name}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.Forget()
	p.engine = engine
	p.end = p.Start(engine, nil)
}

// stop ends the engine as a closed program does.
func (p *person) stop() {
	if p.end == nil {
		return
	}
	if err := p.end(patience); err != nil {
		p.t.Errorf("%s: %v", p.name, err)
	}
	p.end = nil
}

// until waits for something that the person's events lead to.
func (p *person) until(what string, ready func() bool) {
	p.t.Helper()
	if !p.Until(patience, ready) {
		p.t.Fatalf("%s: still no %s; last events: %s", p.name, what, p.Tail())
	}
}

// ask sends a request and returns its reply.
func (p *person) ask(r client.Request) client.Event {
	p.t.Helper()
	id := p.Ask(p.engine, r)
	var reply client.Event
	p.until("reply to "+r.Op, func() bool {
		ev, ok := p.Replies[id]
		reply = ev
		return ok
	})
	return reply
}

// must sends a request that is to succeed.
func (p *person) must(r client.Request) client.Event {
	p.t.Helper()
	ev := p.ask(r)
	if ev.Problem != nil {
		p.t.Fatalf("%s: %s: %s: %s; last events: %s", p.name, r.Op, ev.Problem.Code, ev.Problem.Text, p.Tail())
	}
	return ev
}

// guest makes an account and enters the Lounge.
func (s *server) guest(name string) (*person, string) {
	s.t.Helper()
	p := s.person(name)
	p.must(client.Request{Op: client.OpGuest, Name: name})
	return p, p.must(client.Request{Op: client.OpJoin, Text: "lounge"}).Room.ID
}

func (p *person) say(room, text string) {
	p.t.Helper()
	p.must(client.Request{Op: client.OpSend, Room: room, Text: text})
}

// texts returns the messages of a room in the order of its log.
func (p *person) texts(room string) []string {
	p.t.Helper()
	return people.Texts(people.Timeline(p.must, room))
}

// hears waits until a text has come.
func (p *person) hears(room, text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("%q", text), func() bool {
		for _, ev := range p.Events {
			if ev.Kind == client.EvItem && ev.Item.Room == room && ev.Item.Text == text && ev.Item.Cursor != 0 {
				return true
			}
		}
		return false
	})
}
