package room

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/mls"
)

// plan is a commit in the making.
type plan struct {
	room    *Room
	rules   *Rules
	removes map[identity.DeviceID]seat
	adds    []*mls.KeyPackage
	added   map[identity.DeviceID]identity.UserID
	again   map[identity.DeviceID]bool // removed and added: a re-join
	attest  attest
	update  *mls.LeafUpdate
	force   bool
}

func (r *Room) plan() *plan {
	return &plan{room: r, rules: r.rules.clone(), removes: map[identity.DeviceID]seat{}, added: map[identity.DeviceID]identity.UserID{}, again: map[identity.DeviceID]bool{}}
}

// canSend says why nothing can be sent, if so.
func (r *Room) canSend() error {
	switch r.st.state {
	case StateJoining:
		return ErrJoining
	case StateFrozen:
		return ErrFrozen
	case StateBroken:
		return ErrBroken
	case StateLeaving, StateRemoved:
		return ErrRemoved
	}
	if r.confesses() { // others must know what its word is worth
		return ErrFrozen
	}
	return nil
}

// Commit builds one commit that does all that is wanted and carries out every
// statement that waits. It changes nothing in the room until it comes back
// from the log; after a lost race, build it again from the same intents.
// ErrNothing means that all of it is so already.
func (r *Room) Commit(intents []Intent, now time.Time) (*Append, error) {
	if err := r.canSend(); err != nil {
		return nil, err
	}
	p := r.plan()
	p.carry()
	for i := range intents {
		if err := p.want(&intents[i], now); err != nil {
			return nil, &IntentError{i, err}
		}
	}
	return p.build()
}

// removeUser takes all devices of a user out, and takes back that one of them
// was to come in again.
func (p *plan) removeUser(user identity.UserID) {
	for _, s := range p.room.who.seats {
		if s.user == user {
			p.removes[s.device] = s
			delete(p.again, s.device)
		}
	}
	p.dropAdds(user)
	p.attest.statements = slices.DeleteFunc(p.attest.statements, func(st *identity.Statement) bool {
		return st.User == user && asks(st)
	})
}

func (p *plan) dropAdds(user identity.UserID) {
	p.adds = slices.DeleteFunc(p.adds, func(kp *mls.KeyPackage) bool {
		s, err := seatOf(p.room.self.Root, kp.Leaf())
		if err == nil && s.user == user {
			delete(p.added, s.device)
			return true
		}
		return false
	})
}

// want takes up one intent.
func (p *plan) want(i *Intent, now time.Time) error {
	switch i.Kind {
	case IntentAdd:
		for _, kp := range i.KeyPackages {
			if err := p.add(kp, now); err != nil {
				return err
			}
		}
		return nil
	case IntentTitle, IntentTopic:
		if len(i.Text) > MaxTopic || i.Kind == IntentTitle && len(i.Text) > MaxTitle {
			return ErrTooLong
		}
		if i.Kind == IntentTitle {
			p.rules.Title = i.Text
		} else {
			p.rules.Topic = i.Text
		}
	case IntentMode:
		p.rules.Mode = i.Mode
		if i.Mode != ModeLink {
			p.rules.Links = nil
		}
	case IntentRefresh:
		p.force = true
	case IntentProfile:
		return p.rename(i.Profile)
	case IntentLink, IntentUnlink:
		return p.link(i)
	case IntentOwner:
		return p.appoint(i.Notice)
	case IntentRetire:
		n, err := identity.DecodeNotice(i.Notice)
		if err != nil {
			return err
		}
		p.retire(n)
	default:
		return p.people(i)
	}
	return nil
}

