package core_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/internal/metrics"
	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/wire"
)

func TestTurnsGoRoundInTheOrderOfAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, limit(wire.TurnTime, 2000))
		alice, bob, carol := w.person("Alice"), w.person("Bob"), w.person("Carol")
		a, b, c := w.guest(alice), w.guest(bob), w.guest(carol)
		room := group(t, []*client{a, b, c}, []*person{alice, bob, carol})
		if got := must[wire.TurnOK](a, wire.Turn{Room: room}); !got.Granted || got.Millis != 2000 {
			t.Errorf("%+v", got)
		}
		if got := must[wire.TurnOK](b, wire.Turn{Room: room}); got.Granted || got.Ahead != 1 {
			t.Errorf("%+v", got)
		}
		if got := must[wire.TurnOK](c, wire.Turn{Room: room}); got.Granted || got.Ahead != 2 {
			t.Errorf("%+v", got)
		}
		// A handshake entry ends the turn.
		must[wire.AppendOK](a, commit(room, 1, nil, nil))
		if ev := event[wire.TurnEvent](b, wire.EventTurn); ev.Room != room || ev.Millis != 2000 {
			t.Errorf("%+v", ev)
		}
		// So does time.
		began := time.Now()
		event[wire.TurnEvent](c, wire.EventTurn)
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("the turn went on after %s", took)
		}
		// It is advisory: who has no turn may commit.
		must[wire.AppendOK](b, commit(room, 2, nil, nil))
		// Giving it back and leaving pass it on as well.
		must[wire.TurnOK](a, wire.Turn{Room: room})
		must[wire.TurnOK](b, wire.Turn{Room: room})
		must[wire.Empty](c, wire.ReleaseTurn{Room: room})
		event[wire.TurnEvent](a, wire.EventTurn)
		must[wire.WatchOK](a, wire.Watch{})
		_ = a.conn.Close()
		event[wire.TurnEvent](b, wire.EventTurn)
	})
}

func TestStarvedMessageGetsItsMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, limit(wire.StarvedRefusals, 3), limit(wire.StarvedTime, 1000))
		alice, bob, carol := w.person("Alice"), w.person("Bob"), w.person("Carol")
		a, b, c := w.guest(alice), w.guest(bob), w.guest(carol)
		room := group(t, []*client{a, b, c}, []*person{alice, bob, carol})
		msg := text(room, 0, "overtaken")
		handshake := uint64(1)
		overtake := func() {
			handshake = must[wire.AppendOK](a, commit(room, handshake, nil, nil)).Seq
		}
		for range 2 {
			refused(b, wire.Stale, msg)
			overtake()
			msg.Examined = handshake - 1
		}
		refused(b, wire.Stale, msg) // the third time
		why := refused(a, wire.Busy, commit(room, handshake, nil, nil))
		if why.RetryAfter() <= 0 || why.RetryAfter() > time.Second {
			t.Errorf("retry in %s", why.RetryAfter())
		}
		// Messages of others and handshakes of the starved device pass.
		must[wire.AppendOK](c, text(room, handshake, "hi"))
		msg.Examined = handshake
		must[wire.AppendOK](b, msg)
		overtake() // its moment is over
		// A device that never comes with its message does not stop the room.
		lost := text(room, 0, "never sent")
		for range 3 {
			refused(b, wire.Stale, lost)
		}
		refused(a, wire.Busy, commit(room, handshake, nil, nil))
		time.Sleep(1001 * time.Millisecond)
		overtake()
	})
}

