package link

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Many write and read on both ends at the same time: all arrives, each writer's
// in order.
func TestConcurrentUse(t *testing.T) {
	w := newWorld(t)
	client, server := w.connect()
	const writers, each = 8, 200
	var all sync.WaitGroup
	for _, ends := range [][2]*Conn{{client, server}, {server, client}} {
		for g := range writers {
			all.Go(func() {
				for i := range each {
					if err := ends[0].Write([]byte{byte(g), byte(i)}, []byte{byte(g), 255}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Go(func() {
			next := [writers]int{}
			for n := 0; n < writers*each*4; {
				got, err := ends[1].Read()
				if err != nil {
					t.Error(err)
					return
				}
				n += len(got)
				for i := 0; i < len(got); i += 4 {
					g := got[i]
					if int(got[i+1]) != next[g] || got[i+2] != g || got[i+3] != 255 {
						t.Errorf("writer %d: item %v where %d was due", g, got[i:i+4], next[g])
					}
					next[g]++
				}
			}
		})
	}
	all.Wait()
}

// gate is a transport whose writes wait until it opens.
type gate struct {
	FrameConn
	mu      sync.Mutex
	shut    chan struct{} // nil if open
	arrived chan int      // frames of each call
}

func (g *gate) WriteFrames(frames ...[]byte) error {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut != nil {
		g.arrived <- len(frames)
		<-shut
	}
	return g.FrameConn.WriteFrames(frames...)
}

// gated is a link whose client writes to a gate that is shut.
func (w *world) gated() (client, server *Conn, g *gate) {
	w.t.Helper()
	a, b := Pipe()
	g = &gate{FrameConn: a, arrived: make(chan int, 10)}
	client, server = w.connectOver(g, b)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = make(chan struct{})
	return client, server, g
}

// Writers who wait for one that is under way leave together.
func TestWaitingWritersShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		client, server, g := w.gated()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if err := client.Write([]byte("x")); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if len(g.arrived) != 1 {
			t.Fatalf("%d writes at once", len(g.arrived))
		}
		close(g.shut)
		all.Wait()
		hear(t, server, "x")
		hear(t, server, strings.Repeat("x", 19))
		if calls := len(g.arrived); calls != 2 {
			t.Errorf("%d system calls for 20 writers", calls)
		}
		w.server.Close()
	})
}

// A peer that takes nothing does not keep Close waiting for long, nor anyone who
// is writing then; the peer, should it read on, knows that it lost something.
func TestBlockedPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		client, server := w.connect()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				for {
					if err := server.Write(make([]byte, 100_000)); err != nil {
						if err != ErrClosed {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		all.Go(func() {
			if _, err := server.Read(); err != ErrClosed {
				t.Errorf("the reader: %v", err)
			}
		})
		synctest.Wait()
		start := time.Now()
		server.Close()
		server.Close()
		if took := time.Since(start); took > closeWait {
			t.Errorf("Close took %v", took)
		}
		all.Wait()
		var err error
		for err == nil {
			_, err = client.Read()
		}
		if !errors.Is(err, ErrLost) {
			t.Errorf("the peer: %v", err)
		}
		w.server.Close()
	})
}

// What was written before Close arrives before its end, also from writers that
// were waiting.
func TestCloseAfterWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		client, server, g := w.gated()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if err := client.Write([]byte("x")); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		all.Go(func() { client.Close() })
		synctest.Wait()
		if err := client.Write([]byte("too late")); err != ErrClosed {
			t.Errorf("a write after Close began: %v", err)
		}
		close(g.shut)
		all.Wait()
		hear(t, server, "x")
		hear(t, server, "xx")
		if _, err := server.Read(); err != ErrClosed {
			t.Errorf("at the end: %v", err)
		}
		w.server.Close()
	})
}

