//go:build unix

package core_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/wire"
)

// The benchmarks run the server in a process of its own, over TCP and sealed
// for each recipient, and report its processor time beside the rates, which on
// a small machine are those of server and clients together. Every rate limit is
// raised: it is the machine that is measured.

// sink is a client that counts what it gets.
type sink struct {
	*client
	got atomic.Int64
}

// crowd connects people over TCP to a server in a process of its own, in rooms
// of a size, all watching.
type crowd struct {
	srv   *child
	sinks []*sink
	rooms []wire.RoomID
	size  int
}

func newCrowd(b *testing.B, rooms, size int) *crowd {
	b.Helper()
	root := link.GenerateRoot()
	c := &crowd{srv: startChild(b, b.TempDir(), root), size: size}
	b.Cleanup(c.srv.end)
	w := &world{t: b, root: root}
	people := make([]*person, rooms*size)
	c.sinks = make([]*sink, rooms*size)
	var all sync.WaitGroup
	gate := make(chan struct{}, 8)
	for i := range people {
		all.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			people[i] = w.person(fmt.Sprintf("P%d", i))
			c.sinks[i] = dialSink(b, root, c.srv.addr)
			must[wire.HelloOK](c.sinks[i].client, wire.Hello{Version: wire.Version})
			must[wire.LoginOK](c.sinks[i].client, wire.Guest{Account: people[i].account(c.sinks[i].conn.Exporter())})
		})
	}
	all.Wait()
	for r := range rooms {
		room := newRoom()
		c.rooms = append(c.rooms, room)
		first := c.sinks[r*size].client
		must[wire.RoomState](first, wire.CreateRoom{Room: room, Kind: wire.RoomInvite})
		must[wire.AppendOK](first, commit(room, 0, people[r*size+1:(r+1)*size], nil))
	}
	for _, s := range c.sinks {
		must[wire.WatchOK](s.client, wire.Watch{})
	}
	return c
}

func dialSink(b *testing.B, root link.RootKey, addr string) *sink {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	lc, err := link.Client(context.Background(), link.NetConn(conn), link.ClientConfig{Pin: root.Pin(), RSA: oneKey{}})
	if err != nil {
		b.Fatal(err)
	}
	s := &sink{client: &client{t: b, conn: lc, waiting: map[uint64]chan wire.Item{}, done: make(chan struct{})}}
	go s.read()
	b.Cleanup(func() {
		_ = lc.Close()
		<-s.done
	})
	return s
}

// read counts entries and passes answers on. It looks at the heads of items
// only, so that the clients are not what is measured.
func (s *sink) read() {
	defer close(s.done)
	for {
		payload, err := s.conn.Read()
		if err != nil {
			return
		}
		for len(payload) > 0 {
			it, rest, err := wire.Next(payload)
			if err != nil {
				return
			}
			payload = rest
			if it.Kind == wire.ItemEvent {
				if it.Event == wire.EventEntry {
					s.got.Add(1)
				}
				continue
			}
			s.mu.Lock()
			ch := s.waiting[it.ID]
			delete(s.waiting, it.ID)
			s.mu.Unlock()
			if ch != nil {
				ch <- it
			}
		}
	}
}

// message is about what a text of 256 bytes becomes: 800 bytes.
func message(room wire.RoomID) *wire.Append {
	return &wire.Append{Room: room, Kind: wire.EntryMessage, Examined: 1, Message: newMessage(), Payload: make([]byte, 260), Body: make([]byte, 540)}
}

// run sends n messages, each room by one of its people with some in flight,
// and waits until all are acknowledged and delivered.
func (c *crowd) run(b *testing.B, n, inFlight int) {
	before := make([]int64, len(c.sinks))
	for i, s := range c.sinks {
		before[i] = s.got.Load()
	}
	sent := make([]int64, len(c.rooms))
	var all sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(n))
	for r, room := range c.rooms {
		all.Go(func() {
			from := c.sinks[r*c.size].client
			var window []chan wire.Item
			finishOne := func() {
				if _, err := finish[wire.AppendOK](window[0]); err != nil {
					b.Error(err)
				}
				window = window[1:]
			}
			for left.Add(-1) >= 0 {
				ch, err := from.begin(newKey(), message(room))
				if err != nil {
					b.Error(err)
					return
				}
				sent[r]++
				if window = append(window, ch); len(window) >= inFlight {
					finishOne()
				}
			}
			for len(window) > 0 {
				finishOne()
			}
		})
	}
	all.Wait()
	for i, s := range c.sinks {
		for s.got.Load() < before[i]+sent[i/c.size] {
			time.Sleep(100 * time.Microsecond)
		}
	}
}

func (c *crowd) bench(b *testing.B, inFlight int) {
	c.run(b, 100, inFlight) // what is made at the first use is not what is measured
	b.ResetTimer()
	began, cpu := time.Now(), c.srv.cpu(b)
	c.run(b, b.N, inFlight)
	seconds, cpu := time.Since(began).Seconds(), c.srv.cpu(b)-cpu
	b.StopTimer()
	b.ReportMetric(float64(b.N)/seconds, "messages/s")
	b.ReportMetric(float64(b.N*c.size)/seconds, "deliveries/s")
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "server-µs/message")
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N*c.size), "server-ns/delivery")
}

// BenchmarkAppend: rooms of ten, durable in SQLite, sealed for each recipient.
func BenchmarkAppend(b *testing.B) { newCrowd(b, 20, 10).bench(b, 32) }

// BenchmarkFanOut: one room of a thousand connected devices.
func BenchmarkFanOut(b *testing.B) { newCrowd(b, 1, 1000).bench(b, 8) }

// BenchmarkCommit: the store alone, by entries a transaction.
func BenchmarkCommit(b *testing.B) {
	for _, batch := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			s := newStore(b, "sqlite")
			rooms := make([]core.RoomRecord, 100)
			heads := make([]core.Head, len(rooms))
			var setup []core.Change
			for i := range rooms {
				rooms[i] = core.RoomRecord{ID: newRoom(), Kind: wire.RoomInvite}
				setup = append(setup, core.PutRoom{RoomRecord: rooms[i]})
			}
			if err := s.Commit(b.Context(), setup); err != nil {
				b.Fatal(err)
			}
			for _, r := range rooms {
				if _, _, _, err := s.Room(b.Context(), r.ID); err != nil {
					b.Fatal(err)
				}
			}
			raw, err := wire.Encode(wire.Entry{Seq: 1, Kind: wire.EntryMessage, Payload: make([]byte, 260), Body: make([]byte, 540)})
			if err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			for i := 0; i < b.N; i += batch {
				var changes []core.Change
				for k := range min(batch, b.N-i) {
					n := (i + k) % len(rooms)
					heads[n].Seq++
					changes = append(changes, core.PutEntry{Room: rooms[n].ID, Seq: heads[n].Seq, Kind: wire.EntryMessage, Data: raw},
						core.PutAnswer{AnswerRecord: core.AnswerRecord{Key: newKey(), Op: wire.OpAppend, Body: make([]byte, 48), Time: uint64(time.Now().UnixMilli())}})
				}
				if err := s.Commit(b.Context(), changes); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}
