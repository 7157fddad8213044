package link

import (
	"context"
	"crypto/rand"
	"testing"
	"time"
)

// benchServer is a server without its workers' help: benchmarks compute in
// their own goroutine.
func benchServer(b *testing.B) (*Server, RootKey) {
	b.Helper()
	root := GenerateRoot()
	s, err := NewServer(ServerConfig{
		Root: root.Public(), Online: root.NewOnline(1, time.Now().Add(time.Hour)), Tickets: &MemServerTickets{},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s, root
}

// serve is what a server does for one hello: parse, compute, make the link.
// Checking CFin is a comparison.
func (s *Server) serve(b *testing.B, ch []byte, psk [32]byte) {
	hello, ok := parseClientHello(ch)
	if !ok {
		b.Fatal("hello refused")
	}
	a, err := s.compute(ch, &hello, psk)
	if err != nil {
		b.Fatal(err)
	}
	newHalf(clientToServer, a.secrets.c2s)
	newHalf(serverToClient, a.secrets.s2c)
	if s.issue(context.Background(), a) == nil {
		b.Fatal("no ticket")
	}
}

func hello(b *testing.B, cfg ClientConfig) []byte {
	b.Helper()
	h := clientHandshake{cfg: cfg}
	h.cfg.Now = time.Now
	if err := h.prepare(context.Background()); err != nil {
		b.Fatal(err)
	}
	return h.ch
}

// BenchmarkServerFull is one full handshake of the server's side, without
// transport.
func BenchmarkServerFull(b *testing.B) {
	s, _ := benchServer(b)
	ch := hello(b, ClientConfig{RSA: testKeys()})
	b.ReportAllocs()
	for b.Loop() {
		s.serve(b, ch, [32]byte{})
	}
}

// BenchmarkServerResumed is one resumption of the server's side.
func BenchmarkServerResumed(b *testing.B) {
	s, root := benchServer(b)
	tickets := &MemTickets{}
	tickets.Put(root.Pin(), Ticket{Expires: time.Now().Add(time.Hour)})
	ch := hello(b, ClientConfig{Pin: root.Pin(), Tickets: tickets})
	b.ReportAllocs()
	for b.Loop() {
		s.serve(b, ch, [32]byte{1})
	}
}

// The parts of a handshake.
func BenchmarkParts(b *testing.B) {
	ch := hello(b, ClientConfig{RSA: testKeys()})
	h, _ := parseClientHello(ch)
	secret := make([]byte, 32)
	rand.Read(secret)
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			parseClientHello(ch)
		}
	})
	b.Run("rsa", func(b *testing.B) {
		for b.Loop() {
			if _, err := encryptOAEP(&h.modulus, secret, bound(labelRSA, ch)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("xwing", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := encapsulate(h.xwing, ch); err != nil {
				b.Fatal(err)
			}
		}
	})
}
