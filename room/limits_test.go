package room

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/mls"
)

// rulesTrial is a commit that somebody makes without the rules, in a room of
// its own.
type rulesTrial struct {
	room func(t *testing.T) (judge, by *device) // who judges, and who commits
	what func(judge, by *device) mls.CommitOptions
	rule string // the reason of the refusal; empty: the control, which counts
}

func (trial rulesTrial) run(t *testing.T) {
	t.Parallel()
	judge, by := trial.room(t)
	o := trial.what(judge, by)
	if o.AuthenticatedData == nil {
		o.AuthenticatedData = by.grounds()
	}
	by.force(o)
	judge.sync()
	judge.wantVerdict(t, trial.rule)
}

// wantVerdict wants the newest entry refused for this reason, or applied.
func (d *device) wantVerdict(t *testing.T, rule string) {
	t.Helper()
	seq := d.s.head()
	switch got := d.verdicts[seq]; {
	case rule == "" && got != VerdictApplied:
		t.Errorf("%s says %v: %s", d.who.name, got, d.why[seq])
	case rule != "" && (got != VerdictRefused || !strings.Contains(d.why[seq], rule)):
		t.Errorf("%s says %v (%q), want refused for %q", d.who.name, got, d.why[seq], rule)
	}
}

// crowd is Alice's room with a limit of leaves, and Bob in it as an admin.
func crowd(limit uint16) func(t *testing.T) (judge, by *device) {
	return func(t *testing.T) (judge, by *device) {
		s := newServer()
		alice, bob := s.device(t, s.person("Alice")), s.device(t, s.person("Bob"))
		alice.create(Spec{Mode: ModeInvite, Limit: limit})
		alice.do([]*device{alice, bob}, Intent{Kind: IntentAdd, KeyPackages: [][]byte{bob.keyPackage()}})
		alice.do([]*device{alice, bob}, Intent{Kind: IntentRole, User: bob.user(), Role: RoleAdmin})
		return alice, bob
	}
}

// adds are proposals that add n devices of one person, or of n people.
func (d *device) adds(n int, one bool) (out []mls.Proposal) {
	p := d.s.person("Guest")
	for i := range n {
		if !one {
			p = d.s.person(fmt.Sprint("Guest ", i))
		}
		out = append(out, d.adding(d.s.device(d.t, p)))
	}
	return out
}

// addingAs adds a device with another join id or certificate than its own.
func (d *device) addingAs(who *device, bend func(o *mls.KeyPackageOptions)) mls.Proposal {
	d.t.Helper()
	signer, err := who.self.signer(testSuite)
	if err != nil {
		d.t.Fatal(err)
	}
	now := d.s.now
	o := mls.KeyPackageOptions{
		Suite: testSuite, Signer: signer, Credential: mls.BasicCredential(who.self.Credential.Encode()), Capabilities: capabilities(), LeafExtensions: newJoinID(),
		Lifetime: &mls.Lifetime{NotBefore: uint64(now.Add(-time.Hour).Unix()), NotAfter: uint64(now.Add(time.Hour).Unix())},
	}
	bend(&o)
	kp, err := mls.NewKeyPackage(o)
	if err != nil {
		d.t.Fatal(err)
	}
	return &mls.Add{KeyPackage: kp.KeyPackage}
}

