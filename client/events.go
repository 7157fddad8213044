package client

import "sync"

const (
	eventQueue   = 1024 // events that wait for the interface
	replyReserve = 288  // kept free for replies, one for each request that may wait
	requestQueue = 256  // requests that wait for the engine
)

// outlet is the bounded queue of events to the interface. Replies always have
// room; when there is none for the rest, one EvLagged takes its place.
type outlet struct {
	queue chan Event

	mu     sync.Mutex
	lagged bool
}

func newOutlet() *outlet { return &outlet{queue: make(chan Event, eventQueue+replyReserve)} }

// tell queues an event, or notes that the interface fell behind.
func (o *outlet) tell(ev Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	// Whoever reads EvLagged asks for everything anew; until the queue is
	// half empty that has not happened, so nothing is lost by dropping.
	if o.lagged && len(o.queue) >= eventQueue/2 {
		return
	}
	o.lagged = false
	if len(o.queue) >= eventQueue {
		o.lagged = true
		ev = Event{Kind: EvLagged}
	}
	o.queue <- ev
}

// reply queues the answer to a request. There is room: fewer requests are
// taken than the reserve has places. It is tried without waiting all the same,
// so that an interface that has gone cannot hold the engine.
func (o *outlet) reply(ev Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.queue <- ev:
	default:
	}
}
