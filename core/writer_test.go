package core

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"testing"
)

// countingStore commits nothing and remembers how much each commit held.
type countingStore struct {
	mu    sync.Mutex
	sizes []int
}

func (s *countingStore) Commit(_ context.Context, changes []Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sizes = append(s.sizes, len(changes))
	return nil
}

func (s *countingStore) Collect(context.Context, uint64) error { return nil }

// Requests that are ready at the same moment share a transaction also on one
// processor, where the first of them wakes the writer before the others run:
// a transaction for each is what a busy core would spend itself on.
func TestRequestsThatAreReadyShareATransaction(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const requests = 200
	store := &countingStore{}
	w := newWriter(store, slog.New(slog.DiscardHandler), newCounters(nil), func() {})
	var loops, all sync.WaitGroup
	loops.Go(w.run)
	loops.Go(w.runFinish)
	ready := make(chan struct{})
	for range requests {
		all.Go(func() {
			<-ready
			if err := w.commit(PutIncarnation{}); err != nil {
				t.Error(err)
			}
		})
	}
	runtime.Gosched() // all of them wait now
	close(ready)
	all.Wait()
	w.close()
	loops.Wait()
	total := 0
	for _, n := range store.sizes {
		total += n
	}
	if total != requests {
		t.Errorf("%d of %d requests were committed", total, requests)
	}
	// A pre-emption may split them; one each would be 200.
	if len(store.sizes) > requests/10 {
		t.Errorf("%d requests took %d transactions: %v", requests, len(store.sizes), store.sizes)
	}
}
