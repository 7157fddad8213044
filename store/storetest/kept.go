package storetest

import (
	"fmt"
	"sync"

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/wire"
)

func (t *suite) groupInfos() {
	room, link, hash := random[wire.RoomID](), random[wire.LinkID](), random[wire.Hash]()
	open := core.GroupInfoRecord{Room: room, Seq: 4, GroupInfo: []byte("info"), Tree: []byte("tree")}
	sealed := core.GroupInfoRecord{Room: room, Link: link, Seq: 5, GroupInfo: []byte("sealed"), TreeBlob: &hash}
	t.commit(core.PutGroupInfo{GroupInfoRecord: open}, core.PutGroupInfo{GroupInfoRecord: sealed})
	got, ok, err := t.s.GroupInfo(t.ctx, room, wire.LinkID{})
	t.same(open, got, ok, err)
	got, ok, err = t.s.GroupInfo(t.ctx, room, link)
	t.same(sealed, got, ok, err)
	open.Seq, open.Tree = 6, nil
	t.commit(core.PutGroupInfo{GroupInfoRecord: open}, core.DropGroupInfo{Room: room, Link: link})
	got, ok, err = t.s.GroupInfo(t.ctx, room, wire.LinkID{})
	t.same(open, got, ok, err)
	if _, ok, _ := t.s.GroupInfo(t.ctx, room, link); ok {
		t.Error("a dropped GroupInfo is there")
	}
}

func (t *suite) welcomes() {
	d, hash := random[wire.DeviceID](), random[wire.Hash]()
	var want []wire.Welcome
	for i := range 5 {
		w := wire.Welcome{ID: uint64(10 + i), Room: wire.RoomID{1}, Seq: 3, From: wire.Route{User: wire.UserID{1}, Device: wire.DeviceID{2}}, Data: make([]byte, 100)}
		if i == 2 {
			w.Tree = &hash
		}
		want = append(want, w)
		t.commit(core.PutWelcome{Device: d, Welcome: w, Expires: 1000})
	}
	t.commit(core.PutWelcome{Device: random[wire.DeviceID](), Welcome: wire.Welcome{ID: 99, Data: []byte("another's")}, Expires: 1000})
	got, err := t.s.Welcomes(t.ctx, d, 0, 10, 1<<20)
	list(t, got, err, want...)
	got, err = t.s.Welcomes(t.ctx, d, 11, 2, 1<<20)
	list(t, got, err, want[2:4]...)
	got, err = t.s.Welcomes(t.ctx, d, 0, 10, 250)
	list(t, got, err, want[:2]...)
	t.commit(core.DropWelcome{Device: random[wire.DeviceID](), ID: 10}) // not its own
	t.commit(core.DropWelcome{Device: d, ID: 11})
	if n, err := t.s.CountWelcomes(t.ctx, d); n != 4 || err != nil {
		t.Errorf("%d welcomes, %v", n, err)
	}
	if last, err := t.s.LastWelcome(t.ctx); last != 99 || err != nil {
		t.Errorf("last id %d, %v", last, err)
	}
}

func (t *suite) unseen() {
	room := t.room()
	gone, here, named := t.user(""), t.user(""), t.user("named")
	gone.Seen, here.Seen, named.Seen = 10, 100, 10
	t.commit(core.PutRoom{RoomRecord: room})
	var want []core.RouteRecord
	for i, u := range []core.UserRecord{gone, here, named} {
		r := core.RouteRecord{Room: room.ID, User: u.ID, Device: wire.DeviceID{byte(i + 1)}, From: 1}
		t.commit(core.PutUser{UserRecord: u}, core.PutRoute{RouteRecord: r})
		want = append(want, r)
	}
	got, err := t.s.Unseen(t.ctx, room.ID, 50, 10)
	list(t, got, err, want[0])
	got, err = t.s.Unseen(t.ctx, room.ID, 10, 10)
	list(t, got, err)
}

