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
	d.must(d.s.append(a))
}

func (d *device) undo() error {
	d.t.Helper()
	a, err := d.room.Undo(d.s.now)
	if err != nil {
		return err
	}
	d.save(a.Records)
	return d.s.append(a)
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

func TestAnUndoTakesBackWhatOthersHadApplied(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	all := []*device{alice, bob, carol}
	locked(s.head()+1, alice)
	bob.must(bob.commit(Intent{Kind: IntentRefresh}))
	syncAll(all...)
	carol.must(carol.send("fine here"))
	bob.must(bob.commit(Intent{Kind: IntentRefresh})) // goes on after himself: still his run
	syncAll(all...)
	carol.must(carol.send("still fine"))
	syncAll(all...)
	alice.nack()
	syncAll(all...)
	// nobody helps
	alice.must(alice.undo())
	carol.restart()
	syncAll(all...)
	wantState(t, StateMember, alice, carol)
	wantState(t, StateRemoved, bob)
	agree(t, alice, carol)
	if len(carol.resend) != 2 || len(carol.texts()) != 0 {
		t.Fatalf("Carol has %d messages to send again, shows %q", len(carol.resend), carol.texts())
	}
	carol.must(carol.draft(Draft{ID: carol.resend[0], Kind: ItemText, Text: "fine here"}))
	carol.must(carol.draft(Draft{ID: carol.resend[1], Kind: ItemText, Text: "still fine"}))
	syncAll(alice, carol)
	want := []string{"Carol: fine here", "Carol: still fine"}
	if !slices.Equal(alice.texts(), want) || !slices.Equal(carol.texts(), want) {
		t.Errorf("Alice reads %q, Carol %q", alice.texts(), carol.texts())
	}
	if len(alice.alarms)+len(carol.alarms) > 0 {
		t.Errorf("alarms %v %v", alice.codes(), carol.codes())
	}
}

func TestAnUndoComesTooLate(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	all := []*device{alice, bob, carol}
	alice.do(all, Intent{Kind: IntentRole, User: bob.user(), Role: RoleAdmin})
	locked(s.head()+1, alice)
	bob.must(bob.commit(Intent{Kind: IntentRefresh}))
	syncAll(all...)
	carol.must(carol.commit(Intent{Kind: IntentRefresh})) // another user follows: the change stands
	syncAll(all...)
	alice.nack()
	syncAll(bob, carol)
	alice.sync()
	alice.must(alice.undo())
	syncAll(all...)
	wantState(t, StateMember, bob, carol)
	agree(t, bob, carol)
	alice.must(alice.send("I am over here"))
	syncAll(all...)
	// Carol still has Alice's nack and lets her in again
	carol.must(carol.commit())
	syncAll(all...)
	carol.ack()
	bob.ack()
	syncAll(all...)
	wantState(t, StateMember, all...)
	agree(t, all...)
	if len(alice.resend) != 1 {
		t.Fatalf("Alice has %d messages to send again", len(alice.resend))
	}
	alice.must(alice.draft(Draft{ID: alice.resend[0], Kind: ItemText, Text: "I am over here"}))
	syncAll(all...)
	for _, d := range all {
		if !slices.Equal(d.texts(), []string{"Alice: I am over here"}) {
			t.Errorf("%s reads %q", d.who.name, d.texts())
		}
	}
}

func TestWhoUndidTooLateAsksAgain(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	all := []*device{alice, bob, carol}
	alice.do(all, Intent{Kind: IntentRole, User: bob.user(), Role: RoleAdmin})
	locked(s.head()+1, alice)
	bob.must(bob.commit(Intent{Kind: IntentRefresh}))
	syncAll(all...)
	carol.must(carol.commit(Intent{Kind: IntentRefresh}))
	syncAll(all...)
	// Alice takes it back before anybody has heard that she is locked out
	alice.must(alice.undo())
	syncAll(all...)
	wantState(t, StateMember, alice)
	if err := alice.send("x"); !errors.Is(err, ErrFrozen) {
		t.Fatalf("Alice speaks before she has said that she cannot judge her undo: %v", err)
	}
	if todo := alice.room.Todo(s.now); len(todo) != 1 || todo[0].Kind != TodoNack {
		t.Fatalf("Alice follows an undo that she cannot judge, and has to do %v", todo)
	}
	alice.nack()
	syncAll(all...)
	carol.must(carol.commit())
	syncAll(all...)
	wantState(t, StateMember, all...)
	agree(t, all...)
	if len(alice.alarms) != 0 {
		t.Errorf("alarms %v", alice.codes())
	}
}

func TestWhoLeavesStaysSilentThroughAnUndo(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	all := []*device{alice, bob, carol}
	a, err := carol.room.Leave()
	carol.must(err)
	carol.must(s.append(a))
	syncAll(all...)
	locked(s.head()+1, alice, carol)
	bob.must(bob.commit(Intent{Kind: IntentRefresh}))
	syncAll(all...)
	for _, todo := range carol.room.Todo(s.now) {
		t.Errorf("Carol has left and has to do %v", todo)
	}
	alice.must(alice.undo())
	syncAll(all...)
	wantState(t, StateLeaving, carol)
}

func TestAMemberCannotUndoJustAnything(t *testing.T) {
	_, alice, bob, carol := inviteRoom(t)
	all := []*device{alice, bob, carol}
	bob.do(all, Intent{Kind: IntentRefresh})
	// Carol applied it well, and pretends that she did not
	carol.room.st.state = StateFrozen
	carol.room.st.frozenSeq, carol.room.st.frozenHash = carol.room.st.place.seq, Hash{1}
	a, err := carol.room.Undo(carol.s.now)
	if !errors.Is(err, ErrNotAllowed) {
		t.Fatalf("an undo with a nack of another entry: %v, %v", a != nil, err)
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
	bob.must(bob.s.append(a))
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
	carol.must(s.append(a))
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
			d.must(d.s.append(a))
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

// TestTwoWhoUndidTooLateComeBack: two devices are locked out by a change that
// stands, because somebody else went on after it. One takes it back all the
// same, the other follows, and they talk where nobody else hears them. They
// must not take each other's word for that of the room.
func TestTwoWhoUndidTooLateComeBack(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	dave := s.device(t, s.person("Dave"))
	all := []*device{alice, bob, carol, dave}
	alice.do(all, Intent{Kind: IntentAdd, KeyPackages: [][]byte{dave.keyPackage()}}, Intent{Kind: IntentRole, User: bob.user(), Role: RoleAdmin})
	alice.ack()
	syncAll(all...)
	locked(s.head()+1, alice, dave)
	bob.must(bob.commit(Intent{Kind: IntentRefresh}))
	syncAll(bob, carol)
	carol.must(carol.commit(Intent{Kind: IntentRefresh})) // the change stands
	syncAll(all...)
	wantState(t, StateFrozen, alice, dave)
	alice.must(alice.undo()) // too late, and before anybody knows that she is locked out
	syncAll(alice, dave)
	alice.nack()
	syncAll(alice, dave)
	dave.nack()
	syncAll(alice, dave)
	wantState(t, StateMember, alice, dave)
	alice.must(alice.send("are we alone?"))
	dave.sync()
	dave.must(dave.send("so it seems"))
	syncAll(all...)
	if err := carol.send("where are you two?"); !errors.Is(err, ErrBarrier) {
		t.Fatalf("Carol speaks before those are back whom the change has locked out: %v", err)
	}
	heal(t, all...)
	wantState(t, StateMember, all...)
	agree(t, all...)
	sameLog(t, all...)
	alice.must(alice.send("here"))
	syncAll(all...)
	want := []string{"Alice: are we alone?", "Alice: here", "Dave: so it seems"}
	for _, d := range all {
		if got := d.texts(); !slices.Equal(got, bob.texts()) || !slices.Equal(slices.Sorted(slices.Values(got)), want) {
			t.Errorf("%s reads %q, Bob %q", d.who.name, got, bob.texts())
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
