package link

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A ticket works once, at the server that made it, under the key that it was
// made under, for a day. When it does not work, the next attempt is a full one.
func TestTickets(t *testing.T) {
	kept := &MemTickets{}
	fresh := func(w *world) Ticket {
		t.Helper()
		w.client.Tickets = kept
		kept.byPin = nil
		client, server := w.connect()
		say(t, server, client, "with a ticket")
		ticket, ok := kept.Take(w.root.Pin())
		if !ok {
			t.Fatal("no ticket came")
		}
		return ticket
	}
	with := func(w *world, tickets ...Ticket) (*Conn, error, error) {
		t.Helper()
		kept.byPin = map[[32]byte][]Ticket{w.root.Pin(): tickets}
		w.client.Tickets = kept
		a, b := Pipe()
		result := w.accept(b)
		client, err := Client(context.Background(), a, w.client)
		return client, err, (<-result).err
	}
	good := func(what string, w *world, ticket Ticket) {
		t.Helper()
		if client, err, _ := with(w, ticket); err != nil || !client.Resumed() {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused := func(what string, w *world, ticket Ticket) {
		t.Helper()
		_, err, serverErr := with(w, ticket)
		if err == nil || errors.Is(err, ErrPin) || !errors.Is(serverErr, ErrHandshake) && !errors.Is(serverErr, ErrLost) && !errors.Is(serverErr, errBroken) {
			t.Errorf("%s: client %v, server %v", what, err, serverErr)
		}
		if client, err, _ := with(w); err != nil || client.Resumed() {
			t.Errorf("%s: the full handshake after it: %v", what, err)
		}
	}
	w := newWorld(t)
	ticket := fresh(w)
	good("a fresh ticket", w, ticket)
	refused("a ticket twice", w, ticket)

	elsewhere := newWorld(t)
	ticket = fresh(w)
	refused("a ticket of another server", elsewhere, ticket)
	good("after it was tried elsewhere", w, ticket)

	unknown := fresh(w)
	unknown.ID[0] ^= 1
	refused("an unknown id", w, unknown)
	wrong := fresh(w)
	wrong.PSK[0] ^= 1
	refused("a wrong secret", w, wrong)

	ticket = fresh(w)
	if err := w.server.Renew(w.root.NewOnline(8, time.Now().Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	refused("a ticket of the last online key", w, ticket)
	good("a ticket of this online key", w, fresh(w))
	if err := w.server.Renew(elsewhere.online); err == nil {
		t.Error("renewed with another root's key")
	}

	without := newWorld(t, func(c *ServerConfig) { c.Tickets = nil })
	refused("a server without tickets", without, fresh(w))

	broken := newWorld(t, func(c *ServerConfig) { c.Tickets = brokenStore{} })
	client, server := broken.connect()
	say(t, server, client, "a store that fails costs the ticket and no more")
	refused("a store that fails", broken, fresh(w))

	// All checks of a full handshake apply.
	ticket = fresh(w)
	w.client.MinEpoch = 9
	if _, err, _ := with(w, ticket); !errors.Is(err, ErrHandshake) {
		t.Errorf("resumed below the epoch that was seen: %v", err)
	}
}

// brokenStore fails.
type brokenStore struct{}

var errBroken = errors.New("broken store")

func (brokenStore) PutTicket(context.Context, [32]byte, StoredTicket) error { return errBroken }
func (brokenStore) TakeTicket(context.Context, [32]byte) (StoredTicket, bool, error) {
	return StoredTicket{}, false, errBroken
}

func TestOldTickets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		kept := &MemTickets{}
		w.client.Tickets = kept
		later := func(d time.Duration, forge bool) (resumed bool, err error) {
			kept.byPin = nil
			client, server := w.connect()
			say(t, server, client, "with a ticket")
			time.Sleep(d)
			if forge { // a client that does not look at the time itself
				kept.byPin[w.root.Pin()][0].Expires = time.Now().Add(time.Hour)
			}
			a, b := Pipe()
			w.accept(b)
			conn, err := Client(context.Background(), a, w.client)
			return err == nil && conn.Resumed(), err
		}
		if resumed, err := later(TicketLife-time.Second, false); !resumed || err != nil {
			t.Errorf("a ticket in its last second: %v", err)
		}
		if resumed, err := later(TicketLife, false); resumed || err != nil {
			t.Errorf("an old ticket, which its client knows: %v", err)
		}
		if _, err := later(TicketLife, true); err == nil {
			t.Error("the server took an old ticket")
		}
		w.server.Close()
	})
}

// Of many who come with one ticket at the same time, one resumes.
func TestTicketRace(t *testing.T) {
	w := newWorld(t, func(c *ServerConfig) { c.Workers = 2 })
	kept := &MemTickets{}
	w.client.Tickets = kept
	client, server := w.connect()
	say(t, server, client, "with a ticket")
	ticket, _ := kept.Take(w.root.Pin())
	var all sync.WaitGroup
	resumed := make(chan struct{}, 20)
	for range 20 {
		all.Go(func() {
			cfg := w.client
			own := &MemTickets{}
			own.Put(w.root.Pin(), ticket)
			cfg.Tickets = own
			a, b := Pipe()
			w.accept(b)
			if _, err := Client(context.Background(), a, cfg); err == nil {
				resumed <- struct{}{}
			}
		})
	}
	all.Wait()
	if len(resumed) != 1 {
		t.Errorf("%d resumed with one ticket", len(resumed))
	}
}

// What a resumed link runs on is not what the first one did, nor is any of it
// known to who has only the ticket's secret: the keys need the fresh X-Wing too.
func TestResumedKeysAreFresh(t *testing.T) {
	w := newWorld(t)
	w.client.Tickets = &MemTickets{}
	first, server := w.connect()
	say(t, server, first, "with a ticket")
	second, _ := w.connect()
	if !second.Resumed() || second.Exporter() == first.Exporter() || second.in.k == first.in.k {
		t.Error("a resumed link has the first one's keys")
	}
	var th [32]byte
	psk, k2, other := make([]byte, 32), make([]byte, 32), make([]byte, 32)
	other[0] = 1
	a, err := schedule(true, th, psk, k2)
	if err != nil {
		t.Fatal(err)
	}
	b, err := schedule(true, th, psk, other)
	if err != nil {
		t.Fatal(err)
	}
	full, err := schedule(false, th, psk, k2)
	if err != nil {
		t.Fatal(err)
	}
	if a.c2s == b.c2s || a.exporter == b.exporter || a.c2s == full.c2s {
		t.Error("the keys do not depend on the X-Wing leg or on the form")
	}
}

// place is an address in the i-th prefix.
func placeAddr(i int) netip.AddrPort {
	if i%2 == 0 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 7}), 1)
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 8), byte(i), 15: 1}), 1)
}

