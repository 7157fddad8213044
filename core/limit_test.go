package core_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/wire"
)

// limited wants a refusal by this limit.
func limited(c *client, l wire.Limit, body wire.Request) *wire.Error {
	c.t.Helper()
	why := refused(c, wire.Limited, body)
	if why.Refusal.Limit != l {
		c.t.Errorf("%T is refused by %s, want %s", body, why.Refusal.Limit, l)
	}
	return why
}

// tooLarge wants a refusal by this limit.
func tooLarge(c *client, l wire.Limit, body wire.Request) {
	c.t.Helper()
	if why := refused(c, wire.TooLarge, body); why.Refusal.Limit != l {
		c.t.Errorf("%T is refused by %s, want %s", body, why.Refusal.Limit, l)
	}
}

func TestConnectionsFromOneAddress(t *testing.T) {
	w := start(t, limit(wire.ConnectionsPerAddress, 2), limit(wire.ConnectionsPerPrefix, 3), limit(wire.NewConnections, 4))
	dial := func(from string) error {
		_, err := w.dial(from)
		return err
	}
	for _, c := range []struct {
		from string
		ok   bool
	}{
		{"192.0.2.1", true}, {"192.0.2.1", true}, {"192.0.2.1", false}, {"192.0.2.2", true}, // each IPv4 address by itself
		{"2001:db8:1:1::1", true}, {"2001:db8:1:1::2", true}, {"2001:db8:1:1:ffff::3", false}, // a /64 is one
		{"2001:db8:1:2::1", true}, {"2001:db8:1:3::1", false}, // a /48 has a bound of its own
		{"2001:db8:2:1::1", true}, {"::ffff:192.0.2.1", false}, // another form of the first
	} {
		if err := dial(c.from); (err == nil) != c.ok {
			t.Errorf("%s: %v, want ok %t", c.from, err, c.ok)
		}
	}
	// New ones count though the earlier ones are gone.
	for i := range 5 {
		c, err := w.dial("198.51.100.1")
		if (err == nil) != (i < 4) {
			t.Errorf("connection %d: %v", i, err)
		}
		if err == nil {
			_ = c.conn.Close()
			c.served <- <-c.served
		}
	}
}

func TestConnectionsTotal(t *testing.T) {
	w := start(t, limit(wire.ConnectionsTotal, 1))
	if _, err := w.dial("192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.dial("192.0.2.2"); err == nil {
		t.Error("one connection too many")
	}
}

func TestLoginHasATimeAndASize(t *testing.T) {
	w := start(t, limit(wire.LoginTime, 50), limit(wire.LoginBytes, 2000))
	late, err := w.dial("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if cut := event[wire.Cut](late, wire.EventCut); cut.Code != wire.Limited || cut.Limit != wire.LoginTime {
		t.Errorf("%+v", cut)
	}
	<-late.done
	w = start(t, limit(wire.LoginBytes, 2000))
	c := w.connect()
	for {
		if _, err := ask[wire.PasswordSaltOK](c, wire.PasswordSalt{Login: "somebody"}); err != nil {
			break
		}
	}
	if cut := event[wire.Cut](c, wire.EventCut); cut.Code != wire.TooLarge || cut.Limit != wire.LoginBytes {
		t.Errorf("%+v", cut)
	}
}

func TestLoginAttemptsFromOneAddress(t *testing.T) {
	w := start(t, limit(wire.LoginsPerAddress, 3), limit(wire.AccountsPerAddress, 2))
	alice, bob, carol := w.person("Alice"), w.person("Bob"), w.person("Carol")
	w.guest(alice)
	w.guest(bob)
	c := w.connect()
	limited(c, wire.AccountsPerAddress, wire.Guest{Account: carol.account(c.conn.Exporter())})
	bad := wire.Login{User: alice.user, Device: alice.id}
	for range 3 {
		refused(c, wire.BadCredentials, bad)
	}
	if why := limited(c, wire.LoginsPerAddress, bad); why.RetryAfter() <= 0 || why.RetryAfter() > 20*time.Second {
		t.Errorf("retry in %s", why.RetryAfter())
	}
	limited(c, wire.LoginsPerAddress, wire.PasswordSalt{Login: "alice"})
	limited(c, wire.LoginsPerAddress, wire.PasswordLogin{Login: "alice", Auth: auth("x")})
	// Whoever has a key is let in at once, from the same address.
	must[wire.LoginOK](c, alice.login(c))
}

