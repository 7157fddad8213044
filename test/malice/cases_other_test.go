package malice

import (
	"crypto/ed25519"

	"github.com/securelink-chat/securelink/wire"
)

var otherCases = []manipulation{
	{
		name: "repeats signals, and moves them to another room and sender", fault: 50, story: types,
		lie: func(w *world) {
			w.server.add(events("Bob", func(t *tap, ev *wire.SignalEvent) fate {
				t.say(*ev)
				moved := *ev
				moved.Room = roomID(w.other)
				t.say(moved)
				t.say(*ev)
				return fate{touched: true}
			}))
		},
	}, {
		name: "speaks of a restore that its delegate has not signed", fault: 86, story: comesBack, misses: "Bob", raises: by{"Bob": "rollback reorder"},
		lie: func(w *world) {
			w.server.add(answers("Bob", func(_ *tap, _ *wire.Hello, a *wire.HelloOK) fate {
				a.Incarnation, a.Restored = 7, make([]byte, 64)
				return edited
			}))
			w.server.shows("Bob", w.room(), forgetNewest(w))
		},
	}, {
		name: "is restored from a backup that lacks the newest entry, and says so", fault: 86, story: comesBack, misses: "Bob", raises: by{"Bob": "log-reset reorder"},
		lie: func(w *world) {
			w.server.add(answers("Bob", func(t *tap, _ *wire.Hello, a *wire.HelloOK) fate {
				a.Incarnation = 1
				a.Restored = ed25519.Sign(t.s.keys.Delegate, wire.IncarnationSigned(t.s.keys.Root, 1))
				return edited
			}))
			w.server.shows("Bob", w.room(), forgetNewest(w))
		},
	},
}
