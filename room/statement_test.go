package room

import (
	"testing"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/mls"
)

// say appends whatever statement somebody can make.
func (d *device) say(st *identity.Statement) {
	d.s.put(EntryHandshake, append([]byte{payloadStatement}, st.Encode()...), nil)
}

// request is a request of this device to be let in again, as it ought to be.
func (d *device) request(kind identity.StatementKind) *identity.Statement {
	st := d.statement(kind, d)
	st.KeyPackage = d.keyPackage()
	switch seq := d.s.head(); kind {
	case identity.StatementRejoin:
		st.Reason = identity.ReasonLost
	case identity.StatementNack:
		st.Seq, st.Entry = seq, d.s.chain[seq-1]
	}
	return st
}

// TestWhichStatementsCount: by the device, for its present stay in this room,
// with a key package that others can use. Each refusal beside the statement
// that it was bent from, which is noted.
func TestWhichStatementsCount(t *testing.T) {
	sign := func(d *device, st *identity.Statement) { d.self.Key.SignStatement(d.self.Root, st) }
	for name, test := range map[string]struct {
		kind identity.StatementKind
		bend func(c *court, st *identity.Statement)
		by   func(c *court, st *identity.Statement) // who signs; nil: the device itself
		rule string
	}{
		"a leave":                    {kind: identity.StatementLeave},
		"a leave that another signs": {kind: identity.StatementLeave, by: func(c *court, st *identity.Statement) { sign(c.mallory, st) }, rule: "no member signed"},
		"a leave of another stay":    {kind: identity.StatementLeave, bend: func(_ *court, st *identity.Statement) { st.JoinID[0]++ }, rule: "no member signed"},
		"a leave of another room":    {kind: identity.StatementLeave, bend: func(_ *court, st *identity.Statement) { st.Group[0]++ }, rule: "another room"},
		"a leave of another device":  {kind: identity.StatementLeave, bend: func(c *court, st *identity.Statement) { st.Device = c.eve.self.Device() }, rule: "no member signed"},

		"a revocation":                     {kind: identity.StatementRevoke, by: func(c *court, st *identity.Statement) { c.carol.who.key.SignStatement(c.carol.self.Root, st) }},
		"a revocation that a device signs": {kind: identity.StatementRevoke, rule: "its user did not sign"},
		"a revocation that another signs":  {kind: identity.StatementRevoke, by: func(c *court, st *identity.Statement) { c.mallory.who.key.SignStatement(c.carol.self.Root, st) }, rule: "its user did not sign"},
		"a revocation by somebody outside": {kind: identity.StatementRevoke, bend: func(c *court, st *identity.Statement) { st.User = c.eve.user() },
			by: func(c *court, st *identity.Statement) { c.eve.who.key.SignStatement(c.carol.self.Root, st) }, rule: "not in the room"},

		"a request":                            {kind: identity.StatementRejoin},
		"a request with another's key package": {kind: identity.StatementRejoin, bend: func(c *court, st *identity.Statement) { st.KeyPackage = c.mallory.keyPackage() }, rule: "does not fit"},
		"a request with a last resort": {kind: identity.StatementRejoin, bend: func(c *court, st *identity.Statement) {
			kp, err := NewKeyPackage(c.carol.self, true, c.s.now)
			c.carol.must(err)
			st.KeyPackage = kp.KeyPackage.Bytes()
		}, rule: "does not fit"},
		"a request with another suite": {kind: identity.StatementRejoin, bend: func(c *court, st *identity.Statement) {
			self := c.carol.self
			self.Suite = mls.X25519ChaCha
			kp, err := NewKeyPackage(self, false, c.s.now)
			c.carol.must(err)
			st.KeyPackage = kp.KeyPackage.Bytes()
		}, rule: "does not fit"},
		"a request that is out of date": {kind: identity.StatementRejoin, bend: func(c *court, st *identity.Statement) {
			kp, err := NewKeyPackage(c.carol.self, false, c.s.now.Add(-100*24*time.Hour))
			c.carol.must(err)
			st.KeyPackage = kp.KeyPackage.Bytes()
		}, rule: "not valid now"},
		"a request for the stay that it has": {kind: identity.StatementRejoin, bend: func(c *court, st *identity.Statement) {
			id := st.JoinID
			st.KeyPackage = c.alice.addingAs(c.carol, func(o *mls.KeyPackageOptions) { o.LeafExtensions = []mls.Extension{{Type: extJoinID, Data: id[:]}} }).(*mls.Add).KeyPackage.Bytes()
		}, rule: "used before"},

		"a nack":                          {kind: identity.StatementNack},
		"a nack of what is still to come": {kind: identity.StatementNack, bend: func(_ *court, st *identity.Statement) { st.Seq += 10 }, rule: "not there"},
		"a nack of another entry":         {kind: identity.StatementNack, bend: func(_ *court, st *identity.Statement) { st.Entry[0]++ }, rule: "not there"},
		"a nack that another signs":       {kind: identity.StatementNack, by: func(c *court, st *identity.Statement) { sign(c.mallory, st) }, rule: "no member signed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCourt(t)
			st := c.carol.statement(test.kind, c.carol)
			if test.kind == identity.StatementRejoin || test.kind == identity.StatementNack {
				st = c.carol.request(test.kind)
			}
			if test.bend != nil {
				test.bend(c, st)
			}
			if sign(c.carol, st); test.by != nil {
				test.by(c, st)
			}
			c.carol.say(st)
			seq := c.s.head()
			for _, d := range []*device{c.alice, c.bob, c.mallory} {
				d.sync()
				if test.rule == "" {
					if d.verdicts[seq] != VerdictNoted {
						t.Errorf("%s says %v: %s", d.who.name, d.verdicts[seq], d.why[seq])
					}
					continue
				}
				d.wantVerdict(t, test.rule)
			}
		})
	}
}

