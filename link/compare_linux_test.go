package link

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// threadTime is the processor time that this thread has used.
func threadTime(b *testing.B) time.Duration {
	b.Helper()
	const thread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCompare is the server's side of handshakes beside TLS 1.3: processor
// time of the server's thread alone, over a pipe, with the client in another.
func BenchmarkCompare(b *testing.B) {
	b.Run("link", func(b *testing.B) { compareLink(b, false) })
	b.Run("link-resumed", func(b *testing.B) { compareLink(b, true) })
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("tls-ecdsa", func(b *testing.B) { compareTLS(b, ec, false) })
	b.Run("tls-rsa", func(b *testing.B) { compareTLS(b, rs, false) })
	b.Run("tls-resumed", func(b *testing.B) { compareTLS(b, ec, true) })
}

// measure runs serve b.N times in a thread of its own, each against a client;
// next makes their pipe.
func measure(b *testing.B, client, serve func() error, next func()) {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	clients := make(chan error, 1)
	var used time.Duration
	for b.Loop() {
		next()
		go func() { clients <- client() }()
		start := threadTime(b)
		err := serve()
		used += threadTime(b) - start
		if err != nil {
			b.Fatal(err)
		}
		if err := <-clients; err != nil {
			b.Fatal(err)
		}
	}
	each := used / time.Duration(b.N)
	b.ReportMetric(float64(each.Nanoseconds())/1000, "server-µs/op")
	b.ReportMetric(float64(time.Second)/float64(each), "handshakes/s/core")
}

// compareLink computes in the measured thread, as a worker does.
func compareLink(b *testing.B, resumed bool) {
	s, root := benchServer(b)
	cfg := ClientConfig{Pin: root.Pin(), RSA: testKeys(), Tickets: &MemTickets{}}
	var clientEnd, serverEnd *PipeConn
	client := func() error {
		conn, err := Client(context.Background(), clientEnd, cfg)
		if err == nil {
			_, err = conn.Read()
		}
		return err
	}
	serve := func() error {
		ch, err := serverEnd.ReadFrame()
		if err != nil {
			return err
		}
		hello, ok := parseClientHello(ch)
		if !ok || hello.resumed != resumed {
			return ErrHandshake
		}
		var psk [32]byte
		if resumed {
			if psk, err = s.redeem(b.Context(), hello.ticket); err != nil {
				return err
			}
		}
		a, err := s.compute(ch, &hello, psk)
		if err != nil {
			return err
		}
		if err := serverEnd.WriteFrames(a.frame); err != nil {
			return err
		}
		if _, err := serverEnd.ReadFrame(); err != nil {
			return err
		}
		c := &Conn{fc: serverEnd, now: s.now, in: newHalf(clientToServer, a.secrets.c2s), out: newHalf(serverToClient, a.secrets.s2c)}
		c.first = s.issue(b.Context(), a)
		return c.Write([]byte("x"))
	}
	next := func() { clientEnd, serverEnd = Pipe() }
	if resumed {
		next()
		done := make(chan error, 1)
		go func() { done <- client() }()
		conn, err := s.Accept(b.Context(), serverEnd)
		if err != nil {
			b.Fatal(err)
		}
		conn.Write([]byte("x"))
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	} else {
		cfg.Tickets = nil
	}
	measure(b, client, serve, next)
}

// tlsConfigs are a server with a certificate of its own and a client who trusts it.
func tlsConfigs(b *testing.B, key crypto.Signer) (server, client *tls.Config) {
	b.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "server"}, DNSNames: []string{"server"},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		b.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		b.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}}, MinVersion: tls.VersionTLS13}
	client = &tls.Config{RootCAs: roots, ServerName: "server", MinVersion: tls.VersionTLS13}
	return server, client
}

func compareTLS(b *testing.B, key crypto.Signer, resumed bool) {
	serverCfg, clientCfg := tlsConfigs(b, key)
	if resumed {
		clientCfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	var clientEnd, serverEnd net.Conn
	next := func() { clientEnd, serverEnd = bufferedPipe() }
	client := func() error {
		defer clientEnd.Close()
		_, err := tls.Client(clientEnd, clientCfg).Read(make([]byte, 1))
		return err
	}
	warm := !resumed
	serve := func() error {
		c := tls.Server(serverEnd, serverCfg)
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		if warm && c.ConnectionState().DidResume != resumed {
			b.Error("not the kind of handshake that is measured")
		}
		return nil
	}
	if resumed {
		next()
		done := make(chan error, 1)
		go func() { done <- client() }()
		if err := serve(); err != nil {
			b.Fatal(err)
		}
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		warm = true
	}
	measure(b, client, serve, next)
}

// BenchmarkCompareRecords is what sending 800 bytes costs beside TLS 1.3, whose
// records are AES-GCM and not padded.
func BenchmarkCompareRecords(b *testing.B) {
	payload := make([]byte, 800)
	b.Run("link", func(b *testing.B) {
		c := &Conn{fc: NetConn(discard{}), now: time.Now, out: newHalf(serverToClient, [32]byte{1})}
		b.ReportAllocs()
		for b.Loop() {
			if err := c.Write(payload); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("tls", func(b *testing.B) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		serverCfg, clientCfg := tlsConfigs(b, key)
		near, far := bufferedPipe()
		quiet := &discard{Conn: near}
		server := tls.Server(quiet, serverCfg)
		done := make(chan error, 1)
		go func() { done <- tls.Client(far, clientCfg).Handshake() }()
		if err := server.Handshake(); err != nil {
			b.Fatal(err)
		}
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		quiet.Conn = nil
		b.ReportAllocs()
		for b.Loop() {
			if _, err := server.Write(payload); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// discard is a connection whose writes go nowhere, once Conn is nil.
type discard struct{ net.Conn }

func (d discard) Write(p []byte) (int, error) {
	if d.Conn != nil {
		return d.Conn.Write(p)
	}
	return len(p), nil
}

func (d discard) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// bufferedPipe is a stream in memory that holds what was written, as a socket
// does: both sides of a TLS handshake write at the same time.
func bufferedPipe() (a, b net.Conn) {
	near, far := Pipe()
	return &pipeStream{PipeConn: near}, &pipeStream{PipeConn: far}
}

// pipeStream is one end of a bufferedPipe. It has no more of net.Conn than TLS
// uses here.
type pipeStream struct {
	net.Conn
	*PipeConn
	rest []byte
}

func (p *pipeStream) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		frame, err := p.ReadFrame()
		if err != nil {
			return 0, err
		}
		p.rest = frame
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *pipeStream) Write(b []byte) (int, error) { return len(b), p.WriteFrames(b) }
func (p *pipeStream) Close() error                { return p.PipeConn.Close() }

// What both of the embedded have.
func (p *pipeStream) SetReadDeadline(t time.Time) error  { return p.PipeConn.SetReadDeadline(t) }
func (p *pipeStream) SetWriteDeadline(t time.Time) error { return p.PipeConn.SetWriteDeadline(t) }
func (p *pipeStream) SetDeadline(t time.Time) error {
	return errors.Join(p.SetReadDeadline(t), p.SetWriteDeadline(t))
}
func (p *pipeStream) RemoteAddr() net.Addr { return &net.TCPAddr{} }
