package malice

import (
	"bytes"
	"slices"

	"github.com/securelink-chat/securelink/wire"
)

// change finds the first handshake after the turn, -1 if it is not there yet.
func (w *world) change(log []shown) int {
	return slices.IndexFunc(log, func(e shown) bool { return e.real > w.since && e.Kind == wire.EntryHandshake })
}

// atChange shows Bob a room that is other than the real one from the first
// change after the turn on.
func atChange(change func(log []shown, i int) []shown) func(*world) {
	return func(w *world) {
		w.server.shows("Bob", w.room(), func(log []shown) []shown {
			if i := w.change(log); i >= 0 {
				return change(log, i)
			}
			return log
		})
	}
}

// handshakes is a lie about the changes that a client appends.
func handshakes(client string, edit func(t *tap, r *wire.Append) fate) lie {
	return requests(client, func(t *tap, r *wire.Append) fate {
		if r.Kind != wire.EntryHandshake {
			return pass
		}
		return edit(t, r)
	})
}

// texts is a lie about the messages that a client appends.
func texts(client string, edit func(t *tap, r *wire.Append) fate) lie {
	return requests(client, func(t *tap, r *wire.Append) fate {
		if r.Kind != wire.EntryMessage {
			return pass
		}
		return edit(t, r)
	})
}

// stale says that others were faster.
func stale(*tap, *wire.Append) fate { return refuse(wire.Stale, wire.Refusal{Seq: 1}) }

// swallow answers that something was stored, and stores nothing.
func swallow(*tap, *wire.Append) fate { return fate{touched: true, answer: wire.AppendOK{}} }

var changeCases = []manipulation{
	{
		name: "repeats a change of the room", fault: 50, story: changes, misses: "Bob", raises: by{"Bob": "reorder"},
		lie: atChange(func(log []shown, i int) []shown { return insert(log, i+1, log[i].Entry) }),
	}, {
		name: "drops a change of the room", fault: 39, story: changes, misses: "Bob", raises: by{"Bob": "fork"},
		lie: atChange(func(log []shown, i int) []shown { return slices.Delete(log, i, i+1) }),
	}, {
		name: "flips a bit of a change for one member", fault: 39, story: changes, misses: "Bob", raises: by{"Bob": "fork"},
		lie: atChange(func(log []shown, i int) []shown {
			log[i].Payload = bytes.Clone(log[i].Payload)
			log[i].Payload[len(log[i].Payload)-1] ^= 1
			return log
		}),
	}, {
		name: "flips a bit of a change for everybody", fault: 38, story: changes,
		lie: func(w *world) {
			w.server.add(times(1, handshakes("Alice", func(_ *tap, r *wire.Append) fate {
				r.Payload[len(r.Payload)-1] ^= 1
				return edited
			})))
		},
	}, {
		name: "takes somebody off its list by a change that removes nobody", fault: 38, story: changes,
		lie: func(w *world) {
			bob := wire.Route{User: userID(w.named("Bob").user()), Device: w.server.device("Bob")}
			w.server.add(times(1, handshakes("Alice", func(_ *tap, r *wire.Append) fate {
				r.Remove = append(r.Remove, bob)
				return edited
			})))
		},
	}, {
		name: "puts in a change of random bytes", fault: 38, story: changes, misses: "Bob", raises: by{"Bob": "reorder"},
		lie: atChange(func(log []shown, i int) []shown {
			return insert(log, i+1, wire.Entry{Kind: wire.EntryHandshake, Time: log[i].Time, Payload: bytes.Repeat([]byte{1}, 500)})
		}),
	}, {
		name: "shows two members two changes in one place", fault: 39, story: bothChange, misses: "Alice Bob", raises: by{"Alice": "fork", "Bob": "fork"},
		lie: func(w *world) {
			var bobs []shown
			w.server.shows("Bob", w.room(), func(log []shown) []shown {
				if i := w.change(log); i >= 0 && len(bobs) > 0 {
					bobs[0].real = log[i].real
					log[i] = bobs[0]
				} else if i < 0 {
					log = append(log, bobs...)
				}
				return log
			})
			w.server.add(times(1, handshakes("Bob", func(t *tap, r *wire.Append) fate {
				e := wire.Entry{Seq: w.since + 1, Kind: r.Kind, Payload: r.Payload, Message: r.Message, Time: 1}
				bobs = []shown{{Entry: e}}
				t.pushed[r.Room] = e.Seq
				return fate{touched: true, answer: wire.AppendOK{}, after: wire.EntryEvent{Room: r.Room, Entry: encode(e)}}
			})))
		},
	}, {
		name: "says of a change that it is stored, and loses it", fault: 89, story: changesAndReturns,
		lie: func(w *world) { w.server.add(times(1, handshakes("Alice", swallow))) },
	}, {
		name: "stores a change that it had refused, in the place of the next one", fault: 41, story: changes,
		lie: func(w *world) {
			var first *wire.Append
			w.server.add(times(2, handshakes("Alice", func(t *tap, r *wire.Append) fate {
				if first == nil {
					kept := *r
					first = &kept
					return stale(t, r)
				}
				*r = *first
				return edited
			})))
		},
	}, {
		name: "says of a message that it is stored, and loses it", fault: 50, story: hurries, misses: "Alice Bob", raises: by{"Bob": "gap"},
		lie: func(w *world) { w.server.add(times(1, texts("Alice", swallow))) },
	}, {
		name: "says for long that others were faster to change the room", fault: 40, story: changes, raises: by{"Alice": "starved"},
		lie: func(w *world) { w.server.add(times(11, handshakes("Alice", stale))) },
	}, {
		name: "says for long that others were faster to write", fault: 40, story: changes, raises: by{"Alice": "starved"},
		lie: func(w *world) { w.server.add(times(11, texts("Alice", stale))) },
	},
}
