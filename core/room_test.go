package core_test

import (
	"fmt"
	"testing"

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/wire"
)

// both runs a scenario over each store.
func both(t *testing.T, scenario func(t *testing.T, w *world)) {
	for _, kind := range []string{"mem", "sqlite"} {
		t.Run(kind, func(t *testing.T) {
			scenario(t, start(t, func(cfg *core.Config) { cfg.Store = newStore(t, kind) }))
		})
	}
}

func TestThreePeopleTalk(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		alice, bob, carol := w.person("Alice"), w.person("Bob"), w.person("Carol")
		a, b, c := w.guest(alice), w.guest(bob), w.guest(carol)
		for _, one := range []*client{a, b, c} {
			must[wire.WatchOK](one, wire.Watch{})
		}
		room := newRoom()
		must[wire.RoomState](a, wire.CreateRoom{Room: room, Kind: wire.RoomInvite})
		add := commit(room, 0, []*person{bob, carol}, nil)
		add.Welcomes = []wire.WelcomePiece{{Device: bob.id, Data: []byte("for bob")}, {Device: carol.id, Data: []byte("for carol")}}
		add.Tree = &wire.Part{Data: []byte("tree in a box")}
		first := must[wire.AppendOK](a, add)
		if first.Seq != 1 {
			t.Fatalf("first entry is %d", first.Seq)
		}
		welcome := event[wire.WelcomeEvent](b, wire.EventWelcome).Welcome
		if string(welcome.Data) != "for bob" || welcome.Room != room || welcome.Seq != 1 || welcome.From != alice.route() {
			t.Errorf("welcome %+v", welcome)
		}
		if tree := must[wire.GetBlobOK](b, wire.GetBlob{Room: room, Hash: *welcome.Tree}); string(tree.Data) != "tree in a box" {
			t.Errorf("tree %q", tree.Data)
		}
		if st := event[wire.RoomEvent](b, wire.EventRoom).State; !st.Routed || st.Room != room || st.From != 1 {
			t.Errorf("room state %+v", st)
		}
		must[wire.AppendOK](b, text(room, 1, "Hello"))
		must[wire.AppendOK](c, text(room, 1, "Hey guys"))
		mark := wire.LogStart(room)
		for _, one := range []*client{a, b, c} {
			chain := mark
			for i, want := range []string{"commit", "Hello", "Hey guys"} {
				e := one.entry()
				if e.Seq != uint64(i+1) || string(e.Payload) != want {
					t.Fatalf("entry %d is %d %q", i+1, e.Seq, e.Payload)
				}
				chain = e.Next(chain)
			}
			st := must[wire.WatchOK](one, wire.Watch{Rooms: []wire.RoomID{room}}).Rooms[0]
			if st.Chain != chain || st.Seq != 3 || st.Handshake != 1 {
				t.Errorf("state %+v, chain %s", st, chain)
			}
		}
		must[wire.Empty](b, wire.AckWelcomes{IDs: []uint64{welcome.ID}})
		if left := must[wire.ListWelcomesOK](b, wire.ListWelcomes{}); len(left.Welcomes) != 0 {
			t.Errorf("%d welcomes left", len(left.Welcomes))
		}
		if left := must[wire.ListWelcomesOK](c, wire.ListWelcomes{}); len(left.Welcomes) != 1 {
			t.Errorf("carol has %d welcomes", len(left.Welcomes))
		}
	})
}

func TestAppendIsRefusedUntilTheNewestHandshakeIsExamined(t *testing.T) {
	w := start(t)
	alice, bob := w.person("Alice"), w.person("Bob")
	a, b := w.guest(alice), w.guest(bob)
	room := group(t, []*client{a, b}, []*person{alice, bob})
	why := refused(b, wire.Stale, text(room, 0, "too early"))
	if why.Refusal.Seq != 1 {
		t.Errorf("the refusal names handshake %d", why.Refusal.Seq)
	}
	refused(b, wire.Malformed, text(room, 2, "from the future"))
	must[wire.AppendOK](b, text(room, 1, "in time"))
	must[wire.AppendOK](a, commit(room, 1, nil, nil))
	if why := refused(b, wire.Stale, text(room, 1, "again too early")); why.Refusal.Seq != 3 {
		t.Errorf("the refusal names handshake %d", why.Refusal.Seq)
	}
}

