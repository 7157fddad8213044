package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/config"
	"github.com/securelink-chat/securelink/internal/eioclient"
	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/wire"
)

// webFrames is a browser's side of a socket as a frame connection.
type webFrames struct{ conn *eioclient.Conn }

const frameEvent = `451-["frame",{"_placeholder":true,"num":0}]`

func openSocket(t *testing.T, page string) webFrames {
	t.Helper()
	c, err := eioclient.Dial(page+"/socket.io/", "EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	f := webFrames{c}
	for _, step := range []struct{ say, hear string }{{"", "0{"}, {"40", "40{"}} {
		if step.say != "" {
			if err := c.Text(step.say); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := c.Next(); err != nil || !strings.HasPrefix(got, step.hear) {
			t.Fatalf("heard %q, %v; want %s…", got, err, step.hear)
		}
	}
	return f
}

func (f webFrames) ReadFrame() ([]byte, error) {
	for {
		got, err := f.conn.Next()
		if err != nil {
			return nil, io.EOF
		}
		if frame, ok := strings.CutPrefix(got, "bytes:"); ok {
			return []byte(frame), nil
		}
	}
}

func (f webFrames) WriteFrames(frames ...[]byte) error {
	for _, frame := range frames {
		if err := f.conn.Text(frameEvent); err != nil {
			return err
		}
		if err := f.conn.Binary(frame); err != nil {
			return err
		}
	}
	return nil
}

func (f webFrames) Close() error                       { return f.conn.Close() }
func (f webFrames) SetReadDeadline(t time.Time) error  { return nil }
func (f webFrames) SetWriteDeadline(t time.Time) error { return nil }
func (f webFrames) RemoteAddr() netip.AddrPort         { return netip.AddrPort{} }

// oneKey hands out a pair that was made before the connection: a handshake has
// five seconds, and making a pair on a busy machine may take longer.
type oneKey struct{ pair link.KeyPair }

func (k oneKey) Take(context.Context) (link.KeyPair, error) { return k.pair, nil }

// hello says hello to the core over a link through fc and returns its answer.
func hello(t *testing.T, key link.KeyPair, fc link.FrameConn, pin string) wire.HelloOK {
	t.Helper()
	cfg := link.ClientConfig{RSA: oneKey{key}}
	if _, err := hex.Decode(cfg.Pin[:], []byte(pin)); err != nil {
		t.Fatal(err)
	}
	conn, err := link.Client(t.Context(), fc, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request, err := wire.AppendRequest(nil, 1, wire.Key{}, wire.Hello{Version: wire.Version, Agent: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	payload, err := conn.Read()
	if err != nil {
		t.Fatal(err)
	}
	item, _, err := wire.Next(payload)
	if err != nil {
		t.Fatal(err)
	}
	var answer wire.HelloOK
	if err := wire.Decode(item.Body, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// talk checks that a browser and a terminal both reach the core behind page.
func talk(t *testing.T, page, terminals, pin string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	if status, body := fetch(t, client, page+"/readyz"); status != 200 {
		t.Errorf("readyz: %d %q", status, body)
	}
	key, err := link.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Dial("tcp", terminals)
	if err != nil {
		t.Fatal(err)
	}
	if got := hello(t, key, link.NetConn(tcp), pin); got.Server != "Test server" {
		t.Errorf("a terminal hears of %q", got.Server)
	}
	if got := hello(t, key, openSocket(t, page), pin); got.Server != "Test server" {
		t.Errorf("a browser hears of %q", got.Server)
	}
}

func TestServeInOneProcess(t *testing.T) {
	s := startCommand(t, "serve", "--data", t.TempDir()+"/data", "--listen", "127.0.0.1:0", "--web", "127.0.0.1:0", "--name", "Test server")
	page := s.line("  Page          ")
	terminals := s.line("  Terminals     ")
	pin := s.line("  Fingerprint   ")
	s.drain()
	talk(t, page, terminals, pin)
	s.wait()
}

func TestGatewayAndCoreApart(t *testing.T) {
	data := t.TempDir() + "/data"
	back := startCommand(t, "core", "--data", data, "--listen", "127.0.0.1:0", "--gateway-listen", "127.0.0.1:0", "--name", "Test server")
	terminals := back.line("  Terminals     ")
	gateways, secret, _ := strings.Cut(back.line("  Gateways      "), " ")
	pin := back.line("  Fingerprint   ")
	back.drain()
	if !strings.Contains(secret, data) {
		t.Errorf("the secret is said to be in %q", secret)
	}
	front := startCommand(t, "gateway", "--core", gateways, "--data", data, "--listen", "127.0.0.1:0")
	page := front.line("Page: ")
	front.drain()
	talk(t, page, terminals, pin)

	// Who has no secret gets nothing from the gateway listener, not even a word.
	c, err := net.Dial("tcp", gateways)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"))
	if got, _ := io.ReadAll(c); len(got) != 0 {
		t.Errorf("a stranger was answered with %q", got)
	}
	front.wait()
	back.wait()
}

// Where the usual port is taken and nobody insists on it, the page takes another.
func TestServeBesideAnotherServer(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg, err := config.Load(config.Sources{Flags: map[string]string{"server.data": t.TempDir() + "/data", "core.listen": "127.0.0.1:0"}, Limits: configLimits()})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Web.Listen = taken.Addr().String() // as if it were the default
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	s := &started{t: t, lines: bufio.NewScanner(r), stop: cancel, ended: make(chan error, 1)}
	go func() {
		s.ended <- runServer(ctx, cfg, nil, w, io.Discard)
		w.Close()
	}()
	if page := s.line("  Page          "); !strings.HasPrefix(page, "http://localhost:") {
		t.Errorf("the page is said to be at %q", page)
	}
	s.drain()
	s.wait()
	if got := run(t.Context(), []string{"serve", "--data", t.TempDir() + "/data", "--listen", "127.0.0.1:0", "--web", taken.Addr().String()}); got != exitUsage {
		t.Errorf("insisting on it: exit code %d, want %d", got, exitUsage)
	}
}

func TestWhoMayMakeAnAccount(t *testing.T) {
	for _, c := range []struct {
		change func(*config.Config)
		want   wire.Registration
	}{
		{func(*config.Config) {}, wire.RegistrationOpen},
		{func(c *config.Config) { c.Core.Listen = ":7443" }, wire.RegistrationInvite},
		{func(c *config.Config) { c.Web.Listen = "192.168.1.7:443" }, wire.RegistrationInvite},
		{func(c *config.Config) { c.Core.GatewayListen = "10.0.0.2:7444" }, wire.RegistrationInvite},
		{func(c *config.Config) { c.Web.Proxies = []string{"127.0.0.1"} }, wire.RegistrationInvite},
		{func(c *config.Config) { c.Core.Listen = ":7443"; c.Server.Registration = "open" }, wire.RegistrationOpen},
		{func(c *config.Config) { c.Server.Registration = "closed" }, wire.RegistrationClosed},
	} {
		cfg := config.Default()
		c.change(&cfg)
		if got := registrationMode(&cfg); got != c.want {
			t.Errorf("terminals %q, gateways %q, web %q, mode %q: %d, want %d", cfg.Core.Listen, cfg.Core.GatewayListen, cfg.Web.Listen, cfg.Server.Registration, got, c.want)
		}
	}
}
