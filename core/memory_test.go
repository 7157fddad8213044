//go:build unix

package core_test

import (
	"sync"
	"testing"

	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/wire"
)

// BenchmarkIdleConnection says what one idle client over TCP costs the server:
// logged in, watching, in a room of ten. The server is a process of its own;
// the kernel's socket buffers are not in the figure.
func BenchmarkIdleConnection(b *testing.B) {
	const rooms, size = 100, 10
	for b.Loop() {
		root := link.GenerateRoot()
		srv := startChild(b, b.TempDir(), root)
		w := &world{t: b, root: root}
		before := srv.memory(b)
		people, clients := make([]*person, rooms*size), make([]*client, rooms*size)
		var all sync.WaitGroup
		gate := make(chan struct{}, 8)
		for i := range people {
			all.Go(func() {
				gate <- struct{}{}
				defer func() { <-gate }()
				people[i], clients[i] = w.person("P"), dialChild(b, srv.addr, root)
				must[wire.HelloOK](clients[i], wire.Hello{Version: wire.Version})
				must[wire.LoginOK](clients[i], wire.Guest{Account: people[i].account(clients[i].conn.Exporter())})
			})
		}
		all.Wait()
		for i := 0; i < len(people); i += size {
			room := group(b, clients[i:i+size], people[i:i+size])
			for _, c := range clients[i : i+size] {
				must[wire.WatchOK](c, wire.Watch{})
			}
			must[wire.AppendOK](clients[i], message(room))
		}
		b.ReportMetric(float64(srv.memory(b)-before)/float64(len(clients)), "B/connection")
		srv.kill()
	}
}
