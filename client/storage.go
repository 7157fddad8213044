package client

import (
	"bytes"
	"context"
	"errors"
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
