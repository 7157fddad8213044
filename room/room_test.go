package room

import (
	"errors"
	"slices"
	"testing"

	"github.com/securelink-chat/securelink/identity"
)

// inviteRoom is Alice's room with Bob and Carol in it, all confirmed.
func inviteRoom(t testing.TB) (s *server, alice, bob, carol *device) {
	t.Helper()
	s = newServer()
	alice, bob, carol = s.device(t, s.person("Alice")), s.device(t, s.person("Bob")), s.device(t, s.person("Carol"))
	alice.create(Spec{Mode: ModeInvite, Title: "Tea"})
	all := []*device{alice, bob, carol}
	alice.must(alice.commit(Intent{Kind: IntentAdd, KeyPackages: [][]byte{bob.keyPackage(), carol.keyPackage()}}))
	syncAll(all...)
	alice.ack()
	syncAll(all...)
	wantState(t, StateMember, all...)
	return s, alice, bob, carol
}

// openRoom is a Lounge that Alice, Bob and Carol have entered by themselves.
func openRoom(t testing.TB) (s *server, alice, bob, carol *device) {
	t.Helper()
	s = newServer()
	alice, bob, carol = s.device(t, s.person("Alice")), s.device(t, s.person("Bob")), s.device(t, s.person("Carol"))
	alice.create(Spec{Mode: ModeOpen, Title: "Lounge"})
	bob.must(bob.enter(nil))
	syncAll(alice, bob)
	carol.must(carol.enter(nil))
	syncAll(alice, bob, carol)
	wantState(t, StateMember, alice, bob, carol)
	return s, alice, bob, carol
}

func TestPeopleTalkInAnInviteRoom(t *testing.T) {
	_, alice, bob, carol := inviteRoom(t)
	all := []*device{alice, bob, carol}
	alice.must(alice.send("Hey"))
	syncAll(all...)
	bob.must(bob.send("Hello"))
	carol.must(carol.send("Hey guys"))
	syncAll(all...)
	want := []string{"Alice: Hey", "Bob: Hello", "Carol: Hey guys"}
	for _, d := range all {
		if !slices.Equal(d.texts(), want) {
			t.Errorf("%s reads %q", d.who.name, d.texts())
		}
		if len(d.alarms) != 0 {
			t.Errorf("%s: alarms %v", d.who.name, d.codes())
		}
	}
	agree(t, all...)
	if bob.room.Info().Title != "Tea" {
		t.Errorf("Bob's title is %q", bob.room.Info().Title)
	}
}

func TestPeopleTalkInTheLounge(t *testing.T) {
	_, alice, bob, carol := openRoom(t)
	all := []*device{alice, bob, carol}
	carol.must(carol.send("Hey"))
	syncAll(all...)
	alice.must(alice.send("Hello"))
	syncAll(all...)
	for _, d := range all {
		if !slices.Equal(d.texts(), []string{"Carol: Hey", "Alice: Hello"}) {
			t.Errorf("%s reads %q", d.who.name, d.texts())
		}
	}
	agree(t, all...)
	if got := alice.lines(); !slices.Equal(got, []ItemKind{ItemJoined, ItemJoined}) {
		t.Errorf("Alice's lines: %v", got)
	}
	if _, owned := alice.room.rules.owner(); owned {
		t.Error("the Lounge has an owner from the start")
	}
}

func TestEverythingSurvivesARestart(t *testing.T) {
	_, alice, bob, carol := inviteRoom(t)
	all := []*device{alice, bob, carol}
	for round := range 6 {
		for _, d := range all {
			d.restart()
			d.must(d.send("again"))
			d.restart()
			syncAll(all...)
		}
		alice.must(alice.commit(Intent{Kind: IntentTopic, Text: string(rune('a' + round))}))
		alice.restart()
		bob.restart()
		syncAll(all...)
		agree(t, all...)
	}
	for _, d := range all {
		if len(d.texts()) != 18 || len(d.alarms) != 0 {
			t.Errorf("%s reads %d texts, alarms %v", d.who.name, len(d.texts()), d.codes())
		}
	}
}

