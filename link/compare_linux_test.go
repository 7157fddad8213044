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
		if c.first, err = s.issue(b.Context(), a); err != nil {
			return err
		}
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

func compareTLS(b *testing.B, key crypto.Signer, resumed bool) {
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
	serverCfg := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}}, MinVersion: tls.VersionTLS13}
	clientCfg := &tls.Config{RootCAs: roots, ServerName: "server", MinVersion: tls.VersionTLS13}
	if resumed {
		clientCfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	var clientEnd, serverEnd net.Conn
	next := func() { clientEnd, serverEnd = net.Pipe() }
	client := func() error {
		c := tls.Client(clientEnd, clientCfg)
		if _, err := c.Read(make([]byte, 1)); err != nil {
			return err
		}
		return clientEnd.Close()
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
