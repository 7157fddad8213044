// Package local is the bus of one core alone: a publish is a function call.
package local

import (
	"sync"

	"github.com/securelink-chat/securelink/core"
)

// Bus carries events within the process. The zero value is not ready: use New.
type Bus struct {
	mu     sync.RWMutex
	topics map[core.Topic]*topic
}

// topic runs its subscribers one message at a time.
type topic struct {
	mu   sync.Mutex
	subs []*sub
}

type sub struct{ fn func(core.Message) }

var _ core.Bus = (*Bus)(nil)

// New makes an empty bus.
func New() *Bus { return &Bus{topics: map[core.Topic]*topic{}} }

// Publish calls the subscribers before it returns.
func (b *Bus) Publish(name core.Topic, msg core.Message) {
	b.mu.RLock()
	t := b.topics[name]
	b.mu.RUnlock()
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.subs {
		s.fn(msg)
	}
}

// Subscribe adds fn; after cancel has returned it is not called any more.
func (b *Bus) Subscribe(name core.Topic, fn func(core.Message)) (cancel func()) {
	s := &sub{fn: fn}
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[name]
	if t == nil {
		t = &topic{}
		b.topics[name] = t
	}
	t.mu.Lock()
	t.subs = append(t.subs, s)
	t.mu.Unlock()
	return func() { b.cancel(name, s) }
}

func (b *Bus) cancel(name core.Topic, s *sub) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[name]
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.subs {
		if t.subs[i] == s {
			t.subs = append(t.subs[:i:i], t.subs[i+1:]...)
			break
		}
	}
	if len(t.subs) == 0 {
		delete(b.topics, name)
	}
}
