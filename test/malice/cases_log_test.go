package malice

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/securelink-chat/securelink/client"
	"github.com/securelink-chat/securelink/wire"
)

// nth finds a client's nth message after the turn, -1 if it is not there yet.
func (w *world) nth(log []shown, name string, n int) int {
	device := w.server.device(name)
	return slices.IndexFunc(log, func(e shown) bool {
		if e.real <= w.since || e.Kind != wire.EntryMessage || e.Device != device {
			return false
		}
		n--
		return n < 0
	})
}

// toBob shows Bob a room that is other than the real one from Alice's message
// number n after the turn on.
func toBob(n int, change func(w *world, log []shown, i int) []shown) func(*world) {
	return to(n, change, "Bob")
}

func to(n int, change func(w *world, log []shown, i int) []shown, names ...string) func(*world) {
	return func(w *world) {
		for _, name := range names {
			w.server.shows(name, w.room(), func(log []shown) []shown {
				i := w.nth(log, "Alice", n)
				if i < 0 {
					return log
				}
				return change(w, log, i)
			})
		}
	}
}

// body changes the body of one message.
func body(change func(w *world, log []shown, e *wire.Entry)) func(w *world, log []shown, i int) []shown {
	return func(w *world, log []shown, i int) []shown {
		change(w, log, &log[i].Entry)
		return log
	}
}

// clock changes the time of every entry from message n on, for everybody: so the
// chain says nothing.
func clock(change func(real uint64) uint64) func(*world) {
	return to(0, func(_ *world, log []shown, i int) []shown {
		for ; i < len(log); i++ {
			log[i].Time = change(log[i].Time)
		}
		return log
	}, "Alice", "Bob", "Carol")
}

// insert puts an entry before place i.
func insert(log []shown, i int, e wire.Entry) []shown {
	return slices.Insert(log, i, shown{Entry: e})
}

// bobForks is what follows when Bob is shown another history, and then speaks:
// what he has seen is in his message.
func bobForks(bob string) by { return by{"Bob": bob, "Alice": "fork", "Carol": "fork"} }

// bobIsAhead is the same where Bob was shown more entries than there are: he
// answers what the others have not got to.
func bobIsAhead(bob string) by { return by{"Bob": bob, "Alice": "reorder", "Carol": "reorder"} }

