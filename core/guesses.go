package core

import (
	"sync"
	"time"

	"github.com/securelink-chat/securelink/wire"
)

// guesses counts wrong passwords by login name, whether the name exists or not,
// so that the delay does not tell. Those of real accounts are in the store too.
type guesses struct {
	limits *limits

	mu sync.Mutex
	by map[string]*guess
}

type guess struct {
	failures uint32
	at       time.Time
}

// maxGuessNames bounds the names that are remembered; the stalest go first.
const maxGuessNames = 10000

func newGuesses(l *limits) *guesses { return &guesses{limits: l, by: map[string]*guess{}} }

func (g *guesses) getLocked(login string, rec UserRecord) *guess {
	one := g.by[login]
	if one == nil {
		if len(g.by) >= maxGuessNames {
			g.forgetLocked()
		}
		one = &guess{failures: rec.Failures, at: time.UnixMilli(int64(rec.FailedAt))}
		g.by[login] = one
	}
	return one
}

func (g *guesses) forgetLocked() {
	oldest, when := "", time.Time{}
	for login, one := range g.by {
		if oldest == "" || one.at.Before(when) {
			oldest, when = login, one.at
		}
	}
	delete(g.by, oldest)
}

// delayed is how long an account with this many failures waits after the last.
func (g *guesses) delayed(failures uint32) time.Duration {
	free := uint32(g.limits.Get(wire.LoginFailures))
	if failures < free {
		return 0
	}
	return min(g.limits.Time(wire.LoginDelay)<<min(failures-free, 20), maxDelay)
}

// may says whether an attempt on the name may be made now.
func (g *guesses) may(login string, rec UserRecord) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	one := g.getLocked(login, rec)
	if int(one.failures) >= g.limits.Get(wire.PasswordCeiling) {
		return wire.RefuseLimit(wire.PasswordCeiling, maxDelay)
	}
	if wait := time.Until(one.at.Add(g.delayed(one.failures))); wait > 0 {
		return wire.RefuseLimit(wire.LoginFailures, wait)
	}
	return nil
}

// failed counts a wrong password and returns what to store.
func (g *guesses) failed(login string, rec UserRecord) (failures uint32, at uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	one := g.getLocked(login, rec)
	one.failures++
	one.at = time.Now()
	return one.failures, uint64(one.at.UnixMilli())
}

// clear forgets the failures of a name.
func (g *guesses) clear(login string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.by, login)
}

// sweep forgets names that no longer wait; what real accounts failed is in the
// store.
func (g *guesses) sweep(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for login, one := range g.by {
		if now.Sub(one.at) > maxDelay+g.delayed(one.failures) {
			delete(g.by, login)
		}
	}
}
