package engine

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/client"
	"github.com/securelink-chat/securelink/link"
)

// oneKey hands out the same key pair again and again.
type oneKey struct{ pair link.KeyPair }

func (k oneKey) Take(context.Context) (link.KeyPair, error) { return k.pair, nil }

// crowd is so many guests who come into the Lounge at once. They have as many
// machines to make RSA keys on; here one pair must do for all of them.
func (s *server) crowd(n int) (people []*person, lounge string, took time.Duration) {
	s.t.Helper()
	pair, err := link.GenerateKey()
	if err != nil {
		s.t.Fatal(err)
	}
	s.rsa = oneKey{pair}
	for i := range n {
		p := s.person(fmt.Sprintf("Guest %d", i))
		p.must(client.Request{Op: client.OpGuest, Name: p.name})
		people = append(people, p)
	}
	began := time.Now()
	for _, p := range people {
		p.engine.Do(client.Request{ID: 1001, Op: client.OpJoin, Text: "lounge"})
	}
	for _, p := range people {
		p.until("place in the Lounge", func() bool { return p.Replies[1001].Kind != "" })
		if ev := p.Replies[1001]; ev.Problem != nil {
			s.t.Fatalf("%s: %s", p.name, ev.Problem.Text)
		}
		lounge = p.Replies[1001].Room.ID
	}
	for _, p := range people {
		p.inRoom(lounge, "all the others", func(r client.Room) bool { return r.Members == n })
	}
	return people, lounge, time.Since(began)
}

// Fifty devices come into the Lounge at once; all end in one epoch, and hear
// each other.
func TestCrowd(t *testing.T) {
	const crowd = 50
	people, lounge, took := newServer(t).crowd(crowd)
	t.Logf("%d devices in one epoch after %v (wanted: 20 s)", crowd, took.Round(time.Millisecond))
	people[0].say(lounge, "all here?")
	for _, p := range people {
		p.hears(lounge, "all here?")
	}
}