// 5,000 handshakes that stop half way: each holds little, and all are cut when
// their time is over.
func TestHalfOpen(t *testing.T) {
	const n, perLink = 5000, 16 << 10
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := clientHandshake{cfg: w.client}
		h.cfg.Now = time.Now
		if err := h.prepare(context.Background()); err != nil {
			t.Fatal(err)
		}
		clients := make([]*PipeConn, n)
		errs := make([]error, n)
		var all sync.WaitGroup
		before := memory()
		start := time.Now()
		for i := range n {
			a, b := Pipe()
			b.SetRemoteAddr(placeAddr(i))
			clients[i] = a
			all.Go(func() { _, errs[i] = w.server.Accept(context.Background(), b) })
			if i%2 == 0 { // half of them say hello and no more, half say nothing
				if err := a.WriteFrames(h.ch); err != nil {
					t.Fatal(err)
				}
			}
		}
		synctest.Wait()
		held := (memory() - before) / n
		t.Logf("%d bytes held for each, with both ends of its pipe", held)
		if held > perLink {
			t.Errorf("%d bytes held for each half-open handshake", held)
		}
		for i := 0; i < n; i += 2 {
			if frame, err := clients[i].ReadFrame(); err != nil || len(frame) != serverHelloSize+finSize {
				t.Fatalf("handshake %d was not answered: %v", i, err)
			}
		}
		all.Wait()
		if took := time.Since(start); took != serverTimeout {
			t.Errorf("they were cut after %v", took)
		}
		for i, err := range errs {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("handshake %d ended with %v", i, err)
			}
		}
		client, server := w.connect() // and the server still serves
		say(t, client, server, "hello")
		w.server.Close()
	})
}

// memory is what the heap and the stacks hold.
func memory() uint64 {
	held := heap()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return held + m.StackInuse
}