func TestRequestsOfAConnection(t *testing.T) {
	w := start(t, limit(wire.RequestRate, 1))
	c := w.connect()
	for range 9 { // ten at once, hello is one
		must[wire.Empty](c, wire.Ping{})
	}
	if why := limited(c, wire.RequestRate, wire.Ping{}); why.RetryAfter() > time.Second {
		t.Errorf("retry in %s", why.RetryAfter())
	}
}

// stuck is a store whose commits wait until they are let go.
type stuck struct {
	core.Store
	gate chan struct{}
}

func (s *stuck) Commit(ctx context.Context, changes []core.Change) error {
	<-s.gate
	return s.Store.Commit(ctx, changes)
}

func TestRequestsInFlight(t *testing.T) {
	gate := make(chan struct{}, 1000)
	for range 100 {
		gate <- struct{}{}
	}
	w := start(t, limit(wire.RequestsInFlight, 4), func(cfg *core.Config) { cfg.Store = &stuck{newStore(t, "mem"), gate} })
	alice := w.person("Alice")
	a := w.guest(alice)
	room := group(t, []*client{a}, []*person{alice})
	for len(gate) > 0 {
		<-gate
	}
	var chans []chan wire.Item
	for i := range 6 {
		ch, err := a.begin(newKey(), text(room, 0, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		chans = append(chans, ch)
	}
	for _, ch := range chans[4:] {
		_, err := finish[wire.AppendOK](ch)
		if why := wantCode(t, err, wire.Limited); why.Refusal.Limit != wire.RequestsInFlight {
			t.Errorf("%v", why)
		}
	}
	close(gate)
	for _, ch := range chans[:4] {
		if _, err := finish[wire.AppendOK](ch); err != nil {
			t.Error(err)
		}
	}
}

func TestDeviceBudgets(t *testing.T) {
	w := start(t, limit(wire.MessageBurst, 3), limit(wire.MessageRate, 1), limit(wire.HandshakeBurst, 3), limit(wire.HandshakeRate, 1),
		limit(wire.SignalBurst, 2), limit(wire.SignalRate, 1), limit(wire.LookupsPerHour, 2), limit(wire.ClaimsPerTarget, 2), limit(wire.ClaimsPerHour, 3),
		limit(wire.RoomsCreatedPerDay, 2), limit(wire.RoomsPerDevice, 2))
	alice, bob := w.person("Alice"), w.person("Bob")
	a := w.guest(alice)
	room := group(t, []*client{a}, []*person{alice})
	for i := range 3 {
		must[wire.AppendOK](a, text(room, 0, fmt.Sprint(i)))
	}
	if why := limited(a, wire.MessageRate, text(room, 0, "4")); why.RetryAfter() > time.Second {
		t.Errorf("retry in %s", why.RetryAfter())
	}
	// Another connection of the device has the same budget.
	limited(w.guest(alice), wire.MessageRate, text(room, 0, "4"))
	for i := range 3 {
		must[wire.AppendOK](a, commit(room, []uint64{0, 4, 5}[i], nil, nil))
	}
	limited(a, wire.HandshakeRate, commit(room, 6, nil, nil))
	for range 2 {
		must[wire.Empty](a, wire.Signal{Room: room, Data: []byte("typing")})
	}
	limited(a, wire.SignalRate, wire.Signal{Room: room, Data: []byte("typing")})
	for range 2 {
		must[wire.User](a, wire.GetUser{User: alice.user})
	}
	limited(a, wire.LookupsPerHour, wire.FindUser{Login: "x"})
	for range 2 {
		refused(a, wire.NotFound, wire.ClaimKeyPackages{User: bob.user})
	}
	limited(a, wire.ClaimsPerTarget, wire.ClaimKeyPackages{User: bob.user})
	refused(a, wire.NotFound, wire.ClaimKeyPackages{User: wire.UserID{1}})
	limited(a, wire.ClaimsPerHour, wire.ClaimKeyPackages{User: wire.UserID{2}})
	group(t, []*client{a}, []*person{alice})
	limited(a, wire.RoomsCreatedPerDay, wire.CreateRoom{Room: newRoom(), Kind: wire.RoomInvite})
}

func TestBudgetsFillAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, limit(wire.MessageBurst, 2), limit(wire.MessageRate, 1))
		alice := w.person("Alice")
		a := w.guest(alice)
		room := group(t, []*client{a}, []*person{alice})
		must[wire.AppendOK](a, text(room, 0, "1"))
		must[wire.AppendOK](a, text(room, 0, "2"))
		why := limited(a, wire.MessageRate, text(room, 0, "3"))
		time.Sleep(why.RetryAfter() + 2*time.Millisecond)
		must[wire.AppendOK](a, text(room, 0, "3"))
		limited(a, wire.MessageRate, text(room, 0, "4"))
	})
}

