package gateway

import (
	"context"
	"net/http"
	"runtime"
	"testing"
)

// BenchmarkIdleSocket reports what a browser that says nothing costs the
// gateway, the core left out: heap and stacks, after a collection.
func BenchmarkIdleSocket(b *testing.B) {
	const sockets = 1000
	for b.Loop() {
		idle(b, sockets)
	}
}

func idle(b *testing.B, sockets int) {
	b.Helper()
	served := make(chan struct{}, sockets)
	wait := func(_ context.Context, fc FrameConn) error {
		served <- struct{}{}
		_, err := fc.ReadFrame()
		return err
	}
	w := start(b, false, Config{Limits: Limits{Sockets: sockets + 10, NewSockets: sockets + 10, Connections: sockets + 10}}, wait)
	before := memory()
	browsers := make([]*wsBrowser, sockets)
	var mine uint64 // of the clients, which live in this process too
	for i := range browsers {
		var err error
		if browsers[i], err = dialWebSocket(b, w.url, http.Header{}); err != nil {
			b.Fatal(err)
		}
		<-served
		mine += uint64(4096 + 512) // bufio's buffer and the connection
	}
	b.ReportMetric(float64(memory()-before-mine)/float64(sockets), "B/socket")
	for _, c := range browsers {
		c.close()
	}
}

func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