func TestWhoIsNotRoutedSeesNothing(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		alice, bob, mallory := w.person("Alice"), w.person("Bob"), w.person("Mallory")
		a, b, m := w.guest(alice), w.guest(bob), w.guest(mallory)
		room := group(t, []*client{a, b}, []*person{alice, bob})
		must[wire.AppendOK](a, text(room, 1, "secret"))
		stranger := []wire.Request{wire.Sync{Room: room}, wire.Members{Room: room}, text(room, 1, "x"), commit(room, 1, []*person{mallory}, nil),
			wire.GetGroupInfo{Room: room}, wire.Turn{Room: room}, wire.Signal{Room: room, Data: []byte("x")}, wire.Presence{Room: room},
			wire.ListLinks{Room: room}, wire.RouteChange{Room: room, Add: []wire.Route{mallory.route()}},
			wire.PutGroupInfo{Room: room, Seq: 1, GroupInfo: []byte("x")}, wire.ListKnocks{Room: room}, wire.ListRetired{Room: room},
			wire.CreateLink{Room: room, Link: wire.LinkID{1}, Seq: 1}, wire.RevokeLink{Room: room}, wire.GetBlob{Room: room}, wire.DropKnock{Room: room}}
		for _, req := range stranger {
			refused(m, wire.NotFound, req)
		}
		// A room that does not exist answers alike.
		refused(m, wire.NotFound, wire.Sync{Room: newRoom()})
		if got := must[wire.WatchOK](m, wire.Watch{Rooms: []wire.RoomID{room}}); len(got.Rooms) != 0 {
			t.Error("a stranger watches")
		}
		// Positive control: the same requests find the room for a member.
		must[wire.SyncOK](b, wire.Sync{Room: room})
		must[wire.MembersOK](b, wire.Members{Room: room})
		must[wire.TurnOK](b, wire.Turn{Room: room})
		must[wire.PresenceOK](b, wire.Presence{Room: room})
	})
}

func TestRemovedDeviceGetsTheEntryThatRemovesItAndNoLaterOne(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		alice, bob := w.person("Alice"), w.person("Bob")
		a, b := w.guest(alice), w.guest(bob)
		room := group(t, []*client{a, b}, []*person{alice, bob})
		must[wire.WatchOK](b, wire.Watch{})
		must[wire.AppendOK](a, text(room, 1, "before"))
		out := must[wire.AppendOK](a, commit(room, 1, nil, []*person{bob}))
		must[wire.AppendOK](a, text(room, out.Seq, "after"))
		if e := b.entry(); string(e.Payload) != "before" {
			t.Errorf("entry %q", e.Payload)
		}
		if e := b.entry(); e.Seq != out.Seq || len(e.Removed) != 1 || e.Removed[0] != bob.route() {
			t.Errorf("entry %+v", e)
		}
		if st := event[wire.RoomEvent](b, wire.EventRoom).State; st.Routed || st.Until != out.Seq {
			t.Errorf("state %+v", st)
		}
		b.none(wire.EventEntry)
		got := must[wire.SyncOK](b, wire.Sync{Room: room})
		if len(got.Entries) != int(out.Seq) || got.Seq != out.Seq || got.Handshake > out.Seq {
			t.Errorf("a removed device reads %d entries up to %d", len(got.Entries), got.Seq)
		}
		refused(b, wire.NotFound, text(room, out.Seq, "let me"))
		listed := must[wire.ListRoomsOK](b, wire.ListRooms{}).Rooms
		if len(listed) != 1 || listed[0].Until != out.Seq || listed[0].Seq != out.Seq {
			t.Errorf("listed %+v", listed)
		}
		// The refused way back, and the one that is there for mistakes.
		must[wire.Empty](b, wire.RouteChange{Room: room, Add: []wire.Route{bob.route()}})
		must[wire.AppendOK](b, text(room, out.Seq, "back"))
	})
}

