package engineio_test

import (
	"bytes"
	"context"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync/atomic"
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

// TestReconnectsLeaveNothing opens and ends sessions in every way there is,
// thousands of them, and looks for what stays: sessions, their goroutines, and
// memory, which a timer or a map that still knows a session would keep.
func TestReconnectsLeaveNothing(t *testing.T) {
	var st *station
	var alive atomic.Int64
	st = startWith(t, engineio.Options{CloseTimeout: 20 * time.Millisecond}, func(s *engineio.Session) engineio.Receiver {
		alive.Add(1)
		runtime.AddCleanup(s, func(int) { alive.Add(-1) }, 0)
		return echo{st, s}
	})
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
	const sessions = 2100
	// A test of its own, so that its clients are let go.
	t.Run("come and go", func(t *testing.T) {
		for i := range sessions {
			ways[i%len(ways)](t)
			for len(st.opened) > 0 {
				<-st.opened
			}
		}
		for range sessions {
			<-st.ends
		}
	})
	eventually(t, "all sessions are forgotten", func() bool { return st.Sessions() == 0 })
	eventually(t, "no goroutine is left", func() bool { return ourGoroutines() == 0 })
	eventually(t, "no memory is held", func() bool { runtime.GC(); return alive.Load() == 0 })
}