// A closing server ends who waits, and refuses who comes.
func TestServerClose(t *testing.T) {
	w := newWorld(t)
	a, b := Pipe()
	result := w.accept(b)
	if err := a.WriteFrames([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if r := <-result; r.err == nil {
		t.Error("not a hello")
	}
	client, server := w.connect()
	waiting := make([]<-chan accepted, 10)
	for i := range waiting {
		_, b := Pipe()
		waiting[i] = w.accept(b)
	}
	w.server.Close()
	for _, r := range waiting {
		if (<-r).err == nil {
			t.Error("a handshake survived")
		}
	}
	_, b = Pipe()
	if _, err := w.server.Accept(context.Background(), b); !errors.Is(err, errServerClosed) {
		t.Errorf("after Close: %v", err)
	}
	say(t, client, server, "links that are open stay so")
}

// Prefixes take turns, however many come from one.
func TestFairQueue(t *testing.T) {
	q := newFairQueue()
	names := map[*job]string{}
	add := func(name, addr string) error {
		j := &job{done: make(chan struct{})}
		names[j] = name
		return q.add(prefixOf(netip.MustParseAddrPort(addr)), j)
	}
	for i := range 5 {
		add(fmt.Sprintf("a%d", i), fmt.Sprintf("192.0.2.%d:1", i))
	}
	add("b0", "198.51.100.1:1")
	add("b1", "[::ffff:198.51.100.2]:1")
	add("c0", "[2001:db8:1:1::1]:1")
	add("c1", "[2001:db8:1:ffff::1]:1")
	add("d0", "[2001:db8:2::1]:1")
	got := ""
	for q.total > 0 {
		got += names[q.next()] + " "
	}
	if want := "a0 b0 c0 d0 a1 b1 c1 a2 a3 a4 "; got != want {
		t.Errorf("order %s, want %s", got, want)
	}
	if len(q.places) != 0 || len(q.turns) != 0 {
		t.Error("places are left behind")
	}
}

// The queue is bounded, by prefix and in all; when it is full, who has least
// there is let in at the cost of who has most.
func TestFullQueue(t *testing.T) {
	q := newFairQueue()
	jobs := map[int][]*job{}
	add := func(place int) error {
		j := &job{done: make(chan struct{})}
		err := q.add(prefixOf(placeAddr(place)), j)
		if err == nil {
			jobs[place] = append(jobs[place], j)
		}
		return err
	}
	for i := range queuePerPrefix + 1 {
		if err := add(1); (err == nil) != (i < queuePerPrefix) {
			t.Fatalf("job %d of one prefix: %v", i, err)
		}
	}
	for place := 2; q.total < queueTotal; place++ {
		for range min(32, queueTotal-q.total) {
			if err := add(place); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := add(10_000); err != nil {
		t.Fatal("a newcomer was refused:", err)
	}
	last := jobs[1][queuePerPrefix-1]
	select {
	case <-last.done:
		if last.err != ErrBusy {
			t.Error(last.err)
		}
	default:
		t.Error("nobody made room")
	}
	if err := add(1); err != ErrBusy {
		t.Error("who has most got more:", err)
	}
	if q.total != queueTotal {
		t.Errorf("%d wait", q.total)
	}
	if !q.remove(jobs[2][0]) || q.remove(jobs[2][0]) || q.total != queueTotal-1 {
		t.Error("a job that gave up did not leave")
	}
	q.close()
	if q.next() != nil || add(3) != ErrBusy {
		t.Error("a closed queue goes on")
	}
}

// An idle link holds at most 4 KiB, beyond its connection.
func TestIdleMemory(t *testing.T) {
	const n, perLink = 1000, 4 << 10
	w := newWorld(t)
	client, server := w.connect()
	say(t, client, server, "warm")
	conns := make([]*Conn, n)
	before := heap()
	for i := range conns {
		var k [32]byte
		k[0], k[1] = byte(i), byte(i>>8)
		c := &Conn{fc: client.fc, now: time.Now, in: newHalf(clientToServer, k), out: newHalf(serverToClient, k)}
		peer := newHalf(clientToServer, k)
		if _, ok := opens(&c.in, recordOf(&peer, "read")); !ok {
			t.Fatal("refused")
		}
		recordOf(&c.out, "written")
		conns[i] = c
	}
	held := (heap() - before) / n
	t.Logf("%d bytes a link", held)
	if held > perLink {
		t.Errorf("an idle link holds %d bytes", held)
	}
	runtime.KeepAlive(conns)
}

// heap is what the heap holds.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
