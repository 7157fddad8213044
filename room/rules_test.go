package room

import (
	"crypto/rand"
	"slices"
	"strings"
	"testing"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/mls"
)

// lawless is a member's group without the room's rules: what somebody has who
// changes the program.
func (d *device) lawless() *mls.Group {
	d.t.Helper()
	g, err := mls.Load(mls.Config{Credential: mls.AnyCredential, PSK: func([]byte) []byte { return make([]byte, 32) }}, d.room.group.Records())
	if err != nil {
		d.t.Fatal(err)
	}
	return g
}

// force appends whatever commit somebody can make without the rules.
func (d *device) force(o mls.CommitOptions) {
	d.t.Helper()
	p, err := d.lawless().Commit(o)
	if err != nil {
		d.t.Fatalf("the commit cannot even be made: %v", err)
	}
	d.s.put(EntryHandshake, append([]byte{payloadCommit}, p.Message()...), nil)
}

// grounds is authenticated data for the current place.
func (d *device) grounds(statements ...*identity.Statement) []byte {
	return (&attest{after: d.room.st.place.mark, statements: statements}).encode()
}

func (d *device) rules(change func(r *Rules)) mls.Proposal {
	r := d.room.rules.clone()
	change(r)
	return &mls.GroupContextExtensions{Extensions: []mls.Extension{{Type: extRules, Data: r.encode()}}}
}

func (d *device) index(of *device) mls.LeafIndex {
	d.t.Helper()
	s, ok := d.room.who.seat(of.user(), of.self.Device())
	if !ok {
		d.t.Fatalf("%s is not in the room", of.who.name)
	}
	return s.index
}

func (d *device) adding(who *device) mls.Proposal {
	d.t.Helper()
	kp, err := mls.ParseKeyPackage(who.keyPackage())
	if err != nil {
		d.t.Fatal(err)
	}
	return &mls.Add{KeyPackage: kp}
}

func (d *device) statement(kind identity.StatementKind, about *device) *identity.Statement {
	s, _ := d.room.who.seat(about.user(), about.self.Device())
	return &identity.Statement{Kind: kind, Group: d.room.id, User: s.user, Device: s.device, JoinID: s.joinID}
}

// court is a room in which every rule can be broken: Alice owns it, Bob is an
// admin, Carol has a laptop and a phone, Mallory is a member and breaks rules,
// Eve is outside.
type court struct {
	*testing.T
	s                                      *server
	alice, bob, carol, phone, mallory, eve *device
	inside                                 []*device
}

func newCourt(t *testing.T) *court {
	s := newServer()
	c := &court{T: t, s: s}
	c.alice, c.bob, c.carol = s.device(t, s.person("Alice")), s.device(t, s.person("Bob")), s.device(t, s.person("Carol"))
	c.mallory, c.eve = s.device(t, s.person("Mallory")), s.device(t, s.person("Eve"))
	c.phone = s.device(t, c.carol.who)
	c.alice.create(Spec{Mode: ModeInvite, Title: "court"})
	c.inside = []*device{c.alice, c.bob, c.carol, c.phone, c.mallory}
	var packages [][]byte
	for _, d := range c.inside[1:] {
		packages = append(packages, d.keyPackage())
	}
	c.alice.must(c.alice.commit(Intent{Kind: IntentAdd, KeyPackages: packages}))
	syncAll(c.inside...)
	c.alice.do(c.inside, Intent{Kind: IntentRole, User: c.bob.user(), Role: RoleAdmin}, Intent{Kind: IntentLink, Secret: identity.NewLinkSecret()})
	c.alice.ack()
	syncAll(c.inside...)
	wantState(t, StateMember, c.inside...)
	return c
}

// refused wants the last entry refused by everybody but its author, for this
// reason, and the room to go on.
func (c *court) refused(author *device, rule string) {
	c.Helper()
	epoch := c.alice.room.group.Epoch()
	seq := c.s.head()
	for _, d := range c.inside {
		if d == author {
			continue
		}
		d.sync()
		if d.verdicts[seq] != VerdictRefused || !strings.Contains(d.why[seq], rule) {
			c.Errorf("%s says %v (%q), want refused for %q", d.who.name, d.verdicts[seq], d.why[seq], rule)
		}
	}
	if c.alice.room.group.Epoch() != epoch {
		c.Error("the epoch went on")
	}
}