func TestSizes(t *testing.T) {
	w := start(t, limit(wire.InlineBytes, 1000), limit(wire.BodyBytes, 100), limit(wire.WelcomeBytes, 50), limit(wire.SignalBytes, 10),
		limit(wire.KeyPackageBytes, 40), limit(wire.ProfileBytes, 300), limit(wire.LabelBytes, 5), limit(wire.KnockBytes, 20), limit(wire.JoinersPerEntry, 1))
	alice, bob, carol := w.person("Alice"), w.person("Bob"), w.person("Carol")
	a := w.guest(alice)
	w.guest(bob)
	w.guest(carol)
	room := group(t, []*client{a}, []*person{alice})
	bytesOf := func(n int) []byte { return make([]byte, n) }
	at := func(n, body int) *wire.Append {
		r := text(room, 0, "")
		r.Payload, r.Body = bytesOf(n), bytesOf(body)
		return r
	}
	must[wire.AppendOK](a, at(1000, 100))
	tooLarge(a, wire.InlineBytes, at(1001, 0))
	tooLarge(a, wire.BodyBytes, at(1, 101))
	join := commit(room, 0, []*person{bob}, nil)
	join.Welcomes = []wire.WelcomePiece{{Device: bob.id, Data: bytesOf(51)}}
	tooLarge(a, wire.WelcomeBytes, join)
	join.Welcomes[0].Data, join.Tree = bytesOf(50), &wire.Part{Data: bytesOf(1001)}
	tooLarge(a, wire.InlineBytes, join)
	join.Tree.Data = bytesOf(1000)
	must[wire.AppendOK](a, join)
	tooLarge(a, wire.JoinersPerEntry, commit(room, 2, []*person{bob, carol}, nil))
	must[wire.Empty](a, wire.Signal{Room: room, Data: bytesOf(10)})
	tooLarge(a, wire.SignalBytes, wire.Signal{Room: room, Data: bytesOf(11)})
	must[wire.KeyPackageCount](a, wire.UploadKeyPackages{OneTime: [][]byte{bytesOf(40)}, LastResort: bytesOf(40)})
	tooLarge(a, wire.KeyPackageBytes, wire.UploadKeyPackages{OneTime: [][]byte{bytesOf(41)}})
	tooLarge(a, wire.KeyPackageBytes, wire.UploadKeyPackages{LastResort: bytesOf(41)})
	tooLarge(a, wire.ProfileBytes, wire.SetProfile{Profile: bytesOf(301)})
	must[wire.Empty](a, wire.RenameDevice{Device: alice.id, Label: "12345"})
	tooLarge(a, wire.LabelBytes, wire.RenameDevice{Device: alice.id, Label: "123456"})
}