// outside: devices of people in a room that are not in it themselves.
func (t *suite) outside() {
	room, ann, bob := t.room(), random[wire.UserID](), random[wire.UserID]()
	t.commit(core.PutRoom{RoomRecord: room})
	device := func(n byte, user wire.UserID, state wire.DeviceState, able bool) wire.DeviceID {
		d := core.DeviceRecord{ID: random[wire.DeviceID](), User: user, State: state}
		d.ID[0] = n
		t.commit(core.PutDevice{DeviceRecord: d})
		if able {
			t.commit(core.PutLastResort{LastResortRecord: core.LastResortRecord{Device: d.ID, Data: []byte("kp")}})
		}
		return d.ID
	}
	inside := device(1, ann, wire.DeviceEnrolled, true)
	second := device(2, ann, wire.DeviceEnrolled, true)
	third := device(3, ann, wire.DeviceEnrolled, true)
	device(4, ann, wire.DeviceEnrolled, false)
	device(5, ann, wire.DeviceRevoked, true)
	device(6, bob, wire.DeviceEnrolled, true)
	t.commit(core.PutRoute{RouteRecord: core.RouteRecord{Room: room.ID, User: ann, Device: inside, From: 1}},
		core.PutRoute{RouteRecord: core.RouteRecord{Room: room.ID, User: ann, Device: second, From: 1, Until: 4}})
	got, err := t.s.Outside(t.ctx, room.ID, 10)
	list(t, got, err, wire.Route{User: ann, Device: second}, wire.Route{User: ann, Device: third})
	got, err = t.s.Outside(t.ctx, room.ID, 1)
	list(t, got, err, wire.Route{User: ann, Device: second})
	t.commit(core.PutRoute{RouteRecord: core.RouteRecord{Room: room.ID, User: ann, Device: inside, From: 1, Until: 5}})
	got, err = t.s.Outside(t.ctx, room.ID, 10)
	list(t, got, err)
}

func (t *suite) links() {
	room := random[wire.RoomID]()
	l := core.LinkRecord{ID: random[wire.LinkID](), Room: room, TokenHash: random[wire.Hash](), By: wire.Route{User: wire.UserID{1}, Device: wire.DeviceID{2}},
		Created: 3, Expires: 4, Uses: 5, Approval: true}
	t.commit(core.PutLink{LinkRecord: l}, core.PutGroupInfo{GroupInfoRecord: core.GroupInfoRecord{Room: room, Link: l.ID, Seq: 1, GroupInfo: []byte("x")}})
	got, ok, err := t.s.Link(t.ctx, l.ID)
	t.same(l, got, ok, err)
	t.commit(core.UseLink{Link: l.ID, Used: 2}, core.UseLink{Link: random[wire.LinkID](), Used: 2})
	l.Used = 2
	all, err := t.s.Links(t.ctx, room)
	list(t, all, err, l)
	t.commit(core.PutKnock{KnockRecord: core.KnockRecord{KnockEvent: wire.KnockEvent{Room: room, Link: l.ID, Time: 1}}})
	t.commit(core.DropLink{Link: l.ID})
	if _, ok, _ := t.s.Link(t.ctx, l.ID); ok {
		t.Error("a dropped link is there")
	}
	if _, ok, _ := t.s.GroupInfo(t.ctx, room, l.ID); ok {
		t.Error("the GroupInfo of a dropped link is there")
	}
	if k, _ := t.s.Knocks(t.ctx, room); len(k) != 0 {
		t.Error("somebody knocks by a dropped link")
	}
}

func (t *suite) knocks() {
	room, link := random[wire.RoomID](), random[wire.LinkID]()
	knock := func(device byte, at uint64) core.KnockRecord {
		return core.KnockRecord{KnockEvent: wire.KnockEvent{Room: room, Link: link, Route: wire.Route{User: wire.UserID{1}, Device: wire.DeviceID{device}},
			Time: at, Data: []byte("hi")}}
	}
	t.commit(core.PutKnock{KnockRecord: knock(1, 20)}, core.PutKnock{KnockRecord: knock(2, 10)}, core.PutKnock{KnockRecord: knock(1, 5)})
	got, err := t.s.Knocks(t.ctx, room)
	list(t, got, err, knock(1, 5), knock(2, 10))
	t.commit(core.DropKnock{Room: room, Device: wire.DeviceID{1}})
	got, err = t.s.Knocks(t.ctx, room)
	list(t, got, err, knock(2, 10))
}

