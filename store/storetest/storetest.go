// Package storetest is what every store of the core must do. A store's own test
// opens it and calls Run; stores on disk call RunDurable as well.
package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/wire"
)

// Run holds a store against the suite. open gives an empty store, which the
// suite closes.
func Run(t *testing.T, open func(t *testing.T) core.Store) {
	for _, c := range []struct {
		name string
		test func(*suite)
	}{
		{"users", (*suite).users}, {"logins are unique", (*suite).logins}, {"devices", (*suite).devices}, {"packages", (*suite).packages},
		{"standing", (*suite).standing},
		{"rooms", (*suite).rooms}, {"log", (*suite).log}, {"log has no holes", (*suite).holes}, {"pages", (*suite).pages}, {"routes", (*suite).routes}, {"cleared room", (*suite).cleared},
		{"group infos", (*suite).groupInfos}, {"welcomes", (*suite).welcomes}, {"unseen guests", (*suite).unseen}, {"devices outside", (*suite).outside}, {"links", (*suite).links},
		{"knocks", (*suite).knocks}, {"blobs", (*suite).blobs}, {"answers", (*suite).answers}, {"service", (*suite).service},
		{"all or nothing", (*suite).atomic}, {"collect", (*suite).collect}, {"reads beside commits", (*suite).concurrent}, {"nothing is there", (*suite).absent},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
			c.test(&suite{T: t, s: s, ctx: t.Context()})
		})
	}
}

// RunDurable checks that everything is there after the store was closed and
// opened again. open gives the same store each time.
func RunDurable(t *testing.T, open func(t *testing.T) core.Store) {
	st := &suite{T: t, s: open(t), ctx: t.Context()}
	user, device, room := st.user("carol"), core.DeviceRecord{}, st.room()
	device = st.device(user.ID)
	st.commit(core.PutUser{UserRecord: user}, core.PutDevice{DeviceRecord: device}, core.PutRoom{RoomRecord: room})
	head := core.Head{Chain: wire.LogStart(room.ID)}
	for i := range 50 {
		head = st.append(room.ID, head, wire.EntryMessage, fmt.Sprint(i))
	}
	st.commit(core.PutWelcome{Device: device.ID, Welcome: wire.Welcome{ID: 77, Data: []byte("w")}, Expires: 5})
	st.commit(core.DropWelcome{Device: device.ID, ID: 77})
	if err := st.s.Close(); err != nil {
		t.Fatal(err)
	}
	st.s = open(t)
	defer func() {
		if err := st.s.Close(); err != nil {
			t.Error(err)
		}
	}()
	got, ok, err := st.s.UserByLogin(st.ctx, "carol")
	st.same(user, got, ok, err)
	_, end, ok, err := st.s.Room(st.ctx, room.ID)
	st.same(head, end, ok, err)
	st.append(room.ID, head, wire.EntryHandshake, "goes on")
	if n, err := st.s.LastWelcome(st.ctx); err != nil || n != 77 {
		t.Errorf("last welcome %d, %v", n, err)
	}
}

type suite struct {
	*testing.T
	s   core.Store
	ctx context.Context
}

func (t *suite) commit(changes ...core.Change) {
	t.Helper()
	if err := t.s.Commit(t.ctx, changes); err != nil {
		t.Fatal(err)
	}
}

// same wants a record to be found and equal.
func (t *suite) same(want, got any, ok bool, err error) {
	t.Helper()
	if err != nil || !ok || !reflect.DeepEqual(want, got) {
		t.Errorf("got %+v, %t, %v\nwant %+v", got, ok, err, want)
	}
}

