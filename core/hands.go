package core

import "sync"

// keepHands is how many goroutines wait for work at most; more exist while
// there is work for them.
const keepHands = 64

// hands run what needs a deep stack, on goroutines that all connections share.
// A goroutine's stack grows with what it once called: one that does nothing but
// wait for its client keeps a small one, and of idle clients there are many.
type hands struct {
	work chan func() // whoever waits for work takes it

	mu   sync.Mutex
	idle int
	all  sync.WaitGroup
}

func newHands() *hands { return &hands{work: make(chan func())} }

// start runs fn on some goroutine and does not wait for it.
func (h *hands) start(fn func()) {
	select {
	case h.work <- fn:
	default:
		h.all.Go(func() { h.run(fn) })
	}
}

// do runs fn on some goroutine and waits for it.
func (h *hands) do(fn func()) {
	done := make(chan struct{})
	h.start(func() {
		defer close(done)
		fn()
	})
	<-done
}

func (h *hands) run(fn func()) {
	for {
		fn()
		if !h.mayWait() {
			return
		}
		var more bool
		fn, more = <-h.work
		h.mu.Lock()
		h.idle--
		h.mu.Unlock()
		if !more {
			return
		}
	}
}

func (h *hands) mayWait() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.idle >= keepHands {
		return false
	}
	h.idle++
	return true
}

// close ends the goroutines. Nobody may start anything any more.
func (h *hands) close() {
	close(h.work)
	h.all.Wait()
}