func TestCounts(t *testing.T) {
	w := start(t, limit(wire.KeyPackagesPerDevice, 3), limit(wire.DevicesPerUser, 2), limit(wire.PendingDevices, 1), limit(wire.RoutesPerRoom, 2),
		limit(wire.WelcomesPerDevice, 1), limit(wire.LinksPerRoom, 1), limit(wire.RoomsPerDevice, 2), limit(wire.PresenceDevices, 1), limit(wire.TurnQueue, 1))
	alice, bob, carol := w.person("Alice"), w.person("Bob"), w.person("Carol")
	a, b := w.connect(), w.guest(bob)
	w.guest(carol)
	must[wire.LoginOK](a, alice.register(a, "alice", "correct"))
	must[wire.KeyPackageCount](a, wire.UploadKeyPackages{OneTime: [][]byte{{1}, {2}}})
	limited(a, wire.KeyPackagesPerDevice, wire.UploadKeyPackages{OneTime: [][]byte{{3}, {4}}})
	must[wire.KeyPackageCount](a, wire.UploadKeyPackages{OneTime: [][]byte{{3}}})

	one, two, three := alice.second(), alice.second(), alice.second()
	for i, d := range []*person{one, two} {
		c := w.connect()
		must[wire.PasswordLoginOK](c, wire.PasswordLogin{Login: "alice", Auth: auth("correct")})
		req := wire.Enrol{Device: d.id, DeviceKey: key32(d.device.Public()), Class: 1, Created: d.created, Proof: d.proof(c.conn.Exporter())}
		if i == 1 {
			limited(c, wire.PendingDevices, req)
			continue
		}
		must[wire.EnrolOK](c, req)
	}
	must[wire.Empty](a, wire.ApproveDevice{Certificate: one.certificate()})
	c := w.connect()
	limited(c, wire.DevicesPerUser, wire.Guest{Account: three.account(c.conn.Exporter())})

	room := group(t, []*client{a}, []*person{alice})
	limited(a, wire.RoutesPerRoom, commit(room, 0, []*person{bob, carol}, nil))
	join := commit(room, 0, []*person{bob}, nil)
	join.Welcomes = []wire.WelcomePiece{{Device: bob.id, Data: []byte("w")}}
	must[wire.AppendOK](a, join)
	limited(a, wire.RoutesPerRoom, commit(room, 1, []*person{carol}, nil))
	again := commit(room, 1, []*person{bob}, nil)
	again.Welcomes = join.Welcomes
	limited(a, wire.WelcomesPerDevice, again)
	tooLarge(a, wire.PresenceDevices, wire.Presence{Room: room})
	must[wire.TurnOK](a, wire.Turn{Room: room})
	limited(b, wire.TurnQueue, wire.Turn{Room: room})

	must[wire.Empty](a, wire.CreateLink{Room: room, Link: wire.LinkID{1}, Seq: 1})
	limited(a, wire.LinksPerRoom, wire.CreateLink{Room: room, Link: wire.LinkID{2}, Seq: 1})

	group(t, []*client{b}, []*person{bob})
	limited(b, wire.RoomsPerDevice, wire.CreateRoom{Room: newRoom(), Kind: wire.RoomInvite})
	other := group(t, []*client{a}, []*person{alice})
	limited(a, wire.RoomsPerDevice, commit(other, 0, []*person{bob}, nil))
}

func TestBlobLimits(t *testing.T) {
	w := start(t, limit(wire.ChunkBytes, 100), limit(wire.BlobBytes, 250), limit(wire.BlobBytesPerDevice, 400), limit(wire.BlobRate, 1))
	alice := w.person("Alice")
	a := w.guest(alice)
	room := group(t, []*client{a}, []*person{alice})
	data := make([]byte, 250)
	for i := range data {
		data[i] = byte(i)
	}
	hash := wire.Hash(sha256.Sum256(data))
	chunk := func(i uint, n int) wire.PutBlob {
		return wire.PutBlob{Room: room, Hash: hash, Size: 250, Index: i, Data: data[i*100 : int(i)*100+n]}
	}
	tooLarge(a, wire.BlobBytes, wire.PutBlob{Room: room, Size: 251, Data: data[:100]})
	tooLarge(a, wire.ChunkBytes, chunk(0, 99))
	refused(a, wire.Malformed, wire.PutBlob{Room: room, Hash: hash, Size: 250, Index: 3, Data: data[:50]})
	if got := must[wire.PutBlobOK](a, chunk(2, 50)); got.Complete || len(got.Missing) != 2 {
		t.Errorf("%+v", got)
	}
	limited(a, wire.BlobBytesPerDevice, wire.PutBlob{Room: room, Hash: wire.Hash{1}, Size: 200, Data: data[:100]})
	refused(a, wire.NotFound, wire.GetBlob{Room: room, Hash: hash})
	must[wire.PutBlobOK](a, chunk(0, 100))
	if got := must[wire.PutBlobOK](a, chunk(1, 100)); !got.Complete {
		t.Errorf("%+v", got)
	}
	if got := must[wire.GetBlobOK](a, wire.GetBlob{Room: room, Hash: hash, Index: 2}); got.Size != 250 || len(got.Data) != 50 {
		t.Errorf("%d of %d", len(got.Data), got.Size)
	}
	// Bytes that are not what the name says are nobody's blob.
	wrong := wire.PutBlob{Room: room, Hash: wire.Hash{9}, Size: 3, Data: []byte("abc")}
	refused(a, wire.Conflict, wrong)
	refused(a, wire.NotFound, wire.GetBlob{Room: room, Hash: wire.Hash{9}})
	for {
		if _, err := ask[wire.GetBlobOK](a, wire.GetBlob{Room: room, Hash: hash}); err != nil {
			wantCode(t, err, wire.Limited)
			break
		}
	}
}

