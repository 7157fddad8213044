package gateway

import (
	"net/netip"
	"sync"
	"time"
)

// Limits bound what one client address may use. IPv6 addresses count by their
// /64, which is what one subscriber has, and again by their /48.
// A zero field means its default.
type Limits struct {
	Sockets       int // at once from one address; 64
	PrefixSockets int // at once from one IPv6 /48; 512
	NewSockets    int // in ten minutes from one address, eight times that from one /48; 256
	Connections   int // TCP connections at once from one address that have no socket (yet); 128
	Total         int // sockets at once; 20,000
}

func (l Limits) complete() Limits {
	for _, f := range []struct {
		value    *int
		standard int
	}{{&l.Sockets, 64}, {&l.PrefixSockets, 512}, {&l.NewSockets, 256}, {&l.Connections, 128}, {&l.Total, 20_000}} {
		if *f.value <= 0 {
			*f.value = f.standard
		}
	}
	return l
}

const (
	newWindow    = 10 * time.Minute
	prefixFactor = 8
	// maxSources bounds the memory for addresses. When it is full, addresses
	// that nobody uses are forgotten; when none is, who comes new shares one
	// place, so that a crowd of strangers cannot shut out who is there.
	maxSources = 1 << 16
)

// addressBook counts by address.
type addressBook struct {
	now func() time.Time

	mu      sync.Mutex
	lim     Limits
	sources map[netip.Prefix]*source
	shared  source
	total   int
}

// source is what is known of one prefix.
type source struct {
	sockets, conns int
	tokens         float64 // new sockets left
	at             time.Time
}

func newAddressBook(l Limits, now func() time.Time) *addressBook {
	return &addressBook{now: now, lim: l.complete(), sources: map[netip.Prefix]*source{}}
}

func (b *addressBook) limits() Limits {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lim
}

func (b *addressBook) setLimits(l Limits) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lim = l.complete()
}

// prefixes are those that addr counts in: one for IPv4, two for IPv6. The second
// result says how many there are.
func prefixes(addr netip.Addr) ([2]netip.Prefix, int) {
	addr = addr.Unmap().WithZone("")
	switch {
	case addr.Is4():
		return [2]netip.Prefix{netip.PrefixFrom(addr, 32)}, 1
	case addr.Is6():
		near, _ := addr.Prefix(64)
		far, _ := addr.Prefix(48)
		return [2]netip.Prefix{near, far}, 2
	}
	return [2]netip.Prefix{}, 1 // an address that is none counts as one, too
}

// findLocked returns the sources of addr. Where make is false, it may hold nil.
func (b *addressBook) findLocked(addr netip.Addr, create bool) ([2]*source, int) {
	keys, n := prefixes(addr)
	var out [2]*source
	for i, key := range keys[:n] {
		s := b.sources[key]
		if s == nil && create {
			if len(b.sources) >= maxSources {
				b.sweepLocked()
			}
			if len(b.sources) >= maxSources {
				s = &b.shared
			} else {
				s = &source{tokens: float64(b.burst(i)), at: b.now()}
				b.sources[key] = s
			}
		}
		out[i] = s
	}
	return out, n
}

// burst is how many new sockets the i-th prefix of an address may open at once.
func (b *addressBook) burst(i int) int {
	if i == 1 {
		return b.lim.NewSockets * prefixFactor
	}
	return b.lim.NewSockets
}

// sweepLocked forgets who has nothing open and all tokens again.
func (b *addressBook) sweepLocked() {
	now := b.now()
	for key, s := range b.sources {
		if s.sockets == 0 && s.conns == 0 && now.Sub(s.at) >= newWindow {
			delete(b.sources, key)
		}
	}
}

// arrive takes a token for a new socket of addr. It returns how long to wait
// when there is none.
func (b *addressBook) arrive(addr netip.Addr) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	found, n := b.findLocked(addr, true)
	now := b.now()
	for i, s := range found[:n] {
		burst := float64(b.burst(i))
		s.tokens = min(burst, s.tokens+burst*float64(now.Sub(s.at))/float64(newWindow))
		s.at = now
		if s.tokens < 1 {
			return time.Duration((1 - s.tokens) / burst * float64(newWindow))
		}
	}
	for _, s := range found[:n] {
		s.tokens--
	}
	return 0
}

// room says whether addr may have one more socket.
func (b *addressBook) room(addr netip.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	found, n := b.findLocked(addr, true)
	return b.roomLocked(found, n)
}

func (b *addressBook) roomLocked(found [2]*source, n int) bool {
	return b.total < b.lim.Total && found[0].sockets < b.lim.Sockets && (n == 1 || found[1].sockets < b.lim.PrefixSockets)
}

// enter counts a socket of addr, if there is room. Each true wants a leave.
func (b *addressBook) enter(addr netip.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	found, n := b.findLocked(addr, true)
	if !b.roomLocked(found, n) {
		return false
	}
	b.total++
	for _, s := range found[:n] {
		s.sockets++
	}
	return true
}

// leave ends what enter began.
func (b *addressBook) leave(addr netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total--
	found, n := b.findLocked(addr, false)
	for _, s := range found[:n] {
		if s == nil {
			s = &b.shared
		}
		s.sockets = max(0, s.sockets-1)
	}
}

// connect counts a TCP connection of addr; false when it has too many.
func (b *addressBook) connect(addr netip.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	found, n := b.findLocked(addr, true)
	if found[0].conns >= b.lim.Connections {
		return false
	}
	for _, s := range found[:n] {
		s.conns++
	}
	return true
}

// disconnect ends what connect began.
func (b *addressBook) disconnect(addr netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found, n := b.findLocked(addr, false)
	for _, s := range found[:n] {
		if s == nil {
			s = &b.shared
		}
		s.conns = max(0, s.conns-1)
	}
}

// open is how many sockets there are.
func (b *addressBook) open() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

// remembered is how many prefixes are in the book.
func (b *addressBook) remembered() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sources)
}
