package room

import (
	"errors"
	"slices"
	"testing"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/mls"
)

// linkRoom is Alice's room with Bob in it and one link.
func linkRoom(t testing.TB) (s *server, alice, bob *device, link identity.LinkSecret) {
	t.Helper()
	s = newServer()
	alice, bob = s.device(t, s.person("Alice")), s.device(t, s.person("Bob"))
	alice.create(Spec{Mode: ModeLink, Title: "Tea"})
	link = identity.NewLinkSecret()
	alice.must(alice.commit(Intent{Kind: IntentAdd, KeyPackages: [][]byte{bob.keyPackage()}}, Intent{Kind: IntentLink, Secret: link}))
	syncAll(alice, bob)
	alice.ack()
	syncAll(alice, bob)
	return s, alice, bob, link
}

func TestAFriendComesByALink(t *testing.T) {
	s, alice, bob, link := linkRoom(t)
	guest := s.device(t, s.person("Guest"))
	info, err := Preview(guest.self, Offer{Group: s.group, GroupInfo: s.links[link.ID()].GroupInfo, Tree: s.links[link.ID()].Tree, Link: &link, Inviter: alice.user()})
	if err != nil || info.Title != "Tea" || len(info.Members) != 2 {
		t.Fatalf("the guest sees %v, %v", info, err)
	}
	guest.must(guest.enter(&link))
	syncAll(alice, bob, guest)
	wantState(t, StateWaiting, guest)
	if err := guest.send("hello?"); !errors.Is(err, ErrWaiting) {
		t.Fatalf("the guest speaks before anybody has confirmed it: %v", err)
	}
	alice.ack()
	syncAll(alice, bob, guest)
	guest.must(guest.send("hello"))
	syncAll(alice, bob, guest)
	if !slices.Equal(bob.texts(), []string{"Guest: hello"}) {
		t.Errorf("Bob reads %q", bob.texts())
	}
	agree(t, alice, bob, guest)
}

func TestTwoMembersConfirmWhileAdminsAreAway(t *testing.T) {
	s, alice, bob, link := linkRoom(t)
	carol, guest := s.device(t, s.person("Carol")), s.device(t, s.person("Guest"))
	carol.must(carol.enter(&link))
	syncAll(alice, bob, carol)
	alice.ack()
	syncAll(alice, bob, carol)
	// from here on Alice is away
	guest.must(guest.enter(&link))
	syncAll(bob, carol, guest)
	bob.ack()
	syncAll(bob, carol, guest)
	wantState(t, StateWaiting, guest) // one word could be that of somebody who was expelled
	carol.ack()
	syncAll(bob, carol, guest)
	wantState(t, StateMember, guest)
}

func TestALinkEnds(t *testing.T) {
	s, alice, bob, link := linkRoom(t)
	old := s.links[link.ID()]
	guest := s.device(t, s.person("Guest"))
	alice.do([]*device{alice, bob}, Intent{Kind: IntentUnlink, Number: 1})
	if err := guest.enter(&link); err == nil {
		t.Fatal("the core still serves a link that was ended")
	}
	// a core that serves it all the same, and takes the commit
	room, _, err := JoinExternal(guest.self, Offer{Group: s.group, GroupInfo: old.GroupInfo, Tree: old.Tree, Link: &link, Through: s.head()})
	guest.must(err)
	guest.room = room
	guest.sync()
	a, err := room.Enter()
	guest.must(err)
	s.put(a.Kind, a.Payload, a.Body)
	syncAll(alice, bob)
	if bob.verdicts[s.head()] != VerdictRefused {
		t.Errorf("Bob says %v", bob.verdicts[s.head()])
	}
	guest.sync()
	bob.must(bob.send("secret"))
	syncAll(alice, bob, guest)
	if len(guest.texts()) != 0 {
		t.Error("the guest reads along")
	}
	if err := guest.send("x"); !errors.Is(err, ErrWaiting) {
		t.Errorf("the guest speaks: %v", err)
	}
}

func TestARemovalChangesTheSecretsOfLinks(t *testing.T) {
	s, alice, bob, link := linkRoom(t)
	guest := s.device(t, s.person("Guest"))
	alice.do([]*device{alice, bob}, Intent{Kind: IntentRemove, User: bob.user()})
	if _, served := s.links[link.ID()]; served {
		t.Error("the core still serves the old secret")
	}
	fresh := alice.room.Info().Links[0].Secret
	if fresh == link {
		t.Fatal("the secret is the same")
	}
	guest.must(guest.enter(&fresh))
	syncAll(alice, guest)
	agree(t, alice, guest)
}

