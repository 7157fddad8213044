package room

import (
	"bytes"
	"slices"

	"github.com/securelink-chat/securelink/identity"
)

// settings: what may change in the rules, and what must. The consequences of
// removals are computed and then taken as given, so that any member can carry
// a removal out and nobody can slip a change of his own in with it.
func (j *ruling) settings() error {
	want := j.old.clone()
	if err := j.revocations(want); err != nil {
		return err
	}
	want.consequences(j.gone)
	next := j.next
	if j.attest.undo && !next.sameBeside(want) {
		return broken("an undo removes the author and does nothing else")
	}
	if next.Root != want.Root || next.Limit != want.Limit || next.Peers != want.Peers || next.Generation != want.Generation {
		return broken("what a room is cannot change")
	}
	if !slices.Equal(next.Revoked, want.Revoked) {
		return broken("the list of revoked devices follows the statements")
	}
	if err := j.roles(want); err != nil {
		return err
	}
	if err := j.links(want); err != nil {
		return err
	}
	staff := j.role >= RoleAdmin
	if (next.Title != want.Title || next.Topic != want.Topic) && !staff {
		return broken("only admins change title and topic")
	}
	if next.Mode != want.Mode && (!staff || next.Mode == ModeOpen || want.Mode == ModeOpen || next.Mode == ModeDirect || want.Mode == ModeDirect) {
		return broken("only admins change how people come in, and never to or from open")
	}
	return j.bans(want)
}

// sameBeside says whether rules differ in the secrets of links at most.
func (r *Rules) sameBeside(other *Rules) bool {
	a, b := r.clone(), other.clone()
	for _, c := range []*Rules{a, b} {
		for i := range c.Links {
			c.Links[i].Secret = identity.LinkSecret{}
		}
	}
	return bytes.Equal(a.encode(), b.encode())
}

// consequences removes what must not outlive a user's stay: roles, and links by
// those who are admins no more.
func (r *Rules) consequences(gone map[identity.UserID]bool) {
	r.Grants = slices.DeleteFunc(r.Grants, func(g Grant) bool { return gone[g.User] })
	r.Links = slices.DeleteFunc(r.Links, func(l LinkEntry) bool { return r.role(l.Creator) < RoleAdmin })
}

// revocations adds the devices whose identity keys have disowned them.
func (j *ruling) revocations(want *Rules) error {
	for _, st := range j.attest.statements {
		if st.Kind != identity.StatementRevoke {
			continue
		}
		if j.change.External {
			return broken("a stranger carries nothing out")
		}
		speaker, ok := j.identityOf(st.User)
		if !ok || st.Group != j.group || st.Verify(j.root, identity.PublicKey{}, speaker) != nil {
			return broken("a revocation that its user did not sign")
		}
		want.revoke(Revoked{st.User, st.Device})
	}
	return nil
}

// identityOf finds the identity key of a user by any of its leaves.
func (j *ruling) identityOf(user identity.UserID) (identity.PublicKey, bool) {
	for _, s := range j.before.seats {
		if s.user == user {
			return s.credential.Certificate.Identity, true
		}
	}
	return identity.PublicKey{}, false
}

// roles: the owner gives them; an ownerless room has ways out.
func (j *ruling) roles(want *Rules) error {
	if slices.Equal(j.next.Grants, want.Grants) {
		return nil
	}
	_, owned := j.old.owner()
	switch {
	case j.change.External, j.old.Mode == ModeDirect:
	case j.role == RoleOwner:
		return nil
	case !owned && j.role == RoleAdmin:
		return nil
	case !owned && j.appointed(want):
		return nil
	case len(j.old.Grants) == 0 && j.old.Mode != ModeOpen && j.claims(want):
		return nil // nobody could ever add anyone again
	}
	return broken("only the owner gives roles")
}

// claims: the one change is that the committer becomes the owner.
func (j *ruling) claims(want *Rules) bool {
	expected := want.clone()
	expected.setRole(j.actor.user, RoleOwner)
	return slices.Equal(j.next.Grants, expected.Grants)
}

// appointed: the delegate of the server's root names the owner of an open room
// that has none, and nothing else changes.
func (j *ruling) appointed(want *Rules) bool {
	if j.old.Mode != ModeOpen {
		return false
	}
	return slices.ContainsFunc(j.attest.notices, func(n *identity.Notice) bool {
		expected := want.clone()
		expected.setRole(n.User, RoleOwner)
		return n.Kind == identity.NoticeOwner && n.Group == j.group && slices.Equal(j.next.Grants, expected.Grants) && n.Verify(j.root) == nil
	})
}

// links: admins make and end them; a removal changes every secret, and nothing
// else does, so that who was removed can neither use nor impersonate a link.
func (j *ruling) links(want *Rules) error {
	staff := j.role >= RoleAdmin && !j.change.External
	rotate := j.rotates()
	before := map[uint32]LinkEntry{}
	for _, l := range want.Links {
		before[l.Number] = l
	}
	secrets := map[identity.LinkSecret]bool{}
	for _, l := range j.old.Links {
		secrets[l.Secret] = true
	}
	for _, l := range j.next.Links {
		was, kept := before[l.Number]
		delete(before, l.Number)
		switch {
		case !kept && (!staff || l.Creator != j.actor.user || secrets[l.Secret]):
			return broken("only admins make links, in their own name")
		case !kept:
		case was.Creator != l.Creator || was.Approval != l.Approval:
			return broken("a link does not change hands")
		case rotate && secrets[l.Secret]:
			return broken("a removal changes the secret of every link")
		case !rotate && was.Secret != l.Secret:
			return broken("only a removal changes the secret of a link")
		}
	}
	for _, l := range before {
		// an admin who loses the role loses the links with it, see consequences
		if !staff && j.next.role(l.Creator) >= RoleAdmin {
			return broken("only admins end links")
		}
	}
	return nil
}

// rotates says whether somebody loses access by this commit.
func (j *ruling) rotates() bool {
	for _, s := range j.removed {
		if !j.rejoin[s.device] {
			return true
		}
	}
	return false
}

// bans: by admins, of people who are not in the room.
func (j *ruling) bans(want *Rules) error {
	if slices.Equal(j.next.Bans, want.Bans) {
		return nil
	}
	if j.role < RoleAdmin || j.change.External {
		return broken("only admins ban")
	}
	return nil
}
