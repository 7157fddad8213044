// Package acme has the server get its certificate from a real authority that
// speaks ACME: Pebble, which is Let's Encrypt's own for tests. It is a module of
// its own, so that what it needs is not the product's.
package acme

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const domain = "chat.example.org"

// tool builds a program and returns where it is.
func tool(t *testing.T, folder, name, pkg string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-o", path, pkg)
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, out)
	}
	return path
}

func port(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func local(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// start runs a program until the test ends, or stop is called, and waits for a
// line that begins with ready; "" waits for none.
func start(t *testing.T, ready string, env []string, args ...string) (stop func()) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for ready != "" && lines.Scan() && !strings.HasPrefix(lines.Text(), ready) {
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines.Scan() {
		}
		_ = cmd.Wait()
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	}
	t.Cleanup(stop)
	return stop
}

// answers waits until something listens.
func answers(t *testing.T, address string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// authority is Pebble with a name server that leads every name to this machine.
type authority struct {
	directory, root, management string
	stop                        func()
}

func startAuthority(t *testing.T, tlsPort int) authority {
	t.Helper()
	where, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/letsencrypt/pebble/v2").Output()
	if err != nil {
		t.Fatal(err)
	}
	certs := filepath.Join(strings.TrimSpace(string(where)), "test", "certs")
	names, listen, management := port(t), port(t), port(t)
	settings := map[string]any{"pebble": map[string]any{
		"listenAddress": local(listen), "managementListenAddress": local(management),
		"certificate": filepath.Join(certs, "localhost", "cert.pem"), "privateKey": filepath.Join(certs, "localhost", "key.pem"),
		"httpPort": port(t), "tlsPort": tlsPort, "ocspResponderURL": "", "externalAccountBindingRequired": false,
		"retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles":   map[string]any{"default": map[string]any{"description": "for a test", "validityPeriod": 7776000}},
	}}
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pebble.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, "", nil, tool(t, ".", "names", "github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv"), "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "",
		"-dnsserver", local(names), "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-management", local(port(t)))
	answers(t, local(names))
	a := authority{directory: fmt.Sprintf("https://localhost:%d/dir", listen), root: filepath.Join(certs, "pebble.minica.pem"), management: local(management)}
	a.stop = start(t, "", []string{"PEBBLE_VA_NOSLEEP=1"}, tool(t, ".", "pebble", "github.com/letsencrypt/pebble/v2/cmd/pebble"), "-config", file, "-dnsserver", local(names))
	answers(t, local(listen))
	return a
}

// trusted is what the authority signs with: another root at each of its starts.
func (a authority) trusted(t *testing.T) *x509.CertPool {
	t.Helper()
	own, err := os.ReadFile(a.root)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(own)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "localhost"}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://" + a.management + "/roots/0")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	root, err := io.ReadAll(resp.Body)
	if block, _ := pem.Decode(root); err != nil || block == nil {
		t.Fatalf("the authority's root: %v in %q", err, root)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(root)
	return roots
}

// The server gets a certificate at the first visit, answers the challenge on its
// own port, keeps what it got for itself alone, and serves it after a restart
// without the authority. For another name it asks for nothing.
func TestCertificateFromAnAuthority(t *testing.T) {
	web, data := port(t), filepath.Join(t.TempDir(), "data")
	ca := startAuthority(t, web)
	roots := ca.trusted(t)
	binary := tool(t, "../..", "securelink", "./cmd/securelink")
	serve := func() (stop func()) {
		return start(t, "Ready.", []string{"SSL_CERT_FILE=" + ca.root}, binary, "serve", "--data", data, "--listen", "127.0.0.1:0",
			"--web", local(web), "--domain", domain, "--set", "web.acme="+ca.directory)
	}
	visit := func(name string) (*x509.Certificate, error) {
		dialer := &net.Dialer{Timeout: time.Minute}
		conn, err := tls.DialWithDialer(dialer, "tcp", local(web), &tls.Config{RootCAs: roots, ServerName: name})
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0], nil
	}
	stop := serve()
	first, err := visit(domain)
	if err != nil {
		t.Fatal(err)
	}
	if first.VerifyHostname(domain) != nil || !strings.Contains(first.Issuer.CommonName, "Pebble") {
		t.Errorf("the certificate is for %v, by %s", first.DNSNames, first.Issuer)
	}
	if _, err := visit("other.example.org"); err == nil {
		t.Error("it got a certificate for a name that is not its own")
	}
	files, err := os.ReadDir(filepath.Join(data, "acme"))
	if err != nil || len(files) == 0 {
		t.Fatalf("nothing is kept: %v", err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others can read %s: %v", f.Name(), err)
		}
	}
	stop()
	ca.stop()
	serve()
	again, err := visit(domain)
	if err != nil {
		t.Fatalf("after a restart, without the authority: %v", err)
	}
	if !again.Equal(first) {
		t.Error("after a restart it serves another certificate")
	}
}