func TestStrangersAtTheDoor(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(alice, bob *device)
		bend    func(s *server, alice *device, o *mls.ExternalOptions, link identity.LinkSecret)
		fine    bool
	}{
		"with the key":    {fine: true},
		"without the key": {bend: func(_ *server, _ *device, o *mls.ExternalOptions, _ identity.LinkSecret) { o.PSKs = nil }},
		"with an invented link": {bend: func(_ *server, _ *device, o *mls.ExternalOptions, _ identity.LinkSecret) {
			o.PSKs = [][]byte{make([]byte, 16)}
		}},
		"with two keys": {bend: func(_ *server, _ *device, o *mls.ExternalOptions, link identity.LinkSecret) {
			id := link.ID()
			o.PSKs = [][]byte{id[:], make([]byte, 16)}
		}},
		"with grounds": {bend: func(s *server, alice *device, o *mls.ExternalOptions, _ identity.LinkSecret) {
			o.AuthenticatedData = (&attest{after: s.mark, undo: true}).encode()
		}},
		"removing somebody": {bend: func(_ *server, alice *device, o *mls.ExternalOptions, _ identity.LinkSecret) {
			victim := alice.index(alice)
			o.Resync = &victim
		}},
		"banned": {prepare: func(alice, _ *device) {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, alice, bob, link := linkRoom(t)
			guest := s.device(t, s.person("Guest"))
			if test.prepare != nil {
				alice.do([]*device{alice, bob}, Intent{Kind: IntentBan, User: guest.user()})
			}
			l := s.links[link.ID()]
			info, _, tree, err := openOffer(Offer{Group: s.group, GroupInfo: l.GroupInfo, Tree: l.Tree, Link: &link})
			if err != nil {
				t.Fatal(err)
			}
			signer, err := guest.self.signer(testSuite)
			if err != nil {
				t.Fatal(err)
			}
			id, psk := link.ID(), link.PSK()
			o := mls.ExternalOptions{Tree: tree, Signer: signer, Credential: mls.BasicCredential(guest.self.Credential.Encode()), Capabilities: capabilities(),
				LeafExtensions: newJoinID(), PSKs: [][]byte{id[:]}, AuthenticatedData: (&attest{after: s.mark}).encode()}
			if test.bend != nil {
				test.bend(s, alice, &o, link)
			}
			pending, err := mls.JoinExternal(mls.Config{Credential: mls.AnyCredential, PSK: func([]byte) []byte { return psk[:] }}, info, o)
			if err != nil {
				t.Logf("cannot even be made: %v", err)
				if test.fine {
					t.Fatal(err)
				}
				return
			}
			s.put(EntryHandshake, append([]byte{payloadCommit}, pending.Message()...), nil)
			syncAll(alice, bob)
			want := VerdictRefused
			if test.fine {
				want = VerdictApplied
			}
			for _, d := range []*device{alice, bob} {
				if got := d.verdicts[s.head()]; got != want {
					t.Errorf("%s says %v (%s)", d.who.name, got, d.why[s.head()])
				}
			}
		})
	}
}

