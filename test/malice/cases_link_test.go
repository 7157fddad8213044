package malice

import (
	"encoding/base64"
	"encoding/hex"
	"strings"

	"github.com/securelink-chat/securelink/client"
	"github.com/securelink-chat/securelink/wire"
)

// offers is a lie about what Dora's link opens.
func offers(n int, edit func(a *wire.FetchLinkOK)) func(*world) {
	return func(w *world) {
		w.server.add(times(n, answers("Dora", func(_ *tap, _ *wire.FetchLink, a *wire.FetchLinkOK) fate { edit(a); return edited })))
	}
}

// offer is what the store has for the link in a text now.
func (w *world) offer(text string) wire.FetchLinkOK {
	l, err := client.ParseLink(text)
	must(err)
	info, ok, err := w.server.store.GroupInfo(w.t.Context(), l.Room, l.Secret.ID())
	must(err)
	if !ok {
		panic("malice: nothing is stored for the link")
	}
	return wire.FetchLinkOK{Room: l.Room, Seq: info.Seq, GroupInfo: info.GroupInfo, Tree: &wire.Part{Data: info.Tree, Blob: info.TreeBlob}}
}

var linkCases = []manipulation{
	{
		name: "opens a link to another room", fault: 37, story: joins, misses: "Dora", refuses: by{"Dora": "not-found"}, check: outside("Dora"),
		lie: func(w *world) {
			other := w.offer(w.otherLink)
			offers(-1, func(a *wire.FetchLinkOK) { *a = other })(w)
		},
	}, {
		name: "gives a link the GroupInfo of another room", fault: 37, story: joins, misses: "Dora", refuses: by{"Dora": "untrusted"}, check: outside("Dora"),
		lie: func(w *world) {
			other := w.offer(w.otherLink)
			offers(-1, func(a *wire.FetchLinkOK) { a.GroupInfo, a.Tree = other.GroupInfo, other.Tree })(w)
		},
	}, {
		name: "flips a bit of what a link opens", fault: 37, story: joins, misses: "Dora", refuses: by{"Dora": "untrusted"}, check: outside("Dora"),
		lie: offers(-1, func(a *wire.FetchLinkOK) { a.GroupInfo[len(a.GroupInfo)/2] ^= 1 }),
	}, {
		name: "gives a link an old tree", fault: 36, story: joins, misses: "Dora", refuses: by{"Dora": "untrusted"}, check: outside("Dora"),
		lie: func(w *world) {
			old := w.offer(w.text)
			offers(-1, func(a *wire.FetchLinkOK) { a.Tree = old.Tree })(w)
		},
	}, {
		name: "gives a link an old GroupInfo for a while", fault: 36, story: joins,
		lie: func(w *world) {
			old := w.offer(w.text)
			offers(3, func(a *wire.FetchLinkOK) { *a = old })(w)
		},
	}, {
		name: "hands a link on with another inviter in it", fault: 37, story: joins, misses: "Dora", refuses: by{"Dora": "untrusted"}, check: outside("Dora"),
		lie: func(w *world) {
			head, fragment, _ := strings.Cut(w.text, "#")
			secret, err := base64.RawURLEncoding.DecodeString(fragment)
			must(err)
			bob, err := hex.DecodeString(w.named("Bob").user())
			must(err)
			copy(secret[32:], bob)
			w.text = head + "#" + base64.RawURLEncoding.EncodeToString(secret)
			w.server.applied++
		},
	}, {
		name: "shows a joiner the room as it was, and keeps its coming from the others", fault: 36, story: joins, misses: "Dora", instead: "Dora waits, and nothing that she writes leaves", check: unheard,
		lie: func(w *world) {
			old := w.offer(w.text)
			offers(-1, func(a *wire.FetchLinkOK) { *a = old })(w)
			var doras []shown
			w.server.shows("Dora", w.room(), func(log []shown) []shown { return append(log[:w.since], doras...) })
			w.server.add(requests("Dora", func(t *tap, r *wire.Sync) fate {
				a := wire.SyncOK{Seq: t.s.head(r.Room)}
				t.sync(r, &a)
				return fate{touched: true, answer: a}
			}), handshakes("Dora", func(t *tap, r *wire.Append) fate {
				e := wire.Entry{Seq: w.since + 1, Kind: r.Kind, Payload: r.Payload, Message: r.Message, Time: 1}
				doras = []shown{{Entry: e}}
				t.pushed[r.Room] = e.Seq
				return fate{touched: true, answer: wire.AppendOK{}, after: wire.EntryEvent{Room: r.Room, Entry: encode(e)}}
			}))
		},
	}, {
		name: "gives a stranger a damaged GroupInfo of the Lounge, once", fault: 36, story: lounge,
		lie: func(w *world) {
			w.server.add(times(1, answers("Carol", func(_ *tap, _ *wire.GetGroupInfo, a *wire.GroupInfo) fate {
				a.GroupInfo[len(a.GroupInfo)-1] ^= 1
				return edited
			})))
		},
	},
}

// unheard: Dora waits to be confirmed, and what she writes does not leave.
func unheard(w *world) {
	dora := w.named("Dora")
	dora.must(client.Request{Op: client.OpSend, Room: w.main, Text: "a secret"})
	dora.must(client.Request{Op: client.OpInfo})
	dora.returns()
	dora.reaches(w.main, client.RoomWaiting)
	for _, item := range dora.must(client.Request{Op: client.OpHistory, Room: w.main}).Items {
		if item.Text == "a secret" && item.State != client.StateWaiting {
			w.t.Errorf("what Dora writes is %s", item.State)
		}
	}
	if n := w.server.requested("Dora", wire.OpAppend); n != 1 {
		w.t.Errorf("Dora has appended %d times, not just to come in", n)
	}
}