func TestALostRaceIsRunAgain(t *testing.T) {
	_, alice, bob, carol := inviteRoom(t)
	all := []*device{alice, bob, carol}
	intent := Intent{Kind: IntentRole, User: bob.user(), Role: RoleAdmin}
	alice.do(all, intent)
	a, err := alice.room.Commit([]Intent{{Kind: IntentTitle, Text: "Coffee"}}, alice.s.now)
	alice.must(err)
	alice.save(a.Records)
	bob.must(bob.commit(Intent{Kind: IntentTopic, Text: "cups"}))
	if err := alice.append(a); !errors.Is(err, errStale) {
		t.Fatalf("the core took a commit that had not examined the newest handshake: %v", err)
	}
	syncAll(all...)
	alice.do(all, Intent{Kind: IntentTitle, Text: "Coffee"})
	agree(t, all...)
	if info := carol.room.Info(); info.Title != "Coffee" || info.Topic != "cups" {
		t.Errorf("Carol sees %q, %q", info.Title, info.Topic)
	}
	if _, err := alice.room.Commit([]Intent{{Kind: IntentTitle, Text: "Coffee"}}, alice.s.now); !errors.Is(err, ErrNothing) {
		t.Errorf("what is so already is committed again: %v", err)
	}
}

func TestLeaving(t *testing.T) {
	_, alice, bob, carol := inviteRoom(t)
	all := []*device{alice, bob, carol}
	a, err := bob.room.Leave()
	bob.must(err)
	bob.must(bob.append(a))
	syncAll(all...)
	wantState(t, StateLeaving, bob)
	if err := carol.send("before"); !errors.Is(err, ErrBarrier) {
		t.Fatalf("Carol speaks before Bob is out: %v", err)
	}
	if err := bob.send("one more thing"); !errors.Is(err, ErrRemoved) {
		t.Fatalf("Bob speaks after he left: %v", err)
	}
	carol.must(carol.commit())
	syncAll(all...)
	wantState(t, StateRemoved, bob)
	carol.must(carol.send("bye Bob"))
	syncAll(alice, carol)
	agree(t, alice, carol)
	if slices.Contains(bob.codes(), AlarmRemoved) {
		t.Error("who left is alarmed that he was removed")
	}
	for _, d := range []*device{alice, bob} {
		if !slices.Contains(d.lines(), ItemLeft) || slices.Contains(d.lines(), ItemRemoved) {
			t.Errorf("%s's lines: %v", d.who.name, d.lines())
		}
	}
}

func TestWhoIsRemovedReadsNothingMore(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	all := []*device{alice, bob, carol}
	before := bob.room.group.Clone()
	alice.do(all, Intent{Kind: IntentRemove, User: bob.user()})
	wantState(t, StateRemoved, bob)
	if !slices.Contains(bob.codes(), AlarmRemoved) {
		t.Error("Bob is not told")
	}
	for range 20 {
		carol.must(carol.send("secret"))
		syncAll(alice, carol)
		if _, err := before.Decrypt(s.log[len(s.log)-1].Payload); err == nil {
			t.Fatal("Bob reads on")
		}
	}
	if got := len(alice.texts()); got != 20 {
		t.Errorf("Alice reads %d", got)
	}
	// he is not banned and can be asked in again
	alice.do([]*device{alice, carol, bob}, Intent{Kind: IntentAdd, KeyPackages: [][]byte{bob.keyPackage()}})
	alice.ack()
	syncAll(all...)
	wantState(t, StateMember, bob)
	agree(t, all...)
}

func TestAllDevicesOfAUser(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	phone := s.device(t, bob.who)
	// Carol is no admin: the certificate is enough
	carol.do([]*device{alice, bob, carol}, Intent{Kind: IntentAdd, KeyPackages: [][]byte{phone.keyPackage()}})
	syncAll(phone)
	wantState(t, StateWaiting, phone)
	bob.must(bob.send("my other one"))
	syncAll(alice, bob, carol, phone)
	wantState(t, StateMember, phone)
	if got := phone.texts(); !slices.Equal(got, []string{"Bob: my other one"}) {
		t.Errorf("the phone reads %q", got)
	}
	info := alice.room.Info()
	if len(info.Members) != 3 {
		t.Fatalf("%d members", len(info.Members))
	}
	for _, m := range info.Members {
		if m.User == bob.user() && len(m.Devices) != 2 {
			t.Errorf("Bob has %d devices", len(m.Devices))
		}
	}
	// and is revoked: it stops, and stays out for ever
	a, err := bob.room.Revoke(bob.who.key, phone.self.Device())
	bob.must(err)
	bob.must(bob.append(a))
	syncAll(alice, bob, carol, phone)
	wantState(t, StateLeaving, phone)
	if err := alice.send("x"); !errors.Is(err, ErrBarrier) {
		t.Fatalf("Alice speaks before the phone is out: %v", err)
	}
	bob.must(bob.commit())
	syncAll(alice, bob, carol, phone)
	wantState(t, StateRemoved, phone)
	if err := carol.commit(Intent{Kind: IntentAdd, KeyPackages: [][]byte{phone.keyPackage()}}); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("a revoked device comes back: %v", err)
	}
	_ = identity.ClassNative
}
