package core

import (
	"sync/atomic"
	"time"

	"github.com/securelink-chat/securelink/wire"
)

// limits are the numbers in force. A reload replaces the table as a whole;
// every use reads it anew, so that nothing has to be told.
type limits struct{ table atomic.Pointer[wire.Limits] }

func newLimits(table wire.Limits) *limits {
	l := &limits{}
	l.table.Store(&table)
	return l
}

// Get is a limit's number.
func (l *limits) Get(limit wire.Limit) int { return l.table.Load().Get(limit) }

// Time is a limit in ms as a duration.
func (l *limits) Time(limit wire.Limit) time.Duration { return l.table.Load().Time(limit) }

// Values lists all of them, as a client is told.
func (l *limits) Values() []wire.LimitValue { return l.table.Load().Values() }

// Reload takes over what can change in a running server. Clients that are
// connected were told the numbers of before; those of now hold for them too.
func (s *Server) Reload(table wire.Limits, registration wire.Registration) {
	s.limits.table.Store(&table)
	s.registration.Store(uint32(registration))
	s.log.Info("limits and registration taken over", "registration", registration)
}
