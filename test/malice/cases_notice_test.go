package malice

import (
	"crypto/ed25519"

	"github.com/securelink-chat/securelink/client"
	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/wire"
)

// notice shows everybody a word of the server's delegate about Bob.
func notice(kind identity.NoticeKind) func(*world) {
	return func(w *world) {
		n := identity.Notice{Kind: kind, Group: identity.GroupID(w.room()), User: identity.UserID(userID(w.named("Bob").user())), Delegation: w.server.keys.Delegation}
		if kind == identity.NoticeRetired {
			n.Device = identity.DeviceID(w.server.device("Bob"))
		}
		identity.SignNotice(w.server.keys.Root, w.server.keys.Delegate, &n)
		raw := n.Encode()
		to(0, func(_ *world, log []shown, i int) []shown {
			return insert(log, i, wire.Entry{Kind: wire.EntryNotice, Time: log[i].Time, Payload: raw})
		}, "Alice", "Bob", "Carol")(w)
	}
}

// ranks: all are in the room, and are what they were.
func ranks(w *world) {
	for _, p := range w.people {
		for _, m := range p.must(client.Request{Op: client.OpMembers, Room: w.main}).Members {
			want := client.RoleMember
			if m.Name == "Alice" {
				want = client.RoleOwner
			}
			if m.Role != want {
				w.t.Errorf("for %s, %s is %s", p.name, m.Name, m.Role)
			}
		}
		if got := p.must(client.Request{Op: client.OpMembers, Room: w.main}).Members; len(got) != len(w.people) {
			w.t.Errorf("for %s there are %d members", p.name, len(got))
		}
	}
}

// otherDelegate makes a delegate that the server's root key knows nothing of.
func otherDelegate() (ed25519.PrivateKey, identity.Delegation) {
	_, delegate, err := ed25519.GenerateKey(nil)
	must(err)
	_, stranger, err := ed25519.GenerateKey(nil)
	must(err)
	return delegate, identity.SignDelegation(stranger, identity.PublicKey(delegate.Public().(ed25519.PublicKey)))
}

var noticeCases = []manipulation{
	{
		name: "says that a member of a closed room is gone for good", fault: 45, story: talk, check: ranks, lie: notice(identity.NoticeRetired),
	}, {
		name: "says that a member of a closed room owns it", fault: 45, story: talk, check: ranks, lie: notice(identity.NoticeOwner),
	}, {
		name: "names an owner of the Lounge by a delegate that its root has not signed", fault: 45, story: claims, refuses: by{"Alice": "refused"},
		lie: func(w *world) {
			w.server.add(answers("Alice", func(t *tap, _ *wire.ClaimAdmin, a *wire.ClaimAdminOK) fate {
				n, err := identity.DecodeNotice(a.Notice)
				must(err)
				var delegate ed25519.PrivateKey
				delegate, n.Delegation = otherDelegate()
				identity.SignNotice(t.s.keys.Root, delegate, n)
				a.Notice = n.Encode()
				return edited
			}))
		},
	},
}