func (t *suite) blobs() {
	room, hash, device := random[wire.RoomID](), random[wire.Hash](), random[wire.DeviceID]()
	b := core.BlobRecord{Room: room, Hash: hash, Size: 150, Device: device, Until: 1000}
	t.commit(core.PutBlob{BlobRecord: b}, core.PutChunk{Room: room, Hash: hash, Index: 1, Data: []byte("one")})
	t.commit(core.PutChunk{Room: room, Hash: hash, Index: 0, Data: []byte("zero")})
	t.commit(core.PutChunk{Room: room, Hash: hash, Index: 1, Data: []byte("one again")})
	got, ok, err := t.s.Blob(t.ctx, room, hash)
	t.same(b, got, ok, err)
	chunks, err := t.s.Chunks(t.ctx, room, hash)
	list(t, chunks, err, 0, 1)
	data, ok, err := t.s.Chunk(t.ctx, room, hash, 1)
	t.same([]byte("one again"), data, ok, err)
	if n, err := t.s.UnfinishedBytes(t.ctx, device); n != 150 || err != nil {
		t.Errorf("%d bytes unfinished, %v", n, err)
	}
	b.Complete = true
	t.commit(core.PutBlob{BlobRecord: b})
	if n, _ := t.s.UnfinishedBytes(t.ctx, device); n != 0 {
		t.Errorf("%d bytes unfinished", n)
	}
	if _, ok, _ := t.s.Blob(t.ctx, random[wire.RoomID](), hash); ok {
		t.Error("a blob is in another room as well")
	}
	t.commit(core.KeepBlob{Room: room, Hash: hash})
	b.Until = 0
	got, ok, err = t.s.Blob(t.ctx, room, hash)
	t.same(b, got, ok, err)
	t.commit(core.DropBlob{Room: room, Hash: hash})
	if _, ok, _ := t.s.Chunk(t.ctx, room, hash, 0); ok {
		t.Error("a chunk of a dropped blob is there")
	}
}

