package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

var app = fstest.MapFS{
	"index.html":              {Data: []byte("<!doctype html><title>page</title>")},
	"index.html.br":           {Data: []byte("packed page")},
	"assets/main-4f2a.js":     {Data: []byte("export {}")},
	"assets/main-4f2a.js.br":  {Data: []byte("packed script")},
	"assets/engine-77aa.wasm": {Data: []byte("\x00asm")},
	"icon.svg":                {Data: []byte("<svg/>")},
	"manifest.webmanifest":    {Data: []byte("{}")},
}

func quiet(context.Context, FrameConn) error { return nil }

func newGateway(t *testing.T, cfg Config) *Gateway {
	t.Helper()
	cfg.Core = CoreFunc(quiet)
	gw, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gw.Shutdown(context.Background()) })
	return gw
}

func ask(gw http.Handler, method, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, "http://chat.example"+path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	gw.ServeHTTP(w, r)
	return w.Result()
}

func body(resp *http.Response) string {
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

func TestFilesOfTheApp(t *testing.T) {
	gw := newGateway(t, Config{Files: app})
	const page, revalidate = "<!doctype html><title>page</title>", "no-cache"
	for _, c := range []struct {
		path, accept          string
		status                int
		body, kind, enc, keep string
	}{
		{"/", "", 200, page, "text/html; charset=utf-8", "", revalidate},
		{"/", "gzip, deflate, br", 200, "packed page", "text/html; charset=utf-8", "br", revalidate},
		{"/", "gzip, br;q=0", 200, page, "text/html; charset=utf-8", "", revalidate},
		{"/", "*", 200, page, "text/html; charset=utf-8", "", revalidate},
		{"/j/0123abcd", "", 200, page, "text/html; charset=utf-8", "", revalidate},
		{"/assets/main-4f2a.js", "br", 200, "packed script", "text/javascript; charset=utf-8", "br", forever},
		{"/assets/engine-77aa.wasm", "br", 200, "\x00asm", "application/wasm", "", forever},
		{"/icon.svg", "", 200, "<svg/>", "image/svg+xml", "", revalidate},
		{"/manifest.webmanifest", "", 200, "{}", "application/manifest+json", "", revalidate},
		{"/assets/main-old.js", "", 404, "", "text/plain; charset=utf-8", "", "no-store"},
		{"/index.html.br", "", 404, "", "text/plain; charset=utf-8", "", "no-store"},
		{"/favicon.ico", "", 404, "", "text/plain; charset=utf-8", "", "no-store"},
		{"/../../etc/passwd.txt", "", 404, "", "text/plain; charset=utf-8", "", "no-store"},
	} {
		resp := ask(gw, "GET", c.path, "Accept-Encoding", c.accept)
		got := body(resp)
		h := resp.Header
		if resp.StatusCode != c.status || (c.body != "" && got != c.body) || h.Get("Content-Type") != c.kind ||
			h.Get("Content-Encoding") != c.enc || (c.status == 200 && h.Get("Cache-Control") != c.keep) {
			t.Errorf("%s (%s): %d %q %v", c.path, c.accept, resp.StatusCode, got, h)
		}
	}
	// A page that did not change is not sent again, and its two forms differ.
	first := ask(gw, "GET", "/", "Accept-Encoding", "br")
	if resp := ask(gw, "GET", "/", "Accept-Encoding", "br", "If-None-Match", first.Header.Get("Etag")); resp.StatusCode != 304 {
		t.Errorf("the same page again: %d", resp.StatusCode)
	}
	if resp := ask(gw, "GET", "/", "If-None-Match", first.Header.Get("Etag")); resp.StatusCode != 200 {
		t.Errorf("the page in another form: %d", resp.StatusCode)
	}
	if resp := ask(gw, "POST", "/"); resp.StatusCode != 405 {
		t.Errorf("POST: %d", resp.StatusCode)
	}
	if resp := ask(gw, "HEAD", "/"); resp.StatusCode != 200 || body(resp) != "" {
		t.Errorf("HEAD: %d", resp.StatusCode)
	}
}

func TestWithoutTheApp(t *testing.T) {
	resp := ask(newGateway(t, Config{Files: fstest.MapFS{"README": {Data: []byte("x")}}}), "GET", "/")
	if got := body(resp); resp.StatusCode != 404 || !strings.Contains(got, "make build") {
		t.Errorf("%d %q", resp.StatusCode, got)
	}
}

// Whatever is asked, answers and refusals alike carry the strict headers.
func TestStrictHeadersOnEveryAnswer(t *testing.T) {
	t.Parallel() // The session that it opens takes its time to end.
	gw := newGateway(t, Config{Files: app, HSTS: true, Contact: "admin@chat.example"})
	for _, req := range [][2]string{
		{"GET", "/"}, {"GET", "/assets/main-4f2a.js"}, {"GET", "/assets/none.js"}, {"DELETE", "/"}, {"GET", "/healthz"},
		{"GET", "/readyz"}, {"GET", "/app.json"}, {"GET", "/.well-known/security.txt"}, {"GET", "/socket.io/"},
		{"GET", "/socket.io/?EIO=3&transport=polling"}, {"GET", "/socket.io/?EIO=4&transport=polling"}, {"POST", "/socket.io/?EIO=4&transport=polling&sid=none"},
	} {
		h := ask(gw, req[0], req[1]).Header
		csp := h.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self' 'wasm-unsafe-eval';", "style-src 'self';", "frame-ancestors 'none'",
			"base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(csp, part) {
				t.Errorf("%s %s: the policy lacks %q: %q", req[0], req[1], part, csp)
			}
		}
		if strings.Contains(csp, "unsafe-inline") || strings.Contains(csp, "'unsafe-eval'") || strings.Contains(csp, "http") {
			t.Errorf("%s %s: the policy allows too much: %q", req[0], req[1], csp)
		}
		for name, want := range map[string]string{
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "X-Content-Type-Options": "nosniff",
			"Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "Strict-Transport-Security": "max-age=31536000",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s %s: %s is %q, want %q", req[0], req[1], name, got, want)
			}
		}
		if h.Get("Content-Type") == "" || h.Get("Server") != "" || h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s %s: headers %v", req[0], req[1], h)
		}
	}
}

