package core

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/securelink-chat/securelink/wire"
)

// answers remembers what was answered to requests with a key, so that a retry
// is done once. Nearly every key is new; a filter in memory says so without a
// question to the store.
type answers struct {
	store ServiceStore
	seen  *filter

	mu      sync.Mutex
	running map[answerKey]struct{}
}

type answerKey struct {
	user wire.UserID
	key  wire.Key
}

func newAnswers(ctx context.Context, store ServiceStore) (*answers, error) {
	a := &answers{store: store, seen: newFilter(), running: map[answerKey]struct{}{}}
	if err := store.AnswerKeys(ctx, a.seen.add); err != nil {
		return nil, fmt.Errorf("core: read answers: %w", err)
	}
	return a, nil
}

// begin claims a key for this request. It returns the earlier answer if there
// is one, or a refusal while another connection works on the same key.
// Without either, end must follow.
func (a *answers) begin(ctx context.Context, user wire.UserID, key wire.Key, op wire.Op) ([]byte, error) {
	if key.IsZero() {
		return nil, wire.Refuse(wire.Malformed)
	}
	id := answerKey{user, key}
	a.mu.Lock()
	_, busy := a.running[id]
	if !busy {
		a.running[id] = struct{}{}
	}
	a.mu.Unlock()
	if busy {
		return nil, wire.RefuseRetry(wire.Busy, 100*time.Millisecond)
	}
	if !a.seen.maybe(key) {
		return nil, nil
	}
	old, ok, err := a.store.Answer(ctx, user, key)
	switch {
	case err != nil:
		a.end(user, key, false)
		return nil, fmt.Errorf("core: read answer: %w", err)
	case !ok:
		return nil, nil
	}
	a.end(user, key, true)
	if old.Op != op {
		return nil, wire.Refuse(wire.Malformed)
	}
	return old.Body, nil
}

// end gives the key back; done says that an answer was stored.
func (a *answers) end(user wire.UserID, key wire.Key, done bool) {
	if done {
		a.seen.add(key)
	}
	a.mu.Lock()
	delete(a.running, answerKey{user, key})
	a.mu.Unlock()
}

// Size of a filter: 2^23 bits for about half a million keys at one false alarm
// in a thousand; above that it only costs more questions to the store.
const (
	filterWords  = 1 << 17
	filterProbes = 7
)

// filter is a Bloom filter over random keys, whose own bytes serve as hashes.
// It is turned when the period ends: a key is found for one period at least.
type filter struct {
	mu   sync.RWMutex // turn against the others
	now  []atomic.Uint64
	last []atomic.Uint64
}

func newFilter() *filter {
	return &filter{now: make([]atomic.Uint64, filterWords), last: make([]atomic.Uint64, filterWords)}
}

func probe(key wire.Key, i int) (word int, bit uint64) {
	a := binary.LittleEndian.Uint64(key[:8])
	b := binary.LittleEndian.Uint64(key[8:]) | 1
	h := a + uint64(i)*b
	h ^= h >> 29
	return int(h>>6) & (filterWords - 1), 1 << (h & 63)
}

func (f *filter) add(key wire.Key) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for i := range filterProbes {
		word, bit := probe(key, i)
		f.now[word].Or(bit)
	}
}

func (f *filter) maybe(key wire.Key) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return holds(f.now, key) || holds(f.last, key)
}

func holds(words []atomic.Uint64, key wire.Key) bool {
	for i := range filterProbes {
		word, bit := probe(key, i)
		if words[word].Load()&bit == 0 {
			return false
		}
	}
	return true
}

// turn drops the keys of the period before the last.
func (f *filter) turn() {
	fresh := make([]atomic.Uint64, filterWords)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last, f.now = f.now, fresh
}