// list wants records to be found in this order.
func list[V any](t *suite, got []V, err error, want ...V) {
	t.Helper()
	if err != nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func random[T ~[16]byte | ~[32]byte]() (v T) {
	var raw [32]byte
	_, _ = rand.Read(raw[:])
	switch p := any(&v).(type) {
	case *wire.RoomID:
		copy(p[:], raw[:])
	case *wire.DeviceID:
		copy(p[:], raw[:])
	case *wire.UserID:
		copy(p[:], raw[:])
	case *wire.Hash:
		copy(p[:], raw[:])
	case *wire.Key:
		copy(p[:], raw[:])
	case *wire.LinkID:
		copy(p[:], raw[:])
	}
	return v
}

func (t *suite) user(login string) core.UserRecord {
	return core.UserRecord{ID: random[wire.UserID](), Identity: random[wire.Hash](), Profile: []byte("profile"), Login: login, Salt: [16]byte{1},
		Params: wire.PasswordParams{MemoryKiB: 65536, Time: 3, Threads: 1}, Salt2: [16]byte{2}, Verifier: [32]byte{3}, Created: 4, Seen: 5}
}

func (t *suite) device(user wire.UserID) core.DeviceRecord {
	return core.DeviceRecord{ID: random[wire.DeviceID](), User: user, State: wire.DeviceEnrolled, Key: random[wire.Hash](), Class: 1, Created: 6,
		Certificate: []byte("certificate"), Label: "Läptop", Seen: 7}
}

func (t *suite) room() core.RoomRecord {
	return core.RoomRecord{ID: random[wire.RoomID](), Kind: wire.RoomInvite, Founded: true, Founder: random[wire.DeviceID](), Created: 8}
}

func (t *suite) entry(room wire.RoomID, head core.Head, kind wire.EntryKind, payload string) (core.PutEntry, core.Head) {
	e := wire.Entry{Seq: head.Seq + 1, Time: head.Time + 3, Kind: kind, Payload: []byte(payload)}
	raw, err := wire.Encode(&e)
	if err != nil {
		t.Fatal(err)
	}
	next := core.Head{Seq: e.Seq, Handshake: head.Handshake, Time: e.Time, Chain: e.Next(head.Chain)}
	if kind == wire.EntryHandshake {
		next.Handshake = e.Seq
	}
	return core.PutEntry{Room: room, Seq: e.Seq, Time: e.Time, Kind: kind, Chain: next.Chain, Data: raw}, next
}

func (t *suite) append(room wire.RoomID, head core.Head, kind wire.EntryKind, payload string) core.Head {
	t.Helper()
	put, next := t.entry(room, head, kind, payload)
	t.commit(put)
	return next
}

func (t *suite) users() {
	alice, guest := t.user("alice"), t.user("")
	t.commit(core.PutUser{UserRecord: alice}, core.PutUser{UserRecord: guest})
	got, ok, err := t.s.User(t.ctx, alice.ID)
	t.same(alice, got, ok, err)
	got, ok, err = t.s.UserByLogin(t.ctx, "alice")
	t.same(alice, got, ok, err)
	if _, ok, _ := t.s.UserByLogin(t.ctx, ""); ok {
		t.Error("a guest is found by no name")
	}
	t.commit(core.SetFailures{User: alice.ID, Failures: 9, At: 10})
	alice.Failures, alice.FailedAt = 9, 10
	got, ok, err = t.s.User(t.ctx, alice.ID)
	t.same(alice, got, ok, err)
	alice.Admin, alice.Banned, alice.Profile = true, true, []byte("new")
	t.commit(core.PutUser{UserRecord: alice})
	got, ok, err = t.s.User(t.ctx, alice.ID)
	t.same(alice, got, ok, err)
	both := []core.UserRecord{alice, guest}
	slices.SortFunc(both, func(a, b core.UserRecord) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	all, err := t.s.Users(t.ctx, wire.UserID{}, 10)
	list(t, all, err, both...)
	all, err = t.s.Users(t.ctx, both[0].ID, 10)
	list(t, all, err, both[1])
	all, err = t.s.Users(t.ctx, wire.UserID{}, 1)
	list(t, all, err, both[0])
}

func (t *suite) logins() {
	first, second := t.user("bob"), t.user("bob")
	t.commit(core.PutUser{UserRecord: first})
	if err := t.s.Commit(t.ctx, []core.Change{core.PutUser{UserRecord: second}}); err == nil {
		t.Error("one login name for two users")
	}
	if _, ok, _ := t.s.User(t.ctx, second.ID); ok {
		t.Error("the refused user is there")
	}
	// Two guests have none.
	t.commit(core.PutUser{UserRecord: t.user("")}, core.PutUser{UserRecord: t.user("")})
}

func (t *suite) devices() {
	user := t.user("")
	t.commit(core.PutUser{UserRecord: user})
	a, b, other := t.device(user.ID), t.device(user.ID), t.device(random[wire.UserID]())
	b.State, b.Certificate, b.Expires = wire.DeviceWaiting, nil, 99
	t.commit(core.PutDevice{DeviceRecord: a}, core.PutDevice{DeviceRecord: b}, core.PutDevice{DeviceRecord: other})
	got, ok, err := t.s.Device(t.ctx, b.ID)
	t.same(b, got, ok, err)
	t.commit(core.TouchDevice{Device: a.ID, User: user.ID, Seen: 1234})
	a.Seen = 1234
	both := []core.DeviceRecord{a, b}
	slices.SortFunc(both, func(a, b core.DeviceRecord) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	all, err := t.s.Devices(t.ctx, user.ID)
	list(t, all, err, both...)
	if u, _, _ := t.s.User(t.ctx, user.ID); u.Seen != 1234 {
		t.Errorf("user seen at %d", u.Seen)
	}
	t.commit(core.DropDevice{Device: b.ID})
	all, err = t.s.Devices(t.ctx, user.ID)
	list(t, all, err, a)
	a.State, a.RevokedAt, a.Revocation = wire.DeviceRevoked, 55, []byte("signature")
	t.commit(core.PutDevice{DeviceRecord: a})
	got, ok, err = t.s.Device(t.ctx, a.ID)
	t.same(a, got, ok, err)
}

func (t *suite) packages() {
	d := random[wire.DeviceID]()
	var want []core.PackageRecord
	for i := range 5 {
		data := []byte{byte(i), 1, 2}
		p := core.PackageRecord{Device: d, Hash: sha256.Sum256(data), Data: data}
		want = append(want, p)
		t.commit(core.PutPackage{PackageRecord: p})
	}
	got, err := t.s.OneTimePackages(t.ctx, d, 2)
	list(t, got, err, want[:2]...)
	t.commit(core.DropPackage{PackageRecord: want[0]})
	got, err = t.s.OneTimePackages(t.ctx, d, 10)
	list(t, got, err, want[1:]...)
	if n, err := t.s.CountOneTime(t.ctx, d); n != 4 || err != nil {
		t.Errorf("%d packages, %v", n, err)
	}
	last := core.LastResortRecord{Device: d, Data: []byte("last")}
	t.commit(core.PutLastResort{LastResortRecord: last})
	l, ok, err := t.s.LastResort(t.ctx, d)
	t.same(last, l, ok, err)
	last.Used = true
	t.commit(core.PutLastResort{LastResortRecord: last})
	l, ok, err = t.s.LastResort(t.ctx, d)
	t.same(last, l, ok, err)
	t.commit(core.DropPackages{Device: d})
	if n, _ := t.s.CountOneTime(t.ctx, d); n != 0 {
		t.Errorf("%d packages of a device that is gone", n)
	}
	if _, ok, _ := t.s.LastResort(t.ctx, d); ok {
		t.Error("a last resort of a device that is gone")
	}
}

// standing counts a device's own, of each kind another number.
func (t *suite) standing() {
	user := t.user("")
	here, other := t.device(user.ID), t.device(user.ID)
	t.commit(core.PutUser{UserRecord: user}, core.PutDevice{DeviceRecord: here}, core.PutDevice{DeviceRecord: other})
	want := func(what string, want core.Standing) {
		t.Helper()
		if got, err := t.s.Standing(t.ctx, here.ID, user.ID, 100); got != want || err != nil {
			t.Errorf("%s: %+v, %v, want %+v", what, got, err, want)
		}
	}
	want("nothing", core.Standing{})
	for device, n := range map[wire.DeviceID]int{here.ID: 2, other.ID: 9} {
		for i := range n {
			t.commit(core.PutPackage{PackageRecord: core.PackageRecord{Device: device, Hash: random[wire.Hash](), Data: []byte{byte(i)}}})
		}
		for i := range n + 1 {
			t.commit(core.PutWelcome{Device: device, Welcome: wire.Welcome{ID: uint64(100*n + i), Data: []byte("w")}, Expires: 1000})
		}
	}
	last := core.LastResortRecord{Device: here.ID, Data: []byte("last")}
	t.commit(core.PutLastResort{LastResortRecord: last})
	for i, expires := range []uint64{101, 102, 103, 104, 100} { // the last one's time is over
		d := t.device(user.ID)
		d.State, d.Certificate, d.Expires = wire.DeviceWaiting, nil, expires
		if i == 3 {
			d.User = random[wire.UserID]()
		}
		t.commit(core.PutDevice{DeviceRecord: d})
	}
	want("some of each", core.Standing{OneTime: 2, LastResort: true, Welcomes: 3, Waiting: 3})
	last.Used = true
	t.commit(core.PutLastResort{LastResortRecord: last})
	want("the last resort was handed out", core.Standing{OneTime: 2, Welcomes: 3, Waiting: 3})
}

func (t *suite) rooms() {
	direct := core.RoomRecord{ID: random[wire.RoomID](), Kind: wire.RoomDirect, Founded: true, Users: [2]wire.UserID{{1}, {2}}, Generation: 3, Created: 4}
	open := core.RoomRecord{ID: random[wire.RoomID](), Kind: wire.RoomOpen, Name: "Lounge"}
	t.commit(core.PutRoom{RoomRecord: direct}, core.PutRoom{RoomRecord: open})
	got, head, ok, err := t.s.Room(t.ctx, direct.ID)
	t.same(direct, got, ok, err)
	t.same(core.Head{Chain: wire.LogStart(direct.ID)}, head, ok, err)
	all, err := t.s.OpenRooms(t.ctx, wire.RoomID{}, 10)
	list(t, all, err, open)
	open.Founded, open.Founder = true, wire.DeviceID{5}
	t.commit(core.PutRoom{RoomRecord: open})
	all, err = t.s.OpenRooms(t.ctx, wire.RoomID{}, 10)
	list(t, all, err, open)
	all, err = t.s.OpenRooms(t.ctx, open.ID, 10)
	list(t, all, err)
}

func (t *suite) log() {
	one, two := t.room(), t.room()
	t.commit(core.PutRoom{RoomRecord: one}, core.PutRoom{RoomRecord: two})
	heads := map[wire.RoomID]core.Head{one.ID: {Chain: wire.LogStart(one.ID)}, two.ID: {Chain: wire.LogStart(two.ID)}}
	// Appends to two rooms in one commit, also of a room made in the same one.
	three := t.room()
	heads[three.ID] = core.Head{Chain: wire.LogStart(three.ID)}
	changes := []core.Change{core.PutRoom{RoomRecord: three}}
	for i := range 9 {
		for _, id := range []wire.RoomID{one.ID, two.ID, three.ID} {
			kind := wire.EntryMessage
			if i == 4 && id != two.ID {
				kind = wire.EntryHandshake
			}
			put, next := t.entry(id, heads[id], kind, fmt.Sprint(i))
			changes, heads[id] = append(changes, put), next
		}
	}
	t.commit(changes...)
	for id, want := range heads {
		_, head, ok, err := t.s.Room(t.ctx, id)
		t.same(want, head, ok, err)
		entries, err := t.s.Entries(t.ctx, id, 0, 100, 100, 1<<20)
		if err != nil || len(entries) != 9 {
			t.Fatalf("%d entries, %v", len(entries), err)
		}
		chain := wire.LogStart(id)
		for i, raw := range entries {
			e, err := raw.Decode()
			if err != nil || e.Seq != uint64(i+1) || string(e.Payload) != fmt.Sprint(i) {
				t.Fatalf("entry %+v, %v", e, err)
			}
			chain = e.Next(chain)
		}
		if chain != want.Chain {
			t.Error("the chain of what is read is not the one that was stored")
		}
	}
	if heads[one.ID].Handshake != 5 || heads[two.ID].Handshake != 0 {
		t.Error("the test's own heads are wrong")
	}
}

func (t *suite) holes() {
	room := t.room()
	t.commit(core.PutRoom{RoomRecord: room})
	head := t.append(room.ID, core.Head{Chain: wire.LogStart(room.ID)}, wire.EntryMessage, "1")
	put, _ := t.entry(room.ID, head, wire.EntryMessage, "2")
	for _, seq := range []uint64{0, 1, 3, 1 << 39} {
		wrong := put
		wrong.Seq = seq
		if err := t.s.Commit(t.ctx, []core.Change{wrong}); err == nil {
			t.Errorf("entry %d after entry 1", seq)
		}
	}
	t.commit(put)
}

func (t *suite) pages() {
	room := t.room()
	t.commit(core.PutRoom{RoomRecord: room})
	head := core.Head{Chain: wire.LogStart(room.ID)}
	for range 10 {
		head = t.append(room.ID, head, wire.EntryMessage, string(make([]byte, 100)))
	}
	for _, c := range []struct {
		after, upTo uint64
		limit, size int
		want        int
	}{{0, 10, 100, 1 << 20, 10}, {0, 10, 3, 1 << 20, 3}, {4, 10, 100, 1 << 20, 6}, {4, 6, 100, 1 << 20, 2}, {10, 10, 100, 1 << 20, 0},
		{0, 10, 100, 1, 1}, {0, 10, 100, 300, 2}, {9, 1 << 50, 5, 5, 1}, {20, 30, 5, 5, 0}} {
		got, err := t.s.Entries(t.ctx, room.ID, c.after, c.upTo, c.limit, c.size)
		if err != nil || len(got) != c.want {
			t.Errorf("%+v: %d entries, %v", c, len(got), err)
		}
	}
}

func (t *suite) routes() {
	room, other := random[wire.RoomID](), random[wire.RoomID]()
	a := core.RouteRecord{Room: room, User: wire.UserID{1}, Device: wire.DeviceID{1}, From: 1}
	b := core.RouteRecord{Room: room, User: wire.UserID{2}, Device: wire.DeviceID{2}, From: 5}
	c := core.RouteRecord{Room: other, User: wire.UserID{1}, Device: wire.DeviceID{1}, From: 7}
	t.commit(core.PutRoute{RouteRecord: a}, core.PutRoute{RouteRecord: b}, core.PutRoute{RouteRecord: c})
	got, err := t.s.Routes(t.ctx, room)
	list(t, got, err, a, b)
	b.Until, b.OutAt = 9, 1000
	t.commit(core.PutRoute{RouteRecord: b})
	got, err = t.s.Routes(t.ctx, room)
	list(t, got, err, a)
	one, ok, err := t.s.Route(t.ctx, room, b.Device)
	t.same(b, one, ok, err)
	mine := []core.RouteRecord{a, c}
	slices.SortFunc(mine, func(a, b core.RouteRecord) int { return bytes.Compare(a.Room[:], b.Room[:]) })
	got, err = t.s.RoomsOf(t.ctx, a.Device, wire.RoomID{}, 10)
	list(t, got, err, mine...)
	got, err = t.s.RoomsOf(t.ctx, a.Device, mine[0].Room, 10)
	list(t, got, err, mine[1])
	got, err = t.s.RoomsOf(t.ctx, b.Device, wire.RoomID{}, 10)
	list(t, got, err, b)
	for device, want := range map[wire.DeviceID]int{a.Device: 2, b.Device: 0} {
		if n, err := t.s.CountRooms(t.ctx, device); n != want || err != nil {
			t.Errorf("device is routed in %d rooms, %v; want %d", n, err, want)
		}
	}
}

func (t *suite) cleared() {
	gone, stays := t.room(), t.room()
	device := random[wire.DeviceID]()
	for _, r := range []core.RoomRecord{gone, stays} {
		t.commit(core.PutRoom{RoomRecord: r})
		t.append(r.ID, core.Head{Chain: wire.LogStart(r.ID)}, wire.EntryHandshake, "one")
		t.commit(core.PutRoute{RouteRecord: core.RouteRecord{Room: r.ID, Device: device, From: 1}},
			core.PutGroupInfo{GroupInfoRecord: core.GroupInfoRecord{Room: r.ID, GroupInfo: []byte("x")}},
			core.PutLink{LinkRecord: core.LinkRecord{ID: wire.LinkID(r.ID), Room: r.ID}})
	}
	gone.Kind, gone.Users = wire.RoomDirect, [2]wire.UserID{{1}, {2}}
	t.commit(core.ClearRoom{Room: gone.ID}, core.PutRoom{RoomRecord: gone})
	got, head, ok, err := t.s.Room(t.ctx, gone.ID)
	t.same(gone, got, ok, err)
	t.same(core.Head{Chain: wire.LogStart(gone.ID)}, head, ok, err)
	routes, err := t.s.RoomsOf(t.ctx, device, wire.RoomID{}, 10)
	if err != nil || len(routes) != 1 || routes[0].Room != stays.ID {
		t.Errorf("%+v, %v", routes, err)
	}
	if _, ok, _ := t.s.GroupInfo(t.ctx, gone.ID, wire.LinkID{}); ok {
		t.Error("the GroupInfo of a cleared room is there")
	}
	if _, ok, _ := t.s.Link(t.ctx, wire.LinkID(gone.ID)); ok {
		t.Error("the link of a cleared room is there")
	}
	t.append(gone.ID, head, wire.EntryMessage, "from the beginning")
	if _, ok, _ := t.s.Link(t.ctx, wire.LinkID(stays.ID)); !ok {
		t.Error("another room was cleared as well")
	}
}
