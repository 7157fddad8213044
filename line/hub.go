package line

import (
	"context"
	"sync"

	"github.com/securelink-chat/securelink/client"
)

// Hub lets several parts of one program use one engine: a talk, a listener and
// those who hand messages over. Each sees all events and its own replies.
type Hub struct {
	engine Engine

	mu      sync.Mutex
	next    uint64
	owners  map[uint64]owner // replies that are awaited
	members map[*Port]bool
	account *client.Event // newest of its kind, for those who come late
	conn    *client.Event
}

type owner struct {
	port *Port
	id   uint64 // as the port numbered it
}

// Port is one user of a [Hub]. It is an [Engine].
type Port struct {
	hub    *Hub
	events chan client.Event
	gone   chan struct{}
	once   sync.Once
}

const portQueue = 1024

// NewHub makes a hub over an engine, whose events nobody else may take.
func NewHub(engine Engine) *Hub {
	return &Hub{engine: engine, owners: map[uint64]owner{}, members: map[*Port]bool{}}
}

// Run hands events on until the context ends.
func (h *Hub) Run(ctx context.Context) {
	for {
		select {
		case ev := <-h.engine.Events():
			h.hand(ctx, ev)
		case <-ctx.Done():
			return
		}
	}
}

func (h *Hub) hand(ctx context.Context, ev client.Event) {
	h.mu.Lock()
	var to []*Port
	if ev.Kind == client.EvReply {
		if who, ok := h.owners[ev.Reply]; ok {
			delete(h.owners, ev.Reply)
			ev.Reply = who.id
			to = append(to, who.port)
		}
	} else {
		switch ev.Kind {
		case client.EvAccount:
			h.account = &ev
		case client.EvConnection:
			h.conn = &ev
		}
		for port := range h.members {
			to = append(to, port)
		}
	}
	h.mu.Unlock()
	for _, port := range to {
		select {
		case port.events <- ev:
		case <-port.gone:
		case <-ctx.Done():
			return
		}
	}
}

// Port adds a user, who is told at once how account and connection are.
func (h *Hub) Port() *Port {
	p := &Port{hub: h, events: make(chan client.Event, portQueue), gone: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ev := range []*client.Event{h.account, h.conn} {
		if ev != nil {
			p.events <- *ev
		}
	}
	h.members[p] = true
	return p
}

// Do implements [Engine].
func (p *Port) Do(r client.Request) {
	h := p.hub
	if r.ID != 0 {
		h.mu.Lock()
		h.next++
		h.owners[h.next] = owner{p, r.ID}
		r.ID = h.next
		h.mu.Unlock()
	}
	h.engine.Do(r)
}

// Events implements [Engine].
func (p *Port) Events() <-chan client.Event { return p.events }

// Close takes the user out.
func (p *Port) Close() {
	p.once.Do(func() {
		close(p.gone)
		p.hub.mu.Lock()
		delete(p.hub.members, p)
		p.hub.mu.Unlock()
	})
}
