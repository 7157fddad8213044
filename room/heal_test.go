package room

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/securelink-chat/securelink/identity"
)

// locked makes entries of the log fail for the keys of these devices, as the
// commit of a malicious member does whose path holds garbage for them.
func locked(seq uint64, all ...*device) {
	for _, d := range all {
		d.room.fail = func(at uint64) bool { return at == seq }
	}
}

func (d *device) nack() {
	d.t.Helper()
	a, err := d.room.Nack(d.s.now)
	d.must(err)
	d.save(a.Records)
	d.must(d.append(a))
}

func (d *device) undo() error {
	d.t.Helper()
	a, err := d.room.Undo(d.s.now)
	if err != nil {
		return err
	}
	d.save(a.Records)
	return d.append(a)
}

func TestHalfTheRoomCannotApplyACommit(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	dave := s.device(t, s.person("Dave"))
	alice.do([]*device{alice, bob, carol, dave}, Intent{Kind: IntentAdd, KeyPackages: [][]byte{dave.keyPackage()}})
	alice.ack()
	all := []*device{alice, bob, carol, dave}
	syncAll(all...)
	locked(s.head()+1, carol, dave)
	bob.must(bob.commit(Intent{Kind: IntentRefresh}))
	syncAll(all...)
	wantState(t, StateFrozen, carol, dave)
	wantState(t, StateMember, alice, bob)
	if err := carol.send("x"); !errors.Is(err, ErrFrozen) {
		t.Fatalf("a frozen device speaks: %v", err)
	}
	carol.nack()
	carol.restart()
	syncAll(all...)
	dave.nack()
	syncAll(all...)
	alice.must(alice.commit())
	syncAll(all...)
	wantState(t, StateMember, all...)
	agree(t, all...)
	dave.must(dave.send("back"))
	carol.must(carol.send("me too"))
	syncAll(all...)
	for _, d := range all {
		if !slices.Equal(d.texts(), []string{"Dave: back", "Carol: me too"}) {
			t.Errorf("%s reads %q", d.who.name, d.texts())
		}
		if len(d.alarms) > 0 {
			t.Errorf("%s: %v", d.who.name, d.codes())
		}
	}
	at := slices.IndexFunc(alice.timeline, func(i Item) bool { return i.Kind == ItemHealed })
	if at < 0 || alice.timeline[at].Subjects[0].User != bob.user() {
		t.Errorf("nobody names Bob: %v", alice.lines())
	}
}

func TestNobodyCanApplyACommit(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	all := []*device{alice, bob, carol}
	alice.do(all, Intent{Kind: IntentRole, User: bob.user(), Role: RoleAdmin})
	alice.must(alice.send("old news"))
	syncAll(all...)
	locked(s.head()+1, alice, carol)
	bob.must(bob.commit(Intent{Kind: IntentTitle, Text: "mine"}))
	syncAll(all...)
	bob.must(bob.send("anyone?")) // in an epoch where he is alone
	syncAll(all...)
	wantState(t, StateFrozen, alice, carol)
	carol.nack()
	syncAll(all...)
	if err := carol.undo(); !errors.Is(err, ErrNotAllowed) {
		t.Fatalf("Carol takes back a change by somebody above her: %v", err)
	}
	alice.restart()
	alice.nack()
	syncAll(all...)
	alice.must(alice.undo())
	alice.restart()
	syncAll(all...)
	wantState(t, StateMember, alice, carol)
	wantState(t, StateRemoved, bob)
	agree(t, alice, carol)
	alice.must(alice.send("better"))
	syncAll(alice, carol)
	if !slices.Equal(carol.texts(), []string{"Alice: old news", "Alice: better"}) {
		t.Errorf("Carol reads %q", carol.texts())
	}
	if alice.room.Info().Title != "Tea" {
		t.Errorf("the title is still %q", alice.room.Info().Title)
	}
	at := slices.IndexFunc(carol.timeline, func(i Item) bool { return i.Kind == ItemUndone })
	if at < 0 || carol.timeline[at].Subjects[0].User != bob.user() {
		t.Errorf("nobody names Bob: %v", carol.lines())
	}
}