func TestSignalsAndPresenceReachWhoWatches(t *testing.T) {
	w := start(t)
	alice, bob, carol := w.person("Alice"), w.person("Bob"), w.person("Carol")
	a, b, c := w.guest(alice), w.guest(bob), w.guest(carol)
	room := group(t, []*client{a, b}, []*person{alice, bob})
	must[wire.WatchOK](a, wire.Watch{Presence: true})
	must[wire.WatchOK](b, wire.Watch{})
	if ev := event[wire.PresenceEvent](a, wire.EventPresence); !ev.Online || ev.Route != bob.route() || ev.Room != room {
		t.Errorf("%+v", ev)
	}
	if got := must[wire.PresenceOK](b, wire.Presence{Room: room}); len(got.Online) != 2 {
		t.Errorf("%+v", got)
	}
	must[wire.Empty](a, wire.Signal{Room: room, Data: []byte("typing")})
	if ev := event[wire.SignalEvent](b, wire.EventSignal); string(ev.Data) != "typing" || ev.Device != alice.id {
		t.Errorf("%+v", ev)
	}
	if st := must[wire.RoomState](a, wire.CreateRoom{Room: newRoom(), Kind: wire.RoomInvite}); !st.Routed {
		t.Errorf("%+v", st)
	}
	must[wire.Empty](b, wire.Unwatch{})
	if ev := event[wire.PresenceEvent](a, wire.EventPresence); ev.Online || ev.Route != bob.route() {
		t.Errorf("%+v", ev)
	}
	must[wire.Empty](a, wire.Signal{Room: room, Data: []byte("typing")})
	b.none(wire.EventSignal)
	c.none(wire.EventSignal)
}

func TestDirectChatHasOneRoomWhoeverStartsIt(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		alice, bob, carol := w.person("Alice"), w.person("Bob"), w.person("Carol")
		a, b, c := w.guest(alice), w.guest(bob), w.guest(carol)
		room := wire.DirectRoom(alice.user, bob.user, 0)
		create := wire.CreateRoom{Room: room, Kind: wire.RoomDirect, Peer: &bob.user}
		st := must[wire.RoomState](a, create)
		if st.Peer == nil || *st.Peer != bob.user {
			t.Errorf("%+v", st)
		}
		refused(b, wire.Conflict, wire.CreateRoom{Room: room, Kind: wire.RoomDirect, Peer: &alice.user})
		refused(c, wire.Malformed, wire.CreateRoom{Room: room, Kind: wire.RoomDirect, Peer: &bob.user})
		refused(a, wire.NotFound, commit(room, 0, []*person{bob, carol}, nil))
		must[wire.AppendOK](a, commit(room, 0, []*person{bob}, nil))
		must[wire.AppendOK](b, text(room, 1, "hi"))
	})
}

func TestNobodyStandsInTheWayOfADirectChat(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		alice, bob, mallory := w.person("Alice"), w.person("Bob"), w.person("Mallory")
		a, b, m := w.guest(alice), w.guest(bob), w.guest(mallory)
		room := wire.DirectRoom(alice.user, bob.user, 0)
		must[wire.WatchOK](m, wire.Watch{})
		must[wire.RoomState](m, wire.CreateRoom{Room: room, Kind: wire.RoomInvite})
		must[wire.AppendOK](m, commit(room, 0, []*person{bob}, nil))
		must[wire.AppendOK](m, text(room, 1, "I was here first"))
		st := must[wire.RoomState](a, wire.CreateRoom{Room: room, Kind: wire.RoomDirect, Peer: &bob.user})
		if st.Seq != 0 || st.Kind != wire.RoomDirect || !st.Routed {
			t.Errorf("%+v", st)
		}
		refused(m, wire.NotFound, text(room, 1, "and now?"))
		refused(m, wire.NotFound, wire.Sync{Room: room})
		if got := must[wire.AppendOK](a, commit(room, 0, []*person{bob}, nil)); got.Seq != 1 {
			t.Errorf("first entry is %d", got.Seq)
		}
		must[wire.AppendOK](b, text(room, 1, "hi"))
		refused(m, wire.Conflict, wire.CreateRoom{Room: room, Kind: wire.RoomInvite})
		w.restart()
		a = w.guest(alice)
		if got := must[wire.SyncOK](a, wire.Sync{Room: room}); len(got.Entries) != 2 {
			t.Errorf("%d entries", len(got.Entries))
		}
	})
}

func TestAnswersAreRememberedForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		alice := w.person("Alice")
		a := w.guest(alice)
		room := group(t, []*client{a}, []*person{alice})
		key, req := newKey(), text(room, 0, "x")
		first, err := askKey[wire.AppendOK](a, key, req)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(23 * time.Hour)
		a = w.guest(alice)
		if again, err := askKey[wire.AppendOK](a, key, req); err != nil || again != first {
			t.Errorf("after 23 hours %+v, %v", again, err)
		}
		time.Sleep(3 * time.Hour)
		a = w.guest(alice)
		if again, err := askKey[wire.AppendOK](a, key, req); err != nil || again == first {
			t.Errorf("after 26 hours %+v, %v", again, err)
		}
	})
}

// failing is a store whose commits can be made to fail.
type failing struct {
	core.Store
	mu   sync.Mutex
	fail bool
}

func (f *failing) set(fail bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

func (f *failing) Commit(ctx context.Context, changes []core.Change) error {
	f.mu.Lock()
	fail := f.fail
	f.mu.Unlock()
	if fail {
		return errors.New("no space left on device")
	}
	return f.Store.Commit(ctx, changes)
}

func TestNothingIsAcknowledgedThatIsNotDurable(t *testing.T) {
	both(t, func(t *testing.T, first *world) {
		store := &failing{Store: first.store}
		w := start(t, func(cfg *core.Config) { cfg.Store, cfg.Keys = store, first.cfg.Keys })
		w.root = first.root
		alice, bob := w.person("Alice"), w.person("Bob")
		a, b := w.guest(alice), w.guest(bob)
		room := group(t, []*client{a, b}, []*person{alice, bob})
		must[wire.WatchOK](b, wire.Watch{})
		must[wire.AppendOK](a, text(room, 1, "before"))
		store.set(true)
		var waiting []chan wire.Item
		for i := range 20 {
			req := text(room, 1, fmt.Sprint(i))
			ch, err := a.begin(newKey(), req)
			if err != nil {
				t.Fatal(err)
			}
			waiting = append(waiting, ch)
		}
		for _, ch := range waiting {
			_, err := finish[wire.AppendOK](ch)
			if why := wantCode(t, err, wire.Internal); why.RetryAfter() == 0 {
				t.Error("no hint to retry")
			}
		}
		refused(a, wire.Internal, commit(room, 1, nil, []*person{bob}))
		store.set(false)
		// The room goes on where the durable log ends, with the routes it had.
		if got := must[wire.AppendOK](a, text(room, 1, "after")); got.Seq != 3 {
			t.Errorf("seq %d", got.Seq)
		}
		for i, want := range []string{"before", "after"} {
			if e := b.entry(); e.Seq != uint64(i+2) || string(e.Payload) != want {
				t.Errorf("entry %d %q", e.Seq, e.Payload)
			}
		}
		b.none(wire.EventEntry)
	})
}

func TestPanicInARequestAnswersAndIsLogged(t *testing.T) {
	var log syncBuffer
	w := start(t, func(cfg *core.Config) {
		cfg.Store = panicking{newStore(t, "mem")}
		cfg.Log = slog.New(slog.NewJSONHandler(&log, nil))
	})
	a := w.guest(w.person("Alice"))
	refused(a, wire.Internal, wire.ListKnocks{Room: w.server.Lounge()}) // hits nothing: not routed
	must[wire.Empty](a, wire.Ping{})
	if !strings.Contains(log.String(), "panic in a request") {
		t.Error("the panic is not in the log")
	}
}

// panicking is a store with a fault.
type panicking struct{ core.Store }

func (p panicking) Room(ctx context.Context, id wire.RoomID) (core.RoomRecord, core.Head, bool, error) {
	if strings.Contains(stack(), "doListKnocks") {
		panic("a fault with alice's secret in it")
	}
	return p.Store.Room(ctx, id)
}

func TestStopTellsClientsWhenToComeBack(t *testing.T) {
	w := start(t)
	a := w.guest(w.person("Alice"))
	done := make(chan error, 1)
	go func() { done <- w.server.Close() }()
	if cut := event[wire.Cut](a, wire.EventCut); cut.Code != wire.Closing || cut.Retry == 0 {
		t.Errorf("%+v", cut)
	}
	<-a.done
	if a.err != nil && !errors.Is(a.err, link.ErrClosed) {
		t.Errorf("ended by %v", a.err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := w.dial("127.0.0.1"); err == nil {
		t.Error("a server that is closed took a connection")
	}
	w.open()
}

func TestGarbageEndsTheConnection(t *testing.T) {
	w := start(t)
	for name, raw := range map[string][]byte{"not CBOR": {0xff, 0x00}, "an event": {0x83, 2, 1, 0xa0}, "half an item": {0x85, 0, 1}} {
		c := w.connect()
		if err := c.conn.Write(raw); err != nil {
			t.Fatal(err)
		}
		if cut := event[wire.Cut](c, wire.EventCut); cut.Code != wire.Malformed {
			t.Errorf("%s: %+v", name, cut)
		}
		<-c.done
	}
	c := w.connect()
	refused(c, wire.UnknownOp, unknown{})
	refused(c, wire.BadVersion, wire.Hello{Version: 99})
}

type unknown struct{}

func (unknown) Op() wire.Op { return 60000 }

// syncBuffer is a log that can be read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestLogHoldsNoSecret drives everything that carries one, at the most
// talkative level, and looks for each in the log in plain, hex and base64.
func TestLogHoldsNoSecret(t *testing.T) {
	var log syncBuffer
	w := start(t, func(cfg *core.Config) {
		cfg.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug - 4}))
		cfg.Registration = wire.RegistrationInvite
	})
	ctx := context.Background()
	token, err := w.server.NewToken(ctx, core.TokenRegister, 5, 0, "canary-note")
	if err != nil {
		t.Fatal(err)
	}
	admin, err := w.server.NewToken(ctx, core.TokenAdmin, 1, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	alice, bob := w.person("Canary Name"), w.person("Bob")
	a, err := w.dial("203.0.113.77")
	if err != nil {
		t.Fatal(err)
	}
	must[wire.HelloOK](a, wire.Hello{Version: wire.Version, Agent: "canary-agent"})
	reg := alice.register(a, "canarylogin", "canary-password")
	reg.Token = &token
	must[wire.LoginOK](a, reg)
	must[wire.ClaimAdminOK](a, wire.ClaimAdmin{Token: admin})
	b := w.connect()
	must[wire.LoginOK](b, wire.Guest{Account: bob.account(b.conn.Exporter()), Token: &token})
	refused(b, wire.Malformed, wire.PasswordLogin{Login: "canarylogin", Auth: auth("canary-wrong")})
	c := w.connect()
	refused(c, wire.BadCredentials, wire.PasswordLogin{Login: "canarylogin", Auth: auth("canary-wrong")})
	must[wire.PasswordLoginOK](c, wire.PasswordLogin{Login: "canarylogin", Auth: auth("canary-password")})
	room := group(t, []*client{a, b}, []*person{alice, bob})
	must[wire.AppendOK](a, text(room, 1, "canary-message"))
	must[wire.Empty](a, wire.Signal{Room: room, Data: []byte("canary-signal")})
	must[wire.Empty](a, wire.RenameDevice{Device: alice.id, Label: "canary-label"})
	secret := identity.NewLinkSecret()
	must[wire.Empty](a, wire.CreateLink{Room: room, Link: secret.ID(), TokenHash: identity.TokenHash(secret.FetchToken()), Seq: 1, GroupInfo: []byte("canary-info")})
	must[wire.FetchLinkOK](b, wire.FetchLink{Link: wire.Link{ID: secret.ID(), Token: secret.FetchToken()}})
	must[wire.KeyPackageCount](a, wire.UploadKeyPackages{OneTime: [][]byte{[]byte("canary-package")}})
	w.restart()

	fetch, exporter := secret.FetchToken(), a.conn.Exporter()
	planted := map[string][]byte{"message": []byte("canary-message"), "name": []byte("Canary Name"), "login": []byte("canarylogin"),
		"password": []byte("canary-password"), "wrong password": []byte("canary-wrong"), "signal": []byte("canary-signal"), "label": []byte("canary-label"),
		"token": token[:], "admin": admin[:], "fetch token": fetch[:], "exporter": exporter[:], "package": []byte("canary-package"), "info": []byte("canary-info"),
		"address": []byte("203.0.113.77"), "note": []byte("canary-note"), "agent": []byte("canary-agent"), "whole user id": alice.user[:]}
	said := log.String()
	for name, b := range planted {
		for form, s := range map[string]string{"plain": string(b), "hex": hex.EncodeToString(b), "base64": base64.StdEncoding.EncodeToString(b)} {
			if strings.Contains(said, s) {
				t.Errorf("%s is in the log in %s", name, form)
			}
		}
	}
	// Positive control: the log was written, with what may be in it.
	for _, want := range []string{"connection accepted", "203.0.113.0/24", "login failed", "administrator", "room founded", "link made", "joined", hex.EncodeToString(alice.user[:6])} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in the log", want)
		}
	}
}

