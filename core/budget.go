package core

import (
	"net/netip"
	"sync"
	"time"

	"github.com/securelink-chat/securelink/wire"
)

// bucket is a token bucket; the zero value is full.
type bucket struct {
	spent float64 // tokens missing
	at    time.Time
}

// take spends one token of a bucket that holds burst and gains rate a second.
// When there is none it says how long until there is.
func (b *bucket) take(now time.Time, burst, rate float64) (ok bool, wait time.Duration) {
	b.refill(now, rate)
	if b.spent+1 > burst {
		return false, time.Duration((b.spent + 1 - burst) / rate * float64(time.Second))
	}
	b.spent++
	return true, 0
}

func (b *bucket) refill(now time.Time, rate float64) {
	if gained := now.Sub(b.at).Seconds() * rate; gained > 0 {
		b.spent = max(0, b.spent-gained)
	}
	b.at = now
}

// full reports whether nothing is missing, so that it may be forgotten.
func (b *bucket) full(now time.Time, rate float64) bool {
	b.refill(now, rate)
	return b.spent == 0
}

// Seconds that a limit's unit counts.
const (
	perMinute     = 60
	perTenMinutes = 600
	perHour       = 3600
	perDay        = 86400
)

// spend takes from a bucket that holds a whole period's worth.
func spend(b *bucket, l *limits, limit wire.Limit, period float64) error {
	n := float64(l.Get(limit))
	if ok, wait := b.take(time.Now(), n, n/period); !ok {
		return wire.RefuseLimit(limit, wait)
	}
	return nil
}

// spendBurst takes from a bucket with a burst limit and a rate limit; period
// is that of the rate's unit in seconds.
func spendBurst(b *bucket, l *limits, burst, rate wire.Limit, period float64) error {
	if ok, wait := b.take(time.Now(), float64(l.Get(burst)), float64(l.Get(rate))/period); !ok {
		return wire.RefuseLimit(rate, wait)
	}
	return nil
}

// addressKey is what counts as one address: an IPv4 address or an IPv6 /64.
// What has no address (pipes, local sockets) is one as well.
type addressKey netip.Prefix

func keyOf(addr netip.Addr) addressKey {
	addr = addr.Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return addressKey{}
	}
	return addressKey(p)
}

// wideKey is the IPv6 /48 around an address, which has a bound of its own.
func wideKey(addr netip.Addr) (addressKey, bool) {
	if addr = addr.Unmap().WithZone(""); !addr.Is6() {
		return addressKey{}, false
	}
	p, err := addr.Prefix(48)
	return addressKey(p), err == nil
}

// admission counts connections and attempts by address. Its lock is taken
// alone.
type admission struct {
	limits *limits

	mu    sync.Mutex
	total int
	by    map[addressKey]*address
}

type address struct {
	conns    int
	newConns bucket
	logins   bucket
	accounts bucket
}

func newAdmission(l *limits) *admission {
	return &admission{limits: l, by: map[addressKey]*address{}}
}

func (a *admission) getLocked(key addressKey) *address {
	got := a.by[key]
	if got == nil {
		got = &address{}
		a.by[key] = got
	}
	return got
}

// enter admits a connection; leave must follow when it ends.
func (a *admission) enter(addr netip.Addr) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.total >= a.limits.Get(wire.ConnectionsTotal) {
		return wire.RefuseLimit(wire.ConnectionsTotal, 10*time.Second)
	}
	one := a.getLocked(keyOf(addr))
	if one.conns >= a.limits.Get(wire.ConnectionsPerAddress) {
		return wire.RefuseLimit(wire.ConnectionsPerAddress, 10*time.Second)
	}
	var wide *address
	if key, ok := wideKey(addr); ok {
		wide = a.getLocked(key)
		if wide.conns >= a.limits.Get(wire.ConnectionsPerPrefix) {
			return wire.RefuseLimit(wire.ConnectionsPerPrefix, 10*time.Second)
		}
	}
	if err := spend(&one.newConns, a.limits, wire.NewConnections, perTenMinutes); err != nil {
		return err
	}
	a.total++
	one.conns++
	if wide != nil {
		wide.conns++
	}
	return nil
}

func (a *admission) leave(addr netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total--
	a.getLocked(keyOf(addr)).conns--
	if key, ok := wideKey(addr); ok {
		a.getLocked(key).conns--
	}
}

// login spends one attempt to log in.
func (a *admission) login(addr netip.Addr) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return spend(&a.getLocked(keyOf(addr)).logins, a.limits, wire.LoginsPerAddress, perMinute)
}

// account spends one new account.
func (a *admission) account(addr netip.Addr) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return spend(&a.getLocked(keyOf(addr)).accounts, a.limits, wire.AccountsPerAddress, perDay)
}

// sweep forgets addresses that owe nothing.
func (a *admission) sweep(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	rate := func(l wire.Limit, period float64) float64 { return float64(a.limits.Get(l)) / period }
	for key, one := range a.by {
		if one.conns == 0 && one.newConns.full(now, rate(wire.NewConnections, perTenMinutes)) &&
			one.logins.full(now, rate(wire.LoginsPerAddress, perMinute)) &&
			one.accounts.full(now, rate(wire.AccountsPerAddress, perDay)) {
			delete(a.by, key)
		}
	}
}
