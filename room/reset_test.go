package room

import (
	"errors"
	"testing"

	"github.com/securelink-chat/securelink/identity"
)

// setBack cuts the log, as a restore from a backup does, and starts it anew
// from there: what follows has other times.
func (s *server) setBack(seq uint64) {
	s.log, s.chain, s.mark = s.log[:seq], s.chain[:seq], 0
	for _, e := range s.log {
		if e.Kind == EntryHandshake {
			s.mark = e.Seq
		}
	}
}

// Messages were lost with a restore, and the room went on without them. Who had
// read them goes back, also over a restart, and sends its own again: all read
// the same, nothing twice, and nobody is warned of anything.
func TestRewindOverMessages(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	all := []*device{alice, bob, carol}
	alice.must(alice.send("before"))
	syncAll(all...)
	end := s.head()
	bob.must(bob.send("lost"))
	bob.must(bob.send("lost too"))
	alice.must(alice.send("lost as well"))
	syncAll(alice, bob)
	s.setBack(end)
	for d, own := range map[*device]uint64{alice: 1, bob: 2} {
		records, err := d.room.Rewind(end, own)
		d.must(err)
		d.save(records)
		d.back(end)
		d.restart()
	}
	carol.must(carol.send("meanwhile"))
	syncAll(all...)
	bob.must(bob.send("lost"))
	bob.must(bob.send("lost too"))
	alice.must(alice.send("lost as well"))
	syncAll(all...)
	agree(t, all...)
	for _, d := range all {
		if len(d.alarms) != 0 {
			t.Errorf("%s is warned: %+v", d.who.name, d.alarms)
		}
		if texts := d.texts(); len(texts) != 5 {
			t.Errorf("%s reads %q", d.who.name, texts)
		}
	}
}

// A change of the group lies behind the place: Rewind refuses and changes
// nothing, because a server could take back a removal with it. The control is a
// place behind the change.
func TestNoRewindOverAChange(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	before := s.head()
	alice.must(alice.commit(Intent{Kind: IntentRemove, User: carol.user()}))
	syncAll(alice, bob)
	removed := s.head()
	alice.must(alice.send("without carol"))
	syncAll(alice, bob)
	place, chain := bob.room.Position()
	for _, end := range []uint64{before, removed - 1, place, place + 1} {
		if _, err := bob.room.Rewind(end, 0); !errors.Is(err, ErrNotAllowed) && !errors.Is(err, ErrUsage) {
			t.Errorf("back to %d: %v", end, err)
		}
	}
	if now, same := bob.room.Position(); now != place || same != chain {
		t.Fatalf("a refused rewind moved Bob from %d to %d", place, now)
	}
	s.setBack(removed)
	for _, d := range []*device{alice, bob} {
		records, err := d.room.Rewind(removed, 0)
		d.must(err)
		d.save(records)
		d.back(removed)
	}
	bob.must(bob.send("still without her"))
	syncAll(alice, bob)
	if has(alice.room, carol.user()) {
		t.Error("Carol is back")
	}
}

// The room went on without a change that Bob has seen. With his user's word he
// asks those who have gone on to let him in again.
func TestGiveWay(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	end := s.head()
	mark := s.mark
	bob.must(bob.commit(Intent{Kind: IntentRefresh}))
	bob.sync() // nobody else has seen it
	s.setBack(end)
	alice.must(alice.send("meanwhile"))
	syncAll(alice, carol)
	records, err := bob.room.GiveWay(end, mark)
	bob.must(err)
	bob.save(records)
	bob.back(end)
	bob.restart()
	bob.sync()
	wantState(t, StateBroken, bob)
	if err := bob.send("too early"); !errors.Is(err, ErrBroken) {
		t.Fatalf("Bob speaks: %v", err)
	}
	a, err := bob.room.AskRejoin(0, s.now)
	bob.must(err)
	bob.save(a.Records)
	bob.must(bob.append(a))
	syncAll(alice, bob, carol)
	alice.must(alice.commit())
	syncAll(alice, bob, carol)
	wantState(t, StateMember, alice, bob, carol)
	bob.must(bob.send("with you again"))
	syncAll(alice, bob, carol)
	agree(t, alice, bob, carol)
}

// A guest is let go by a commit that carries the delegate's word itself: on
// this stay of his, and by this server's delegate.
func TestRetireByANoticeAtHand(t *testing.T) {
	s, alice, bob, carol := openRoom(t)
	seat, _ := alice.room.who.seat(carol.user(), carol.self.Device())
	notice := identity.Notice{Kind: identity.NoticeRetired, User: carol.user(), Device: seat.device, JoinID: seat.joinID}
	other := notice
	other.JoinID[0] ^= 1
	if err := bob.commit(Intent{Kind: IntentRetire, Notice: s.notice(&other)}); !errors.Is(err, ErrNothing) {
		t.Errorf("by a word on another stay: %v", err)
	}
	forged := notice
	forged.Group = s.group
	forged.Delegation = identity.SignDelegation(s.delegate, bob.self.Key.Public()) // not by the root
	identity.SignNotice(s.rootKey(), bob.self.Key.Private(), &forged)
	if err := bob.commit(Intent{Kind: IntentRetire, Notice: forged.Encode()}); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("by a word that nobody has given: %v", err)
	}
	bob.do([]*device{alice, bob, carol}, Intent{Kind: IntentRetire, Notice: s.notice(&notice)})
	if has(alice.room, carol.user()) || carol.room.State() != StateRemoved {
		t.Error("Carol is still there")
	}
	if lines := carol.lines(); lines[len(lines)-1] != ItemRetired || len(carol.alarms) != 0 {
		t.Errorf("Carol reads %v and is warned %v", lines, carol.alarms)
	}
}

func has(r *Room, user identity.UserID) bool {
	for _, m := range r.Info().Members {
		if m.User == user {
			return true
		}
	}
	return false
}