// TestLimitsOfARoom: how much of what may be in a room, or in one commit.
func TestLimitsOfARoom(t *testing.T) {
	add := func(n int, one bool) func(_, by *device) mls.CommitOptions {
		return func(_, by *device) mls.CommitOptions { return mls.CommitOptions{Proposals: by.adds(n, one)} }
	}
	joinID := func(id identity.JoinID) func(o *mls.KeyPackageOptions) {
		return func(o *mls.KeyPackageOptions) { o.LeafExtensions = []mls.Extension{{Type: extJoinID, Data: id[:]}} }
	}
	for name, trial := range map[string]rulesTrial{
		"fifty at once":       {crowd(100), add(MaxAdds, false), ""},
		"more than fifty":     {crowd(100), add(MaxAdds+1, false), "more than 50 joiners"},
		"up to the limit":     {crowd(4), add(2, false), ""},
		"one above the limit": {crowd(4), add(3, false), "the room is full"},
		"eight devices":       {crowd(100), add(MaxDevices, true), ""},
		"nine devices":        {crowd(100), add(MaxDevices+1, true), "more than 8 devices"},
		"a device a second time": {crowd(100), func(judge, by *device) mls.CommitOptions {
			again := by.s.device(by.t, judge.who) // another key, the same id
			certificate := judge.who.key.Certify(by.self.Root, judge.self.Device(), again.self.Key.Public(), identity.ClassNative, 1)
			again.self.Credential.Certificate = certificate
			return mls.CommitOptions{Proposals: []mls.Proposal{by.adding(again)}}
		}, "one device twice"},
		"a join id a second time": {crowd(100), func(judge, by *device) mls.CommitOptions {
			s, _ := by.room.who.seat(judge.user(), judge.self.Device())
			return mls.CommitOptions{Proposals: []mls.Proposal{by.addingAs(by.s.device(by.t, by.s.person("Eve")), joinID(s.joinID))}}
		}, "one device twice"},
		"a join id of its own": {crowd(100), func(_, by *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{by.addingAs(by.s.device(by.t, by.s.person("Eve")), joinID(identity.JoinID{1}))}}
		}, ""},
		"no join id": {crowd(100), func(_, by *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{by.addingAs(by.s.device(by.t, by.s.person("Eve")), func(o *mls.KeyPackageOptions) { o.LeafExtensions = nil })}}
		}, "credential"},
		"an extension that rooms do not have": {crowd(100), func(_, by *device) mls.CommitOptions {
			more := []mls.Extension{{Type: extRules, Data: by.room.rules.encode()}, {Type: extJoinID, Data: make([]byte, 16)}}
			return mls.CommitOptions{Proposals: []mls.Proposal{&mls.GroupContextExtensions{Extensions: more}}}
		}, "group context"},
		"a name from before": {crowd(100), func(judge, by *device) mls.CommitOptions {
			renamed := by.self.Credential
			profile, err := by.who.key.SignProfile(by.self.Root, "Robert", 5)
			if err != nil {
				by.t.Fatal(err)
			}
			by.do([]*device{judge, by}, Intent{Kind: IntentProfile, Profile: profile})
			old := mls.BasicCredential(renamed.Encode())
			return mls.CommitOptions{Leaf: &mls.LeafUpdate{Credential: &old}}
		}, "credential"},
		"a newer name": {crowd(100), func(_, by *device) mls.CommitOptions {
			renamed := by.self.Credential
			var err error
			if renamed.Profile, err = by.who.key.SignProfile(by.self.Root, "Robert", 5); err != nil {
				by.t.Fatal(err)
			}
			credential := mls.BasicCredential(renamed.Encode())
			return mls.CommitOptions{Leaf: &mls.LeafUpdate{Credential: &credential}}
		}, ""},
		"a role that outlives its user's devices": {crowd(100), func(judge, by *device) mls.CommitOptions {
			guest := by.s.device(by.t, by.s.person("Guest"))
			judge.do([]*device{judge, by}, Intent{Kind: IntentAdd, KeyPackages: [][]byte{guest.keyPackage()}})
			judge.do([]*device{judge, by}, Intent{Kind: IntentRole, User: guest.user(), Role: RoleAdmin})
			return mls.CommitOptions{Proposals: []mls.Proposal{&mls.Remove{Index: by.index(guest)}}}
		}, "not in the room"},
	} {
		t.Run(name, trial.run)
	}
}

// pair is a direct chat of Alice and Bob.
func pair(t *testing.T) (judge, by *device) {
	s := newServer()
	alice, bob := s.device(t, s.person("Alice")), s.device(t, s.person("Bob"))
	alice.create(Spec{Mode: ModeDirect, Peer: bob.user()})
	alice.do([]*device{alice, bob}, Intent{Kind: IntentAdd, KeyPackages: [][]byte{bob.keyPackage()}})
	return alice, bob
}

func TestDirectChatsStayWhatTheyAre(t *testing.T) {
	change := func(bend func(by *device, r *Rules)) func(_, by *device) mls.CommitOptions {
		return func(_, by *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{by.rules(func(r *Rules) { bend(by, r) })}}
		}
	}
	for name, trial := range map[string]rulesTrial{
		"a third person": {pair, func(_, by *device) mls.CommitOptions { return mls.CommitOptions{Proposals: by.adds(1, true)} }, "a third person"},
		"another device of one of them": {pair, func(judge, by *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{by.adding(by.s.device(by.t, judge.who))}}
		}, ""},
		"one removes the other": {pair, func(judge, by *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{&mls.Remove{Index: by.index(judge)}}}
		}, "removal that nothing permits"},
		"another generation": {pair, change(func(_ *device, r *Rules) { r.Generation++ }), "cannot change"},
		"other peers":        {pair, change(func(_ *device, r *Rules) { r.Peers[1] = identity.UserID{255} }), "a third person"},
		"a title":            {pair, change(func(_ *device, r *Rules) { r.Title = "us" }), "malformed"},
		"a role":             {pair, change(func(by *device, r *Rules) { r.setRole(by.user(), RoleOwner) }), "malformed"},
		"a new leaf":         {pair, func(_, _ *device) mls.CommitOptions { return mls.CommitOptions{ForcePath: true} }, ""},
	} {
		t.Run(name, trial.run)
	}
}