func TestJoinerReadsFromWhatTheAppendHadExamined(t *testing.T) {
	w := start(t)
	alice, bob := w.person("Alice"), w.person("Bob")
	a, b := w.guest(alice), w.guest(bob)
	room := group(t, []*client{a}, []*person{alice})
	must[wire.AppendOK](a, commit(room, 0, nil, nil)) // 1
	must[wire.AppendOK](a, text(room, 1, "old"))      // 2
	must[wire.AppendOK](a, commit(room, 1, nil, nil)) // 3
	must[wire.AppendOK](a, text(room, 3, "between"))  // 4
	must[wire.AppendOK](a, commit(room, 3, []*person{bob}, nil))
	got := must[wire.SyncOK](b, wire.Sync{Room: room})
	first, err := got.Entries[0].Decode()
	if err != nil || first.Seq != 3 || len(got.Entries) != 3 {
		t.Errorf("a joiner reads %d entries from %d, %v", len(got.Entries), first.Seq, err)
	}
}

func TestLoungeIsFoundedByWhoEntersFirst(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		alice, bob := w.person("Alice"), w.person("Bob")
		a, b := w.guest(alice), w.guest(bob)
		lounge := w.server.Lounge()
		open := must[wire.ListRoomsOK](a, wire.ListRooms{Open: true}).Rooms
		if len(open) != 1 || open[0].Room != lounge || open[0].Founded || open[0].Name != "Lounge" {
			t.Fatalf("open rooms %+v", open)
		}
		refused(a, wire.NotFound, commit(lounge, 0, []*person{alice}, nil))
		must[wire.WatchOK](b, wire.Watch{Rooms: []wire.RoomID{lounge}})
		create := wire.CreateRoom{Room: lounge, Kind: wire.RoomOpen, GroupInfo: []byte("info"), Tree: &wire.Part{Data: []byte("tree")}}
		must[wire.RoomState](a, create)
		must[wire.RoomState](a, create) // a retry
		refused(b, wire.Conflict, create)
		info := must[wire.GroupInfo](b, wire.GetGroupInfo{Room: lounge})
		if string(info.GroupInfo) != "info" || string(info.Tree.Data) != "tree" || info.Seq != 0 {
			t.Errorf("%+v", info)
		}
		// A stranger may add itself and nothing else.
		refused(b, wire.NotFound, commit(lounge, 0, []*person{alice}, nil))
		refused(b, wire.NotFound, text(lounge, 0, "from outside"))
		join := commit(lounge, 0, []*person{bob}, nil)
		join.GroupInfo = []byte("info 1")
		must[wire.AppendOK](b, join)
		must[wire.AppendOK](b, text(lounge, 1, "Hey"))
		if e := b.entry(); e.Seq != 1 {
			t.Errorf("entry %d", e.Seq)
		}
		if info := must[wire.GroupInfo](a, wire.GetGroupInfo{Room: lounge}); info.Seq != 1 || string(info.GroupInfo) != "info 1" {
			t.Errorf("%+v", info)
		}
		refused(a, wire.Stale, wire.PutGroupInfo{Room: lounge, Seq: 0, GroupInfo: []byte("late")})
		must[wire.Empty](a, wire.PutGroupInfo{Room: lounge, Seq: 1, GroupInfo: []byte("mine")})
	})
}

