package malice

import (
	"crypto/rand"
	"crypto/sha256"

	"github.com/securelink-chat/securelink/client"
	"github.com/securelink-chat/securelink/wire"
)

// welcomes is a lie about what reaches a client's inbox.
func welcomes(client string, edit func(t *tap, w *wire.Welcome) fate) lie {
	return events(client, func(t *tap, ev *wire.WelcomeEvent) fate { return edit(t, &ev.Welcome) })
}

var memberCases = []manipulation{
	{
		name: "sends a room's entries to a device that nobody let in", fault: 25, story: comesBack, raises: by{"Bob": "ghost-device"},
		lie: func(w *world) {
			w.server.add(answers("Bob", func(_ *tap, _ *wire.Members, a *wire.MembersOK) fate {
				var ghost wire.Route
				rand.Read(ghost.Device[:])
				rand.Read(ghost.User[:])
				a.Routes = append(a.Routes, ghost)
				return edited
			}))
		},
	}, {
		name: "sends a room's entries to a second device of a member", fault: 25, story: comesBack, raises: by{"Bob": "ghost-device"},
		lie: func(w *world) {
			w.server.add(answers("Bob", func(_ *tap, _ *wire.Members, a *wire.MembersOK) fate {
				ghost := wire.Route{User: a.Routes[0].User}
				rand.Read(ghost.Device[:])
				a.Routes = append(a.Routes, ghost)
				return edited
			}))
		},
	}, {
		name: "delivers a Welcome three times", fault: 41, story: invites,
		lie: func(w *world) {
			w.server.add(welcomes("Dora", func(t *tap, in *wire.Welcome) fate {
				t.say(wire.WelcomeEvent{Welcome: *in})
				again := *in
				again.ID += 1000
				t.say(wire.WelcomeEvent{Welcome: again})
				return fate{touched: true}
			}))
		},
	}, {
		name: "delivers a Welcome again after the joiner has spoken", fault: 41, story: invites,
		lie: func(w *world) {
			var kept wire.Welcome
			w.server.add(welcomes("Dora", func(_ *tap, in *wire.Welcome) fate {
				kept = *in
				return pass
			}), texts("Dora", func(t *tap, _ *wire.Append) fate {
				kept.ID += 1000
				t.say(wire.WelcomeEvent{Welcome: kept})
				return fate{touched: true}
			}))
		},
	}, {
		name: "delivers a Welcome long before the change that it came with", fault: 41, story: invites,
		lie: func(w *world) {
			w.server.shows("Dora", w.room(), func(log []shown) []shown {
				if w.nth(log, "Alice", 0) < 0 {
					return log[:w.since]
				}
				return log
			})
		},
	}, {
		name: "delivers a Welcome to another member as well", fault: 41, story: invites,
		lie: func(w *world) {
			w.server.add(welcomes("Dora", func(t *tap, in *wire.Welcome) fate {
				t.s.sayTo("Bob", wire.WelcomeEvent{Welcome: *in})
				return fate{touched: true}
			}))
		},
	}, {
		name: "delivers the Welcome of a change that it refused", fault: 41, story: invitesMeanwhile,
		misses: "Dora", raises: by{"Dora": "fork"}, lie: lostWelcome,
	}, {
		name: "says that somebody else sent an invitation", fault: 41, story: invites,
		lie: func(w *world) {
			bob := userID(w.named("Bob").user())
			w.server.add(welcomes("Dora", func(_ *tap, in *wire.Welcome) fate { in.From.User = bob; return edited }))
		},
	}, {
		name: "says that the invited has sent the invitation", fault: 41, story: invites,
		lie: func(w *world) {
			dora := userID(w.named("Dora").user())
			w.server.add(welcomes("Dora", func(_ *tap, in *wire.Welcome) fate { in.From.User = dora; return edited }))
		},
	}, {
		name: "damages a Welcome and its tree", fault: 41, story: invites, misses: "Dora", instead: "Dora does not come in", check: outside("Dora"),
		lie: func(w *world) {
			w.server.add(answers("Dora", func(_ *tap, _ *wire.GetBlob, a *wire.GetBlobOK) fate {
				a.Data[len(a.Data)/2] ^= 1
				return edited
			}), welcomes("Dora", func(_ *tap, in *wire.Welcome) fate { in.Data[len(in.Data)/2] ^= 1; return edited }))
		},
	}, {
		name: "takes a member out of a room by itself", fault: 50, story: changes, misses: "Bob", raises: by{"Bob": "removed"},
		lie: func(w *world) {
			room := w.room()
			w.server.add(events("Bob", func(t *tap, ev *wire.EntryEvent) fate {
				if ev.Room != room {
					return pass
				}
				t.say(wire.RoomEvent{State: wire.RoomState{Room: room, Kind: wire.RoomInvite, Founded: true, Until: w.since}})
				return dropped
			}), requests("Bob", func(_ *tap, r *wire.Sync) fate {
				if r.Room != room {
					return pass
				}
				return refuse(wire.NotFound, wire.Refusal{})
			}))
		},
	}, {
		name: "says that a member was taken out", fault: 50, story: talk,
		lie: func(w *world) {
			w.server.push("Bob", wire.RoomEvent{State: wire.RoomState{Room: w.room(), Kind: wire.RoomInvite, Founded: true, Seq: w.since, Until: w.since}})
		},
	},
}

// outside: somebody has nothing of the room.
func outside(name string) func(*world) {
	return func(w *world) { w.outside(name, w.main) }
}

func (w *world) outside(name, room string) {
	for _, r := range w.named(name).must(client.Request{Op: client.OpRooms}).Rooms {
		if r.ID == room && r.State != client.RoomJoining {
			w.t.Errorf("%s is in the room: %+v", name, r)
		}
	}
}

// lostWelcome: Alice's change is held back until Bob has made one and refused
// then, and its Welcome is delivered all the same, with the tree that belongs
// to it.
func lostWelcome(w *world) {
	var tree []byte
	var release func(fate)
	w.server.add(times(1, handshakes("Alice", func(t *tap, r *wire.Append) fate {
		tree = r.Tree.Data
		sum := wire.Hash(sha256.Sum256(tree))
		t.s.sayTo("Dora", wire.WelcomeEvent{Welcome: wire.Welcome{
			ID: 1 << 40, Room: r.Room, Seq: w.since + 1, Data: r.Welcomes[0].Data, Tree: &sum,
			From: wire.Route{User: userID(w.alice), Device: t.s.device("Alice")},
		}})
		release = t.hold()
		return dropped
	})), times(1, answers("Bob", func(t *tap, r *wire.Append, _ *wire.AppendOK) fate {
		if r.Kind == wire.EntryHandshake {
			release(stale(t, r))
		}
		return fate{touched: r.Kind == wire.EntryHandshake}
	})), requests("Dora", func(_ *tap, r *wire.GetBlob) fate {
		if r.Hash != sha256.Sum256(tree) {
			return pass
		}
		return fate{touched: true, answer: wire.GetBlobOK{Size: uint64(len(tree)), Data: tree}}
	}))
}
