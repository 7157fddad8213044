package room

import (
	"errors"
	"slices"
	"testing"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/mls"
)

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
	if !s.routed(bob.self.Device()) {
		t.Fatal("Bob, whom the undo was to remove, gets nothing more of the room that he is in")
	}
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
	carol.must(carol.append(a))
	syncAll(all...)
	locked(s.head()+1, alice, carol)
	bob.must(bob.commit(Intent{Kind: IntentRefresh}))
	syncAll(all...)
	for _, todo := range carol.room.Todo(s.now) {
		t.Errorf("Carol has left and has to do %v", todo)
	}
	alice.must(alice.undo())
	syncAll(all...)
	wantState(t, StateRemoved, carol) // by Bob's change, which she could not read
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

// TestWhatAnUndoMayDo: a device that was locked out removes the author of the
// change, on its own nack, and does nothing else.
func TestWhatAnUndoMayDo(t *testing.T) {
	type scene struct {
		s                       *server
		alice, bob, carol, dave *device
		change                  uint64 // by Bob, an admin; Alice, the owner, and Carol are locked out
	}
	removing := func(by *device, victims ...*device) (out []mls.Proposal) {
		for _, v := range victims {
			out = append(out, &mls.Remove{Index: by.index(v)})
		}
		return out
	}
	without := func(by, gone *device, more ...func(r *Rules)) mls.Proposal {
		return by.rules(func(r *Rules) {
			r.setRole(gone.user(), RoleMember)
			for _, m := range more {
				m(r)
			}
		})
	}
	for name, test := range map[string]struct {
		by    func(s *scene) *device
		what  func(s *scene, by *device) []mls.Proposal
		nacks func(s *scene, by *device) []*identity.Statement
		rule  string
	}{
		"the owner removes the author": {},
		"a member removes an admin":    {by: func(s *scene) *device { return s.carol }, rule: "below him"},
		"on the nack of somebody else": {nacks: func(s *scene, _ *device) []*identity.Statement {
			return []*identity.Statement{s.carol.nackOf(s.change)}
		}, rule: "without the nack"},
		"on a nack of something before": {nacks: func(s *scene, by *device) []*identity.Statement {
			return []*identity.Statement{by.nackOf(s.change - 1)}
		}, rule: "without the nack"},
		"on no nack": {nacks: func(*scene, *device) []*identity.Statement { return nil }, rule: "without the nack"},
		"on two nacks": {nacks: func(s *scene, by *device) []*identity.Statement {
			return []*identity.Statement{by.nackOf(s.change), s.carol.nackOf(s.change)}
		}, rule: "without the nack"},
		"somebody else": {what: func(s *scene, by *device) []mls.Proposal { return removing(by, s.dave) }, rule: "does nothing else"},
		"the author and somebody else": {what: func(s *scene, by *device) []mls.Proposal {
			return append(removing(by, s.bob, s.dave), without(by, s.bob))
		}, rule: "does nothing else"},
		"and adds somebody": {what: func(s *scene, by *device) []mls.Proposal {
			return append(removing(by, s.bob), by.adding(s.s.device(by.t, s.s.person("Eve"))), without(by, s.bob))
		}, rule: "does nothing else"},
		"and changes the title": {what: func(s *scene, by *device) []mls.Proposal {
			return append(removing(by, s.bob), without(by, s.bob, func(r *Rules) { r.Title = "mine" }))
		}, rule: "does nothing else"},
		"and makes an admin": {what: func(s *scene, by *device) []mls.Proposal {
			return append(removing(by, s.bob), without(by, s.bob, func(r *Rules) { r.setRole(s.dave.user(), RoleAdmin) }))
		}, rule: "does nothing else"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, alice, bob, carol := inviteRoom(t)
			dave := s.device(t, s.person("Dave"))
			all := []*device{alice, bob, carol, dave}
			alice.do(all, Intent{Kind: IntentAdd, KeyPackages: [][]byte{dave.keyPackage()}}, Intent{Kind: IntentRole, User: bob.user(), Role: RoleAdmin})
			locked(s.head()+1, alice, carol)
			bob.must(bob.commit(Intent{Kind: IntentRefresh}))
			syncAll(all...)
			wantState(t, StateFrozen, alice, carol)
			now := &scene{s, alice, bob, carol, dave, s.head()}
			by := alice
			if test.by != nil {
				by = test.by(now)
			}
			proposals := append(removing(by, bob), without(by, bob))
			if test.what != nil {
				proposals = test.what(now, by)
			}
			nacks := []*identity.Statement{by.nackOf(now.change)}
			if test.nacks != nil {
				nacks = test.nacks(now, by)
			}
			a := &attest{undo: true, after: s.mark, statements: nacks}
			by.force(mls.CommitOptions{Proposals: proposals, AuthenticatedData: a.encode()})
			dave.sync()
			if test.rule == "" {
				dave.wantVerdict(t, "")
				return
			}
			dave.wantVerdict(t, "an undo that does not count: ")
			dave.wantVerdict(t, test.rule)
		})
	}
}

// nackOf says that this device cannot apply an entry.
func (d *device) nackOf(seq uint64) *identity.Statement {
	st := d.request(identity.StatementNack)
	st.Seq, st.Entry = seq, d.s.chain[seq-1]
	d.self.Key.SignStatement(d.self.Root, st)
	return st
}