func (t *suite) answers() {
	const hour = 3600 * 1000
	user, key := random[wire.UserID](), random[wire.Key]()
	a := core.AnswerRecord{User: user, Key: key, Op: wire.OpAppend, Body: []byte("answer"), Time: 500 * hour}
	late := core.AnswerRecord{User: user, Key: random[wire.Key](), Op: wire.OpAppend, Body: []byte("late"), Time: 523 * hour}
	t.commit(core.PutAnswer{AnswerRecord: a}, core.PutAnswer{AnswerRecord: late})
	got, ok, err := t.s.Answer(t.ctx, user, key)
	t.same(a, got, ok, err)
	if _, ok, _ := t.s.Answer(t.ctx, random[wire.UserID](), key); ok {
		t.Error("another user finds the answer")
	}
	keys := map[wire.Key]bool{}
	if err := t.s.AnswerKeys(t.ctx, func(k wire.Key) { keys[k] = true }); err != nil || len(keys) != 2 || !keys[key] || !keys[late.Key] {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

func (t *suite) service() {
	ticket := core.TicketRecord{Hash: random[wire.Hash](), PSK: [32]byte{1}, Online: [32]byte{2}, Expires: 3}
	token := core.TokenRecord{Hash: random[wire.Hash](), Kind: core.TokenRegister, Uses: 2, Note: "for bob", Created: 4}
	ban := core.BanRecord{What: "192.0.2.0/24", Reason: "flood", Created: 5, Expires: 6}
	t.commit(core.PutTicket{TicketRecord: ticket}, core.PutToken{TokenRecord: token}, core.PutBan{BanRecord: ban})
	gotTicket, ok, err := t.s.Ticket(t.ctx, ticket.Hash)
	t.same(ticket, gotTicket, ok, err)
	gotToken, ok, err := t.s.Token(t.ctx, token.Hash)
	t.same(token, gotToken, ok, err)
	tokens, err := t.s.Tokens(t.ctx)
	list(t, tokens, err, token)
	bans, err := t.s.Bans(t.ctx)
	list(t, bans, err, ban)
	t.commit(core.DropTicket{Hash: ticket.Hash}, core.DropToken{Hash: token.Hash}, core.DropBan{What: ban.What})
	if _, ok, _ := t.s.Ticket(t.ctx, ticket.Hash); ok {
		t.Error("a dropped ticket is there")
	}
	t.commit(core.PutIncarnation{N: 3}, core.PutIncarnation{N: 2})
	if n, err := t.s.Incarnation(t.ctx); n != 3 || err != nil {
		t.Errorf("incarnation %d, %v", n, err)
	}
	for i := range 3 {
		t.commit(core.PutAudit{AuditRecord: core.AuditRecord{Time: uint64(i), Who: "w", Act: fmt.Sprint(i), Subject: "s"}})
	}
	log, err := t.s.AuditLog(t.ctx, 0, 2)
	if err != nil || len(log) != 2 || log[0].Act != "0" || log[1].Act != "1" || log[1].ID <= log[0].ID {
		t.Fatalf("audit %+v, %v", log, err)
	}
	log, err = t.s.AuditLog(t.ctx, log[1].ID, 10)
	if err != nil || len(log) != 1 || log[0].Act != "2" {
		t.Errorf("audit %+v, %v", log, err)
	}
}

// atomic wants a refused commit to leave nothing, however late it is refused.
func (t *suite) atomic() {
	room := t.room()
	t.commit(core.PutRoom{RoomRecord: room})
	put, head := t.entry(room.ID, core.Head{Chain: wire.LogStart(room.ID)}, wire.EntryMessage, "one")
	hole := put
	hole.Seq = 7
	user := t.user("")
	if err := t.s.Commit(t.ctx, []core.Change{core.PutUser{UserRecord: user}, put, hole}); err == nil {
		t.Fatal("a hole was accepted")
	}
	if err := t.s.Commit(t.ctx, []core.Change{core.PutUser{UserRecord: user}, struct{}{}}); err == nil {
		t.Fatal("an unknown change was accepted")
	}
	if _, ok, _ := t.s.User(t.ctx, user.ID); ok {
		t.Error("the user of a refused commit is there")
	}
	if _, got, _, _ := t.s.Room(t.ctx, room.ID); got.Seq != 0 {
		t.Error("the entry of a refused commit is there")
	}
	// And the store goes on.
	t.commit(put)
	_, got, ok, err := t.s.Room(t.ctx, room.ID)
	t.same(head, got, ok, err)
}

func (t *suite) collect() {
	const day = 24 * 3600 * 1000
	now := uint64(100 * day)
	user, room := random[wire.UserID](), random[wire.RoomID]()
	old := core.AnswerRecord{User: user, Key: random[wire.Key](), Body: []byte("old"), Time: now - 2*day}
	fresh := core.AnswerRecord{User: user, Key: random[wire.Key](), Body: []byte("fresh"), Time: now - day/2}
	waiting, enrolled := t.device(user), t.device(user)
	waiting.State, waiting.Expires = wire.DeviceWaiting, now-1
	named, loose, kept := random[wire.Hash](), random[wire.Hash](), random[wire.Hash]()
	d := random[wire.DeviceID]()
	t.commit(core.PutAnswer{AnswerRecord: old}, core.PutAnswer{AnswerRecord: fresh}, core.PutDevice{DeviceRecord: waiting}, core.PutDevice{DeviceRecord: enrolled},
		core.PutWelcome{Device: d, Welcome: wire.Welcome{ID: 1, Data: []byte("old")}, Expires: now - 1},
		core.PutWelcome{Device: d, Welcome: wire.Welcome{ID: 2, Room: room, Data: []byte("new"), Tree: &named}, Expires: now + 1},
		core.PutBlob{BlobRecord: core.BlobRecord{Room: room, Hash: named, Size: 1, Complete: true, Until: now - 1}},
		core.PutBlob{BlobRecord: core.BlobRecord{Room: room, Hash: loose, Size: 1, Until: now - 1}},
		core.PutChunk{Room: room, Hash: loose, Data: []byte("x")},
		core.PutBlob{BlobRecord: core.BlobRecord{Room: room, Hash: kept, Size: 1, Complete: true}},
		core.PutTicket{TicketRecord: core.TicketRecord{Hash: named, Expires: now - 1}}, core.PutToken{TokenRecord: core.TokenRecord{Hash: kept}},
		core.PutBan{BanRecord: core.BanRecord{What: "old", Expires: now - 1}}, core.PutBan{BanRecord: core.BanRecord{What: "ever"}})
	if err := t.s.Collect(t.ctx, now); err != nil {
		t.Fatal(err)
	}
	found := func(name string, want bool, get func() bool) {
		t.Helper()
		if get() != want {
			t.Errorf("%s: there is %t, want %t", name, !want, want)
		}
	}
	found("old answer", false, func() bool { _, ok, _ := t.s.Answer(t.ctx, user, old.Key); return ok })
	found("fresh answer", true, func() bool { _, ok, _ := t.s.Answer(t.ctx, user, fresh.Key); return ok })
	found("waiting device", false, func() bool { _, ok, _ := t.s.Device(t.ctx, waiting.ID); return ok })
	found("enrolled device", true, func() bool { _, ok, _ := t.s.Device(t.ctx, enrolled.ID); return ok })
	found("welcomes", true, func() bool { n, _ := t.s.CountWelcomes(t.ctx, d); return n == 1 })
	found("blob that a welcome names", true, func() bool { _, ok, _ := t.s.Blob(t.ctx, room, named); return ok })
	found("blob that nothing names", false, func() bool { _, ok, _ := t.s.Blob(t.ctx, room, loose); return ok })
	found("its chunk", false, func() bool { _, ok, _ := t.s.Chunk(t.ctx, room, loose, 0); return ok })
	found("blob that is kept", true, func() bool { _, ok, _ := t.s.Blob(t.ctx, room, kept); return ok })
	found("ticket", false, func() bool { _, ok, _ := t.s.Ticket(t.ctx, named); return ok })
	found("token without end", true, func() bool { _, ok, _ := t.s.Token(t.ctx, kept); return ok })
	found("bans", true, func() bool { b, _ := t.s.Bans(t.ctx); return len(b) == 1 && b[0].What == "ever" })
}

// concurrent wants readers beside a committer to see whole commits.
func (t *suite) concurrent() {
	room := t.room()
	t.commit(core.PutRoom{RoomRecord: room})
	const commits, each = 60, 5
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				_, head, _, err := t.s.Room(t.ctx, room.ID)
				if err != nil || head.Seq%each != 0 {
					t.Errorf("a reader sees seq %d, %v", head.Seq, err)
					return
				}
				entries, err := t.s.Entries(t.ctx, room.ID, 0, head.Seq, 1000, 1<<30)
				if err != nil || len(entries) != int(head.Seq) {
					t.Errorf("a reader sees %d entries of %d, %v", len(entries), head.Seq, err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	head := core.Head{Chain: wire.LogStart(room.ID)}
	for range commits {
		var changes []core.Change
		for range each {
			var put core.PutEntry
			put, head = t.entry(room.ID, head, wire.EntryMessage, "x")
			changes = append(changes, put)
		}
		t.commit(changes...)
	}
	close(done)
	readers.Wait()
}

// absent wants every question about what is not there to be answered so.
func (t *suite) absent() {
	checks := map[string]func() (bool, error){
		"user":        func() (bool, error) { _, ok, err := t.s.User(t.ctx, wire.UserID{1}); return ok, err },
		"login":       func() (bool, error) { _, ok, err := t.s.UserByLogin(t.ctx, "nobody"); return ok, err },
		"device":      func() (bool, error) { _, ok, err := t.s.Device(t.ctx, wire.DeviceID{1}); return ok, err },
		"last resort": func() (bool, error) { _, ok, err := t.s.LastResort(t.ctx, wire.DeviceID{1}); return ok, err },
		"room":        func() (bool, error) { _, _, ok, err := t.s.Room(t.ctx, wire.RoomID{1}); return ok, err },
		"route":       func() (bool, error) { _, ok, err := t.s.Route(t.ctx, wire.RoomID{1}, wire.DeviceID{1}); return ok, err },
		"group info": func() (bool, error) {
			_, ok, err := t.s.GroupInfo(t.ctx, wire.RoomID{1}, wire.LinkID{})
			return ok, err
		},
		"link":   func() (bool, error) { _, ok, err := t.s.Link(t.ctx, wire.LinkID{1}); return ok, err },
		"blob":   func() (bool, error) { _, ok, err := t.s.Blob(t.ctx, wire.RoomID{1}, wire.Hash{}); return ok, err },
		"chunk":  func() (bool, error) { _, ok, err := t.s.Chunk(t.ctx, wire.RoomID{1}, wire.Hash{}, 0); return ok, err },
		"answer": func() (bool, error) { _, ok, err := t.s.Answer(t.ctx, wire.UserID{1}, wire.Key{}); return ok, err },
		"ticket": func() (bool, error) { _, ok, err := t.s.Ticket(t.ctx, wire.Hash{}); return ok, err },
		"token":  func() (bool, error) { _, ok, err := t.s.Token(t.ctx, wire.Hash{}); return ok, err },
		"entries": func() (bool, error) {
			e, err := t.s.Entries(t.ctx, wire.RoomID{1}, 0, 10, 10, 10)
			return len(e) > 0, err
		},
		"welcome": func() (bool, error) { n, err := t.s.LastWelcome(t.ctx); return n > 0, err },
	}
	for name, check := range checks {
		if ok, err := check(); ok || err != nil {
			t.Errorf("%s: %t, %v", name, ok, err)
		}
	}
}
