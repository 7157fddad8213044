package client

import (
	"bytes"
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
)

// Memory is a Storage that forgets everything with the process.
type Memory struct {
	mu     sync.Mutex
	keys   keyList
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
	keys := m.keys.from(max(string(r.Prefix), string(r.After)))
	if r.Reverse {
		keys = m.keys.below(lowest(successor(r.Prefix), r.Before))
	}
	var pairs []Pair
	for k := range keys {
		key := []byte(k)
		switch {
		case r.Contains(key):
			pairs = append(pairs, Pair{key, bytes.Clone(m.values[k])})
		case k != string(r.After) || r.Reverse:
			return pairs, nil // past the other end
		}
		if r.Limit > 0 && len(pairs) == r.Limit {
			break
		}
	}
	return pairs, nil
}

// lowest is the lower of two borders, of which nil is none.
func lowest(a, b []byte) []byte {
	if a == nil || b != nil && bytes.Compare(b, a) < 0 {
		return b
	}
	return a
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
		_, found := m.values[key]
		switch {
		case put.Delete && found:
			m.keys.remove(key)
			delete(m.values, key)
		case !put.Delete:
			if !found {
				m.keys.insert(key)
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

// keyList is a sorted list of keys in runs of bounded length, none of them
// empty, so that a key that comes or goes moves few others.
type keyList struct{ runs [][]string }

const longestRun = 512

// find is the place of the first key that is not below this one; behind all
// keys it is a run that is not there.
func (l *keyList) find(key string) (run, at int) {
	run, _ = slices.BinarySearchFunc(l.runs, key, func(r []string, key string) int { return strings.Compare(r[len(r)-1], key) })
	if run < len(l.runs) {
		at, _ = slices.BinarySearch(l.runs[run], key)
	}
	return run, at
}

// insert adds a key that is not in the list.
func (l *keyList) insert(key string) {
	run, at := l.find(key)
	switch {
	case len(l.runs) == 0:
		l.runs = [][]string{nil}
	case run == len(l.runs):
		run--
		at = len(l.runs[run])
	}
	keys := slices.Insert(l.runs[run], at, key)
	l.runs[run] = keys
	if half := len(keys) / 2; len(keys) > longestRun {
		l.runs[run] = slices.Clone(keys[:half])
		l.runs = slices.Insert(l.runs, run+1, slices.Clone(keys[half:]))
	}
}

// remove takes out a key that is in the list.
func (l *keyList) remove(key string) {
	run, at := l.find(key)
	if l.runs[run] = slices.Delete(l.runs[run], at, at+1); len(l.runs[run]) == 0 {
		l.runs = slices.Delete(l.runs, run, run+1)
	}
}

// from goes up from the first key that is not below this one.
func (l *keyList) from(key string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for run, at := l.find(key); run < len(l.runs); run, at = run+1, 0 {
			for _, k := range l.runs[run][at:] {
				if !yield(k) {
					return
				}
			}
		}
	}
}

// below goes down from the last key below end, from the last of all if end is nil.
func (l *keyList) below(end []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		run, at := len(l.runs), 0
		if end != nil {
			run, at = l.find(string(end))
		}
		for {
			if at == 0 {
				if run--; run < 0 {
					return
				}
				at = len(l.runs[run])
			}
			at--
			if !yield(l.runs[run][at]) {
				return
			}
		}
	}
}