var logCases = []manipulation{
	{
		name: "drops a message", fault: 50, story: talk, misses: "Bob", raises: bobForks("reorder"),
		lie: toBob(0, func(_ *world, log []shown, i int) []shown { return slices.Delete(log, i, i+1) }),
	}, {
		name: "swaps two messages", fault: 50, story: talk, misses: "Bob", raises: bobForks("fork gap reorder"),
		lie: toBob(0, func(w *world, log []shown, i int) []shown {
			j := w.nth(log, "Alice", 1)
			if j < 0 {
				return log[:i]
			}
			log[i], log[j] = log[j], log[i]
			return log
		}),
	}, {
		name: "repeats a message", fault: 50, story: talk, misses: "Alice Carol", raises: bobIsAhead("fork replay"),
		lie: toBob(0, func(_ *world, log []shown, i int) []shown { return insert(log, i+1, log[i].Entry) }),
	}, {
		name: "repeats a message of an epoch that is over", fault: 50, story: talk, misses: "Alice Carol", raises: bobIsAhead("fork replay"),
		lie: toBob(0, func(w *world, log []shown, i int) []shown {
			before := w.nthAny(log, "Alice")
			return insert(log, i, log[before].Entry)
		}),
	}, {
		name: "repeats a message to everybody", fault: 50, story: talk, raises: by{"Alice": "replay", "Bob": "replay", "Carol": "replay"},
		lie: to(0, func(_ *world, log []shown, i int) []shown { return insert(log, i+1, log[i].Entry) }, "Alice", "Bob", "Carol"),
	}, {
		name: "moves a message from another room", fault: 50, story: twoRooms, raises: by{"Bob": "fork"},
		lie: toBob(0, func(w *world, log []shown, i int) []shown {
			there := w.server.log(roomID(w.other), w.server.head(roomID(w.other)))
			return insert(log, i, there[len(there)-1].Entry)
		}),
	}, {
		name: "puts in a message of random bytes", fault: 38, story: talk, misses: "Alice Carol", raises: bobIsAhead("fork"),
		lie: toBob(0, func(_ *world, log []shown, i int) []shown {
			return insert(log, i, wire.Entry{Kind: wire.EntryMessage, Time: log[i].Time, Payload: bytes.Repeat([]byte{0x5a}, 300)})
		}),
	}, {
		name: "replaces a body by other bytes of its length", fault: 52, story: talk, misses: "Bob", instead: "a line in the place of the message (Bob)", raises: bobForks("fork"), check: gone("Bob"),
		lie: toBob(0, body(func(_ *world, _ []shown, e *wire.Entry) { e.Body = bytes.Repeat([]byte{7}, len(e.Body)) })),
	}, {
		name: "gives a message the body of another", fault: 52, story: talk, misses: "Bob", instead: "a line in the place of the message (Bob)", raises: bobForks("fork"), check: gone("Bob"),
		lie: toBob(1, body(func(w *world, log []shown, e *wire.Entry) { e.Body = log[w.nth(log, "Alice", 0)].Body })),
	}, {
		name: "withholds a body", fault: 52, story: talk, misses: "Bob", instead: "a line in the place of the message (Bob)", check: gone("Bob"),
		lie: toBob(0, body(func(_ *world, _ []shown, e *wire.Entry) {
			sum := wire.Hash(sha256.Sum256(e.Body))
			e.Body, e.BodyGone = nil, &sum
		})),
	}, {
		name: "withholds a body and lies about its hash", fault: 52, story: talk, misses: "Bob", instead: "a line in the place of the message (Bob)", raises: bobForks("fork"), check: gone("Bob"),
		lie: toBob(0, body(func(_ *world, _ []shown, e *wire.Entry) { e.Body, e.BodyGone = nil, &wire.Hash{1} })),
	}, {
		name: "flips a bit of a message", fault: 50, story: talk, misses: "Bob", raises: bobForks("fork gap"),
		lie: toBob(0, func(_ *world, log []shown, i int) []shown {
			log[i].Payload = bytes.Clone(log[i].Payload)
			log[i].Payload[len(log[i].Payload)-1] ^= 1
			return log
		}),
	}, {
		name: "delays messages", fault: 50, story: talk,
		lie: toBob(0, func(w *world, log []shown, i int) []shown {
			if w.nth(log, "Carol", 0) < 0 {
				return log[:i]
			}
			return log
		}),
	}, {
		name: "says that it is 1970", fault: 55, story: talk, check: sober, lie: clock(func(uint64) uint64 { return 1 }),
	}, {
		name: "says that it is 9999", fault: 55, story: talk, check: sober, lie: clock(func(uint64) uint64 { return 253_402_300_799_000 }),
	}, {
		name: "turns the clock back with every entry", fault: 55, story: talk, check: sober,
		lie: clock(func(real uint64) uint64 { return 4_000_000_000_000 - real }),
	}, {
		name: "tells somebody another time", fault: 55, story: talk, raises: bobForks("fork"),
		lie: toBob(0, func(_ *world, log []shown, i int) []shown { log[i].Time++; return log }),
	}, {
		name: "forgets the newest entry over a reconnect", fault: 86, story: comesBack, misses: "Bob", raises: by{"Bob": "rollback reorder"},
		lie: func(w *world) {
			w.server.shows("Bob", w.room(), forgetNewest(w))
		},
	}, {
		name: "names another chain after a reconnect", fault: 39, story: comesBack, raises: by{"Bob": "fork"},
		lie: func(w *world) {
			w.server.add(times(1, answers("Bob", func(_ *tap, _ *wire.Watch, a *wire.WatchOK) fate {
				a.Rooms[0].Chain[0] ^= 1
				return edited
			})))
		},
	}, {
		name: "hands out a page of the log in disorder", fault: 50, story: away,
		lie: func(w *world) {
			w.server.add(pages("Bob", 3, func(a *wire.SyncOK) { slices.Reverse(a.Entries) }))
		},
	}, {
		name: "leaves a hole in a page of the log", fault: 50, story: away,
		lie: func(w *world) {
			w.server.add(pages("Bob", 3, func(a *wire.SyncOK) { a.Entries = slices.Delete(a.Entries, 0, 1) }))
		},
	}, {
		name: "pushes every entry twice", fault: 50, story: talk,
		lie: func(w *world) {
			w.server.add(events("Bob", func(t *tap, ev *wire.EntryEvent) fate { t.say(*ev); return fate{touched: true} }))
		},
	}, {
		name: "pushes an entry before its time", fault: 50, story: talk,
		lie: func(w *world) {
			w.server.add(events("Bob", func(t *tap, ev *wire.EntryEvent) fate {
				entry, err := ev.Entry.Decode()
				must(err)
				entry.Seq += 7
				t.say(wire.EntryEvent{Room: ev.Room, Entry: encode(entry)})
				return fate{touched: true}
			}))
		},
	},
}

// nthAny is a client's last message before the turn.
func (w *world) nthAny(log []shown, name string) int {
	device, found := w.server.device(name), -1
	for i, e := range log {
		if e.real <= w.since && e.Kind == wire.EntryMessage && e.Device == device {
			found = i
		}
	}
	return found
}

// forgetNewest is the room without the newest entry before the turn.
func forgetNewest(w *world) history {
	return func(log []shown) []shown { return slices.Delete(log, int(w.since)-1, int(w.since)) }
}

// pages changes the first pages of the log that a client asks for.
func pages(client string, n int, change func(a *wire.SyncOK)) lie {
	return times(n, answers(client, func(_ *tap, _ *wire.Sync, a *wire.SyncOK) fate {
		if len(a.Entries) < 2 {
			return pass
		}
		change(a)
		return edited
	}))
}

// gone: in the place of what is lost there is a line that says so.
func gone(name string) func(*world) {
	return func(w *world) {
		p, lines := w.named(name), 0
		for _, item := range p.timeline(w.main) {
			if item.Kind == client.ItemGone {
				lines++
			}
		}
		if lines != 1 {
			w.t.Errorf("%s sees %d lines for one lost message", name, lines)
		}
	}
}

// sober: shown times never go back, and none lies in the future.
func sober(w *world) {
	for _, p := range w.people {
		last := int64(0)
		for _, item := range p.timeline(w.main) {
			if item.Time < last {
				w.t.Errorf("%s sees the time go back from %d to %d", p.name, last, item.Time)
			}
			last = item.Time
		}
		if soon := time.Now().Add(time.Hour).UnixMilli(); last > soon {
			w.t.Errorf("%s sees a time that is still to come: %d", p.name, last)
		}
	}
}