// TestStrangersAtOtherDoors: with everything that a member could have leaked to
// them, strangers come in where the room is open, and nowhere else.
func TestStrangersAtOtherDoors(t *testing.T) {
	approval := identity.NewLinkSecret()
	for name, test := range map[string]struct {
		room func(t *testing.T) (judge, by *device)
		psk  *identity.LinkSecret
		bend func(judge *device, o *mls.ExternalOptions)
		rule string
	}{
		"an open room":                   {room: lounge},
		"an open room with a link's key": {room: lounge, psk: &approval, rule: "no links"},
		"an open room, removing somebody": {room: lounge, bend: func(judge *device, o *mls.ExternalOptions) {
			victim := judge.index(judge)
			o.Resync = &victim
		}, rule: "mls: "},
		"an open room, with grounds": {room: lounge, bend: func(judge *device, o *mls.ExternalOptions) {
			st := judge.statement(identity.StatementLeave, judge)
			judge.self.Key.SignStatement(judge.self.Root, st)
			o.AuthenticatedData = judge.grounds(st)
		}, rule: "carries nothing out"},
		"an invite room": {room: crowd(10), rule: "by themselves"},
		"a direct chat":  {room: pair, rule: "third person"},
		"a link that needs approval": {room: func(t *testing.T) (judge, by *device) {
			_, alice, bob, _ := linkRoom(t)
			alice.do([]*device{alice, bob}, Intent{Kind: IntentLink, Secret: approval, Approval: true})
			return alice, bob
		}, psk: &approval, rule: "not active"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			judge, by := test.room(t)
			eve := by.s.device(t, by.s.person("Eve"))
			signer, err := eve.self.signer(testSuite)
			if err != nil {
				t.Fatal(err)
			}
			o := mls.ExternalOptions{Tree: by.room.group.Tree(), Signer: signer, Credential: mls.BasicCredential(eve.self.Credential.Encode()),
				Capabilities: capabilities(), LeafExtensions: newJoinID(), AuthenticatedData: by.grounds()}
			psk := [32]byte{}
			if test.psk != nil {
				id := test.psk.ID()
				o.PSKs, psk = [][]byte{id[:]}, test.psk.PSK()
			}
			if test.bend != nil {
				test.bend(judge, &o)
			}
			pending, err := mls.JoinExternal(mls.Config{Credential: mls.AnyCredential, PSK: func([]byte) []byte { return psk[:] }}, by.openInfo(), o)
			if err != nil && test.rule == "mls: " {
				return // cannot even be made
			}
			if err != nil {
				t.Fatal(err)
			}
			by.s.put(EntryHandshake, append([]byte{payloadCommit}, pending.Message()...), nil)
			judge.sync()
			judge.wantVerdict(t, test.rule)
		})
	}
}

func TestAnApprovalLinkOpensNothingByItself(t *testing.T) {
	s, alice, bob, _ := linkRoom(t)
	slow := identity.NewLinkSecret()
	alice.do([]*device{alice, bob}, Intent{Kind: IntentLink, Secret: slow, Approval: true})
	if _, served := s.links[slow.ID()]; served {
		t.Error("GroupInfo is published for a link that needs approval")
	}
	if links := bob.room.Info().Links; len(links) != 2 {
		t.Errorf("positive control: %d links", len(links))
	}
}

func TestALinkOfAnotherRoom(t *testing.T) {
	s1, alice, _, link := linkRoom(t)
	s2, _, _, other := linkRoom(t)
	guest := s1.device(t, s1.person("Guest"))
	mine, theirs := s1.links[link.ID()], s2.links[other.ID()]
	for name, o := range map[string]Offer{
		"another room":        {Group: s1.group, GroupInfo: theirs.GroupInfo, Tree: theirs.Tree, Link: &link},
		"another tree":        {Group: s1.group, GroupInfo: mine.GroupInfo, Tree: theirs.Tree, Link: &link},
		"another group id":    {Group: s2.group, GroupInfo: mine.GroupInfo, Tree: mine.Tree, Link: &link},
		"another secret":      {Group: s1.group, GroupInfo: mine.GroupInfo, Tree: mine.Tree, Link: &other},
		"another inviter":     {Group: s1.group, GroupInfo: mine.GroupInfo, Tree: mine.Tree, Link: &link, Inviter: guest.user()},
		"no secret":           {Group: s1.group, GroupInfo: mine.GroupInfo, Tree: mine.Tree},
		"nothing":             {Group: s1.group, Link: &link},
		"damaged":             {Group: s1.group, GroupInfo: mine.GroupInfo[1:], Tree: mine.Tree, Link: &link},
		"open, and it is not": {Group: s1.group, GroupInfo: alice.openInfo(), Tree: mine.Tree},
	} {
		if _, _, err := JoinExternal(guest.self, o); !errors.Is(err, ErrOffer) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := JoinExternal(guest.self, Offer{Group: s1.group, GroupInfo: mine.GroupInfo, Tree: mine.Tree, Link: &link, Inviter: alice.user()}); err != nil {
		t.Errorf("positive control: %v", err)
	}
}

// openInfo is a GroupInfo in the clear, as a member could leak it.
func (d *device) openInfo() []byte {
	d.t.Helper()
	info, err := d.room.group.GroupInfo(mls.GroupInfoOptions{ExternalPub: true, Extensions: []mls.Extension{d.room.place(d.room.group, d.room.rules.Mode).extension()}})
	if err != nil {
		d.t.Fatal(err)
	}
	return info
}

func TestDirectChat(t *testing.T) {
	s := newServer()
	alice, bob, eve := s.device(t, s.person("Alice")), s.device(t, s.person("Bob")), s.device(t, s.person("Eve"))
	phone := s.device(t, bob.who)
	alice.create(Spec{Mode: ModeDirect, Peer: bob.user()})
	if alice.room.Group() != DirectGroup(bob.user(), alice.user(), 0) {
		t.Fatal("the id depends on who starts")
	}
	alice.do([]*device{alice, bob, phone}, Intent{Kind: IntentAdd, KeyPackages: [][]byte{bob.keyPackage(), phone.keyPackage()}})
	alice.ack()
	syncAll(alice, bob, phone)
	wantState(t, StateMember, alice, bob, phone)
	phone.must(phone.send("hi"))
	syncAll(alice, bob, phone)
	if !slices.Equal(alice.texts(), []string{"Bob: hi"}) {
		t.Errorf("Alice reads %q", alice.texts())
	}
	if err := alice.commit(Intent{Kind: IntentAdd, KeyPackages: [][]byte{eve.keyPackage()}}); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("a third person: %v", err)
	}
	if err := alice.commit(Intent{Kind: IntentTitle, Text: "us"}); err == nil {
		t.Error("a direct chat has a title")
	}
	if err := alice.commit(Intent{Kind: IntentRemove, User: bob.user()}); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("one removes the other: %v", err)
	}
	if info := alice.room.Info(); info.Peer != bob.user() {
		t.Errorf("the other one is %v", info.Peer)
	}
}