func TestSmallAnswers(t *testing.T) {
	ready := error(nil)
	gw := newGateway(t, Config{
		App: App{Name: "Home <3", Pin: "00ff", Version: "1.2.3", Build: "abc"}, Contact: "admin@chat.example",
		Ready: func(ctx context.Context) error { return ready },
	})
	if got := body(ask(gw, "GET", "/app.json")); got != `{"name":"Home \u003c3","pin":"00ff","version":"1.2.3","build":"abc"}` {
		t.Errorf("app.json: %s", got)
	}
	if got := body(ask(gw, "GET", "/.well-known/security.txt")); !strings.HasPrefix(got, "Contact: mailto:admin@chat.example\nExpires: 2") {
		t.Errorf("security.txt: %q", got)
	}
	if resp := ask(gw, "GET", "/healthz"); resp.StatusCode != 200 {
		t.Errorf("healthz: %d", resp.StatusCode)
	}
	if resp := ask(gw, "GET", "/readyz"); resp.StatusCode != 200 {
		t.Errorf("readyz: %d", resp.StatusCode)
	}
	ready = errors.New("secret detail")
	gw.readyMu.Lock()
	gw.readyAt = time.Time{} // the kept answer is old
	gw.readyMu.Unlock()
	if resp := ask(gw, "GET", "/readyz"); resp.StatusCode != 503 || strings.Contains(body(resp), "secret") {
		t.Errorf("readyz without a core: %d", resp.StatusCode)
	}
	ready = nil
	if resp := ask(gw, "GET", "/readyz"); resp.StatusCode != 503 {
		t.Error("readyz asked the core again within the second")
	}
	for _, path := range []string{"/metrics", "/debug/pprof/"} {
		if got := body(ask(gw, "GET", path)); strings.Contains(got, "goroutine") || strings.Contains(got, "# HELP") {
			t.Errorf("%s is public: %.40q", path, got)
		}
	}
}

func TestRelayIsReadyOnlyWithTheSecret(t *testing.T) {
	relay := startRelay(t, quiet)
	if err := relay.Ready(t.Context()); err != nil {
		t.Errorf("the right secret: %v", err)
	}
	wrong, err := NewRelay(RelayConfig{Addr: relay.cfg.Addr, Secret: []byte(strings.Repeat("x", 32))})
	if err != nil {
		t.Fatal(err)
	}
	if err := wrong.Ready(t.Context()); err == nil {
		t.Error("another secret was told that the core is ready")
	}
	if _, err := NewRelay(RelayConfig{Addr: relay.cfg.Addr, Secret: []byte("short")}); err == nil {
		t.Error("a short secret was taken")
	}
}

// A client that sends its header or its body a byte at a time does not get to
// keep the connection; shown by the deadlines that are set, not by waiting.
func TestServerHasDeadlines(t *testing.T) {
	w := start(t, false, Config{}, echo)
	c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 64<<10)))
	answer, _ := io.ReadAll(c)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 431 ") {
		t.Errorf("an endless header: %.60q", answer)
	}
}