// TestWhatIsDisownedOnceIsDisowned: a second revocation of one device changes
// nothing.
func TestWhatIsDisownedOnceIsDisowned(t *testing.T) {
	c := newCourt(t)
	for _, want := range []string{"", "revoked before"} {
		a, err := c.carol.room.Revoke(c.carol.who.key, c.phone.self.Device())
		c.carol.must(err)
		c.carol.must(c.carol.append(a))
		seq := c.s.head()
		syncAll(c.inside...)
		if (c.alice.verdicts[seq] == VerdictNoted) != (want == "") || c.alice.why[seq] != want {
			t.Fatalf("Alice says %v (%s), want %q", c.alice.verdicts[seq], c.alice.why[seq], want)
		}
		if want == "" {
			c.bob.must(c.bob.commit())
			syncAll(c.inside...)
		}
	}
}

// TestNoticesOfTheDelegate: they count in open rooms, signed by whom the root
// has named.
func TestNoticesOfTheDelegate(t *testing.T) {
	for name, test := range map[string]struct {
		room func(t *testing.T) (judge, by *device)
		bend func(n *identity.Notice)
		fine bool
	}{
		"in the Lounge":           {lounge, func(*identity.Notice) {}, true},
		"in an invite room":       {crowd(10), func(*identity.Notice) {}, false},
		"of another room":         {lounge, func(n *identity.Notice) { n.Group[0]++ }, false},
		"signed by somebody else": {lounge, func(n *identity.Notice) { n.Signature[0]++ }, false},
		"by no delegate":          {lounge, func(n *identity.Notice) { n.Delegation.Signature[0]++ }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			judge, by := test.room(t)
			s, _ := judge.room.who.seat(by.user(), by.self.Device())
			n := &identity.Notice{Kind: identity.NoticeRetired, User: s.user, Device: s.device, JoinID: s.joinID}
			judge.s.notice(n)
			test.bend(n)
			judge.s.put(EntryNotice, n.Encode(), nil)
			judge.sync()
			if got := judge.verdicts[judge.s.head()]; (got == VerdictNoted) != test.fine {
				t.Errorf("%s says %v: %s", judge.who.name, got, judge.why[judge.s.head()])
			}
		})
	}
}