// people are the intents about one user.
func (p *plan) people(i *Intent) error {
	inside := p.room.who.has(i.User)
	switch i.Kind {
	case IntentRemove, IntentBan:
		if i.User == p.room.self.User() {
			return ErrUsage
		}
		if inside {
			p.removeUser(i.User)
		}
		if i.Kind == IntentBan {
			if len(p.rules.Bans) >= MaxBans {
				return ErrTooLong
			}
			p.rules.ban(i.User, true)
		}
	case IntentUnban:
		p.rules.ban(i.User, false)
	case IntentRole:
		if !inside {
			return nil // he has left meanwhile
		}
		if owner, owned := p.rules.owner(); owned && i.Role == RoleOwner && owner != i.User {
			p.rules.setRole(owner, RoleAdmin)
		}
		p.rules.setRole(i.User, i.Role)
	default:
		return ErrUsage
	}
	return nil
}

func (p *plan) add(b []byte, now time.Time) error {
	kp, c, err := readKeyPackage(p.room.self.Root, b)
	if err != nil {
		return err
	}
	device, user := c.Certificate.Device, c.User(p.room.self.Root)
	if _, inside := p.room.who.seat(user, device); inside || p.added[device] == user {
		return nil
	}
	if p.room.mayBeVoid() {
		return ErrUnsettled // who comes into a void branch has no way back out of it
	}
	if err := kp.CheckLifetime(now); err != nil {
		return err
	}
	if kp.Suite() != p.room.group.Suite() {
		return ErrNotAllowed
	}
	if len(p.adds) >= MaxAdds {
		return ErrTooLong
	}
	p.adds, p.added[device] = append(p.adds, kp), user
	return nil
}

func (p *plan) rename(profile identity.Profile) error {
	mine := p.room.self.Credential
	if s, ok := p.room.who.seat(p.room.self.User(), p.room.self.Device()); ok && s.credential.Profile.Version >= profile.Version {
		return nil
	}
	mine.Profile = profile
	if err := mine.Verify(p.room.self.Root); err != nil {
		return err
	}
	credential := mls.BasicCredential(mine.Encode())
	p.update = &mls.LeafUpdate{Credential: &credential}
	return nil
}

func (p *plan) link(i *Intent) error {
	if i.Kind == IntentUnlink {
		p.rules.Links = slices.DeleteFunc(p.rules.Links, func(l LinkEntry) bool { return l.Number == i.Number })
		return nil
	}
	number := uint32(1)
	for _, l := range p.rules.Links {
		if l.Secret == i.Secret {
			return nil
		}
		number = max(number, l.Number+1)
	}
	if len(p.rules.Links) >= MaxLinks {
		return ErrTooLong
	}
	if p.rules.Mode == ModeInvite {
		p.rules.Mode = ModeLink
	}
	p.rules.Links = append(p.rules.Links, LinkEntry{number, p.room.self.User(), i.Approval, i.Secret})
	return nil
}

func (p *plan) appoint(b []byte) error {
	n, err := identity.DecodeNotice(b)
	if err != nil {
		return err
	}
	if _, owned := p.rules.owner(); owned || !p.room.who.has(n.User) {
		return ErrNotAllowed
	}
	p.rules.setRole(n.User, RoleOwner)
	p.attest.notices = append(p.attest.notices, n)
	return nil
}

// finish works out what removals bring with them: roles and links that end,
// and new secrets for the links that stay.
func (p *plan) finish() {
	gone := map[identity.UserID]bool{}
	left := map[identity.UserID]int{}
	for user, n := range p.room.who.byUser {
		left[user] = n
	}
	rotate := false
	for device, s := range p.removes {
		left[s.user]--
		rotate = rotate || !p.again[device]
	}
	for _, user := range p.added {
		left[user]++
	}
	for user, n := range left {
		gone[user] = n == 0
	}
	p.rules.consequences(gone)
	if rotate {
		old := p.room.rules.Links
		for i, l := range p.rules.Links {
			if slices.ContainsFunc(old, func(o LinkEntry) bool { return o.Secret == l.Secret }) {
				p.rules.Links[i].Secret = identity.NewLinkSecret()
			}
		}
	}
}

