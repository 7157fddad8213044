// Package engine tests the client engine against the real core, in one
// process: memory stores, memory connections.
package engine

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/bus/local"
	"github.com/securelink-chat/securelink/client"
	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/store/mem"
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
	cancel  context.CancelFunc
	ended   chan error

	mu      sync.Mutex
	changed chan struct{}
	events  []client.Event
	replies map[uint64]client.Event
	nextID  uint64
}

func (s *server) person(name string) *person {
	p := &person{t: s.t, name: name, storage: client.NewMemory()}
	p.run(s)
	s.t.Cleanup(p.stop)
	return p
}

type testLog struct {
	t    testing.TB
	name string
}

func (l testLog) Log(level int, message string, pairs ...any) {
	if os.Getenv("SECURELINK_TEST_LOG") != "" {
		fmt.Fprintln(os.Stderr, l.name, level, message, pairs)
	}
}

// run starts, or starts again, the engine on the person's storage.
func (p *person) run(s *server) {
	p.t.Helper()
	engine, err := client.New(client.Config{Storage: p.storage, Dialer: s, Pin: s.root.Pin(), RSA: s.rsa, Server: "127.0.0.1:7443", Logger: testLog{p.t, p.name}})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.mu.Lock()
	p.engine, p.cancel, p.ended = engine, cancel, make(chan error, 1)
	p.changed, p.replies, p.events = make(chan struct{}), map[uint64]client.Event{}, nil
	ended := p.ended
	p.mu.Unlock()
	go func() { ended <- engine.Run(ctx) }()
	go func() {
		for {
			select {
			case ev := <-engine.Events():
				p.take(ev)
			case <-ctx.Done():
				return
			}
		}
	}()
}

func (p *person) take(ev client.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ev.Kind == client.EvReply {
		p.replies[ev.Reply] = ev
	} else {
		p.events = append(p.events, ev)
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// stop ends the engine as a closed program does.
func (p *person) stop() {
	p.mu.Lock()
	cancel, ended := p.cancel, p.ended
	p.cancel = nil
	p.mu.Unlock()
	if cancel == nil {
		return
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			p.t.Errorf("%s: the engine failed: %v", p.name, err)
		}
	case <-time.After(patience):
		p.t.Errorf("%s: the engine does not end", p.name)
	}
}

// until waits for something that the person's events lead to.
func (p *person) until(what string, ready func() bool) {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		ok := ready()
		changed := p.changed
		p.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			p.t.Fatalf("%s: still no %s; last events: %s", p.name, what, p.tail())
		}
	}
}

func (p *person) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := ""
	for _, ev := range p.events[max(0, len(p.events)-12):] {
		out += "\n  " + describe(ev)
	}
	return out
}

func describe(ev client.Event) string {
	switch {
	case ev.Conn != nil:
		return fmt.Sprintf("connection %+v", *ev.Conn)
	case ev.Account != nil:
		return fmt.Sprintf("account %s %s", ev.Account.State, ev.Account.Name)
	case ev.Room != nil:
		return fmt.Sprintf("room %s %s %s %d members, blocked %q", ev.Room.Title, ev.Room.Mode, ev.Room.State, ev.Room.Members, ev.Room.Blocked)
	case ev.Item != nil:
		return fmt.Sprintf("item %s %s %q %s %s", ev.Item.Kind, ev.Item.Name, ev.Item.Text, ev.Item.State, ev.Item.Names)
	}
	return fmt.Sprintf("%+v", ev)
}

// ask sends a request and returns its reply.
func (p *person) ask(r client.Request) client.Event {
	p.t.Helper()
	p.mu.Lock()
	p.nextID++
	r.ID = p.nextID
	p.mu.Unlock()
	p.engine.Do(r)
	var reply client.Event
	p.until("reply to "+r.Op, func() bool {
		ev, ok := p.replies[r.ID]
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
		p.t.Fatalf("%s: %s: %s: %s; last events: %s", p.name, r.Op, ev.Problem.Code, ev.Problem.Text, p.tail())
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
	var all []string
	var after uint64 = 1
	for {
		page := p.must(client.Request{Op: client.OpHistory, Room: room, After: after, Limit: 200}).Items
		more := false
		for _, item := range page {
			if item.Cursor == 0 {
				continue
			}
			if item.Kind == client.ItemText {
				all = append(all, item.Name+": "+item.Text)
			}
			after, more = item.Cursor, true
		}
		if !more {
			return all
		}
	}
}

// hears waits until a text has come.
func (p *person) hears(room, text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("%q", text), func() bool {
		for _, ev := range p.events {
			if ev.Kind == client.EvItem && ev.Item.Room == room && ev.Item.Text == text && ev.Item.Cursor != 0 {
				return true
			}
		}
		return false
	})
}