func TestOwnersAndAdmins(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	all := []*device{alice, bob, carol}
	alice.do(all, Intent{Kind: IntentRole, User: bob.user(), Role: RoleAdmin}, Intent{Kind: IntentRole, User: carol.user(), Role: RoleAdmin})
	// two admins remove each other at once: one is faster
	a, err := bob.room.Commit([]Intent{{Kind: IntentRemove, User: carol.user()}}, s.now)
	bob.must(err)
	b, err := carol.room.Commit([]Intent{{Kind: IntentRemove, User: bob.user()}}, s.now)
	carol.must(err)
	bob.save(a.Records)
	carol.save(b.Records)
	bob.must(bob.append(a))
	if err := carol.append(b); !errors.Is(err, errUnrouted) {
		t.Fatalf("both: %v", err)
	}
	syncAll(all...)
	wantState(t, StateRemoved, carol)
	wantState(t, StateMember, alice, bob)
	// the room changes hands
	alice.do([]*device{alice, bob}, Intent{Kind: IntentRole, User: bob.user(), Role: RoleOwner})
	if alice.room.Info().Role != RoleAdmin || bob.room.Info().Role != RoleOwner {
		t.Errorf("roles %v, %v", alice.room.Info().Role, bob.room.Info().Role)
	}
	if err := alice.commit(Intent{Kind: IntentRemove, User: bob.user()}); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("an admin removes the owner: %v", err)
	}
	// everybody with a role leaves: whoever stays can take it
	dave := s.device(t, s.person("Dave"))
	bob.do([]*device{alice, bob, dave}, Intent{Kind: IntentAdd, KeyPackages: [][]byte{dave.keyPackage()}})
	bob.ack()
	syncAll(alice, bob, dave)
	for _, d := range []*device{alice, bob} {
		l, err := d.room.Leave()
		d.must(err)
		d.must(d.append(l))
		syncAll(alice, bob, dave)
	}
	if err := dave.commit(Intent{Kind: IntentRole, User: dave.user(), Role: RoleOwner}); err == nil {
		dave.sync()
	} else {
		dave.must(dave.commit())
		dave.sync()
		dave.must(dave.commit(Intent{Kind: IntentRole, User: dave.user(), Role: RoleOwner}))
		dave.sync()
	}
	if dave.room.Info().Role != RoleOwner || len(dave.room.Info().Members) != 1 {
		t.Errorf("Dave is %v of %d", dave.room.Info().Role, len(dave.room.Info().Members))
	}
}

