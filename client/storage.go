package client

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
)

// ErrStorageClosed is returned by a [Storage] after its Close.
var ErrStorageClosed = errors.New("client: storage is closed")

// Storage is where an engine keeps everything: an ordered map of keys to
// values, written in batches. It has no interactive transactions, because a
// browser's IndexedDB ends one as soon as the page waits for anything else.
//
// One process writes one storage at a time; whoever opens it sees to that
// (a file lock, Web Locks). Its methods may be called by many goroutines.
type Storage interface {
	// Load returns the pairs in the range, in key order or in reverse. The
	// slices belong to the caller.
	Load(ctx context.Context, r Range) ([]Pair, error)
	// Apply does all of the batch, in order, or none of it. When it returns
	// nil, the batch outlives a crash of the machine.
	Apply(ctx context.Context, batch []Put) error
	// Close ends all use. What Apply acknowledged stays.
	Close() error
}

// Range names keys: those that begin with Prefix, lie after After and before
// Before (both exclusive, full keys, nil = open). At most Limit pairs come
// back when it is above zero; with Reverse, from the end.
type Range struct {
	Prefix  []byte
	After   []byte
	Before  []byte
	Reverse bool
	Limit   int
}

// Pair is one key and its value.
type Pair struct{ Key, Value []byte }

// Put sets Key to Value, or removes Key.
type Put struct {
	Key, Value []byte
	Delete     bool
}

// Contains reports whether a key lies in the range, whatever its Limit.
func (r Range) Contains(key []byte) bool {
	return bytes.HasPrefix(key, r.Prefix) &&
		(r.After == nil || bytes.Compare(key, r.After) > 0) &&
		(r.Before == nil || bytes.Compare(key, r.Before) < 0)
}

// Memory is a Storage that forgets everything with the process.
type Memory struct {
	mu     sync.Mutex
	keys   []string // sorted
	values map[string][]byte
	closed bool
}

// NewMemory returns an empty storage in memory.
func NewMemory() *Memory { return &Memory{values: map[string][]byte{}} }

var _ Storage = (*Memory)(nil)

// Load implements [Storage].
func (m *Memory) Load(ctx context.Context, r Range) ([]Pair, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrStorageClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	first, _ := slices.BinarySearch(m.keys, string(r.Prefix))
	if r.After != nil {
		after, _ := slices.BinarySearch(m.keys, string(r.After))
		first = max(first, after)
	}
	var pairs []Pair
	if !r.Reverse {
		for i := first; i < len(m.keys) && (r.Limit <= 0 || len(pairs) < r.Limit); i++ {
			key := []byte(m.keys[i])
			if !bytes.HasPrefix(key, r.Prefix) || (r.Before != nil && bytes.Compare(key, r.Before) >= 0) {
				break
			}
			if r.Contains(key) {
				pairs = append(pairs, Pair{key, bytes.Clone(m.values[m.keys[i]])})
			}
		}
		return pairs, nil
	}
	last := len(m.keys)
	if end := successor(r.Prefix); end != nil {
		last, _ = slices.BinarySearch(m.keys, string(end))
	}
	if r.Before != nil {
		before, _ := slices.BinarySearch(m.keys, string(r.Before))
		last = min(last, before)
	}
	for i := last - 1; i >= first && (r.Limit <= 0 || len(pairs) < r.Limit); i-- {
		if key := []byte(m.keys[i]); r.Contains(key) {
			pairs = append(pairs, Pair{key, bytes.Clone(m.values[m.keys[i]])})
		}
	}
	return pairs, nil
}

// successor returns the first key after all that begin with prefix, nil when
// there is none.
func successor(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] != 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}

// Apply implements [Storage].
func (m *Memory) Apply(ctx context.Context, batch []Put) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrStorageClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, put := range batch {
		key := string(put.Key)
		at, found := slices.BinarySearch(m.keys, key)
		switch {
		case put.Delete && found:
			m.keys = slices.Delete(m.keys, at, at+1)
			delete(m.values, key)
		case !put.Delete:
			if !found {
				m.keys = slices.Insert(m.keys, at, key)
			}
			m.values[key] = append([]byte{}, put.Value...)
		}
	}
	return nil
}

// Close implements [Storage].
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
