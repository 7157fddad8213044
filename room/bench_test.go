package room

import (
	"fmt"
	"strings"
	"testing"

	"github.com/securelink-chat/securelink/mls"
)

// BenchmarkSend builds a message: the records are what must be on disk before
// it leaves.
func BenchmarkSend(b *testing.B) {
	for _, size := range []int{100, 4000} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			_, alice, _, _ := inviteRoom(b)
			text := strings.Repeat("x", size)
			records := 0
			b.ReportAllocs()
			for b.Loop() {
				a, err := alice.room.Message(Draft{ID: randomID(), Kind: ItemText, Text: text})
				if err != nil {
					b.Fatal(err)
				}
				records += len(a.Records)
				if len(alice.room.flights) > 500 { // nothing comes back here
					alice.room.dropFlights()
					alice.room.forgetMine()
				}
			}
			b.ReportMetric(float64(records)/float64(b.N), "records/op")
		})
	}
}

// BenchmarkReceive examines messages of another member.
func BenchmarkReceive(b *testing.B) {
	s, alice, bob, _ := inviteRoom(b)
	text := strings.Repeat("x", 100)
	records := 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		bob.must(bob.send(text))
		bob.sync()
		e := s.log[len(s.log)-1]
		b.StartTimer()
		res, err := alice.room.Examine(e, true)
		if err != nil || res.Verdict != VerdictApplied {
			b.Fatal(res, err)
		}
		records += len(res.Records)
	}
	b.ReportMetric(float64(records)/float64(b.N), "records/op")
}

// BenchmarkCommit examines a change of a room with many members, by rules and
// tree.
func BenchmarkCommit(b *testing.B) {
	for _, members := range []int{10, 50} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			s := newServer()
			alice, bob := s.device(b, s.person("Alice")), s.device(b, s.person("Bob"))
			alice.self.Suite, bob.self.Suite = mls.DefaultSuite, mls.DefaultSuite
			alice.create(Spec{Mode: ModeInvite})
			packages := [][]byte{bob.keyPackage()}
			for i := range members - 2 {
				d := s.device(b, s.person(fmt.Sprint("P", i)))
				d.self.Suite = mls.DefaultSuite
				packages = append(packages, d.keyPackage())
			}
			alice.must(alice.commit(Intent{Kind: IntentAdd, KeyPackages: packages}))
			syncAll(alice, bob)
			for b.Loop() {
				b.StopTimer()
				alice.must(alice.commit(Intent{Kind: IntentRefresh}))
				alice.sync()
				e := s.log[len(s.log)-1]
				b.StartTimer()
				res, err := bob.room.Examine(e, true)
				if err != nil || res.Verdict != VerdictApplied {
					b.Fatal(res, err)
				}
			}
		})
	}
}