// lounge is an open room; Bob and Alice are guests.
func lounge(t *testing.T) (judge, by *device) {
	_, alice, bob, _ := openRoom(t)
	return alice, bob
}

// orphaned is a room whose owner has left: nobody there has a role.
func orphaned(t *testing.T) (judge, by *device) {
	_, alice, bob, carol := inviteRoom(t)
	a, err := alice.room.Leave()
	alice.must(err)
	alice.must(alice.append(a))
	syncAll(alice, bob, carol)
	bob.do([]*device{bob, carol})
	return carol, bob
}

func TestRoomsWithoutAnOwner(t *testing.T) {
	give := func(to func(judge, by *device) *device, role Role) func(judge, by *device) mls.CommitOptions {
		return func(judge, by *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{by.rules(func(r *Rules) { r.setRole(to(judge, by).user(), role) })}}
		}
	}
	self := func(_, by *device) *device { return by }
	other := func(judge, _ *device) *device { return judge }
	named := func(bend func(n *identity.Notice)) func(judge, by *device) mls.CommitOptions {
		return func(judge, by *device) mls.CommitOptions {
			n := &identity.Notice{Kind: identity.NoticeOwner, User: by.user()}
			by.s.notice(n)
			bend(n)
			return mls.CommitOptions{
				Proposals:         []mls.Proposal{by.rules(func(r *Rules) { r.setRole(by.user(), RoleOwner) })},
				AuthenticatedData: (&attest{after: by.room.st.place.mark, notices: []*identity.Notice{n}}).encode(),
			}
		}
	}
	for name, trial := range map[string]rulesTrial{
		"a member takes an orphaned room":       {orphaned, give(self, RoleOwner), ""},
		"a member becomes an admin of it":       {orphaned, give(self, RoleAdmin), "only the owner gives roles"},
		"a member gives it away":                {orphaned, give(other, RoleOwner), "only the owner gives roles"},
		"a guest takes the Lounge":              {lounge, give(self, RoleOwner), "only the owner gives roles"},
		"the delegate names the owner":          {lounge, named(func(*identity.Notice) {}), ""},
		"the delegate named somebody else":      {lounge, named(func(n *identity.Notice) { n.User[0]++ }), "only the owner gives roles"},
		"the delegate spoke of another room":    {lounge, named(func(n *identity.Notice) { n.Group[0]++ }), "only the owner gives roles"},
		"a word that the delegate did not sign": {lounge, named(func(n *identity.Notice) { n.Signature[0]++ }), "only the owner gives roles"},
	} {
		t.Run(name, trial.run)
	}
}

// TestGuestsAreRetired: any member of an open room removes a guest on the
// delegate's word, and only on that.
func TestGuestsAreRetired(t *testing.T) {
	retire := func(bend func(n *identity.Notice)) func(judge, by *device) mls.CommitOptions {
		return func(judge, by *device) mls.CommitOptions {
			guest := by.s.device(by.t, by.s.person("Guest"))
			guest.must(guest.enter(nil))
			syncAll(judge, by, guest)
			s, _ := by.room.who.seat(guest.user(), guest.self.Device())
			n := &identity.Notice{Kind: identity.NoticeRetired, User: s.user, Device: s.device, JoinID: s.joinID}
			by.s.notice(n)
			bend(n)
			return mls.CommitOptions{
				Proposals:         []mls.Proposal{&mls.Remove{Index: s.index}},
				AuthenticatedData: (&attest{after: by.room.st.place.mark, notices: []*identity.Notice{n}}).encode(),
			}
		}
	}
	const refused = "removal that nothing permits"
	for name, trial := range map[string]rulesTrial{
		"on the delegate's word":   {lounge, retire(func(*identity.Notice) {}), ""},
		"of another stay":          {lounge, retire(func(n *identity.Notice) { n.JoinID[0]++ }), refused},
		"of another device":        {lounge, retire(func(n *identity.Notice) { n.Device[0]++ }), refused},
		"of another room":          {lounge, retire(func(n *identity.Notice) { n.Group[0]++ }), refused},
		"on a word to name owners": {lounge, retire(func(n *identity.Notice) { n.Kind = identity.NoticeOwner }), refused},
		"on a forged word":         {lounge, retire(func(n *identity.Notice) { n.Signature[0]++ }), refused},
	} {
		t.Run(name, trial.run)
	}
}
