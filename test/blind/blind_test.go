// Package blind runs the real binary as core and as gateway, has people talk
// through it, and looks for what they said in everything that the gateway could
// have known: both sides of its connections, and its memory.
package blind

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/client"
	"github.com/securelink-chat/securelink/internal/eioclient"
	"github.com/securelink-chat/securelink/link"
)

const patience = 60 * time.Second

// program builds the binary once.
var program = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "securelink-blind-")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(folder, "securelink")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/securelink")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return binary, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if binary, err := program(); err == nil {
		os.RemoveAll(filepath.Dir(binary))
	}
	os.Exit(code)
}

// process is one run of the binary.
type process struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func run(t *testing.T, args ...string) *process {
	t.Helper()
	binary, err := program()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(binary, args...)}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(os.Interrupt)
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("securelink %s: %v", args[0], err)
		}
	})
	return p
}

// line waits for a line that begins with prefix and returns the rest.
func (p *process) line(t *testing.T, prefix string) string {
	t.Helper()
	for p.lines.Scan() {
		if rest, ok := strings.CutPrefix(p.lines.Text(), prefix); ok {
			return rest
		}
	}
	t.Fatalf("no line begins with %q", prefix)
	return ""
}

// tap is a TCP relay that keeps all that passes.
type tap struct {
	address string
	mu      sync.Mutex
	seen    []byte // what passes one way, and the other, in pieces
}

func (w *tap) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, b...)
	return len(b), nil
}

func (w *tap) all() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.seen)
}

