package client

import (
	"sync"
	"time"
)

// slowAfter is how long something may take before the interface is told.
const slowAfter = time.Second

// progress tells the interface of something that takes more than a second; the
// function that it returns ends it.
func (e *Engine) progress(what string) func() {
	timer := time.AfterFunc(slowAfter, func() {
		e.out.tell(Event{Kind: EvProgress, Progress: &Progress{What: what}})
	})
	return func() { timer.Stop() }
}

// steps is the progress of something that can be counted.
type steps struct {
	e     *Engine
	what  string
	since time.Time
	once  sync.Once
	first int
	told  time.Time
}

func (e *Engine) steps(what string) *steps {
	return &steps{e: e, what: what, since: time.Now(), first: -1}
}

// at tells how far it is, once a second and not before the first has passed.
func (s *steps) at(done, total int) {
	s.once.Do(func() { s.first = done })
	now := time.Now()
	if now.Sub(s.since) < slowAfter || now.Sub(s.told) < slowAfter {
		return
	}
	s.told = now
	s.e.out.tell(Event{Kind: EvProgress, Progress: &Progress{What: s.what, Done: done - s.first, Total: total - s.first}})
}

// done tells the end of what was told.
func (s *steps) done() {
	if !s.told.IsZero() {
		s.e.out.tell(Event{Kind: EvProgress, Progress: &Progress{What: s.what, Done: 1, Total: 1}})
	}
}
