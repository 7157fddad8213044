// Package bustest is what every bus of the core must do.
package bustest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/core"
)

// Run holds a bus against the suite. open gives an empty bus.
func Run(t *testing.T, open func(t *testing.T) core.Bus) {
	t.Run("everybody hears in order", func(t *testing.T) { order(t, open(t)) })
	t.Run("only who subscribed hears", func(t *testing.T) { apart(t, open(t)) })
	t.Run("after cancel nothing is heard", func(t *testing.T) { cancelled(t, open(t)) })
	t.Run("subscribing beside publishing", func(t *testing.T) { concurrent(t, open(t)) })
}

// listener collects what it hears.
type listener struct {
	mu    sync.Mutex
	heard []core.Message
	inner bool // within the call: calls must not overlap
	t     *testing.T
}

func (l *listener) hear(m core.Message) {
	l.mu.Lock()
	if l.inner {
		l.t.Error("two calls for one topic overlap")
	}
	l.inner = true
	l.heard = append(l.heard, m)
	l.mu.Unlock()
	l.mu.Lock()
	l.inner = false
	l.mu.Unlock()
}

// wait returns what was heard once there are n.
func (l *listener) wait(n int) []core.Message {
	l.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		l.mu.Lock()
		heard := l.heard
		l.mu.Unlock()
		if len(heard) >= n {
			return heard
		}
		select {
		case <-deadline:
			l.t.Fatalf("heard %d of %d", len(heard), n)
		case <-time.After(time.Millisecond):
		}
	}
}

func topic(b byte) core.Topic { return core.Topic{Kind: core.TopicRoom, ID: [32]byte{b}} }

func order(t *testing.T, bus core.Bus) {
	const n = 200
	listeners := []*listener{{t: t}, {t: t}, {t: t}}
	for _, l := range listeners {
		defer bus.Subscribe(topic(1), l.hear)()
	}
	for i := range n {
		bus.Publish(topic(1), core.Message{Seq: uint64(i), Data: []byte(fmt.Sprint(i))})
	}
	for _, l := range listeners {
		for i, m := range l.wait(n) {
			if m.Seq != uint64(i) || string(m.Data) != fmt.Sprint(i) {
				t.Fatalf("message %d is %d %q", i, m.Seq, m.Data)
			}
		}
	}
}

func apart(t *testing.T, bus core.Bus) {
	one, two := &listener{t: t}, &listener{t: t}
	defer bus.Subscribe(topic(1), one.hear)()
	defer bus.Subscribe(topic(2), two.hear)()
	bus.Publish(topic(3), core.Message{Seq: 3})
	bus.Publish(core.Topic{Kind: core.TopicDevice, ID: [32]byte{1}}, core.Message{Seq: 4})
	bus.Publish(topic(1), core.Message{Seq: 1})
	bus.Publish(topic(2), core.Message{Seq: 2})
	if heard := one.wait(1); len(heard) != 1 || heard[0].Seq != 1 {
		t.Errorf("%+v", heard)
	}
	if heard := two.wait(1); len(heard) != 1 || heard[0].Seq != 2 {
		t.Errorf("%+v", heard)
	}
}

func cancelled(t *testing.T, bus core.Bus) {
	gone, stays := &listener{t: t}, &listener{t: t}
	cancel := bus.Subscribe(topic(1), gone.hear)
	defer bus.Subscribe(topic(1), stays.hear)()
	bus.Publish(topic(1), core.Message{Seq: 1})
	gone.wait(1)
	cancel()
	cancel() // twice is harmless
	bus.Publish(topic(1), core.Message{Seq: 2})
	stays.wait(2)
	if heard := gone.wait(1); len(heard) != 1 {
		t.Errorf("heard %d after cancel", len(heard)-1)
	}
}

func concurrent(t *testing.T, bus core.Bus) {
	stays := &listener{t: t}
	defer bus.Subscribe(topic(1), stays.hear)()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 200 {
				bus.Subscribe(topic(1), func(core.Message) {})()
			}
		})
	}
	for i := range 500 {
		bus.Publish(topic(1), core.Message{Seq: uint64(i)})
	}
	all.Wait()
	for i, m := range stays.wait(500) {
		if m.Seq != uint64(i) {
			t.Fatalf("message %d is %d", i, m.Seq)
		}
	}
}
