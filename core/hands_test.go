package core

import (
	"sync"
	"testing"
)

// The hands do everything that is asked of them at once, whatever others wait
// for, keep a few goroutines for what comes next, and leave none behind.
func TestHands(t *testing.T) {
	h := newHands()
	const crowd = 4 * keepHands
	var here, all sync.WaitGroup
	here.Add(crowd)
	for range crowd {
		all.Go(func() {
			h.do(func() {
				here.Done()
				here.Wait() // for all the others, each on a goroutine of its own
			})
		})
	}
	all.Wait()
	for range 10 * keepHands {
		ran := false
		h.do(func() { ran = true })
		if !ran {
			t.Fatal("do returned before it was done")
		}
	}
	h.mu.Lock()
	if h.idle > keepHands {
		t.Errorf("%d wait for work, want at most %d", h.idle, keepHands)
	}
	h.mu.Unlock()
	h.close() // waits for all of them
	if h.idle != 0 {
		t.Errorf("%d still wait for work", h.idle)
	}
}