func TestRetryIsDoneOnce(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		alice := w.person("Alice")
		a := w.guest(alice)
		room := group(t, []*client{a}, []*person{alice})
		key, msg := newKey(), text(room, 0, "once")
		// A refusal is not remembered: the same key may succeed later.
		early := *msg
		early.Examined = 7
		if _, err := askKey[wire.AppendOK](a, key, &early); err == nil {
			t.Fatal("accepted")
		}
		first, err := askKey[wire.AppendOK](a, key, msg)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			again, err := askKey[wire.AppendOK](a, key, msg)
			if err != nil || again != first {
				t.Fatalf("%+v, %v; first %+v", again, err, first)
			}
		}
		w.restart()
		a = w.connect()
		must[wire.LoginOK](a, wire.Login{User: alice.user, Device: alice.id, Proof: alice.proof(a.conn.Exporter())})
		again, err := askKey[wire.AppendOK](a, key, msg)
		if err != nil || again != first {
			t.Fatalf("after a restart %+v, %v; first %+v", again, err, first)
		}
		if got := must[wire.SyncOK](a, wire.Sync{Room: room}); len(got.Entries) != 1 {
			t.Errorf("%d entries", len(got.Entries))
		}
		if _, err := askKey[wire.KeyPackageCount](a, key, wire.UploadKeyPackages{}); err == nil {
			t.Error("one key for two kinds of request")
		}
		if _, err := askKey[wire.AppendOK](a, wire.Key{}, text(room, 0, "no key")); err == nil {
			t.Error("an append without a key")
		}
	})
}

func TestLogSurvivesARestartAndGoesOn(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		alice := w.person("Alice")
		a := w.guest(alice)
		room := group(t, []*client{a}, []*person{alice})
		must[wire.AppendOK](a, commit(room, 0, nil, nil))
		for i := range 20 {
			must[wire.AppendOK](a, text(room, 1, fmt.Sprint(i)))
		}
		w.restart()
		a = w.guest(alice)
		last := must[wire.AppendOK](a, text(room, 1, "after"))
		if last.Seq != 22 {
			t.Errorf("seq %d after a restart", last.Seq)
		}
		chain, after := wire.LogStart(room), uint64(0)
		for {
			page := must[wire.SyncOK](a, wire.Sync{Room: room, After: after, Limit: 5})
			for _, raw := range page.Entries {
				e, err := raw.Decode()
				if err != nil || e.Seq != after+1 {
					t.Fatalf("entry %d after %d, %v", e.Seq, after, err)
				}
				chain, after = e.Next(chain), e.Seq
			}
			if !page.More {
				break
			}
		}
		if chain != last.Chain || after != 22 {
			t.Errorf("chain %s at %d, want %s", chain, after, last.Chain)
		}
	})
}

func TestManyAppendAtOnceAndAllSeeOneOrder(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		const people, each = 8, 25
		var ps []*person
		var cs []*client
		for i := range people {
			p := w.person(fmt.Sprintf("P%d", i))
			ps, cs = append(ps, p), append(cs, w.guest(p))
		}
		room := group(t, cs, ps)
		for _, c := range cs {
			must[wire.WatchOK](c, wire.Watch{})
		}
		for i, c := range cs {
			for n := range each {
				ch, err := c.begin(newKey(), text(room, 1, fmt.Sprintf("%d/%d", i, n)))
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if _, err := finish[wire.AppendOK](ch); err != nil {
						t.Error(err)
					}
				}()
			}
		}
		var order []string
		for i, c := range cs {
			next := map[string]int{}
			for n := range people * each {
				e := c.entry()
				if e.Seq != uint64(n+2) {
					t.Fatalf("client %d got entry %d at place %d", i, e.Seq, n+2)
				}
				if i == 0 {
					order = append(order, string(e.Payload))
				} else if order[n] != string(e.Payload) {
					t.Fatalf("client %d sees another order", i)
				}
				var who, which int
				if _, err := fmt.Sscanf(string(e.Payload), "%d/%d", &who, &which); err != nil {
					t.Fatal(err)
				}
				if next[fmt.Sprint(who)] != which {
					t.Fatalf("one sender's messages out of order")
				}
				next[fmt.Sprint(who)]++
			}
		}
	})
}
