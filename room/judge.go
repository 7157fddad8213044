package room

import (
	"errors"
	"fmt"
	"slices"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/mls"
)

// ErrRule is a commit that the room's rules refuse; the text names the rule.
var ErrRule = errors.New("room: against the rules")

func broken(rule string) error { return fmt.Errorf("%w: %s", ErrRule, rule) }

// target is the change that an undo would take back: the first of a run of
// changes by one author that nobody else has followed yet.
type target struct {
	seq    uint64 // its place in the log
	author identity.UserID
}

// ruling is one judgement: what a commit does, seen from the old context, in
// which alone is judged who may do what.
type ruling struct {
	root          identity.PublicKey
	group         identity.GroupID
	change        *mls.Change
	before, after *roster
	old, next     *Rules
	attest        *attest
	actor         seat
	role          Role
	target        *target                   // nil where nothing can be undone
	hashAt        func(uint64) (Hash, bool) // chain marks, for nacks
	removed       []seat                    // by Remove proposals
	added         map[identity.DeviceID]*mls.KeyPackage
	addedSeats    []seat
	gone          map[identity.UserID]bool   // in the tree before, and no more
	rejoin        map[identity.DeviceID]bool // removed and added again in this commit
}

// judge is the rules of rooms, version 1. It is the Rules hook of MLS: own,
// received and external commits all pass through it.
func (j *ruling) judge() error {
	for _, check := range []func() error{j.shape, j.read, j.members, j.additions, j.removals, j.undoing, j.settings} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// shape: proposals by value and of the kinds that rooms use, framed as their
// sender must frame them.
func (j *ruling) shape() error {
	c := j.change
	if c.External == c.Private {
		return broken("members commit in private messages, strangers in public ones")
	}
	psks := 0
	j.added = map[identity.DeviceID]*mls.KeyPackage{}
	for _, p := range c.Proposals {
		if p.ByReference {
			return broken("proposals by reference")
		}
		switch proposal := p.Proposal.(type) {
		case *mls.Add, *mls.GroupContextExtensions:
			if c.External {
				return broken("a stranger may only bring itself in")
			}
		case *mls.Remove:
		case *mls.ExternalInit:
			if !c.External {
				return broken("external init by a member")
			}
		case *mls.PreSharedKey:
			if psks++; !c.External || psks > 1 || proposal.ID.Type != mls.PSKExternal || len(proposal.ID.ID) != 16 {
				return broken("pre-shared keys are for join links, one a commit")
			}
		default:
			return broken("a kind of proposal that rooms do not use")
		}
	}
	return nil
}

// read takes the change apart.
func (j *ruling) read() (err error) {
	c := j.change
	if j.old, err = rulesOf(c.Old); err != nil {
		return err
	}
	if j.next, err = rulesOf(c.New); err != nil {
		return err
	}
	if j.before, err = rosterOf(j.root, c.Old); err != nil {
		return err
	}
	if j.after, err = rosterOf(j.root, c.New); err != nil {
		return err
	}
	if j.attest, err = decodeAttest(c.AuthenticatedData); err != nil {
		return broken("authenticated data")
	}
	if j.actor, err = seatOf(j.root, c.CommitterLeaf); err != nil {
		return err
	}
	j.role = j.old.role(j.actor.user)
	for _, p := range c.Proposals {
		switch proposal := p.Proposal.(type) {
		case *mls.Remove:
			s, ok := j.before.at(proposal.Index)
			if !ok {
				return broken("removal of an empty leaf")
			}
			j.removed = append(j.removed, s)
		case *mls.Add:
			s, err := seatOf(j.root, proposal.KeyPackage.Leaf())
			if err != nil {
				return err
			}
			if j.added[s.device] != nil {
				return broken("one device twice")
			}
			j.added[s.device] = proposal.KeyPackage
			j.addedSeats = append(j.addedSeats, s)
		}
	}
	j.gone, j.rejoin = map[identity.UserID]bool{}, map[identity.DeviceID]bool{}
	for _, s := range j.removed {
		if !j.after.has(s.user) {
			j.gone[s.user] = true
		}
		if again, ok := j.after.seat(s.user, s.device); ok && again.joinID != s.joinID {
			j.rejoin[s.device] = true
		}
	}
	return nil
}

// members: what must hold of the tree after any commit.
func (j *ruling) members() error {
	if len(j.after.seats) > int(j.next.Limit) {
		return broken("the room is full")
	}
	for user, devices := range j.after.byUser {
		if devices > MaxDevices {
			return broken("more than 8 devices of one user")
		}
		if j.next.banned(user) {
			return broken("a banned user")
		}
		if j.next.Mode == ModeDirect && user != j.next.Peers[0] && user != j.next.Peers[1] {
			return broken("a third person in a direct chat")
		}
	}
	for _, s := range j.after.seats {
		if j.next.revoked(s.user, s.device) {
			return broken("a revoked device")
		}
	}
	for _, g := range j.next.Grants {
		if !j.after.has(g.User) {
			return broken("a role for somebody who is not in the room")
		}
	}
	for _, l := range j.next.Links {
		if j.next.role(l.Creator) < RoleAdmin {
			return broken("a link by somebody who is no admin")
		}
	}
	return nil
}

// additions: who may bring whom in.
func (j *ruling) additions() error {
	if len(j.addedSeats) > MaxAdds {
		return broken("more than 50 joiners in one commit")
	}
	if j.change.External {
		return j.stranger()
	}
	for _, s := range j.addedSeats {
		switch {
		case j.rejoin[s.device]: // removals looks for the statement
		case j.before.has(s.user) && !j.old.banned(s.user):
		case j.old.Mode == ModeOpen, j.old.Mode == ModeDirect, j.role >= RoleAdmin:
		default:
			return broken("only admins bring new people in")
		}
	}
	return nil
}

// stranger: an external commit brings in its own device and nothing else.
func (j *ruling) stranger() error {
	var psk *mls.PreSharedKey
	for _, p := range j.change.Proposals {
		if k, ok := p.Proposal.(*mls.PreSharedKey); ok {
			psk = k
		}
	}
	switch j.old.Mode {
	case ModeOpen:
		if psk != nil {
			return broken("open rooms have no links")
		}
	case ModeLink:
		if psk == nil {
			return broken("joining without the link's key")
		}
		link, active := j.old.link([16]byte(psk.ID.ID))
		if !active || link.Approval {
			return broken("a link that is not active")
		}
	default:
		return broken("strangers cannot join this room by themselves")
	}
	if len(j.attest.statements)+len(j.attest.notices) > 0 || j.attest.undo {
		return broken("a stranger carries nothing out")
	}
	for _, s := range j.removed {
		if s.user != j.actor.user || s.device != j.actor.device {
			return broken("a stranger removes nobody but its own old leaf")
		}
	}
	return nil
}

// removals: each must be permitted by a signed word or by rank.
func (j *ruling) removals() error {
	if j.change.External {
		return nil
	}
	used := map[identity.DeviceID]bool{}
	for _, s := range j.removed {
		if s.index == j.actor.index && s.device == j.actor.device {
			return broken("a committer cannot remove itself")
		}
		permitted := j.rejoin[s.device] && j.mayRejoin(s) ||
			!j.rejoin[s.device] && (j.hasLeft(s) || j.isRevoked(s) || j.isRetired(s) || j.outranked(s))
		if !permitted && !(j.attest.undo && j.gone[s.user]) { // undoing judges those
			return broken("a removal that nothing permits")
		}
		used[s.device] = true
	}
	for _, st := range j.attest.statements {
		if st.Group != j.group {
			return broken("a statement of another room")
		}
		if st.Kind == identity.StatementLeave || st.Kind == identity.StatementRejoin || st.Kind == identity.StatementNack && !j.attest.undo {
			if !used[st.Device] {
				return broken("a statement that is not carried out")
			}
		}
	}
	return nil
}

// hasLeft: one of the user's devices said so, and all of them go.
func (j *ruling) hasLeft(s seat) bool {
	return j.gone[s.user] && slices.ContainsFunc(j.attest.statements, func(st *identity.Statement) bool {
		speaker, ok := j.before.seat(st.User, st.Device)
		return ok && st.Kind == identity.StatementLeave && st.User == s.user && verifyStatement(j.root, j.group, st, speaker) == nil
	})
}

// isRevoked: the user disowned the device, and the rules remember it.
func (j *ruling) isRevoked(s seat) bool {
	return j.next.revoked(s.user, s.device) && !j.old.revoked(s.user, s.device)
}

// isRetired: the server's delegate says that this guest's stay is over.
func (j *ruling) isRetired(s seat) bool {
	return j.old.Mode == ModeOpen && slices.ContainsFunc(j.attest.notices, func(n *identity.Notice) bool {
		return n.Kind == identity.NoticeRetired && n.Group == j.group && n.User == s.user && n.Device == s.device &&
			n.JoinID == s.joinID && n.Verify(j.root) == nil
	})
}

// outranked: an admin removes people of at most his own rank, whole.
func (j *ruling) outranked(s seat) bool {
	return j.old.Mode != ModeDirect && j.role >= RoleAdmin && j.role >= j.old.role(s.user) && s.user != j.actor.user && j.gone[s.user]
}

// mayRejoin: the device asked for it, with the key package that is now added.
func (j *ruling) mayRejoin(s seat) bool {
	kp := j.added[s.device]
	return kp != nil && slices.ContainsFunc(j.attest.statements, func(st *identity.Statement) bool {
		return (st.Kind == identity.StatementRejoin || st.Kind == identity.StatementNack) && st.Device == s.device &&
			verifyStatement(j.root, j.group, st, s) == nil && string(kp.Bytes()) == string(st.KeyPackage)
	})
}

// undoing: a device that was locked out takes the change back by removing its
// author, in the context before the change.
func (j *ruling) undoing() error {
	if !j.attest.undo {
		return nil
	}
	t := j.target
	if t == nil {
		return broken("nothing to undo")
	}
	if t.author == j.actor.user || !j.before.has(t.author) || j.role < j.old.role(t.author) {
		return broken("an undo by the author, or by somebody below him")
	}
	if len(j.gone) != 1 || !j.gone[t.author] || len(j.addedSeats) > 0 || len(j.attest.notices) > 0 {
		return broken("an undo removes the author and does nothing else")
	}
	for _, st := range j.attest.statements {
		hash, known := j.hashAt(st.Seq)
		if st.Kind == identity.StatementNack && st.Device == j.actor.device && st.Seq >= t.seq && known && hash == st.Entry &&
			verifyStatement(j.root, j.group, st, j.actor) == nil && len(j.attest.statements) == 1 {
			return nil
		}
	}
	return broken("an undo without the nack of its committer")
}

// verifyStatement checks that a statement is about this stay of this device.
func verifyStatement(root identity.PublicKey, group identity.GroupID, st *identity.Statement, s seat) error {
	if st.Group != group || st.User != s.user || st.Device != s.device || st.JoinID != s.joinID {
		return identity.ErrSignature
	}
	return st.Verify(root, s.credential.Certificate.DeviceKey, s.credential.Certificate.Identity)
}