func TestRetiredGuestsAreNamedByTheDelegate(t *testing.T) {
	w := start(t, limit(wire.RetireAfter, 1))
	alice, bob := w.person("Alice"), w.person("Bob")
	a, b := w.guest(alice), w.guest(bob)
	lounge := w.server.Lounge()
	must[wire.RoomState](a, wire.CreateRoom{Room: lounge, Kind: wire.RoomOpen, GroupInfo: []byte("info")})
	must[wire.AppendOK](b, commit(lounge, 0, []*person{bob}, nil))
	stays := []wire.Stay{{Device: alice.id, JoinID: wire.StayID{1}}, {Device: bob.id, JoinID: wire.StayID{2}}}
	if got := must[wire.ListRetiredOK](a, wire.ListRetired{Room: lounge, Stays: stays}); len(got.Notices) != 0 || len(got.Gone) != 0 {
		t.Error("somebody who is here is retired")
	}
	_ = b.conn.Close()
	b.served <- <-b.served
	if got := must[wire.ListRetiredOK](a, wire.ListRetired{Room: lounge}); len(got.Notices) != 0 || len(got.Gone) != 1 {
		t.Errorf("%d notices on stays that nobody named, %d gone", len(got.Notices), len(got.Gone))
	}
	got := must[wire.ListRetiredOK](a, wire.ListRetired{Room: lounge, Stays: stays})
	if len(got.Notices) != 1 {
		t.Fatalf("%d notices", len(got.Notices))
	}
	n, err := identity.DecodeNotice(got.Notices[0])
	if err != nil || n.Verify(w.root.Public()) != nil || n.Kind != identity.NoticeRetired || wire.DeviceID(n.Device) != bob.id || n.JoinID != (identity.JoinID{2}) {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestResumedLinkIsNotLoggedIn(t *testing.T) {
	w := start(t)
	alice := w.person("Alice")
	tickets := &link.MemTickets{}
	for i := range 2 {
		here, there := link.Pipe()
		served := make(chan error, 1)
		go func() { served <- w.server.Serve(context.Background(), there) }()
		conn, err := link.Client(context.Background(), here, link.ClientConfig{Pin: w.server.Pin(), RSA: oneKey{}, Tickets: tickets})
		if err != nil {
			t.Fatal(err)
		}
		if conn.Resumed() != (i == 1) {
			t.Errorf("connection %d: resumed %t", i, conn.Resumed())
		}
		c := &client{t: t, conn: conn, waiting: map[uint64]chan wire.Item{}, done: make(chan struct{}), events: make(chan wire.Item, 100)}
		go c.read()
		must[wire.HelloOK](c, wire.Hello{Version: wire.Version})
		refused(c, wire.Unauthenticated, wire.ListDevices{})
		must[wire.LoginOK](c, wire.Guest{Account: alice.account(conn.Exporter())})
		_ = conn.Close()
		<-served
		<-c.done
		if i == 0 {
			w.restart() // tickets outlive it
		}
	}
}

func TestRestoreIsSignedByTheDelegate(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		hello := func() wire.HelloOK {
			c, err := w.dial("127.0.0.1")
			if err != nil {
				t.Fatal(err)
			}
			return must[wire.HelloOK](c, wire.Hello{Version: wire.Version})
		}
		if got := hello(); got.Incarnation != 0 || got.Restored != nil {
			t.Errorf("a server that was never restored says %d", got.Incarnation)
		}
		before := uint64(0)
		for range 2 {
			if err := core.Restored(t.Context(), w.store, time.Now()); err != nil {
				t.Fatal(err)
			}
			w.restart()
			got := hello()
			delegate := ed25519.PublicKey(got.Delegation[:32])
			if got.Incarnation <= before || !ed25519.Verify(delegate, wire.IncarnationSigned(w.root.Public(), got.Incarnation), got.Restored) {
				t.Errorf("incarnation %d after %d", got.Incarnation, before)
			}
			if ed25519.Verify(delegate, wire.IncarnationSigned(w.root.Public(), got.Incarnation+1), got.Restored) {
				t.Error("the signature fits another number")
			}
			before = got.Incarnation
		}
	})
}

