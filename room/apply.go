package room

import (
	"slices"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/mls"
)

// change is a valid commit: the groups before and after, who made it and on
// what grounds.
type change struct {
	from, next *mls.Group
	author     seat
	attest     *attest
	removesMe  bool
	stay       identity.JoinID // of this device, where it was removed and came in again
}

func (r *Room) applyStaged(e *Entry, from *mls.Group, staged *mls.Staged, res *Result) error {
	info := staged.Info()
	author, err := r.authorOf(info)
	if err != nil {
		return err
	}
	a, err := decodeAttest(info.AuthenticatedData)
	if err != nil {
		return err
	}
	next, err := staged.Apply()
	if err != nil {
		return err
	}
	c := change{from: from, next: next, author: author, attest: a, removesMe: info.SelfRemoved}
	if c.removesMe {
		c.stay = r.comesAgain(info, author)
	}
	return r.apply(e, c, res)
}

// apply makes the group after a valid commit the current one.
func (r *Room) apply(e *Entry, c change, res *Result) error {
	from, next, author, a := c.from, c.next, c.author, c.attest
	res.Verdict, res.Changed = VerdictApplied, true
	r.st.publishDue = false
	if r.who.stays(author) { // and has not come by this very commit
		r.st.known = r.st.known || author.user != r.self.User() && r.st.state == StateMember
		r.hear(author)
	}
	undone := a.undo
	if undone {
		r.takeBack(e, from, res)
	}
	if c.removesMe {
		return r.leaveBehind(c, res)
	}
	oldRules, oldWho := r.rules, r.who
	if undone {
		if err := r.adopt(from); err != nil {
			return err
		}
		oldRules, oldWho = r.rules, r.who
	}
	r.forgetMine()
	if tag, err := tagOf(from); err == nil {
		r.keepTag(from.Epoch(), tag)
	}
	r.putGroup(next.Diff(r.group))
	before := r.group
	if err := r.adopt(next); err != nil {
		return err
	}
	r.keepBase(e, from, author.user, undone, oldWho)
	if before != r.base {
		before.Wipe()
	}
	r.storeBase()
	r.remember(e.Seq, r.st.place.chain, author.user)
	r.tell(author, a, oldRules, oldWho, res)
	r.settleStatements()
	return nil
}

// comesAgain is the stay by which a commit that removes this device brings it
// in again: at its own request, by an external commit in its name, or for a
// request that another state of it has made. Zero if the device is just removed.
func (r *Room) comesAgain(info *mls.CommitInfo, author seat) identity.JoinID {
	if author.device == r.self.Device() && author.user == r.self.User() {
		return author.joinID
	}
	for _, m := range info.Added {
		if s, err := seatOf(r.self.Root, m.Leaf); err == nil && s.device == r.self.Device() && s.user == r.self.User() {
			return s.joinID
		}
	}
	return identity.JoinID{}
}

// leaveBehind: the commit removes this device.
func (r *Room) leaveBehind(c change, res *Result) error {
	author := c.author
	if c.stay != (identity.JoinID{}) {
		if r.asked != nil && r.stayOf(r.asked.KeyPackage) == c.stay {
			// the Welcome of the same commit brings it back
			res.Verdict = VerdictUnknown
			r.st.state = StateBroken
			return nil
		}
		r.st.stay = c.stay
		r.strangeTwin(res)
		return nil
	}
	if r.st.state != StateLeaving {
		res.alarm(AlarmRemoved, author.user, author.device, "You were removed from this room.")
	}
	me := seat{user: r.self.User(), device: r.self.Device(), credential: r.self.Credential}
	out := Item{Kind: ItemRemoved, User: author.user, Device: author.device, Name: author.credential.Profile.Name, Subjects: []Subject{subjectOf(me)}}
	switch {
	case slices.ContainsFunc(c.attest.statements, func(st *identity.Statement) bool { return st.Kind == identity.StatementLeave && st.User == me.user }):
		out = Item{Kind: ItemLeft, User: me.user, Device: me.device, Name: me.credential.Profile.Name, Own: true, Subjects: out.Subjects}
	case slices.ContainsFunc(c.attest.notices, func(n *identity.Notice) bool { return n.Kind == identity.NoticeRetired && n.Device == me.device }):
		out.Kind, res.Alarms = ItemRetired, nil // it was away for long, and may come back
	}
	r.st.state = StateRemoved
	res.Items = append(res.Items, out)
	res.Left = []identity.UserID{r.self.User()}
	return nil
}

func subjectOf(s seat) Subject {
	return Subject{s.user, s.device, s.credential.Profile.Name, s.credential.Certificate.Class}
}

// nameOf is the newest name that a member has signed.
func (r *Room) nameOf(user identity.UserID) string {
	name, version := "", uint64(0)
	for _, s := range r.who.seats {
		if p := s.credential.Profile; s.user == user && (name == "" || p.Version > version) {
			name, version = p.Name, p.Version
		}
	}
	return name
}
