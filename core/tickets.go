package core

import (
	"context"
	"sync"
	"time"

	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/wire"
)

// tickets keeps the link's resumption tickets in the store.
type tickets struct {
	s *Server

	mu      sync.Mutex
	waiting map[wire.Hash]TicketRecord // put, and not in the store yet; as many as the writer's queue lets
}

// PutTicket stores a ticket, soon: a connection does not wait for the disk. If
// the server fails before, the client connects in full.
func (t *tickets) PutTicket(_ context.Context, hash [32]byte, ticket link.StoredTicket) error {
	rec := TicketRecord{Hash: hash, PSK: ticket.PSK, Online: ticket.Online, Expires: uint64(ticket.Expires.UnixMilli())}
	t.mu.Lock()
	t.waiting[hash] = rec
	t.mu.Unlock()
	stored := func(error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.waiting, hash)
	}
	err := t.s.writer.submitLazily(job{changes: []Change{PutTicket{rec}}, done: stored})
	if err != nil {
		stored(err)
	}
	return err
}

// TakeTicket deletes a ticket durably before it hands it out, once. The writer
// keeps the order: also of one that waits, the deletion comes after it was
// stored.
func (t *tickets) TakeTicket(ctx context.Context, hash [32]byte) (link.StoredTicket, bool, error) {
	defer t.s.keyed.lock(wire.Hash(hash))()
	t.mu.Lock()
	rec, ok := t.waiting[hash]
	t.mu.Unlock()
	if !ok {
		var err error
		if rec, ok, err = t.s.store.Ticket(ctx, hash); err != nil || !ok {
			return link.StoredTicket{}, false, err
		}
	}
	if err := t.s.writer.commit(DropTicket{Hash: hash}); err != nil {
		return link.StoredTicket{}, false, err
	}
	return link.StoredTicket{PSK: rec.PSK, Online: rec.Online, Expires: time.UnixMilli(int64(rec.Expires))}, true, nil
}