func TestSlowClientIsCutAndResumesWithNothingLost(t *testing.T) {
	for l, bounds := range map[wire.Limit][2]uint64{wire.SendQueueItems: {50, 1 << 30}, wire.SendQueueBytes: {1 << 20, 400000}} {
		t.Run(l.String(), func(t *testing.T) {
			w := start(t, limit(wire.MessageBurst, 1<<20), limit(wire.RequestRate, 1<<20), limit(wire.SendQueueItems, bounds[0]),
				limit(wire.SendQueueBytes, bounds[1]))
			alice, bob := w.person("Alice"), w.person("Bob")
			a, b := w.guest(alice), w.guest(bob)
			room := group(t, []*client{a, b}, []*person{alice, bob})
			slow := w.connect()
			must[wire.LoginOK](slow, bob.login(slow))
			must[wire.WatchOK](slow, wire.Watch{})
			slow.frames.reading.Lock()
			defer slow.frames.reading.Unlock()
			// Others are served all the while.
			const sent = 200 // of 10 kB: more than the pipe and the queue hold
			for range sent {
				big := text(room, 1, "x")
				big.Body = make([]byte, 10000)
				must[wire.AppendOK](a, big)
			}
			err := <-slow.served
			slow.served <- err
			var why *wire.Error
			if !errors.As(err, &why) || why.Refusal.Limit != l {
				t.Errorf("ended by %v, want %s", err, l)
			}
			back := w.connect()
			must[wire.LoginOK](back, bob.login(back))
			st := must[wire.WatchOK](back, wire.Watch{}).Rooms[0]
			if st.Seq != uint64(sent+1) {
				t.Errorf("the log ends at %d, want %d", st.Seq, sent+1)
			}
			after, chain := uint64(0), wire.LogStart(room)
			for after < st.Seq {
				for _, raw := range must[wire.SyncOK](back, wire.Sync{Room: room, After: after}).Entries {
					e, err := raw.Decode()
					if err != nil || e.Seq != after+1 {
						t.Fatalf("entry %d after %d, %v", e.Seq, after, err)
					}
					after, chain = e.Seq, e.Next(chain)
				}
			}
			if chain != st.Chain {
				t.Error("the chain is another")
			}
		})
	}
}

func TestIdleClientIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, limit(wire.IdleTime, 60000))
		a := w.guest(w.person("Alice"))
		for range 3 {
			time.Sleep(50 * time.Second)
			must[wire.Empty](a, wire.Ping{})
		}
		time.Sleep(61 * time.Second)
		if cut := event[wire.Cut](a, wire.EventCut); cut.Limit != wire.IdleTime {
			t.Errorf("%+v", cut)
		}
	})
}