func TestAbort(t *testing.T) {
	w := newWorld(t)
	client, server := w.connect()
	server.Abort()
	if _, err := client.Read(); !errors.Is(err, ErrLost) {
		t.Errorf("the peer: %v", err)
	}
	if _, err := server.Read(); err != ErrClosed {
		t.Errorf("oneself: %v", err)
	}
	server.Close()
	client.Close()
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		client, server := w.connect()
		start := time.Now()
		client.SetReadDeadline(start.Add(time.Minute))
		if _, err := client.Read(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		client.SetReadDeadline(time.Time{})
		say(t, server, client, "the link can still be read")
		client.SetWriteDeadline(time.Now().Add(time.Minute))
		var err error
		for err == nil {
			err = client.Write(make([]byte, 100_000))
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, ErrLost) {
			t.Errorf("a write that ran out of time: %v", err)
		}
		client.SetWriteDeadline(time.Time{})
		if err := client.Write([]byte("x")); !errors.Is(err, ErrLost) {
			t.Errorf("a write after that: %v", err)
		}
		w.server.Close()
	})
}

func TestSecretsShowNothing(t *testing.T) {
	w := newWorld(t)
	client, _ := w.connect()
	pair := testKeys().pair
	for _, secret := range []any{
		w.root, w.online, &w.online, Ticket{PSK: [32]byte{1}}, StoredTicket{PSK: [32]byte{1}}, pair,
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			if got := fmt.Sprintf(verb, secret); got != "[redacted]" {
				t.Errorf("%s of a %T shows %q", verb, secret, got)
			}
		}
	}
	if got := fmt.Sprintf("%+v", client); !strings.HasPrefix(got, "link to ") || len(got) > 40 {
		t.Errorf("a Conn shows %q", got)
	}
}

func TestKeysComeBack(t *testing.T) {
	root := GenerateRoot()
	again, err := ParseRoot(root.Seed())
	if err != nil || again.Public() != root.Public() {
		t.Fatal("the root key did not come back", err)
	}
	online := root.NewOnline(3, time.Unix(2_000_000_000, 5))
	b := online.Bytes()
	back, err := ParseOnline(b[:])
	if err != nil || back.Cert() != online.Cert() {
		t.Fatal("the online key did not come back", err)
	}
	b[40] ^= 1 // the certificate is now of another key
	if _, err := ParseOnline(b[:]); err == nil {
		t.Error("a key with another's certificate was taken")
	}
	for n := range 200 {
		_, rootErr := ParseRoot(make([]byte, n))
		_, onlineErr := ParseOnline(make([]byte, n))
		_, ticketErr := ParseTicket(make([]byte, n))
		if (rootErr == nil) != (n == 32) || onlineErr == nil || (ticketErr == nil) != (n == ticketSize) {
			t.Errorf("%d bytes: %v, %v, %v", n, rootErr, onlineErr, ticketErr)
		}
	}
	ticket := Ticket{ID: [32]byte{1}, PSK: [32]byte{2}, Expires: time.Unix(5, 0)}
	tb := ticket.Bytes()
	if got, err := ParseTicket(tb[:]); err != nil || got != ticket {
		t.Error("the ticket did not come back", err)
	}
}

func TestMemTicketsAreBounded(t *testing.T) {
	var client MemTickets
	var server MemServerTickets
	for i := range maxMemServerTickets + 10 {
		id := [32]byte{byte(i), byte(i >> 8), byte(i >> 16)}
		client.Put([32]byte{}, Ticket{ID: id})
		server.PutTicket(t.Context(), id, StoredTicket{})
	}
	if len(client.byPin[[32]byte{}]) != maxMemTickets || len(server.all) != maxMemServerTickets {
		t.Errorf("%d and %d tickets", len(client.byPin[[32]byte{}]), len(server.all))
	}
}

// A frame connection that fails says so, once and for all.
func TestTransportFails(t *testing.T) {
	w := newWorld(t)
	client, _ := w.connect()
	client.fc = broken{client.fc}
	if err := client.Write([]byte("x")); !errors.Is(err, ErrLost) || !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("write: %v", err)
	}
	if _, err := client.Read(); !errors.Is(err, ErrLost) || !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("read: %v", err)
	}
}

type broken struct{ FrameConn }

func (broken) ReadFrame() ([]byte, error)  { return nil, io.ErrNoProgress }
func (broken) WriteFrames(...[]byte) error { return io.ErrShortWrite }