func (p *plan) proposals() []mls.Proposal {
	var out []mls.Proposal
	seats := make([]seat, 0, len(p.removes))
	for _, s := range p.removes {
		seats = append(seats, s)
	}
	slices.SortFunc(seats, func(a, b seat) int { return cmp.Compare(a.index, b.index) })
	for _, s := range seats {
		out = append(out, &mls.Remove{Index: s.index})
	}
	for _, kp := range p.adds {
		out = append(out, &mls.Add{KeyPackage: kp})
	}
	if encoded := p.rules.encode(); !bytes.Equal(encoded, p.room.rules.encode()) {
		out = append(out, &mls.GroupContextExtensions{Extensions: []mls.Extension{{Type: extRules, Data: encoded}}})
	}
	return out
}

// build makes the commit of a plan in the current epoch.
func (p *plan) build() (*Append, error) {
	p.finish()
	proposals := p.proposals()
	if len(proposals) == 0 && p.update == nil && !p.force {
		return nil, ErrNothing
	}
	if !p.rules.wellFormed() {
		return nil, ErrNotAllowed
	}
	r := p.room
	tag, err := tagOf(r.group)
	if err != nil {
		return nil, err
	}
	p.attest.tag, p.attest.after = tag, r.st.place.mark
	return r.commitWith(r.group, p, proposals)
}

// commitWith makes the commit in the epoch of g: the current one, or for an
// undo the one before the change that is undone.
func (r *Room) commitWith(g *mls.Group, p *plan, proposals []mls.Proposal) (*Append, error) {
	r.dropPending()
	var placed *placing
	pending, err := g.Commit(mls.CommitOptions{
		Proposals: proposals, ForcePath: p.force, AuthenticatedData: p.attest.encode(), Leaf: p.update,
		WelcomeExtensions: func(next *mls.Group) ([]mls.Extension, error) {
			placed = r.place(next, p.rules.Mode)
			return []mls.Extension{placed.extension()}, nil
		},
	})
	if err != nil {
		if errors.Is(err, mls.ErrRules) {
			return nil, fmt.Errorf("%w: %w", ErrNotAllowed, err)
		}
		return nil, err
	}
	next := pending.Next()
	a := &Append{Kind: EntryHandshake, Examined: r.st.place.mark, ID: randomID(), Payload: append([]byte{payloadCommit}, pending.Message()...)}
	if err := p.fill(a, pending, next, placed); err != nil {
		pending.Drop()
		return nil, err
	}
	r.pendingInfo, r.pendingPath = nil, pending.Info().HasPath
	r.setPending(pending, a.ID)
	if g == r.group {
		r.putChanges()
	} else {
		r.storeBase()
	}
	a.Records = r.flush()
	return a, nil
}

// fill adds what travels beside the commit.
func (p *plan) fill(a *Append, pending *mls.Pending, next *mls.Group, placed *placing) error {
	r := p.room
	for _, piece := range pending.WelcomePieces() {
		s, err := seatOf(r.self.Root, piece.KeyPackage.Leaf())
		if err != nil {
			return err
		}
		a.Welcomes = append(a.Welcomes, WelcomePiece{s.user, s.device, piece.Welcome})
		a.Add = append(a.Add, Route{s.user, s.device})
	}
	for device, s := range p.removes {
		if !p.again[device] {
			a.Remove = append(a.Remove, Route{s.user, device})
		}
	}
	slices.SortFunc(a.Remove, func(x, y Route) int { return bytes.Compare(x.Device[:], y.Device[:]) })
	if placed == nil {
		placed = r.place(next, p.rules.Mode)
	}
	if err := r.publish(a, next, p.rules, placed); err != nil {
		return err
	}
	if len(a.Welcomes) > 0 {
		a.Tree = placed.tree
	}
	for _, l := range r.rules.Links {
		id := l.Secret.ID()
		if _, stays := p.rules.link(id); !stays {
			a.Gone = append(a.Gone, id)
		}
	}
	return nil
}

// tagOf is the epoch tag: readable by those who fell off, it tells two epochs
// of one number apart.
func tagOf(g *mls.Group) (tag [16]byte, err error) {
	b, err := g.Exporter("SecureLink/1 epoch tag", nil, 16)
	copy(tag[:], b)
	return tag, err
}
