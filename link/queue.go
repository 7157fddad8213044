package link

import (
	"net/netip"
	"slices"
	"sync"
)

// How many handshakes may wait: of one prefix, and in all.
const (
	queuePerPrefix = 64
	queueTotal     = 4096
)

// prefixOf is the part of an address that counts as one place: /24 of IPv4 and
// /48 of IPv6, which is what one party commonly has.
func prefixOf(addr netip.AddrPort) netip.Prefix {
	ip := addr.Addr().Unmap()
	bits := 48
	if ip.Is4() {
		bits = 24
	}
	prefix, _ := ip.WithZone("").Prefix(bits) // no address at all is a place of its own
	return prefix
}

// job is one handshake to compute.
type job struct {
	ch     []byte
	hello  clientHello
	psk    [32]byte
	prefix netip.Prefix

	done   chan struct{} // closed when what is below is set
	answer *answer
	err    error
}

// fairQueue hands out jobs prefix by prefix in turn, each prefix's in order.
type fairQueue struct {
	mu     sync.Mutex
	some   sync.Cond // a job is there, or the queue is closed
	places map[netip.Prefix]*place
	turns  []*place // whose turn it is next; a place is here while it has jobs
	total  int
	closed bool
}

// place is what waits of one prefix.
type place struct {
	prefix netip.Prefix
	jobs   []*job
}

func newFairQueue() *fairQueue {
	q := &fairQueue{places: map[netip.Prefix]*place{}}
	q.some.L = &q.mu
	return q
}

// add lets a job wait. When the queue is full, the place with most jobs loses its
// last one to a place with fewer; otherwise the job is refused with [ErrBusy].
func (q *fairQueue) add(prefix netip.Prefix, j *job) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.places[prefix]
	if p == nil {
		p = &place{prefix: prefix}
	}
	if q.closed || len(p.jobs) >= queuePerPrefix || q.total >= queueTotal && !q.makeRoomLocked(len(p.jobs)+1) {
		return ErrBusy
	}
	j.prefix = prefix
	p.jobs = append(p.jobs, j)
	q.total++
	if len(p.jobs) == 1 {
		q.places[prefix] = p
		q.turns = append(q.turns, p)
	}
	q.some.Signal()
	return nil
}

// makeRoomLocked ends the last job of the place with most jobs, if that is more
// than fewer.
func (q *fairQueue) makeRoomLocked(fewer int) bool {
	longest := q.turns[0]
	for _, p := range q.turns {
		if len(p.jobs) > len(longest.jobs) {
			longest = p
		}
	}
	if len(longest.jobs) <= fewer {
		return false
	}
	last := longest.jobs[len(longest.jobs)-1]
	q.dropLocked(last)
	last.err = ErrBusy
	close(last.done)
	return true
}

// next waits for a job; nil means that the queue is closed.
func (q *fairQueue) next() *job {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.total == 0 && !q.closed {
		q.some.Wait()
	}
	if q.closed {
		return nil
	}
	p := q.turns[0]
	j := p.jobs[0]
	q.turns = q.turns[1:]
	p.jobs = p.jobs[1:]
	q.total--
	if len(p.jobs) > 0 {
		q.turns = append(q.turns, p)
	} else {
		delete(q.places, p.prefix)
	}
	return j
}

// remove takes a job out that no longer matters. It says false if the job is no
// longer in the queue.
func (q *fairQueue) remove(j *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropLocked(j)
}

func (q *fairQueue) dropLocked(j *job) bool {
	p := q.places[j.prefix]
	if p == nil {
		return false
	}
	i := slices.Index(p.jobs, j)
	if i < 0 {
		return false
	}
	p.jobs = slices.Delete(p.jobs, i, i+1)
	q.total--
	if len(p.jobs) == 0 {
		delete(q.places, p.prefix)
		q.turns = slices.DeleteFunc(q.turns, func(other *place) bool { return other == p })
	}
	return true
}

// close ends next. The jobs that still wait are their waiters' to remove.
func (q *fairQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.some.Broadcast()
}
