package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/securelink-chat/securelink/config"
	"github.com/securelink-chat/securelink/gateway"
	"github.com/securelink-chat/securelink/internal/proxyproto"
)

const testSecret = "a gateway secret of thirty-two characters or more"

// coreStandIn accepts gateways as the core does, and nothing else.
func coreStandIn(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v, err := proxyproto.NewVerifier([]byte(testSecret), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- v.Serve(ctx, l, nil, func(_ context.Context, c net.Conn, _ netip.AddrPort) { c.Close() })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// started runs a command until the test ends and hands out its lines.
type started struct {
	t     *testing.T
	lines *bufio.Scanner
	stop  context.CancelFunc
	ended chan error
	log   logText
}

func startCommand(t *testing.T, args ...string) *started {
	t.Helper()
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	s := &started{t: t, lines: bufio.NewScanner(r), stop: cancel, ended: make(chan error, 1)}
	s.log.grew.L = &s.log.mu
	root := newRoot()
	root.SetOut(w)
	root.SetErr(&s.log)
	root.SetArgs(args)
	go func() {
		err := root.ExecuteContext(ctx)
		w.Close()
		s.ended <- err
	}()
	t.Cleanup(func() {
		cancel()
		r.Close()
	})
	return s
}

// line waits for the next line that begins with prefix and returns the rest.
func (s *started) line(prefix string) string {
	s.t.Helper()
	for s.lines.Scan() {
		if rest, ok := strings.CutPrefix(s.lines.Text(), prefix); ok {
			return rest
		}
	}
	s.t.Fatalf("no line begins with %q; it ended with %v", prefix, <-s.ended)
	return ""
}

// logged waits until the log has text in it.
func (s *started) logged(text string) {
	s.t.Helper()
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	for !strings.Contains(string(s.log.text), text) {
		s.log.grew.Wait()
	}
}

// logText is a log that can be waited for.
type logText struct {
	mu   sync.Mutex
	grew sync.Cond // with mu
	text []byte
}

// Write implements [io.Writer].
func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	l.grew.Broadcast()
	return len(b), nil
}

// drain reads what else it prints.
func (s *started) drain() {
	go func() {
		for s.lines.Scan() {
		}
	}()
}

func (s *started) wait() {
	s.t.Helper()
	s.stop()
	if err := <-s.ended; err != nil {
		s.t.Errorf("it ended with %v", err)
	}
}

func fetch(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestGatewayCommand(t *testing.T) {
	t.Setenv("SECURELINK_CORE_GATEWAY_SECRET", testSecret)
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	private := probe.Addr().String()
	probe.Close()
	s := startCommand(t, "gateway", "--core", coreStandIn(t), "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--metrics", private)
	url := s.line("Page: ")
	s.line("Core: ")
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/app.json": 200} {
		if status, body := fetch(t, client, url+path); status != want {
			t.Errorf("%s: %d %q, want %d", path, status, body, want)
		}
	}
	// With the app built, a path that is none of the page's own gets the page.
	if _, body := fetch(t, client, url+"/metrics"); strings.Contains(body, "securelink_gateway_sockets") {
		t.Error("the page's address shows the metrics")
	}
	if status, body := fetch(t, client, "http://"+private+"/metrics"); status != 200 || !strings.Contains(body, "securelink_gateway_sockets 0\n") || !strings.Contains(body, "go_goroutines ") {
		t.Errorf("metrics: %d\n%s", status, body)
	}
	if status, body := fetch(t, client, "http://"+private+"/debug/pprof/goroutine?debug=1"); status != 200 || !strings.Contains(body, "goroutine profile") {
		t.Errorf("profile: %d", status)
	}
	client.CloseIdleConnections()
	s.wait()
}

// Beyond this machine browsers want HTTPS: the gateway makes a certificate, says
// how to know it, and what the browser will say.
func TestSelfSignedOnTheNetwork(t *testing.T) {
	t.Setenv("SECURELINK_CORE_GATEWAY_SECRET", testSecret)
	s := startCommand(t, "gateway", "--core", coreStandIn(t), "--listen", "0.0.0.0:0", "--data", t.TempDir())
	url := s.line("Page: https://")
	fingerprint := s.line("Certificate (SHA-256): ")
	s.line("Nobody but this server signed it")
	_, port, err := net.SplitHostPort(url)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	leaf := conn.ConnectionState().PeerCertificates[0]
	if got := gateway.Fingerprint(leaf.Raw); got != fingerprint || leaf.VerifyHostname("127.0.0.1") != nil {
		t.Errorf("certificate %s for %v, %v; told was %q", got, leaf.DNSNames, leaf.IPAddresses, fingerprint)
	}
	s.drain()
	conn.Close()
	s.wait()
}

func TestGatewayRefusals(t *testing.T) {
	dir := t.TempDir()
	for name, args := range map[string][]string{
		"no core":       {"gateway", "--data", dir},
		"no secret":     {"gateway", "--core", "localhost:1", "--data", dir},
		"no such file":  {"gateway", "--core", "localhost:1", "--config", filepath.Join(dir, "none")},
		"unknown":       {"gateway", "--core", "localhost:1", "--set", "web.lisen=x:1"},
		"not a setting": {"gateway", "--set", "listen"},
		"bad limit":     {"config", "check", "--set", "limits.idle-time=0"},
	} {
		if got := run(t.Context(), args); got != exitUsage {
			t.Errorf("%s: exit code %d, want %d", name, got, exitUsage)
		}
	}
}

func TestGatewaySecretIsMadeOnceAndPrivate(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Default()
	first, err := gatewaySecret(&cfg, dir, true)
	if err != nil || len(first) < config.MinSecret {
		t.Fatalf("%d characters, %v", len(first), err)
	}
	again, err := gatewaySecret(&cfg, dir, false)
	if err != nil || string(again) != string(first) {
		t.Errorf("the second start has another secret (%v)", err)
	}
	if info, err := os.Stat(filepath.Join(dir, secretFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its file: %v, %v", info.Mode(), err)
	}
}

func TestReloadKeepsWhatWorks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "securelink.toml")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	load := func() (*config.Loaded, error) { return config.Load(config.Sources{File: file, Limits: configLimits()}) }
	write("[log]\nlevel = \"warn\"")
	current, err := load()
	if err != nil {
		t.Fatal(err)
	}
	log := newLogger(current.Log, io.Discard)
	apply := func(next *config.Loaded) error {
		log.setLevel(next.Log.Level)
		return nil
	}
	write("[log]\nlevel = \"loud\"")
	current = reload(current, load, apply, log.Logger)
	if current.Log.Level != "warn" || log.level.Level().String() != "WARN" {
		t.Errorf("a wrong file changed the level to %s", current.Log.Level)
	}
	write("[log]\nlevel = \"debug\"")
	current = reload(current, load, apply, log.Logger)
	if current.Log.Level != "debug" || log.level.Level().String() != "DEBUG" {
		t.Errorf("the level is still %s", log.level.Level())
	}
}

func TestConfigCommands(t *testing.T) {
	t.Setenv("SECURELINK_CORE_GATEWAY_SECRET", testSecret)
	s := startCommand(t, "config", "show", "--sources", "--set", "web.listen=localhost:9")
	if got := s.line("gateway-secret = "); !strings.HasPrefix(got, "[redacted]") || !strings.Contains(got, "SECURELINK_CORE_GATEWAY_SECRET") {
		t.Errorf("the secret's line: %q", got)
	}
	if got := s.line("listen = "); !strings.Contains(got, "localhost:9") || !strings.HasSuffix(got, "# flag") {
		t.Errorf("the flag's line: %q", got)
	}
}