// TestWhoCameByAChangeEndsItsUndo: Bob's change locks Alice out, and he goes on
// and lets somebody in, who could not go back to the time before. From then on
// the change stands, for everybody.
func TestWhoCameByAChangeEndsItsUndo(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	dave := s.device(t, s.person("Dave"))
	all := []*device{alice, bob, carol, dave}
	alice.do(all, Intent{Kind: IntentRole, User: bob.user(), Role: RoleAdmin})
	locked(s.head()+1, alice)
	bob.must(bob.commit(Intent{Kind: IntentRefresh}))
	syncAll(all...)
	bob.do([]*device{bob, carol, dave}, Intent{Kind: IntentAdd, KeyPackages: [][]byte{dave.keyPackage()}})
	syncAll(all...)
	alice.must(alice.undo())
	seq := s.head()
	heal(t, all...)
	wantState(t, StateMember, all...)
	agree(t, all...)
	sameLog(t, all...)
	if carol.verdicts[seq] != VerdictRefused || dave.verdicts[seq] != VerdictRefused {
		t.Errorf("Carol says %v, Dave %v", carol.verdicts[seq], dave.verdicts[seq])
	}
}

// TestWhoNobodyHasConfirmedLeadsNobodyAstray: Bob's change locks Alice out, he
// goes on and brings his phone in, and she takes that back with him. The phone
// holds a Welcome all the same. It knows everybody's seat, so a request of
// Carol's counts for it too; but it has heard that the others went another way.
func TestWhoNobodyHasConfirmedLeadsNobodyAstray(t *testing.T) {
	for name, undone := range map[string]bool{"its entry was taken back": true, "positive control: its entry counts": false} {
		t.Run(name, func(t *testing.T) {
			s, alice, bob, carol := inviteRoom(t)
			phone := s.device(t, bob.who)
			inside := []*device{alice, bob, carol}
			alice.do(inside, Intent{Kind: IntentRole, User: bob.user(), Role: RoleAdmin})
			if undone {
				locked(s.head()+1, alice)
			}
			bob.do(inside, Intent{Kind: IntentRefresh})
			bob.do(inside, Intent{Kind: IntentAdd, KeyPackages: [][]byte{phone.keyPackage()}})
			if undone {
				alice.nack()
				alice.sync()
				alice.must(alice.undo())
				syncAll(inside...)
				wantState(t, StateRemoved, bob)
			}
			ask, err := carol.room.AskRejoin(identity.ReasonLost, s.now)
			carol.must(err)
			carol.save(ask.Records)
			carol.must(carol.append(ask))
			phone.sync()
			wantState(t, StateWaiting, phone)
			lets := slices.ContainsFunc(phone.room.Todo(s.now), func(todo Todo) bool { return todo.Kind == TodoCarry })
			if lets == undone {
				t.Fatalf("the phone has to do %v", phone.room.Todo(s.now))
			}
			if !undone {
				return
			}
			heal(t, phone, carol, alice)
			wantState(t, StateMember, alice, carol)
			agree(t, alice, carol)
			if res := phone.room.Unrouted(); !res.Removed {
				t.Error("the phone does not take the core's word for it that it is out")
			}
		})
	}
}

// TestWhoNobodyHasConfirmedIsInvitedAgain: Bob's phone holds a Welcome of a
// change that was taken back, and waits in vain. A second invitation brings it
// in; one that comes while nothing speaks against the first does not move it.
func TestWhoNobodyHasConfirmedIsInvitedAgain(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	phone := s.device(t, bob.who)
	inside := []*device{alice, bob, carol}
	alice.do(inside, Intent{Kind: IntentRole, User: bob.user(), Role: RoleAdmin})
	locked(s.head()+1, alice)
	bob.do(inside, Intent{Kind: IntentRefresh})
	bob.do(inside, Intent{Kind: IntentAdd, KeyPackages: [][]byte{phone.keyPackage()}})
	phone.sync()
	wantState(t, StateWaiting, phone)
	alice.nack()
	alice.sync()
	alice.must(alice.undo())
	syncAll(alice, carol)
	invite := Intent{Kind: IntentAdd, KeyPackages: [][]byte{phone.keyPackage()}}
	if err := alice.commit(invite); !errors.Is(err, ErrUnsettled) {
		t.Fatalf("an invitation before anybody who could judge the undo was heard: %v", err)
	}
	carol.ack()
	syncAll(alice, carol)
	alice.must(alice.commit(invite))
	syncAll(alice, carol)
	again := s.welcomes[phone.self.Device()][0]
	if _, err := phone.room.Rejoin(again.w, phone.keys); !errors.Is(err, ErrUnwanted) {
		t.Fatalf("a second invitation before it has heard anything else: %v", err)
	}
	// Carol, who is no admin, makes up a room of this name in which she is
	for e, more := phone.next(); more; e, more = phone.next() {
		phone.examine(e)
	}
	fake, _, err := Create(carol.self, Spec{Mode: ModeInvite, Group: s.group})
	carol.must(err)
	fake.st.place = phone.room.st.place
	lure, err := fake.Commit([]Intent{{Kind: IntentAdd, KeyPackages: [][]byte{phone.keyPackage()}}}, s.now)
	carol.must(err)
	if _, err := phone.room.Rejoin(Welcome{lure.Welcomes[0].Data, lure.Tree}, phone.keys); !errors.Is(err, ErrUnwanted) {
		t.Fatalf("an invitation by somebody who may not invite: %v", err)
	}
	phone.sync()
	alice.ack()
	syncAll(alice, carol, phone)
	wantState(t, StateMember, alice, carol, phone)
	agree(t, alice, carol, phone)
	phone.must(phone.send("at last"))
	syncAll(alice, carol, phone)
	for _, d := range []*device{alice, carol, phone} {
		if !slices.Equal(d.texts(), []string{"Bob: at last"}) {
			t.Errorf("%s reads %q", d.who.name, d.texts())
		}
	}
}