func TestMembersCannotBreakTheRules(t *testing.T) {
	removes := func(d *device, victims ...*device) (out []mls.Proposal) {
		for _, v := range victims {
			out = append(out, &mls.Remove{Index: d.index(v)})
		}
		return out
	}
	for name, test := range map[string]struct {
		by   func(c *court) *device
		what func(c *court, d *device) mls.CommitOptions
		rule string
	}{
		"a member adds a stranger": {rule: "only admins bring new people in", what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.adding(c.eve)}}
		}},
		"a member removes another": {rule: "a removal that nothing permits", what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: append(removes(d, c.bob), d.rules(func(r *Rules) { r.setRole(c.bob.user(), RoleMember) }))}
		}},
		"an admin removes the owner": {rule: "a removal that nothing permits", by: func(c *court) *device { return c.bob }, what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: append(removes(d, c.alice), d.rules(func(r *Rules) { r.setRole(c.alice.user(), RoleMember); r.Links = nil }))}
		}},
		"an admin removes one device of two": {rule: "a removal that nothing permits", by: func(c *court) *device { return c.bob }, what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: removes(d, c.phone)}
		}},
		"a removal that keeps the links' secrets": {rule: "a removal changes the secret", by: func(c *court) *device { return c.bob }, what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: removes(d, c.carol, c.phone)}
		}},
		"a device is exchanged without asking": {rule: "a removal that nothing permits", what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: append(removes(d, c.phone), d.adding(c.phone))}
		}},
		"a re-join by a statement of another stay": {rule: "a removal that nothing permits", what: func(c *court, d *device) mls.CommitOptions {
			st := d.statement(identity.StatementRejoin, c.phone)
			add := d.adding(c.phone)
			st.JoinID[0]++
			st.Reason, st.KeyPackage = identity.ReasonLost, add.(*mls.Add).KeyPackage.Bytes()
			c.phone.self.Key.SignStatement(c.phone.self.Root, st)
			return mls.CommitOptions{Proposals: append(removes(d, c.phone), add), AuthenticatedData: d.grounds(st)}
		}},
		"a re-join with another key package": {rule: "a removal that nothing permits", what: func(c *court, d *device) mls.CommitOptions {
			st := d.statement(identity.StatementRejoin, c.phone)
			st.Reason, st.KeyPackage = identity.ReasonLost, c.phone.keyPackage()
			c.phone.self.Key.SignStatement(c.phone.self.Root, st)
			return mls.CommitOptions{Proposals: append(removes(d, c.phone), d.adding(c.phone)), AuthenticatedData: d.grounds(st)}
		}},
		"a leave that somebody else signed": {rule: "a removal that nothing permits", what: func(c *court, d *device) mls.CommitOptions {
			st := d.statement(identity.StatementLeave, c.carol)
			d.self.Key.SignStatement(d.self.Root, st)
			return mls.CommitOptions{Proposals: append(removes(d, c.carol, c.phone), d.rules(rotateAll)), AuthenticatedData: d.grounds(st)}
		}},
		"a leave that removes one device only": {rule: "a removal that nothing permits", what: func(c *court, d *device) mls.CommitOptions {
			st := d.statement(identity.StatementLeave, c.carol)
			c.carol.self.Key.SignStatement(d.self.Root, st)
			return mls.CommitOptions{Proposals: append(removes(d, c.carol), d.rules(rotateAll)), AuthenticatedData: d.grounds(st)}
		}},
		"a statement that is not carried out": {rule: "not carried out", what: func(c *court, d *device) mls.CommitOptions {
			st := d.statement(identity.StatementLeave, c.carol)
			c.carol.self.Key.SignStatement(d.self.Root, st)
			return mls.CommitOptions{ForcePath: true, AuthenticatedData: d.grounds(st)}
		}},
		"a statement of another room": {rule: "another room", what: func(c *court, d *device) mls.CommitOptions {
			st := d.statement(identity.StatementLeave, c.carol)
			st.Group[0]++
			c.carol.self.Key.SignStatement(d.self.Root, st)
			return mls.CommitOptions{ForcePath: true, AuthenticatedData: d.grounds(st)}
		}},
		"a revocation signed by a device": {rule: "its user did not sign", what: func(c *court, d *device) mls.CommitOptions {
			st := d.statement(identity.StatementRevoke, c.phone)
			c.carol.self.Key.SignStatement(d.self.Root, st)
			return mls.CommitOptions{Proposals: append(removes(d, c.phone), d.rules(func(r *Rules) {
				rotateAll(r)
				r.revoke(Revoked{c.phone.user(), c.phone.self.Device()})
			})), AuthenticatedData: d.grounds(st)}
		}},
		"a revocation without any": {rule: "follows the statements", what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: append(removes(d, c.phone), d.rules(func(r *Rules) {
				rotateAll(r)
				r.revoke(Revoked{c.phone.user(), c.phone.self.Device()})
			}))}
		}},
		"a member changes the title": {rule: "only admins change title", what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.rules(func(r *Rules) { r.Title = "mine" })}}
		}},
		"a member changes the topic": {rule: "only admins change title", what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.rules(func(r *Rules) { r.Topic = "mine" })}}
		}},
		"a member changes how people come in": {rule: "only admins end links", what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.rules(func(r *Rules) { r.Mode, r.Links = ModeInvite, nil })}}
		}},
		"the owner opens the room": {rule: "only admins change how people come in", by: func(c *court) *device { return c.alice }, what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.rules(func(r *Rules) { r.Mode, r.Links = ModeOpen, nil })}}
		}},
		"the owner moves the room to another server": {rule: "cannot change", by: func(c *court) *device { return c.alice }, what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.rules(func(r *Rules) { r.Root[0]++ })}}
		}},
		"the owner changes the limit": {rule: "cannot change", by: func(c *court) *device { return c.alice }, what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.rules(func(r *Rules) { r.Limit++ })}}
		}},
		"the rules are taken away": {rule: "group context", by: func(c *court) *device { return c.alice }, what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{&mls.GroupContextExtensions{}}}
		}},
		"rules of a version to come": {rule: "newer version", by: func(c *court) *device { return c.alice }, what: func(c *court, d *device) mls.CommitOptions {
			data := append([]byte{RulesVersion + 1}, d.room.rules.encode()[1:]...)
			return mls.CommitOptions{Proposals: []mls.Proposal{&mls.GroupContextExtensions{Extensions: []mls.Extension{{Type: extRules, Data: data}}}}}
		}},
		"a member makes itself an admin": {rule: "only the owner gives roles", what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.rules(func(r *Rules) { r.setRole(d.user(), RoleAdmin) })}}
		}},
		"an admin makes another one": {rule: "only the owner gives roles", by: func(c *court) *device { return c.bob }, what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.rules(func(r *Rules) { r.setRole(c.carol.user(), RoleAdmin) })}}
		}},
		"two owners": {rule: "malformed", by: func(c *court) *device { return c.alice }, what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.rules(func(r *Rules) { r.setRole(c.bob.user(), RoleOwner) })}}
		}},
		"a role for somebody outside": {rule: "not in the room", by: func(c *court) *device { return c.alice }, what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.rules(func(r *Rules) { r.setRole(c.eve.user(), RoleAdmin) })}}
		}},
		"a member makes a link": {rule: "a link by somebody who is no admin", what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.rules(func(r *Rules) {
				r.Links = append(r.Links, LinkEntry{Number: 9, Creator: d.user(), Secret: identity.NewLinkSecret()})
			})}}
		}},
		"a member makes a link in an admin's name": {rule: "only admins make links", what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.rules(func(r *Rules) {
				r.Links = append(r.Links, LinkEntry{Number: 9, Creator: c.alice.user(), Secret: identity.NewLinkSecret()})
			})}}
		}},
		"a member ends a link": {rule: "only admins end links", what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.rules(func(r *Rules) { r.Links = nil })}}
		}},
		"a member changes a link's secret": {rule: "only a removal changes", what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.rules(rotateAll)}}
		}},
		"a link changes hands": {rule: "does not change hands", by: func(c *court) *device { return c.bob }, what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.rules(func(r *Rules) { r.Links[0].Creator = c.bob.user() })}}
		}},
		"a member bans": {rule: "only admins ban", what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.rules(func(r *Rules) { r.ban(c.eve.user(), true) })}}
		}},
		"a ban of somebody who is in the room": {rule: "a banned user", by: func(c *court) *device { return c.bob }, what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.rules(func(r *Rules) { r.ban(c.carol.user(), true) })}}
		}},
		"a pre-shared key": {rule: "pre-shared keys are for join links", what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{&mls.PreSharedKey{ID: mls.ExternalPSK(make([]byte, 16))}}}
		}},
		"a re-initialisation": {rule: "a kind of proposal", by: func(c *court) *device { return c.alice }, what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{&mls.ReInit{GroupID: []byte("new"), Suite: testSuite, Version: 1}}}
		}},
		"a commit in the clear": {rule: "members commit in private", by: func(c *court) *device { return c.alice }, what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{ForcePath: true, Public: true}
		}},
		"an undo without a change to undo": {rule: "nothing to undo", what: func(c *court, d *device) mls.CommitOptions {
			a := &attest{undo: true, after: d.room.st.place.mark}
			return mls.CommitOptions{Proposals: append(removes(d, c.carol, c.phone), d.rules(rotateAll)), AuthenticatedData: a.encode()}
		}},
		"grounds that do not parse": {rule: "malformed", what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{ForcePath: true, AuthenticatedData: []byte("because")}
		}},
		"a commit for another place": {rule: "another place", what: func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{ForcePath: true, AuthenticatedData: (&attest{after: d.room.st.place.mark - 1}).encode()}
		}},
		"a name that nobody signed": {rule: "credential", what: func(c *court, d *device) mls.CommitOptions {
			bent := d.self.Credential
			bent.Profile.Name = "Alice"
			credential := mls.BasicCredential(bent.Encode())
			return mls.CommitOptions{Leaf: &mls.LeafUpdate{Credential: &credential}}
		}},
		"another stay in the same leaf": {rule: "credential", what: func(c *court, d *device) mls.CommitOptions {
			fresh := newJoinID()
			return mls.CommitOptions{Leaf: &mls.LeafUpdate{Extensions: &fresh}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCourt(t)
			by := c.mallory
			if test.by != nil {
				by = test.by(c)
			}
			o := test.what(c, by)
			if o.AuthenticatedData == nil {
				o.AuthenticatedData = by.grounds()
			}
			by.force(o)
			c.refused(by, test.rule)
		})
	}
}

