package core_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/bus/local"
	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/store/mem"
	"github.com/securelink-chat/securelink/store/sqlite"
	"github.com/securelink-chat/securelink/wire"
)

// rsaKey is one key pair for all clients of the tests: making one takes longer
// than a test, and nothing here looks at it.
var rsaKey = sync.OnceValue(func() link.KeyPair {
	k, err := link.GenerateKey()
	if err != nil {
		panic(err)
	}
	return k
})

type oneKey struct{}

func (oneKey) Take(context.Context) (link.KeyPair, error) { return rsaKey(), nil }

// world is a server and what it is made of.
type world struct {
	t      testing.TB
	server *core.Server
	store  core.Store
	root   link.RootKey
	cfg    core.Config
}

func newStore(t testing.TB, kind string) core.Store {
	t.Helper()
	if kind == "mem" {
		return mem.New()
	}
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "core.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// start runs a server over memory unless change says otherwise. New
// connections, accounts and attempts from the one address of the tests are not
// what most of them are about: those limits are raised here.
func start(t testing.TB, change ...func(*core.Config)) *world {
	t.Helper()
	limits := wire.DefaultLimits().With(wire.ConnectionsPerAddress, 5000).With(wire.NewConnections, 100000).
		With(wire.AccountsPerAddress, 100000).With(wire.LoginsPerAddress, 10000)
	w := &world{t: t, root: link.GenerateRoot()}
	w.cfg = core.Config{Keys: core.NewKeys(w.root, w.root.NewOnline(1, time.Now().Add(core.OnlineTime))), Bus: local.New(), Limits: &limits}
	for _, f := range change {
		f(&w.cfg)
	}
	if w.cfg.Store == nil {
		w.cfg.Store = mem.New()
	}
	w.store = w.cfg.Store
	w.open()
	t.Cleanup(func() {
		if err := w.server.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) open() {
	w.t.Helper()
	var err error
	if w.server, err = core.New(context.Background(), w.cfg); err != nil {
		w.t.Fatal(err)
	}
}

// restart stops the server and starts another over the same store.
func (w *world) restart() {
	w.t.Helper()
	if err := w.server.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.cfg.Bus = local.New()
	w.open()
}

func limit(l wire.Limit, v uint64) func(*core.Config) {
	return func(cfg *core.Config) {
		changed := cfg.Limits.With(l, v)
		cfg.Limits = &changed
	}
}

// person is a user with one device.
type person struct {
	w       *world
	name    string
	key     *identity.Key
	device  *identity.DeviceKey
	id      wire.DeviceID
	user    wire.UserID
	created uint64
}

func (w *world) person(name string) *person {
	p := &person{w: w, name: name, key: identity.NewKey(), device: identity.NewDeviceKey(), created: 1700000000}
	_, _ = rand.Read(p.id[:])
	p.user = wire.UserID(p.key.User(w.root.Public()))
	return p
}

// second is another device of the same user.
func (p *person) second() *person {
	q := *p
	q.device = identity.NewDeviceKey()
	_, _ = rand.Read(q.id[:])
	return &q
}

func (p *person) certificate() []byte {
	c := p.key.Certify(p.w.root.Public(), identity.DeviceID(p.id), p.device.Public(), identity.ClassNative, p.created)
	return c.Encode()
}

func (p *person) route() wire.Route { return wire.Route{User: p.user, Device: p.id} }

func (p *person) account(exporter [32]byte) wire.Account {
	profile, err := p.key.SignProfile(p.w.root.Public(), p.name, 1)
	if err != nil {
		p.w.t.Fatal(err)
	}
	return wire.Account{Certificate: p.certificate(), Profile: profile.Encode(), Proof: p.proof(exporter)}
}

func (p *person) proof(exporter [32]byte) []byte {
	sig := p.device.SignLogin(p.w.root.Public(), exporter, identity.DeviceID(p.id), identity.UserID(p.user))
	return sig[:]
}

// stallable is a transport whose client can stop reading.
type stallable struct {
	*link.PipeConn
	reading sync.Mutex // held while stalled
}

// ReadFrame waits while the client is stalled.
func (s *stallable) ReadFrame() ([]byte, error) {
	s.reading.Lock()
	s.reading.Unlock() //lint:ignore SA2001 only the wait matters
	return s.PipeConn.ReadFrame()
}

// client is one connection as a test drives it.
type client struct {
	t      testing.TB
	conn   *link.Conn
	frames *stallable
	nextID atomic.Uint64
	served chan error

	mu      sync.Mutex
	waiting map[uint64]chan wire.Item
	err     error
	done    chan struct{}
	events  chan wire.Item
}

// dial connects from an address and does not say hello.
func (w *world) dial(from string) (*client, error) {
	here, there := link.Pipe()
	there.SetRemoteAddr(netip.AddrPortFrom(netip.MustParseAddr(from), 1))
	c := &client{t: w.t, frames: &stallable{PipeConn: here}, waiting: map[uint64]chan wire.Item{}, done: make(chan struct{}), events: make(chan wire.Item, 100000), served: make(chan error, 1)}
	go func() { c.served <- w.server.Serve(context.Background(), there) }()
	conn, err := link.Client(context.Background(), c.frames, link.ClientConfig{Pin: w.server.Pin(), RSA: oneKey{}})
	if err != nil {
		return nil, err
	}
	c.conn = conn
	go c.read()
	w.t.Cleanup(func() {
		_ = conn.Close()
		<-c.served
	})
	return c, nil
}

func (w *world) connect() *client {
	w.t.Helper()
	c, err := w.dial("127.0.0.1")
	if err != nil {
		w.t.Fatal(err)
	}
	must[wire.HelloOK](c, wire.Hello{Version: wire.Version, Agent: "test"})
	return c
}

// guest connects and logs a person in, making the account if there is none.
func (w *world) guest(p *person) *client {
	w.t.Helper()
	c := w.connect()
	must[wire.LoginOK](c, wire.Guest{Account: p.account(c.conn.Exporter())})
	return c
}

func (c *client) read() {
	defer close(c.done)
	for {
		payload, err := c.conn.Read()
		for err == nil && len(payload) > 0 {
			var it wire.Item
			if it, payload, err = wire.Next(payload); err != nil {
				break
			}
			if it.Kind == wire.ItemEvent {
				c.events <- it
				continue
			}
			c.mu.Lock()
			ch := c.waiting[it.ID]
			delete(c.waiting, it.ID)
			c.mu.Unlock()
			if ch != nil {
				ch <- it
			}
		}
		if err != nil {
			c.mu.Lock()
			c.err = err
			for id, ch := range c.waiting {
				close(ch)
				delete(c.waiting, id)
			}
			c.mu.Unlock()
			return
		}
	}
}

var errGone = errors.New("the connection ended")

// begin sends a request and returns where its answer comes.
func (c *client) begin(key wire.Key, body wire.Request) (chan wire.Item, error) {
	id := c.nextID.Add(1)
	ch := make(chan wire.Item, 1)
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return nil, errGone
	}
	c.waiting[id] = ch
	c.mu.Unlock()
	raw, err := wire.AppendRequest(nil, id, key, body)
	if err != nil {
		return nil, err
	}
	return ch, c.conn.Write(raw)
}

func finish[R any](ch chan wire.Item) (R, error) {
	var out R
	it, ok := <-ch
	if !ok {
		return out, errGone
	}
	if it.Code != wire.OK {
		return out, it.DecodeRefusal()
	}
	return out, it.DecodeBody(&out)
}

// askKey asks with an idempotency key.
func askKey[R any](c *client, key wire.Key, body wire.Request) (R, error) {
	ch, err := c.begin(key, body)
	if err != nil {
		var none R
		return none, err
	}
	return finish[R](ch)
}

// ask asks with a fresh key, which harms no request.
func ask[R any](c *client, body wire.Request) (R, error) { return askKey[R](c, newKey(), body) }

func must[R any](c *client, body wire.Request) R {
	c.t.Helper()
	out, err := ask[R](c, body)
	if err != nil {
		c.t.Fatalf("%T: %v", body, err)
	}
	return out
}

// refused wants the answer to be a refusal with this code.
func refused(c *client, code wire.Code, body wire.Request) *wire.Error {
	c.t.Helper()
	_, err := ask[wire.Empty](c, body)
	return wantCode(c.t, err, code)
}

func wantCode(t testing.TB, err error, code wire.Code) *wire.Error {
	t.Helper()
	var why *wire.Error
	if !errors.As(err, &why) || why.Code != code {
		t.Fatalf("got %v, want %v", err, code)
	}
	return why
}

// event waits for the next event of a type, and passes over others.
func event[E any](c *client, kind wire.EventType) E {
	c.t.Helper()
	for {
		select {
		case it := <-c.events:
			if it.Event != kind {
				continue
			}
			var out E
			if err := it.DecodeBody(&out); err != nil {
				c.t.Fatal(err)
			}
			return out
		case <-time.After(20 * time.Second):
			c.t.Fatalf("no event %d came", kind)
		}
	}
}

// entry waits for the next entry that is pushed.
func (c *client) entry() wire.Entry {
	c.t.Helper()
	e, err := event[wire.EntryEvent](c, wire.EventEntry).Entry.Decode()
	if err != nil {
		c.t.Fatal(err)
	}
	return e
}

// none wants no event of a type to be there. A ping goes there and back first,
// so that what was pushed before has arrived.
func (c *client) none(kind wire.EventType) {
	c.t.Helper()
	must[wire.Empty](c, wire.Ping{})
	for {
		select {
		case it := <-c.events:
			if it.Event == kind {
				c.t.Fatalf("an event %d came", kind)
			}
		default:
			return
		}
	}
}

func newKey() (k wire.Key) {
	_, _ = rand.Read(k[:])
	return k
}

func newMessage() (m wire.MessageID) {
	_, _ = rand.Read(m[:])
	return m
}

func newRoom() (r wire.RoomID) {
	_, _ = rand.Read(r[:])
	return r
}

// text is a message in a room, sent by one who has examined handshake seq.
func text(room wire.RoomID, examined uint64, payload string) *wire.Append {
	return &wire.Append{Room: room, Kind: wire.EntryMessage, Examined: examined, Message: newMessage(), Payload: []byte(payload), Body: []byte("body of " + payload)}
}

// commit is a handshake that routes people.
func commit(room wire.RoomID, examined uint64, add, remove []*person) *wire.Append {
	a := &wire.Append{Room: room, Kind: wire.EntryHandshake, Examined: examined, Message: newMessage(), Payload: []byte("commit")}
	for _, p := range add {
		a.Add = append(a.Add, p.route())
	}
	for _, p := range remove {
		a.Remove = append(a.Remove, p.route())
	}
	return a
}

// group makes an invite room with everybody in it; the first founds it.
func group(t testing.TB, cs []*client, ps []*person) wire.RoomID {
	t.Helper()
	room := newRoom()
	must[wire.RoomState](cs[0], wire.CreateRoom{Room: room, Kind: wire.RoomInvite})
	if len(ps) > 1 {
		must[wire.AppendOK](cs[0], commit(room, 0, ps[1:], nil))
	}
	return room
}

func stack() string { return string(debug.Stack()) }
