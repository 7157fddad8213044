package link

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// onePair is a key source for tests: it hands out one pair again and again,
// which no client may do.
type onePair struct{ pair KeyPair }

func (o onePair) Take(context.Context) (KeyPair, error) { return o.pair, nil }

// testKeys makes the tests' pair once.
var testKeys = sync.OnceValue(func() onePair {
	pair, err := GenerateKey()
	if err != nil {
		panic(err)
	}
	return onePair{pair}
})

// world is a server, and clients who trust it.
type world struct {
	t       *testing.T
	root    RootKey
	online  Online
	server  *Server
	tickets MemServerTickets
	client  ClientConfig
}

// newWorld starts a server with tickets; mutate may change its configuration.
func newWorld(t *testing.T, mutate ...func(*ServerConfig)) *world {
	t.Helper()
	w := &world{t: t, root: GenerateRoot()}
	w.online = w.root.NewOnline(7, time.Now().Add(90*24*time.Hour))
	cfg := ServerConfig{Root: w.root.Public(), Online: w.online, Tickets: &w.tickets, Workers: 1}
	for _, m := range mutate {
		m(&cfg)
	}
	server, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.server = server
	t.Cleanup(func() { server.Close() })
	w.client = ClientConfig{Pin: w.root.Pin(), RSA: testKeys()}
	return w
}

// accepted is what Accept returned.
type accepted struct {
	conn *Conn
	err  error
}

// accept runs Accept in the background.
func (w *world) accept(fc FrameConn) <-chan accepted {
	result := make(chan accepted, 1)
	go func() {
		conn, err := w.server.Accept(context.Background(), fc)
		result <- accepted{conn, err}
	}()
	return result
}

// connect makes a link over a pipe and returns both ends.
func (w *world) connect() (client, server *Conn) {
	w.t.Helper()
	a, b := Pipe()
	return w.connectOver(a, b)
}

func (w *world) connectOver(a, b FrameConn) (client, server *Conn) {
	w.t.Helper()
	result := w.accept(b)
	client, err := Client(context.Background(), a, w.client)
	if err != nil {
		w.t.Fatal(err)
	}
	r := <-result
	if r.err != nil {
		w.t.Fatal(r.err)
	}
	w.t.Cleanup(func() { client.Abort(); r.conn.Abort() })
	return client, r.conn
}

// say writes on one end and reads the same on the other.
func say(t *testing.T, from, to *Conn, text string) {
	t.Helper()
	if err := from.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	hear(t, to, text)
}

func hear(t *testing.T, to *Conn, text string) {
	t.Helper()
	got, err := to.Read()
	if err != nil || string(got) != text {
		t.Fatalf("read %q, %v; want %q", got, err, text)
	}
}