func TestConnectionsOfOneAddressAreLimited(t *testing.T) {
	w := start(t, false, Config{Limits: Limits{Connections: 2}}, echo)
	open := func() (net.Conn, bool) {
		c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_, _ = c.Write([]byte("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))
		b := make([]byte, 12)
		_, err = io.ReadFull(c, b)
		return c, err == nil && string(b) == "HTTP/1.1 200"
	}
	first, ok := open()
	_, ok2 := open()
	if !ok || !ok2 {
		t.Fatal("two connections are not answered")
	}
	if _, ok := open(); ok {
		t.Error("a third connection was answered")
	}
	first.Close()
	for { // The server notices by itself that the first has gone.
		if _, ok := open(); ok {
			return
		}
		if t.Context().Err() != nil {
			t.Fatal("the place is not free again")
		}
	}
}

func getTLS(t *testing.T, c *tls.Config, name string, roots *x509.CertPool) (*x509.Certificate, error) {
	t.Helper()
	server, client := net.Pipe()
	defer server.Close()
	defer client.Close()
	go func() { _ = tls.Server(server, c).HandshakeContext(t.Context()) }()
	conn := tls.Client(client, &tls.Config{ServerName: name, RootCAs: roots, InsecureSkipVerify: roots == nil})
	if err := conn.HandshakeContext(t.Context()); err != nil {
		return nil, err
	}
	if conn.ConnectionState().Version != tls.VersionTLS13 {
		t.Error("not TLS 1.3")
	}
	return conn.ConnectionState().PeerCertificates[0], nil
}

func TestSelfSignedCertificate(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	hosts := []string{"localhost", "192.168.1.7", "fd00::7"}
	c, fingerprint, err := SelfSigned(dir, hosts, now)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := getTLS(t, c, "192.168.1.7", nil)
	if err != nil {
		t.Fatal(err)
	}
	if Fingerprint(leaf.Raw) != fingerprint || len(fingerprint) != 95 {
		t.Errorf("fingerprint %s of another certificate", fingerprint)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	for _, h := range hosts {
		if _, err := getTLS(t, c, h, roots); err != nil {
			t.Errorf("%s: %v", h, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, selfKey)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info.Mode(), err)
	}
	_, again, err := SelfSigned(dir, hosts[:1], now)
	if err != nil || again != fingerprint {
		t.Errorf("the second start has another certificate (%v)", err)
	}
	for why, f := range map[string]func() (*tls.Config, string, error){
		"another address": func() (*tls.Config, string, error) { return SelfSigned(dir, []string{"192.168.1.8"}, now) },
		"at its end":      func() (*tls.Config, string, error) { return SelfSigned(dir, nil, now.Add(selfLife)) },
	} {
		if _, other, err := f(); err != nil || other == fingerprint {
			t.Errorf("%s: the certificate is the old one (%v)", why, err)
		}
	}
}

func TestCertificateFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, selfCert), filepath.Join(dir, selfKey)
	make := func(host string) string {
		t.Helper()
		pair, err := makeSelfSigned(cert, key, []string{host}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return Fingerprint(pair.Certificate[0])
	}
	first := make("one.example")
	f := &certFiles{cert: cert, key: key, log: discard}
	if err := f.load(); err != nil {
		t.Fatal(err)
	}
	now := func() string {
		f.checked = time.Time{}
		return Fingerprint(f.get().Certificate[0])
	}
	if now() != first {
		t.Fatal("not the first certificate")
	}
	if err := os.WriteFile(cert, []byte("half a certif"), 0o600); err != nil {
		t.Fatal(err)
	}
	if now() != first {
		t.Error("a broken file took the good certificate away")
	}
	if second := make("a-longer-name.example"); now() != second {
		t.Error("the new certificate is not used")
	}
	if _, err := CertificateFiles(filepath.Join(dir, "none"), key, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestACMEAsksForItsDomainsOnly(t *testing.T) {
	c := ACME(t.TempDir(), "", "", slog.New(slog.DiscardHandler), "chat.example")
	if c.MinVersion != tls.VersionTLS13 || !strings.Contains(strings.Join(c.NextProtos, " "), "acme-tls/1") {
		t.Errorf("TLS %x, protocols %v", c.MinVersion, c.NextProtos)
	}
	if _, err := c.GetCertificate(&tls.ClientHelloInfo{ServerName: "other.example"}); err == nil || !strings.Contains(err.Error(), "not configured") {
		t.Errorf("another name: %v", err)
	}
}
