package client

import (
	"context"

	"github.com/securelink-chat/securelink/wire"
)

// batch gathers the changes of one step, which are kept all at once, the events
// that are told when they are, and the wishes that it ends. It reads its own
// writes.
type batch struct {
	c      *chat
	puts   []Put
	fresh  map[string]int // key -> its newest place in puts
	events []Event
	ends   []func()
}

func (c *chat) newBatch() *batch { return &batch{c: c, fresh: map[string]int{}} }

func (b *batch) add(p Put) {
	b.fresh[string(p.Key)] = len(b.puts)
	b.puts = append(b.puts, p)
}

// get loads a record as the batch leaves it.
func (b *batch) get(ctx context.Context, at []byte, v any) (bool, error) {
	if i, ok := b.fresh[string(at)]; ok {
		if b.puts[i].Delete {
			return false, nil
		}
		return true, wire.Decode(b.puts[i].Value, v)
	}
	return get(ctx, b.c.e.cfg.Storage, at, v)
}

func (b *batch) tell(ev Event) { b.events = append(b.events, ev) }

// finishes ends a wish with what is kept here.
func (b *batch) finishes(w *intention, err error) {
	b.ends = append(b.ends, func() { w.finish(err) })
}

// finish tells those who wait for a wish. It comes after the commit, and after
// the room was told of: who has waited finds it changed.
func (b *batch) finish() {
	for _, f := range b.ends {
		f()
	}
}

// commitLocked keeps everything, then tells it. The caller holds the chat's mu.
func (b *batch) commitLocked(ctx context.Context) error {
	b.add(b.c.recordLocked())
	if b.c.mates.dirty {
		b.c.mates.dirty = false
		b.add(put(key(keySeen, b.c.id[:]), b.c.mates.kept))
	}
	if err := b.c.e.save(ctx, b.puts...); err != nil {
		return err
	}
	for _, ev := range b.events {
		b.c.e.out.tell(ev)
	}
	return nil
}