func listenTap(t *testing.T, to func() string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &tap{address: l.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer a.Close()
				b, err := net.Dial("tcp", to())
				if err != nil {
					return
				}
				defer b.Close()
				var back sync.WaitGroup
				back.Go(func() {
					_, _ = io.Copy(io.MultiWriter(a, w), b)
					a.Close()
				})
				_, _ = io.Copy(io.MultiWriter(b, w), a)
				b.Close()
				back.Wait()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return w
}

// browserDialer connects as the page does: by Socket.IO, over WebSocket.
type browserDialer struct{ page string }

func (d browserDialer) Dial(context.Context) (link.FrameConn, error) {
	c, err := eioclient.Dial(d.page+"/socket.io/", "EIO=4&transport=websocket", nil)
	if err != nil {
		return nil, err
	}
	for _, step := range []struct{ say, hear string }{{"", "0{"}, {"40", "40{"}} {
		if step.say != "" {
			err = c.Text(step.say)
		}
		var got string
		if err == nil {
			got, err = c.Next()
		}
		if err == nil && !strings.HasPrefix(got, step.hear) {
			err = fmt.Errorf("heard %q", got)
		}
		if err != nil {
			c.Close()
			return nil, err
		}
	}
	return &socket{conn: c}, nil
}

const frameEvent = `451-["frame",{"_placeholder":true,"num":0}]`

// socket is a Socket.IO socket as a frame connection.
type socket struct {
	conn *eioclient.Conn
	mu   sync.Mutex // writing: a frame is two messages
}

func (s *socket) ReadFrame() ([]byte, error) {
	for {
		data, binary, err := s.conn.Read()
		if err != nil {
			return nil, io.EOF
		}
		if binary {
			return data, nil
		}
		if string(data) == "2" {
			s.mu.Lock()
			err := s.conn.Text("3")
			s.mu.Unlock()
			if err != nil {
				return nil, io.EOF
			}
		}
	}
}

func (s *socket) WriteFrames(frames ...[]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, frame := range frames {
		if err := s.conn.Text(frameEvent); err != nil {
			return err
		}
		if err := s.conn.Binary(frame); err != nil {
			return err
		}
	}
	return nil
}

func (s *socket) Close() error                     { return s.conn.Close() }
func (s *socket) SetReadDeadline(time.Time) error  { return nil }
func (s *socket) SetWriteDeadline(time.Time) error { return nil }
func (s *socket) RemoteAddr() netip.AddrPort       { return netip.AddrPort{} }

// person is an engine whose events are kept.
type person struct {
	engine *client.Engine
	mu     sync.Mutex
	heard  map[string]bool
	reply  map[uint64]client.Event
	room   client.Room // as it was told last
	change chan struct{}
	id     uint64
}

func join(t *testing.T, d client.Dialer, pin, name string) *person {
	t.Helper()
	cfg := client.Config{Storage: client.NewMemory(), Dialer: d, Server: "127.0.0.1:7443"}
	if _, err := hex.Decode(cfg.Pin[:], []byte(pin)); err != nil {
		t.Fatal(err)
	}
	engine, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{engine: engine, heard: map[string]bool{}, reply: map[uint64]client.Event{}, change: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := engine.Run(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	wg.Go(func() {
		for {
			select {
			case ev := <-engine.Events():
				p.take(ev)
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	p.ask(t, client.Request{Op: client.OpGuest, Name: name})
	return p
}

func (p *person) take(ev client.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ev.Kind == client.EvReply {
		p.reply[ev.Reply] = ev
	}
	if ev.Kind == client.EvRoom {
		p.room = *ev.Room
	}
	if ev.Item != nil && ev.Item.Cursor != 0 {
		p.heard[ev.Item.Text] = true
	}
	close(p.change)
	p.change = make(chan struct{})
}

// until waits for something that an event brings.
func (p *person) until(t *testing.T, what string, ready func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		ok, change := ready(), p.change
		p.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-change:
		case <-deadline:
			t.Fatalf("still no %s", what)
		}
	}
}

func (p *person) ask(t *testing.T, r client.Request) client.Event {
	t.Helper()
	p.id++
	r.ID = p.id
	p.engine.Do(r)
	var ev client.Event
	p.until(t, "reply to "+r.Op, func() (ok bool) {
		ev, ok = p.reply[r.ID]
		return ok
	})
	if ev.Problem != nil {
		t.Fatalf("%s: %s: %s", r.Op, ev.Problem.Code, ev.Problem.Text)
	}
	return ev
}

// hidingPlaces are the forms in which a text could be met: as it is, and as the
// encodings that are on the way would show it.
func hidingPlaces(text string) map[string][]byte {
	out := map[string][]byte{"text": []byte(text), "hex": []byte(hex.EncodeToString([]byte(text)))}
	for shift := range 3 { // Base64 looks different by where the text begins
		encoded := base64.StdEncoding.EncodeToString(append(make([]byte, shift), text...))
		out[fmt.Sprintf("base64+%d", shift)] = []byte(encoded[4 : len(encoded)-4])
	}
	return out
}

func hunt(t *testing.T, where string, haystack []byte, secrets []string) {
	t.Helper()
	for _, secret := range secrets {
		for form, needle := range hidingPlaces(secret) {
			if bytes.Contains(haystack, needle) {
				t.Errorf("%s: %q was found, as %s", where, secret, form)
			}
		}
	}
}

func TestTheGatewayKnowsNothing(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	core := run(t, "core", "--data", data, "--listen", "127.0.0.1:0", "--gateway-listen", "127.0.0.1:0")
	gateways, _, _ := strings.Cut(core.line(t, "  Gateways      "), " ")
	pin := core.line(t, "  Fingerprint   ")
	core.line(t, "Ready.")
	behind := listenTap(t, func() string { return gateways })
	gateway := run(t, "gateway", "--core", behind.address, "--data", data, "--listen", "127.0.0.1:0")
	page := gateway.line(t, "Page: http://")
	before := listenTap(t, func() string { return page })
	d := browserDialer{"http://" + before.address}

	secret := func(what string) string { return what + " " + rand.Text() }
	names := []string{secret("Alice"), secret("Bob")}
	alice, bob := join(t, d, pin, names[0]), join(t, d, pin, names[1])
	room := alice.ask(t, client.Request{Op: client.OpJoin, Text: "lounge"}).Room.ID
	bob.ask(t, client.Request{Op: client.OpJoin, Text: "lounge"})
	for _, p := range []*person{alice, bob} { // who comes later cannot read what was said before
		p.until(t, "room with both in it", func() bool { return p.room.Members == 2 && p.room.Blocked == "" })
	}
	var texts []string
	for i := range 20 {
		text := secret(fmt.Sprintf("canary %d", i))
		texts = append(texts, text)
		from, to := alice, bob
		if i%2 == 1 {
			from, to = bob, alice
		}
		from.ask(t, client.Request{Op: client.OpSend, Room: room, Text: text})
		to.until(t, "message "+text, func() bool { return to.heard[text] })
	}

	front, back := before.all(), behind.all()
	// That the taps see everything: what is in the clear on each leg is there,
	// and it is as much as twenty messages and two handshakes take.
	if !bytes.Contains(front, []byte(frameEvent)) || !bytes.Contains(back, []byte("\r\n\r\n\x00\r\nQUIT\n")) {
		t.Fatal("a tap has not seen the connections")
	}
	if len(front) < 50_000 || len(back) < 50_000 {
		t.Fatalf("the taps saw %d and %d bytes only", len(front), len(back))
	}
	secrets := append(names, texts...)
	hunt(t, "between browser and gateway", front, secrets)
	hunt(t, "between gateway and core", back, secrets)
	dump, err := memoryOf(gateway.cmd.Process.Pid)
	if err != nil {
		t.Skipf("the gateway's memory cannot be read here: %v", err)
	}
	if !bytes.Contains(dump, []byte(`["frame",{"_placeholder":true,"num":0}]`)) {
		t.Fatal("the dump is not the gateway's memory")
	}
	hunt(t, "memory of the gateway", dump, secrets)
	own, err := memoryOf(os.Getpid())
	if err != nil || !bytes.Contains(own, []byte(texts[0])) {
		t.Errorf("a hunt in the memory of the browsers themselves finds nothing (%v): it would find nothing anywhere", err)
	}
	t.Logf("%d and %d bytes captured, %d MiB of memory, %d secrets hunted", len(front), len(back), len(dump)>>20, len(secrets))
}

// memoryOf reads all of a process's memory that can be written, as Linux shows it.
func memoryOf(pid int) ([]byte, error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, err
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return nil, err
	}
	defer mem.Close()
	var out []byte
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var mode string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); n != 3 || !strings.HasPrefix(mode, "rw") || to-from > 1<<30 {
			continue
		}
		block := make([]byte, to-from)
		n, err := mem.ReadAt(block, from)
		if err != nil && n == 0 {
			continue // reserved and never used
		}
		out = append(out, block[:n]...)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("nothing of it can be read")
	}
	return out, nil
}
