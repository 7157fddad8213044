package engine

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/securelink-chat/securelink/client"
	"github.com/securelink-chat/securelink/link"
)

// historyLength is how many messages the benchmarks of history have: those of
// the mark, or HISTORY.
func historyLength(b *testing.B) int {
	n, err := strconv.Atoi(os.Getenv("HISTORY"))
	if err != nil {
		return 20_000
	}
	return n
}

// talk sends n messages through the engine's outbox and waits until the log has them.
func (p *person) talk(room string, from, n int) {
	p.t.Helper()
	const together = 500 // the outbox holds 1,000
	for sent := 0; sent < n; {
		p.Mu.Lock()
		p.Events = nil
		p.Mu.Unlock()
		last := ""
		for range min(together, n-sent) {
			last = fmt.Sprintf("message %d, about as long as what people write to each other", from+sent)
			p.say(room, last)
			sent++
		}
		p.hears(room, last)
	}
}

// BenchmarkSend is the way of a message from the request to its entry in the
// log: outbox, sealing, signature, storage, the server, and back.
func BenchmarkSend(b *testing.B) {
	s := newServer(b)
	pool := link.NewKeyPool(1)
	defer pool.Close()
	s.rsa = pool
	alice, lounge := s.guest("Alice")
	alice.talk(lounge, 0, 10)
	b.ResetTimer()
	alice.talk(lounge, 10, b.N)
}

// BenchmarkHistory is somebody who comes back after 20,000 messages (or as many
// as HISTORY says): from starting the engine on what is on disk until the last
// of them is kept.
func BenchmarkHistory(b *testing.B) {
	n := historyLength(b)
	s := newServer(b)
	pool := link.NewKeyPool(1)
	defer pool.Close()
	s.rsa = pool
	alice, lounge := s.guest("Alice")
	bob, _ := s.guest("Bob")
	alice.say(lounge, "hello")
	bob.hears(lounge, "hello")
	bob.stop()
	alice.talk(lounge, 0, n-1)
	const last = "the last one"
	alice.say(lounge, last)
	alice.hears(lounge, last)
	alice.stop()
	before, err := bob.storage.Load(b.Context(), client.Range{})
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		storage := client.NewMemory()
		for _, pair := range before {
			if err := storage.Apply(b.Context(), []client.Put{{Key: pair.Key, Value: pair.Value}}); err != nil {
				b.Fatal(err)
			}
		}
		engine, err := client.New(client.Config{Storage: storage, Dialer: s, Pin: s.root.Pin(), RSA: s.rsa})
		if err != nil {
			b.Fatal(err)
		}
		ctx, stop := context.WithCancel(b.Context())
		ended := make(chan error, 1)
		b.StartTimer()
		go func() { ended <- engine.Run(ctx) }()
		for ev := range engine.Events() {
			if ev.Kind == client.EvItem && ev.Item.Text == last {
				break
			}
		}
		b.StopTimer()
		stop()
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
		bob.storage = storage
		b.StartTimer()
	}
	b.StopTimer()
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	// All of them, once and in order.
	bob.run(s)
	got := bob.texts(lounge)
	if len(got) != n+1 {
		b.Fatalf("%d messages of %d", len(got), n+1)
	}
	for i, text := range got[1 : len(got)-1] {
		if want := fmt.Sprintf("Alice: message %d,", i); len(text) < len(want) || text[:len(want)] != want {
			b.Fatalf("message %d is %q", i, text)
		}
	}
}
