// Package people is what tests of whole engines share: to run one, to keep what
// it tells, and to wait for it.
package people

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/securelink-chat/securelink/client"
)

// Ear keeps everything that an engine has told. Ready for use as it is.
type Ear struct {
	Mu      sync.Mutex // of the fields; Until holds it while it asks
	Events  []client.Event
	Replies map[uint64]client.Event

	changed chan struct{} // closed when something was told
	next    uint64
}

// Start runs an engine and takes what it tells, which told hears first, with Mu
// held, if it is not nil. The engine ends with stop, as in a closed program.
func (e *Ear) Start(engine *client.Engine, told func(client.Event)) (stop func(patience time.Duration) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended, taken := make(chan error, 1), make(chan struct{})
	go func() { ended <- engine.Run(ctx) }()
	go func() {
		defer close(taken)
		for {
			select {
			case ev := <-engine.Events():
				e.take(ev, told)
			case <-ctx.Done():
				return
			}
		}
	}()
	return func(patience time.Duration) error {
		cancel()
		<-taken
		select {
		case err := <-ended:
			if err != nil {
				return fmt.Errorf("the engine failed: %w", err)
			}
			return nil
		case <-time.After(patience):
			return errors.New("the engine does not end")
		}
	}
}

func (e *Ear) take(ev client.Event, told func(client.Event)) {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	if told != nil {
		told(ev)
	}
	if ev.Kind == client.EvReply {
		if e.Replies == nil {
			e.Replies = map[uint64]client.Event{}
		}
		e.Replies[ev.Reply] = ev
	} else {
		e.Events = append(e.Events, ev)
	}
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}

// Forget begins anew, for another run.
func (e *Ear) Forget() {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	e.Events, e.Replies = nil, nil
}

// Until waits for something that the events lead to, and reports whether it
// came within patience.
func (e *Ear) Until(patience time.Duration, ready func() bool) bool {
	deadline := time.After(patience)
	for {
		e.Mu.Lock()
		ok := ready()
		if e.changed == nil {
			e.changed = make(chan struct{})
		}
		changed := e.changed
		e.Mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-deadline:
			return false
		}
	}
}

// Ask hands a request to an engine and returns the number of its reply.
func (e *Ear) Ask(engine *client.Engine, r client.Request) uint64 {
	e.Mu.Lock()
	e.next++
	r.ID = e.next
	e.Mu.Unlock()
	engine.Do(r)
	return r.ID
}

// Tail tells the last events, for the failure of a test.
func (e *Ear) Tail() string {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	out := ""
	for _, ev := range e.Events[max(0, len(e.Events)-15):] {
		out += "\n  " + describe(ev)
	}
	return out
}

func describe(ev client.Event) string {
	switch {
	case ev.Conn != nil:
		return fmt.Sprintf("connection %+v", *ev.Conn)
	case ev.Account != nil:
		return fmt.Sprintf("account %s %s", ev.Account.State, ev.Account.Name)
	case ev.Room != nil:
		return fmt.Sprintf("room %+v", *ev.Room)
	case ev.Item != nil:
		i := ev.Item
		return fmt.Sprintf("item %s %s %q %s %s at %d", i.Kind, i.Name, i.Text, i.State, i.Names, i.Cursor>>8)
	case ev.Alarm != nil:
		return fmt.Sprintf("alarm %+v", *ev.Alarm)
	}
	return fmt.Sprintf("%+v", ev)
}

// Timeline is what a person would be shown of a room now, by pages. ask sends
// a request that has to succeed.
func Timeline(ask func(client.Request) client.Event, room string) []client.Item {
	var all []client.Item
	for after := uint64(1); ; {
		more := false
		for _, item := range ask(client.Request{Op: client.OpHistory, Room: room, After: after, Limit: 200}).Items {
			if item.Cursor != 0 {
				all, after, more = append(all, item), item.Cursor, true
			}
		}
		if !more {
			return all
		}
	}
}

// Texts are the messages of a timeline.
func Texts(timeline []client.Item) []string {
	var all []string
	for _, item := range timeline {
		if item.Kind == client.ItemText {
			all = append(all, item.Name+": "+item.Text)
		}
	}
	return all
}

// Log is an engine's log, which is written where the environment asks for it.
type Log struct{ Name string }

// Log implements [client.Logger].
func (l Log) Log(level int, message string, pairs ...any) {
	if os.Getenv("SECURELINK_TEST_LOG") != "" {
		fmt.Fprintln(os.Stderr, l.Name, level, message, pairs)
	}
}