// TestTheSameIsFineForThoseWhoMay is the control of the test above: commits of
// the same kinds by those who may make them, through the same back door.
func TestTheSameIsFineForThoseWhoMay(t *testing.T) {
	for name, test := range map[string]struct {
		by   func(c *court) *device
		what func(c *court, d *device) mls.CommitOptions
	}{
		"an admin adds somebody": {func(c *court) *device { return c.bob }, func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.adding(c.eve)}}
		}},
		"an admin removes a member whole": {func(c *court) *device { return c.bob }, func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{&mls.Remove{Index: d.index(c.carol)}, &mls.Remove{Index: d.index(c.phone)}, d.rules(rotateAll)}}
		}},
		"the owner removes an admin": {func(c *court) *device { return c.alice }, func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{&mls.Remove{Index: d.index(c.bob)}, d.rules(func(r *Rules) { rotateAll(r); r.setRole(c.bob.user(), RoleMember) })}}
		}},
		"a member carries a leave out": {func(c *court) *device { return c.mallory }, func(c *court, d *device) mls.CommitOptions {
			st := d.statement(identity.StatementLeave, c.carol)
			c.carol.self.Key.SignStatement(d.self.Root, st)
			return mls.CommitOptions{Proposals: []mls.Proposal{&mls.Remove{Index: d.index(c.carol)}, &mls.Remove{Index: d.index(c.phone)}, d.rules(rotateAll)}, AuthenticatedData: d.grounds(st)}
		}},
		"a member carries a revocation out": {func(c *court) *device { return c.mallory }, func(c *court, d *device) mls.CommitOptions {
			st := d.statement(identity.StatementRevoke, c.phone)
			c.carol.who.key.SignStatement(d.self.Root, st)
			return mls.CommitOptions{Proposals: []mls.Proposal{&mls.Remove{Index: d.index(c.phone)}, d.rules(func(r *Rules) {
				rotateAll(r)
				r.revoke(Revoked{c.phone.user(), c.phone.self.Device()})
			})}, AuthenticatedData: d.grounds(st)}
		}},
		"a member carries a re-join out": {func(c *court) *device { return c.mallory }, func(c *court, d *device) mls.CommitOptions {
			st := d.statement(identity.StatementRejoin, c.phone)
			add := d.adding(c.phone)
			st.Reason, st.KeyPackage = identity.ReasonLost, add.(*mls.Add).KeyPackage.Bytes()
			c.phone.self.Key.SignStatement(c.phone.self.Root, st)
			return mls.CommitOptions{Proposals: []mls.Proposal{&mls.Remove{Index: d.index(c.phone)}, add}, AuthenticatedData: d.grounds(st)}
		}},
		"an admin changes the title": {func(c *court) *device { return c.bob }, func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.rules(func(r *Rules) { r.Title, r.Topic = "ours", "all" })}}
		}},
		"the owner gives a role": {func(c *court) *device { return c.alice }, func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.rules(func(r *Rules) { r.setRole(c.carol.user(), RoleAdmin) })}}
		}},
		"the owner hands the room over": {func(c *court) *device { return c.alice }, func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.rules(func(r *Rules) { r.setRole(c.alice.user(), RoleAdmin); r.setRole(c.bob.user(), RoleOwner) })}}
		}},
		"an admin makes and ends links": {func(c *court) *device { return c.bob }, func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{Proposals: []mls.Proposal{d.rules(func(r *Rules) {
				r.Links = []LinkEntry{{Number: 9, Creator: c.bob.user(), Secret: identity.NewLinkSecret()}}
			})}}
		}},
		"an admin bans and somebody else is added": {func(c *court) *device { return c.bob }, func(c *court, d *device) mls.CommitOptions {
			var stranger identity.UserID
			rand.Read(stranger[:])
			return mls.CommitOptions{Proposals: []mls.Proposal{d.adding(c.eve), d.rules(func(r *Rules) { r.ban(stranger, true) })}}
		}},
		"anybody renews its leaf": {func(c *court) *device { return c.mallory }, func(c *court, d *device) mls.CommitOptions {
			return mls.CommitOptions{ForcePath: true}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCourt(t)
			by := test.by(c)
			o := test.what(c, by)
			if o.AuthenticatedData == nil {
				o.AuthenticatedData = by.grounds()
			}
			by.force(o)
			seq := c.s.head()
			for _, d := range []*device{c.alice, c.bob, c.mallory} {
				if d == by || d.room.State() == StateRemoved {
					continue
				}
				d.examine(c.s.log[seq-1])
				if d.verdicts[seq] != VerdictApplied {
					t.Errorf("%s says %v: %s", d.who.name, d.verdicts[seq], d.why[seq])
				}
			}
		})
	}
}