func TestLinkLimits(t *testing.T) {
	w := start(t, limit(wire.KnocksPerRoom, 1), limit(wire.KnockBytes, 10))
	alice, bob, carol, dave := w.person("Alice"), w.person("Bob"), w.person("Carol"), w.person("Dave")
	a, b, c, d := w.guest(alice), w.guest(bob), w.guest(carol), w.guest(dave)
	room := group(t, []*client{a}, []*person{alice})
	secret, door := identity.NewLinkSecret(), identity.NewLinkSecret()
	open := func(s identity.LinkSecret) *wire.Link { return &wire.Link{ID: s.ID(), Token: s.FetchToken()} }
	must[wire.Empty](a, wire.CreateLink{Room: room, Link: secret.ID(), TokenHash: identity.TokenHash(secret.FetchToken()), Uses: 1, GroupInfo: []byte("sealed")})
	must[wire.Empty](a, wire.CreateLink{Room: room, Link: door.ID(), TokenHash: identity.TokenHash(door.FetchToken()), Approval: true})
	join := func(p *person, examined uint64) *wire.Append {
		r := commit(room, examined, []*person{p}, nil)
		r.Link = open(secret)
		return r
	}
	// Looking spends nothing, and a wrong token finds nothing.
	for range 3 {
		if got := must[wire.FetchLinkOK](b, wire.FetchLink{Link: *open(secret)}); got.Room != room || string(got.GroupInfo) != "sealed" {
			t.Errorf("%+v", got)
		}
	}
	wrong := *open(secret)
	wrong.Token[0] ^= 1
	refused(b, wire.NotFound, wire.FetchLink{Link: wrong})
	bad := join(bob, 0)
	bad.Link = &wrong
	refused(b, wire.NotFound, bad)
	bad.Link = open(door) // somebody has to open that one
	refused(b, wire.NotFound, bad)
	must[wire.AppendOK](b, join(bob, 0))
	refused(c, wire.NotFound, join(carol, 1)) // it had one use
	refused(c, wire.NotFound, wire.FetchLink{Link: *open(secret)})
	if links := must[wire.ListLinksOK](a, wire.ListLinks{Room: room}).Links; len(links) != 2 {
		t.Errorf("%+v", links)
	}

	must[wire.Empty](c, wire.Knock{Link: *open(door), Data: []byte("let me in")})
	if knock := event[wire.KnockEvent](a, wire.EventKnock); knock.Route != carol.route() || string(knock.Data) != "let me in" {
		t.Errorf("%+v", knock)
	}
	must[wire.Empty](c, wire.Knock{Link: *open(door), Data: []byte("please")})
	limited(d, wire.KnocksPerRoom, wire.Knock{Link: *open(door)})
	tooLarge(d, wire.KnockBytes, wire.Knock{Link: *open(door), Data: make([]byte, 11)})
	if knocks := must[wire.ListKnocksOK](a, wire.ListKnocks{Room: room}).Knocks; len(knocks) != 1 || string(knocks[0].Data) != "please" {
		t.Errorf("%+v", knocks)
	}
	// Only who knocked, and those inside, can end the wait; each end is told.
	refused(d, wire.NotFound, wire.DropKnock{Room: room, Device: carol.id})
	refused(c, wire.NotFound, wire.DropKnock{Room: room, Device: carol.id, LetIn: true}) // nobody says that of herself
	waits := func(c *client) bool { return must[wire.FetchLinkOK](c, wire.FetchLink{Link: *open(door)}).Knocked }
	if !waits(c) || waits(d) {
		t.Error("the wrong one waits at the door")
	}
	gone := func(cs ...*client) {
		t.Helper()
		for _, c := range cs {
			if ev := event[wire.KnockGone](c, wire.EventKnockGone); ev.Room != room || ev.Device != carol.id {
				t.Errorf("%+v", ev)
			}
		}
	}
	must[wire.Empty](c, wire.DropKnock{Room: room, Device: carol.id})
	gone(c, a)
	must[wire.Empty](c, wire.Knock{Link: *open(door)})
	must[wire.Empty](a, wire.DropKnock{Room: room, Device: carol.id})
	gone(c, a)
	if waits(c) {
		t.Error("who was turned away still waits")
	}
	used := func() (n uint32) {
		for _, l := range must[wire.ListLinksOK](a, wire.ListLinks{Room: room}).Links {
			if l.Link == wire.LinkID(door.ID()) {
				n = l.Used
			}
		}
		return n
	}
	if used() != 0 {
		t.Error("asking has used the link up")
	}
	must[wire.Empty](c, wire.Knock{Link: *open(door)})
	must[wire.Empty](a, wire.DropKnock{Room: room, Device: carol.id, LetIn: true})
	gone(c, a)
	if used() != 1 {
		t.Errorf("%d uses after somebody was let in", used())
	}
	must[wire.Empty](c, wire.Knock{Link: *open(door)})
	must[wire.Empty](a, wire.RevokeLink{Room: room, Link: door.ID()})
	gone(c, a)
	must[wire.Empty](a, wire.RevokeLink{Room: room, Link: door.ID()})
	refused(d, wire.NotFound, wire.Knock{Link: *open(door)})
}

// A reload holds at once, also for who is connected, and for who registers.
func TestReloadHoldsForClientsThatAreConnected(t *testing.T) {
	w := start(t)
	alice := w.person("Alice")
	c := w.guest(alice)
	room := group(t, []*client{c}, []*person{alice})
	must[wire.AppendOK](c, text(room, 0, "eleven bytes"))
	table := w.server.Limits()
	w.server.Reload(table.With(wire.InlineBytes, 5), wire.RegistrationClosed)
	tooLarge(c, wire.InlineBytes, text(room, 0, "eleven bytes"))
	must[wire.AppendOK](c, text(room, 0, "five."))
	bob := w.person("Bob")
	stranger := w.connect()
	refused(stranger, wire.NotRegistering, wire.Guest{Account: bob.account(stranger.conn.Exporter())})
	w.server.Reload(table, wire.RegistrationOpen)
	must[wire.AppendOK](c, text(room, 0, "eleven bytes"))
	must[wire.LoginOK](stranger, wire.Guest{Account: bob.account(stranger.conn.Exporter())})
}