func FuzzRequest(f *testing.F) {
	w := start(f, limit(wire.RequestRate, 1<<30))
	alice := w.person("Alice")
	seed := func(r wire.Request) {
		raw, err := wire.AppendRequest(nil, 7, newKey(), r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	room := newRoom()
	for _, r := range []wire.Request{wire.ListRooms{}, wire.Watch{}, wire.Sync{Room: w.server.Lounge()}, text(room, 0, "x"), commit(room, 0, []*person{alice}, nil),
		wire.CreateRoom{Room: room, Kind: wire.RoomInvite}, wire.PutBlob{Room: room, Size: 3, Data: []byte("abc")}, wire.Turn{Room: room},
		wire.ClaimKeyPackages{User: alice.user}, wire.CreateLink{Room: room}, wire.RevokeDevice{}, wire.ApproveDevice{}, wire.SetPassword{}} {
		seed(r)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		one := *w
		one.t = t
		c := one.guest(alice)
		defer func() {
			_ = c.conn.Close()
			c.served <- <-c.served
		}()
		if len(data) == 0 || len(data) > 1<<16 {
			return
		}
		if err := c.conn.Write(data); err != nil {
			t.Fatal(err)
		}
		// Whatever that was, the server answers or cuts, and lives.
		if _, err := ask[wire.Empty](c, wire.Ping{}); err != nil && !errors.Is(err, errGone) && !errors.Is(err, link.ErrClosed) && !errors.Is(err, link.ErrLost) {
			t.Fatal(err)
		}
		if err := w.server.Ready(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

// What an operator sees is how much was done, and nothing of whom.
func TestMetricsCountWhatWasDone(t *testing.T) {
	registry := metrics.New()
	w := start(t, func(cfg *core.Config) { cfg.Metrics = registry })
	alice, bob := w.person("Alice"), w.person("Bob")
	a, b := w.guest(alice), w.guest(bob)
	room := group(t, []*client{a, b}, []*person{alice, bob})
	for _, c := range []*client{a, b} {
		must[wire.WatchOK](c, wire.Watch{})
	}
	for range 3 {
		must[wire.AppendOK](a, text(room, 1, "hello"))
		b.entry()
	}
	refused(a, wire.NotFound, wire.Members{Room: newRoom()})
	var out strings.Builder
	if _, err := registry.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	shown := out.String()
	for _, want := range []string{
		`securelink_core_handshakes_total{kind="full"} 2`, `securelink_core_logins_total 2`,
		`securelink_core_entries_total 4`, // with the commit that let Bob in
		`securelink_core_pushes_total 6`,  // three, to both
		`securelink_core_refusals_total 1`, `securelink_core_commits_failed_total 0`, `securelink_core_commit_seconds_count `,
	} {
		if !strings.Contains(shown, "\n"+want) {
			t.Errorf("%s is not shown:\n%s", want, shown)
		}
	}
	for what, secret := range map[string][]byte{"a user": alice.user[:], "a device": alice.id[:], "a room": room[:]} {
		if strings.Contains(shown, hex.EncodeToString(secret[:4])) {
			t.Errorf("the metrics name %s", what)
		}
	}
}