func TestARolledBackDeviceNoticesAndComesBack(t *testing.T) {
	_, alice, bob, carol := inviteRoom(t)
	all := []*device{alice, bob, carol}
	copied := map[string][]byte{}
	for k, v := range bob.disk {
		copied[k] = v
	}
	bob.must(bob.send("one"))
	syncAll(all...)
	bob.must(bob.send("two"))
	syncAll(all...)
	bob.disk, bob.live = copied, false
	bob.restart()
	bob.sync()
	wantState(t, StateBroken, bob)
	if !slices.Equal(bob.codes(), []AlarmCode{AlarmRollback}) {
		t.Fatalf("alarms %v", bob.codes())
	}
	if err := bob.send("three"); !errors.Is(err, ErrBroken) {
		t.Fatalf("a rolled back device speaks: %v", err)
	}
	a, err := bob.room.AskRejoin(identity.ReasonRollback, bob.s.now)
	bob.must(err)
	bob.save(a.Records)
	bob.must(bob.append(a))
	bob.restart()
	syncAll(all...)
	if err := carol.send("x"); !errors.Is(err, ErrBarrier) {
		t.Fatalf("Carol speaks under the copied keys: %v", err)
	}
	carol.must(carol.commit())
	syncAll(all...)
	alice.ack()
	syncAll(all...)
	wantState(t, StateMember, all...)
	bob.must(bob.send("three"))
	syncAll(all...)
	agree(t, all...)
	if got := alice.texts(); len(got) != 3 || len(alice.alarms) != 0 {
		t.Errorf("Alice reads %q, alarms %v", got, alice.codes())
	}
}

// asksAgain appends a device's request to re-join.
func (d *device) asksAgain() Entry {
	d.t.Helper()
	a, err := d.room.AskRejoin(identity.ReasonLost, d.s.now)
	d.must(err)
	d.save(a.Records)
	d.must(d.append(a))
	return d.s.log[d.s.head()-1]
}

// TestAnOldRequestMisleadsNoRestoredCopy: Bob has re-joined twice since his
// data was copied. Whoever holds the log puts his first request there once
// more; the copy finds out all the same which stay the others see.
func TestAnOldRequestMisleadsNoRestoredCopy(t *testing.T) {
	for name, again := range map[string]bool{"the first request comes again": true, "positive control: it does not": false} {
		t.Run(name, func(t *testing.T) {
			s, alice, bob, carol := inviteRoom(t)
			all := []*device{alice, bob, carol}
			copied := maps.Clone(bob.disk)
			var first Entry
			for i := range 2 {
				request := bob.asksAgain()
				if i == 0 {
					first = request
				}
				syncAll(all...)
				alice.must(alice.commit())
				syncAll(all...)
				alice.ack()
				syncAll(all...)
			}
			wantState(t, StateMember, bob)
			if again {
				s.put(first.Kind, first.Payload, first.Body)
			}
			syncAll(alice, carol)
			bob.disk, bob.live = copied, false
			bob.restart()
			bob.sync()
			wantState(t, StateBroken, bob)
			for range 2 { // by the stay that it knows, and by the one that it has found in the log
				bob.asksAgain()
				syncAll(all...)
			}
			alice.must(alice.commit())
			syncAll(all...)
			alice.ack()
			syncAll(all...)
			wantState(t, StateMember, all...)
			agree(t, all...)
		})
	}
}

func TestACloneIsNoticed(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	clone := s.device(t, bob.who)
	clone.self = bob.self
	for k, v := range bob.disk {
		clone.disk[k] = v
	}
	clone.room = bob.room
	clone.restart()
	clone.must(clone.send("it is me"))
	syncAll(alice, bob, carol)
	wantState(t, StateBroken, bob)
	if !slices.Equal(bob.codes(), []AlarmCode{AlarmClone}) {
		t.Fatalf("alarms %v", bob.codes())
	}
	if len(alice.texts()) != 1 {
		t.Error("positive control: Alice does not read the clone's message")
	}
}

