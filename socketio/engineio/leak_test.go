package engineio_test

import (
	"bytes"
	"context"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/socketio/engineio"
)

func contextSoon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 50*time.Millisecond)
}

// ourGoroutines counts goroutines with a function of this package on their
// stack, as the profile shows them.
func ourGoroutines() int {
	var text bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&text, 2)
	count := 0
	for stack := range strings.SplitSeq(text.String(), "\n\n") {
		if strings.Contains(stack, "socketio/engineio.(*") {
			count++
		}
	}
	return count
}

// TestReconnectsLeaveNothing opens and ends sessions in every way there is and
// looks for what stays.
func TestReconnectsLeaveNothing(t *testing.T) {
	st := start(t, engineio.Options{CloseTimeout: 20 * time.Millisecond})
	ways := []func(t *testing.T){
		func(t *testing.T) { st.dial(t).Close() },
		func(t *testing.T) { c := st.dial(t); _ = c.Text("nonsense"); wantEnd(t, c); c.Close() },
		func(t *testing.T) { c := st.dial(t); _ = c.Text("1"); wantEnd(t, c); c.Close() },
		func(t *testing.T) { p := st.poll(t); wantPost(t, p, "1", 200) },
		func(t *testing.T) {
			p := st.poll(t)
			c := st.probe(t, p.SID)
			_ = c.Text("2probe")
			wantNext(t, c, "3probe")
			_ = c.Text("5")
			c.Close()
		},
		func(t *testing.T) { p := st.poll(t); c := st.probe(t, p.SID); wantPost(t, p, "1", 200); wantEnd(t, c) },
		func(t *testing.T) { p := st.poll(t); wantPost(t, p, "x", 400) },
	}
	// Every round is a test of its own, so that its clients are let go.
	round := func(name string, n int) {
		t.Run(name, func(t *testing.T) {
			for i := range n {
				ways[i%len(ways)](t)
			}
			for range n {
				<-st.ends
			}
			for len(st.opened) > 0 {
				<-st.opened
			}
			eventually(t, "all sessions are forgotten", func() bool { return st.Sessions() == 0 })
		})
	}
	// The first rounds fill pools and make the goroutines that the runtime keeps
	// for reuse. What leaks is left by every round.
	const sessions = 700
	var grown int64
	for range 5 {
		eventually(t, "no goroutine is left", func() bool { return ourGoroutines() == 0 })
		before := heap()
		round("round", sessions)
		if grown = int64(heap()) - int64(before); grown < sessions*100 {
			return
		}
	}
	t.Errorf("every %d sessions leave %d bytes behind", sessions, grown)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