func TestLink(t *testing.T) {
	w := newWorld(t)
	client, server := w.connect()
	say(t, client, server, "hello")
	say(t, server, client, "and to you")
	if client.Exporter() != server.Exporter() || client.Exporter() == [32]byte{} {
		t.Error("the exporters differ or are nothing")
	}
	if client.PeerRoot() != w.root.Public() || client.CertEpoch() != 7 || client.Resumed() {
		t.Error("the client does not say whom it talks to")
	}
	other, _ := w.connect()
	if other.Exporter() == client.Exporter() {
		t.Error("two links have one exporter")
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(); err != ErrClosed {
		t.Errorf("after the close record: %v", err)
	}
	if err := client.Write([]byte("x")); err != ErrClosed {
		t.Errorf("write after close: %v", err)
	}
}

// What is written together leaves together: one call of the transport, small
// payloads in shared records, none of them split.
func TestWriteTogether(t *testing.T) {
	w := newWorld(t)
	a, b := Pipe()
	counted := &counter{FrameConn: a}
	client, server := w.connectOver(counted, b)
	say(t, client, server, "first")
	calls, frames := counted.calls, counted.frames
	small := make([][]byte, 100)
	for i := range small {
		small[i] = bytes.Repeat([]byte{byte(i)}, 100)
	}
	if err := client.Write(small...); err != nil {
		t.Fatal(err)
	}
	if counted.calls != calls+1 || counted.frames != frames+1 {
		t.Errorf("%d calls, %d frames for 100 small payloads", counted.calls-calls, counted.frames-frames)
	}
	got, err := server.Read()
	if err != nil || !bytes.Equal(got, bytes.Join(small, nil)) {
		t.Fatal("the payloads did not arrive as written", err)
	}
	calls, frames = counted.calls, counted.frames
	if err := client.Write(make([]byte, shareRecord), []byte("x"), nil, []byte("y")); err != nil {
		t.Fatal(err)
	}
	if counted.calls != calls+1 || counted.frames != frames+2 {
		t.Errorf("%d calls, %d frames for a large and two small payloads", counted.calls-calls, counted.frames-frames)
	}
	if got, _ := server.Read(); len(got) != shareRecord {
		t.Errorf("the large payload came as %d bytes", len(got))
	}
	hear(t, server, "xy")
	if err := client.Write(make([]byte, MaxPayload+1)); err != ErrTooLarge {
		t.Errorf("a payload past the limit: %v", err)
	}
}

type counter struct {
	FrameConn
	calls, frames int
}

func (c *counter) WriteFrames(frames ...[]byte) error {
	c.calls++
	c.frames += len(frames)
	return c.FrameConn.WriteFrames(frames...)
}

func TestPin(t *testing.T) {
	w := newWorld(t)
	attempt := func(mutate func(*ClientConfig)) (*Conn, error) {
		cfg := w.client
		mutate(&cfg)
		a, b := Pipe()
		w.accept(b)
		return Client(context.Background(), a, cfg)
	}
	// Equal in all bytes but one is not equal, whichever it is.
	for i := range 32 {
		_, err := attempt(func(c *ClientConfig) { c.Pin[i] ^= 1 })
		var pin *PinError
		if !errors.As(err, &pin) || !errors.Is(err, ErrPin) || !errors.Is(err, ErrHandshake) {
			t.Fatalf("pin that differs in byte %d: %v", i, err)
		}
		if pin.Got != w.root.Pin() || pin.Want == pin.Got {
			t.Error("the error does not show both fingerprints")
		}
	}
	if conn, err := attempt(func(c *ClientConfig) { c.Pin = [32]byte{} }); err != nil || Fingerprint(conn.PeerRoot()) != w.root.Pin() {
		t.Errorf("trust on first use: %v", err)
	}
	if _, err := attempt(func(c *ClientConfig) { c.MinEpoch = 8 }); !errors.Is(err, ErrHandshake) {
		t.Errorf("an epoch below one seen: %v", err)
	}
	if _, err := attempt(func(c *ClientConfig) { c.MinEpoch = 7 }); err != nil {
		t.Errorf("the epoch that was seen: %v", err)
	}
	late := func() time.Time { return w.online.cert.NotAfter }
	if _, err := attempt(func(c *ClientConfig) { c.Now = late }); !errors.Is(err, ErrHandshake) {
		t.Errorf("an expired certificate: %v", err)
	}
	other := GenerateRoot()
	if _, err := NewServer(ServerConfig{Root: other.Public(), Online: w.online}); err == nil {
		t.Error("a server took a certificate of another root")
	}
}

func TestFullPool(t *testing.T) {
	w := newWorld(t)
	pool := NewKeyPool(1)
	w.client.RSA = pool
	client, server := w.connect()
	say(t, client, server, "with a key made ahead")
	pool.Close()
	if _, err := pool.Take(context.Background()); err != errPoolClosed {
		// A pair may still be there; the next one is not.
		if _, err := pool.Take(context.Background()); err != errPoolClosed {
			t.Errorf("taking from a closed pool: %v", err)
		}
	}
}

func TestResume(t *testing.T) {
	w := newWorld(t)
	kept := &MemTickets{}
	w.client.Tickets = kept
	client, server := w.connect()
	say(t, server, client, "the ticket came with this")
	resumed, server := w.connect()
	if !resumed.Resumed() || !server.Resumed() || resumed.PeerRoot() != w.root.Public() {
		t.Fatal("not resumed")
	}
	say(t, resumed, server, "hello")
	say(t, server, resumed, "again")
	if again, _ := w.connect(); !again.Resumed() {
		t.Error("a resumed link gave no ticket")
	}
}

func TestPipeIsASocket(t *testing.T) {
	a, b := Pipe()
	if err := a.WriteFrames([]byte("one"), []byte("two")); err != nil {
		t.Fatal(err)
	}
	a.Close()
	for _, want := range []string{"one", "two"} {
		if f, err := b.ReadFrame(); err != nil || string(f) != want {
			t.Fatalf("%q, %v", f, err)
		}
	}
	if _, err := b.ReadFrame(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if err := b.WriteFrames([]byte("x")); err == nil {
		t.Error("writing to a closed end succeeded")
	}
	a, _ = Pipe()
	a.SetRemoteAddr(netip.MustParseAddrPort("[2001:db8::1]:5"))
	if a.RemoteAddr().Port() != 5 {
		t.Error("address not set")
	}
}