func TestALockedOutDeviceOfAnOpenRoomResyncs(t *testing.T) {
	s, alice, bob, carol := openRoom(t)
	all := []*device{alice, bob, carol}
	locked(s.head()+1, carol)
	bob.must(bob.commit(Intent{Kind: IntentRefresh}))
	syncAll(all...)
	wantState(t, StateFrozen, carol)
	res, err := carol.room.Resync(Offer{Group: s.group, GroupInfo: s.info, Tree: s.tree})
	carol.must(err)
	carol.save(res.Records)
	carol.sync()
	a, err := carol.room.Enter()
	carol.must(err)
	carol.save(a.Records)
	carol.must(carol.append(a))
	carol.restart()
	syncAll(all...)
	wantState(t, StateMember, all...)
	agree(t, all...)
	carol.must(carol.send("back"))
	syncAll(all...)
	if len(alice.texts()) != 1 || len(carol.texts()) != 1 {
		t.Errorf("Alice reads %q, Carol %q", alice.texts(), carol.texts())
	}
}

// A new device comes into an open room by itself, after another member has
// added it: its own commit takes the place of what the Welcome brings, whenever
// that arrives.
func TestAWelcomeBehindTheOwnCommit(t *testing.T) {
	s, alice, bob, carol := openRoom(t)
	phone := s.device(t, bob.who)
	bob.must(bob.commit(Intent{Kind: IntentAdd, KeyPackages: [][]byte{phone.keyPackage()}}))
	syncAll(alice, bob, carol)
	late := s.welcomes[phone.self.Device()]
	if len(late) != 1 {
		t.Fatalf("%d Welcomes", len(late))
	}
	delete(s.welcomes, phone.self.Device())
	phone.must(phone.enter(nil))
	if _, err := phone.room.Rejoin(late[0].w, phone.keys); !errors.Is(err, ErrUnwanted) {
		t.Fatalf("the Welcome is taken: %v", err)
	}
	syncAll(alice, bob, carol, phone)
	wantState(t, StateMember, phone)
	agree(t, alice, bob, carol, phone)
}

// heal does what is due on each of these devices, again and again, until
// nothing is; what is to be sent again is sent again.
func heal(t *testing.T, all ...*device) {
	t.Helper()
	for range 20 {
		syncAll(all...)
		busy := false
		for _, d := range all {
			busy = d.healOnce() || busy
		}
		if !busy {
			return
		}
	}
	t.Fatal("the devices do not come to rest")
}

// healOnce does one thing that is due.
func (d *device) healOnce() bool {
	d.t.Helper()
	d.sync()
	for _, todo := range d.room.Todo(d.s.now) {
		switch todo.Kind {
		case TodoNack:
			d.nack()
		case TodoCarry:
			d.must(d.commit())
		case TodoAck:
			d.ack()
		case TodoRejoin:
			a, err := d.room.AskRejoin(0, d.s.now)
			d.must(err)
			d.save(a.Records)
			d.must(d.append(a))
		default:
			continue
		}
		return true
	}
	if d.room.State() == StateMember && len(d.resend) > 0 {
		id := d.resend[0]
		d.resend = d.resend[1:]
		d.must(d.draft(Draft{ID: id, Kind: ItemText, Text: d.said[id]}))
		return true
	}
	return false
}

// sameLog fails unless these devices agree on every entry that they have judged.
func sameLog(t *testing.T, all ...*device) {
	t.Helper()
	for seq := uint64(1); seq <= all[0].s.head(); seq++ {
		verdicts := map[Verdict]string{}
		for _, d := range all {
			if v := d.verdicts[seq]; v == VerdictApplied || v == VerdictRefused || v == VerdictNoted {
				verdicts[v] += " " + d.who.name
			}
		}
		if len(verdicts) > 1 {
			t.Errorf("entry %d: %v", seq, verdicts)
		}
	}
}