// rotateAll gives every link a new secret, as a removal must.
func rotateAll(r *Rules) {
	for i := range r.Links {
		r.Links[i].Secret = identity.NewLinkSecret()
	}
}

func TestTheRulesEncodeInOneWay(t *testing.T) {
	c := newCourt(t)
	good := c.alice.room.rules
	good.ban(identity.UserID{1}, true)
	good.revoke(Revoked{identity.UserID{2}, identity.DeviceID{3}})
	back, err := decodeRules(good.encode())
	if err != nil || string(back.encode()) != string(good.encode()) {
		t.Fatalf("round trip: %v", err)
	}
	for name, change := range map[string]func(r *Rules){
		"grants out of order":  func(r *Rules) { slices.Reverse(r.Grants) },
		"a grant of nothing":   func(r *Rules) { r.Grants[0].Role = RoleMember },
		"a ban twice":          func(r *Rules) { r.Bans = append(r.Bans, r.Bans[0]) },
		"a revocation twice":   func(r *Rules) { r.Revoked = append(r.Revoked, r.Revoked[0]) },
		"a secret twice":       func(r *Rules) { r.Links = append(r.Links, LinkEntry{Number: 8, Secret: r.Links[0].Secret}) },
		"links without a door": func(r *Rules) { r.Mode = ModeInvite },
		"an unknown mode":      func(r *Rules) { r.Mode = 9 },
		"peers in a group":     func(r *Rules) { r.Peers[1][0] = 1 },
		"no limit":             func(r *Rules) { r.Limit = 0 },
	} {
		bent := good.clone()
		change(bent)
		if _, err := decodeRules(bent.encode()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// addOnly is a commit that adds one key package.
func addOnly(d *device, kp *mls.KeyPackage) mls.CommitOptions {
	return mls.CommitOptions{Proposals: []mls.Proposal{&mls.Add{KeyPackage: kp}}, AuthenticatedData: d.grounds()}
}
