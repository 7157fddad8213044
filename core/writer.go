package core

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/securelink-chat/securelink/wire"
)

// Bounds of the writer: what waits for it, and what one transaction takes.
const (
	maxWaitingJobs = 1 << 16
	maxBatchJobs   = 4096
	maxBatchBytes  = 16 << 20
	lazyTime       = 100 * time.Millisecond // that a job of submitLazily waits at most
)

// Under load the writer lets jobs gather, before a transaction and for a moment
// after one that held many: the pages of a transaction and the system calls of
// what follows are then shared by more of them. One alone is never kept waiting.
const (
	gatherAfter = 32 // jobs
	gatherTime  = 2 * time.Millisecond
)

// job is what one request changes.
type job struct {
	changes []Change
	size    int         // bytes, about
	done    func(error) // called once, in the order of submit, by the finisher
}

// writer is the one that commits. Jobs that wait are committed together; jobs
// are finished in the order in which they were submitted, by a goroutine of its
// own, so that answering and pushing overlap with the next fsync.
type writer struct {
	store  Committer
	log    *slog.Logger
	count  *counters
	failed func() // a commit failed: called before jobs that built on it are refused

	mu     sync.Mutex
	queue  []job
	bytes  int
	closed bool
	lazy   *time.Timer // wakes the writer for jobs that nobody waits for; nil: none wait
	wake   chan struct{}

	finish chan finished
}

type finished struct {
	jobs []job
	err  error
}

func newWriter(store Committer, log *slog.Logger, count *counters, failed func()) *writer {
	return &writer{store: store, log: log, count: count, failed: failed, wake: make(chan struct{}, 1), finish: make(chan finished, 1)}
}

// submit queues a job without waiting. After an error done is not called.
func (w *writer) submit(j job) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.queueLocked(j); err != nil {
		return err
	}
	w.wakeUp()
	return nil
}

// submitLazily queues a job that nobody waits for. It goes with the next
// transaction, or soon in one of its own with others of its kind: an fsync for
// each would be most of what a connection costs.
func (w *writer) submitLazily(j job) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.queueLocked(j); err != nil {
		return err
	}
	if w.lazy == nil {
		w.lazy = time.AfterFunc(lazyTime, w.wakeUp)
	}
	return nil
}

func (w *writer) wakeUp() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *writer) queueLocked(j job) error {
	if w.closed {
		return wire.RefuseRetry(wire.Closing, 2*time.Second)
	}
	if len(w.queue) >= maxWaitingJobs {
		return wire.RefuseRetry(wire.Busy, time.Second)
	}
	w.queue = append(w.queue, j)
	w.bytes += j.size
	return nil
}

// commit queues changes and waits until they are durable and finished.
func (w *writer) commit(changes ...Change) error {
	result := make(chan error, 1)
	if err := w.submit(job{changes: changes, done: func(err error) { result <- err }}); err != nil {
		return err
	}
	return <-result
}

// close refuses further jobs; run returns once those that wait are committed.
func (w *writer) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.wakeUp()
}

// take removes what goes into the next transaction.
func (w *writer) take() (jobs []job, closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, size := 0, 0
	for n < min(len(w.queue), maxBatchJobs) && (n == 0 || size+w.queue[n].size <= maxBatchBytes) {
		size += w.queue[n].size
		n++
	}
	jobs = w.queue[:n:n]
	w.queue = w.queue[n:]
	w.bytes -= size
	if w.lazy != nil {
		w.lazy.Stop()
		w.lazy = nil
	}
	if len(w.queue) == 0 {
		w.queue = nil
	} else {
		w.wakeUp()
	}
	return jobs, w.closed
}

// run commits until close. It closes finish when it is done.
func (w *writer) run() {
	defer close(w.finish)
	for range w.wake {
		w.gather()
		jobs, closed := w.take()
		if len(jobs) > 0 {
			w.commitJobs(jobs)
			if len(jobs) > gatherAfter && !closed {
				time.Sleep(gatherTime)
			}
		} else if closed {
			return
		}
		if closed {
			w.wakeUp()
		}
	}
}

// gather lets whoever is ready to run go first, until that brings no more jobs.
// A job wakes the writer before the goroutines that have the next ones; without
// this a busy core commits one or two at a time, and spends itself on system
// calls. Where nobody else is ready it returns at once.
func (w *writer) gather() {
	for n, begin := w.waiting(), time.Now(); time.Since(begin) < gatherTime; {
		runtime.Gosched()
		more := w.waiting()
		if more == n || more >= maxBatchJobs {
			return
		}
		n = more
	}
}

func (w *writer) waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue)
}

// commitJobs is one transaction. It is not cancelled from outside: what was
// taken on is brought to an end, also while the server stops.
func (w *writer) commitJobs(jobs []job) {
	n := 0
	for i := range jobs {
		n += len(jobs[i].changes)
	}
	changes := make([]Change, 0, n)
	for i := range jobs {
		changes = append(changes, jobs[i].changes...)
	}
	begin := time.Now()
	err := w.store.Commit(context.Background(), changes)
	w.count.commitSeconds.Observe(time.Since(begin).Seconds())
	w.count.commitOf.Observe(float64(len(jobs)))
	if err == nil {
		w.finish <- finished{jobs, nil}
		return
	}
	w.count.commitFailed.Add(1)
	w.log.Error("commit failed", "jobs", len(jobs), "err", err)
	// Jobs that wait may build on seqs that now do not exist. First nobody may
	// build on them any more, then those that did are refused.
	w.failed()
	w.mu.Lock()
	late := w.queue
	w.queue, w.bytes = nil, 0
	w.mu.Unlock()
	w.finish <- finished{append(jobs, late...), wire.RefuseRetry(wire.Internal, time.Second)}
}

// runFinish finishes jobs until run is done.
func (w *writer) runFinish() {
	for f := range w.finish {
		for i := range f.jobs {
			f.jobs[i].done(f.err)
		}
	}
}