// TestARestoredCopyKnowsAStrangeNack: a device asks to be let in again, and its
// data is replaced by a copy from before. The copy meets a request of its own
// that it has not made: nobody can answer that one to it.
func TestARestoredCopyKnowsAStrangeNack(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	all := []*device{alice, bob, carol}
	copied := maps.Clone(carol.disk)
	locked(s.head()+1, carol)
	bob.must(bob.commit(Intent{Kind: IntentRefresh}))
	syncAll(all...)
	carol.nack()
	carol.disk, carol.live = copied, false
	carol.restart()
	carol.sync()
	wantState(t, StateBroken, carol)
	if !slices.Equal(carol.codes(), []AlarmCode{AlarmRollback}) {
		t.Errorf("alarms %v", carol.codes())
	}
	heal(t, all...)
	wantState(t, StateMember, all...)
	agree(t, all...)
	sameLog(t, all...)
}

// TestACopyFromBeforeItsReJoin: since the copy was made, the device was let in
// again. Its seat has another stay by now, by keys that the copy does not have.
func TestACopyFromBeforeItsReJoin(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	all := []*device{alice, bob, carol}
	copied := maps.Clone(carol.disk)
	locked(s.head()+1, carol)
	bob.must(bob.commit(Intent{Kind: IntentRefresh}))
	heal(t, all...)
	wantState(t, StateMember, all...)
	for name, frozen := range map[string]bool{"as it was": false, "locked out again on the way": true} {
		carol.disk, carol.live, carol.alarms = maps.Clone(copied), false, nil
		if !frozen {
			locked(0, carol)
		}
		carol.restart()
		carol.sync()
		wantState(t, StateBroken, carol)
		if !slices.Equal(carol.codes(), []AlarmCode{AlarmRollback}) {
			t.Errorf("%s: alarms %v", name, carol.codes())
		}
		heal(t, all...)
		wantState(t, StateMember, all...)
		agree(t, all...)
		carol.must(carol.send("back"))
		syncAll(all...)
		if got := alice.texts(); got[len(got)-1] != "Carol: back" {
			t.Errorf("%s: Alice reads %q", name, got)
		}
	}
}

// TestARequestAndARevocationMeet: Carol's phone asks to be let in again, and
// she disowns it. Whoever carries that out must not bring it back.
func TestARequestAndARevocationMeet(t *testing.T) {
	c := newCourt(t)
	ask, err := c.phone.room.AskRejoin(0, c.s.now)
	c.phone.must(err)
	c.phone.save(ask.Records)
	c.phone.must(c.phone.append(ask))
	syncAll(c.inside...)
	disown, err := c.carol.room.Revoke(c.carol.who.key, c.phone.self.Device())
	c.carol.must(err)
	c.carol.must(c.carol.append(disown))
	syncAll(c.inside...)
	c.bob.must(c.bob.commit())
	syncAll(c.inside...)
	wantState(t, StateRemoved, c.phone)
	wantState(t, StateMember, c.alice, c.bob, c.carol, c.mallory)
	agree(t, c.alice, c.bob, c.carol, c.mallory)
}

// TestWhoNobodyConfirmsIsTold: the core delivers a Welcome of a commit that
// the others have refused, and no entries afterwards. A member that follows the
// room takes the core's word for nothing.
func TestWhoNobodyConfirmsIsTold(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	dave := s.device(t, s.person("Dave"))
	alice.do([]*device{alice, bob, carol, dave}, Intent{Kind: IntentAdd, KeyPackages: [][]byte{dave.keyPackage()}})
	syncAll(dave)
	wantState(t, StateWaiting, dave)
	if res := dave.room.Unrouted(); !res.Removed || dave.room.State() != StateRemoved {
		t.Errorf("Dave is in state %d", dave.room.State())
	}
	if res := bob.room.Unrouted(); res.Removed || bob.room.State() != StateMember {
		t.Errorf("positive control: Bob is in state %d", bob.room.State())
	}
	wantState(t, StateMember, carol)
}