func TestTheLoungeGetsAnOwnerAndLosesGuests(t *testing.T) {
	s, alice, bob, carol := openRoom(t)
	all := []*device{alice, bob, carol}
	forged := &identity.Notice{Kind: identity.NoticeOwner, Group: s.group, User: carol.user()}
	carol.self.Key.SignStatement(carol.self.Root, &identity.Statement{})
	forged.Delegation = identity.SignDelegation(s.delegate, carol.self.Key.Public()) // not by the root
	identity.SignNotice(carol.self.Root, carol.self.Key.Private(), forged)
	if err := carol.commit(Intent{Kind: IntentOwner, Notice: forged.Encode()}); !errors.Is(err, ErrNotAllowed) {
		t.Fatalf("Carol appoints herself: %v", err)
	}
	bob.do(all, Intent{Kind: IntentOwner, Notice: s.notice(&identity.Notice{Kind: identity.NoticeOwner, User: alice.user()})})
	if alice.room.Info().Role != RoleOwner {
		t.Fatal("Alice does not own the Lounge")
	}
	if err := bob.commit(Intent{Kind: IntentOwner, Notice: s.notice(&identity.Notice{Kind: identity.NoticeOwner, User: bob.user()})}); err == nil {
		t.Error("a second owner")
	}
	seat, _ := alice.room.who.seat(carol.user(), carol.self.Device())
	s.put(EntryNotice, s.notice(&identity.Notice{Kind: identity.NoticeRetired, User: carol.user(), Device: seat.device, JoinID: seat.joinID}), nil)
	syncAll(alice, bob)
	bob.must(bob.commit())
	syncAll(alice, bob)
	if len(alice.room.Info().Members) != 2 || !slices.Contains(alice.lines(), ItemRetired) {
		t.Errorf("Carol is still there: %v", alice.lines())
	}
	// she comes back as if nothing had been
	carol.must(carol.enter(nil))
	syncAll(alice, bob, carol)
	agree(t, alice, bob, carol)
}

func TestSignals(t *testing.T) {
	s, alice, bob, carol := inviteRoom(t)
	b, err := alice.room.SealSignal(1, []byte("typing"), s.now)
	alice.must(err)
	short, err := alice.room.SealSignal(2, nil, s.now)
	alice.must(err)
	if len(b) != len(short) {
		t.Error("signals have different sizes")
	}
	got, err := bob.room.OpenSignal(b)
	if err != nil || got.User != alice.user() || string(got.Data) != "typing" || got.Kind != 1 {
		t.Fatalf("Bob opens %v, %v", got, err)
	}
	if _, err := bob.room.OpenSignal(b); !errors.Is(err, ErrSignal) {
		t.Errorf("again: %v", err)
	}
	bent := slices.Clone(short)
	bent[len(bent)-1] ^= 1
	if _, err := bob.room.OpenSignal(bent); !errors.Is(err, ErrSignal) {
		t.Errorf("damaged: %v", err)
	}
	if _, err := alice.room.OpenSignal(short); !errors.Is(err, ErrSignal) {
		t.Errorf("an own one: %v", err)
	}
	carol.do([]*device{alice, bob, carol}, Intent{Kind: IntentRefresh})
	if _, err := bob.room.OpenSignal(short); !errors.Is(err, ErrSignal) {
		t.Errorf("of an epoch that is over: %v", err)
	}
}

// TestWhoIsAtTheDoorWhenTheOthersOfItsUserLeave: Bob's phone has not come in
// yet, and has no group to examine anything in.
func TestWhoIsAtTheDoorWhenTheOthersOfItsUserLeave(t *testing.T) {
	s, alice, bob, carol := openRoom(t)
	phone := s.device(t, bob.who)
	room, records, err := JoinExternal(phone.self, Offer{Group: s.group, GroupInfo: s.info, Tree: s.tree})
	phone.must(err)
	phone.room = room
	phone.save(records)
	leave, err := bob.room.Leave()
	bob.must(err)
	bob.must(bob.append(leave))
	syncAll(alice, bob, carol)
	alice.do([]*device{alice, bob, carol})
	alice.must(alice.send("he has left"))
	phone.sync()
	wantState(t, StateJoining, phone)
	phone.must(phone.enter(nil))
	syncAll(alice, carol, phone)
	wantState(t, StateMember, phone)
	agree(t, alice, carol, phone)
}
