package room

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/mls"
)

// capabilities names the extensions of rooms beside what MLS supports by itself.
func capabilities() *mls.Capabilities {
	c := mls.DefaultCapabilities(extRules, extJoinID)
	return &c
}

func newJoinID() []mls.Extension {
	id := make([]byte, 16)
	rand.Read(id)
	return []mls.Extension{{Type: extJoinID, Data: id}}
}

// NewKeyPackage makes a key package of this device. Its private part must be
// stored before the public one is uploaded.
func NewKeyPackage(self Self, lastResort bool, now time.Time) (*mls.PrivateKeyPackage, error) {
	signer, err := self.signer(self.suite())
	if err != nil {
		return nil, err
	}
	return mls.NewKeyPackage(mls.KeyPackageOptions{
		Suite: self.suite(), Signer: signer, Credential: mls.BasicCredential(self.Credential.Encode()),
		Capabilities: capabilities(), LeafExtensions: newJoinID(), LastResort: lastResort,
		Lifetime: &mls.Lifetime{NotBefore: uint64(now.Add(-time.Hour).Unix()), NotAfter: uint64(now.Add(84 * 24 * time.Hour).Unix())},
	})
}

// CheckKeyPackage says whose device a key package is, before somebody is
// invited by it. It verifies certificate, name and lifetime.
func CheckKeyPackage(root identity.PublicKey, b []byte, now time.Time) (identity.Credential, error) {
	kp, c, err := readKeyPackage(root, b)
	if err != nil {
		return identity.Credential{}, err
	}
	if err := kp.CheckLifetime(now); err != nil {
		return identity.Credential{}, err
	}
	return c, nil
}

func readKeyPackage(root identity.PublicKey, b []byte) (*mls.KeyPackage, identity.Credential, error) {
	if len(b) > identity.MaxKeyPackage {
		return nil, identity.Credential{}, ErrTooLong
	}
	kp, err := mls.ParseKeyPackage(b)
	if err != nil {
		return nil, identity.Credential{}, err
	}
	leaf := kp.Leaf()
	if err := checkCredential(root, mls.CredentialCheck{Event: mls.EventAdd, Credential: leaf.Credential(), SignatureKey: leaf.SignatureKey(), Leaf: leaf}); err != nil {
		return nil, identity.Credential{}, err
	}
	c, err := identity.DecodeCredential(leaf.Credential().Identity)
	return kp, c, err
}

// Spec says what room to create.
type Spec struct {
	Group        identity.GroupID // ignored for direct chats
	Mode         Mode
	Title, Topic string
	Limit        uint16          // leaves; 0 means DefaultLeaves
	Peer         identity.UserID // direct
	Generation   uint32          // direct: how many chats these two had before
}

// Create founds a room with this device as its only member, and its user as
// the owner, except in open rooms, which have none until the server's delegate
// names one, and direct chats. The answer holds what the core wants to know.
func Create(self Self, spec Spec) (*Room, *Append, error) {
	rules := &Rules{Root: self.Root, Mode: spec.Mode, Title: spec.Title, Topic: spec.Topic, Limit: spec.Limit}
	if rules.Limit == 0 {
		rules.Limit = DefaultLeaves
	}
	switch spec.Mode {
	case ModeDirect:
		spec.Group = DirectGroup(self.User(), spec.Peer, spec.Generation)
		rules.Peers, rules.Generation = [2]identity.UserID{self.User(), spec.Peer}, spec.Generation
		if string(rules.Peers[0][:]) > string(rules.Peers[1][:]) {
			rules.Peers[0], rules.Peers[1] = rules.Peers[1], rules.Peers[0]
		}
	case ModeOpen:
	default:
		rules.setRole(self.User(), RoleOwner)
	}
	if len(rules.Title) > MaxTitle || len(rules.Topic) > MaxTopic {
		return nil, nil, ErrTooLong
	}
	if !rules.wellFormed() {
		return nil, nil, ErrUsage
	}
	r := newRoom(self, spec.Group)
	signer, err := self.signer(self.suite())
	if err != nil {
		return nil, nil, err
	}
	g, err := mls.Create(r.config(), mls.CreateOptions{
		Suite: self.suite(), GroupID: spec.Group[:], Signer: signer, Credential: mls.BasicCredential(self.Credential.Encode()),
		Capabilities: capabilities(), LeafExtensions: newJoinID(), Extensions: []mls.Extension{{Type: extRules, Data: rules.encode()}},
	})
	if err != nil {
		return nil, nil, err
	}
	if err := r.adopt(g); err != nil {
		return nil, nil, err
	}
	r.st = status{state: StateMember, place: place{chain: LogStart(spec.Group)}, leafFresh: true, known: true}
	r.remember(0, r.st.place.chain, identity.UserID{})
	r.putGroup(g.Records())
	a := &Append{}
	if err := r.publish(a, g, rules, r.place(g, rules.Mode)); err != nil {
		return nil, nil, err
	}
	a.Records = r.flush()
	return r, a, nil
}

// Welcome is what a joiner finds in its inbox, with the tree as the core serves it.
type Welcome struct{ Data, Tree []byte }

// opened is a Welcome whose signature and tree were verified.
type opened struct {
	group  *mls.Group
	rules  *Rules
	who    *roster
	place  place
	signer seat
	used   []byte
}

// open takes a Welcome apart and verifies that whoever made it may have. A
// signer's right to add is judged in the new epoch's rules, the only ones that
// a joiner can see.
func (r *Room) open(w Welcome, keys []*mls.PrivateKeyPackage) (*opened, error) {
	if len(w.Data) > maxGroupInfo || len(w.Tree) > maxTree {
		return nil, ErrOffer
	}
	ow, err := mls.OpenWelcome(r.config(), w.Data, keys, mls.JoinOptions{})
	if err != nil {
		return nil, err
	}
	if r.id == (identity.GroupID{}) && len(ow.GroupID()) == len(r.id) {
		copy(r.id[:], ow.GroupID())
	}
	if string(ow.GroupID()) != string(r.id[:]) {
		return nil, ErrUnwanted
	}
	data, ok := ow.Extension(extPlace)
	if !ok {
		return nil, ErrOffer
	}
	p, err := decodePlaceInfo(data)
	if err != nil {
		return nil, ErrOffer
	}
	tree, err := p.openTree(r.id, w.Tree)
	if err != nil {
		return nil, err
	}
	g, info, err := ow.Join(tree)
	if err != nil {
		return nil, err
	}
	o := &opened{group: g, place: p.place, used: ow.KeyPackage().KeyPackage.Ref()}
	if o.rules, err = rulesOf(g.View()); err != nil {
		return nil, err
	}
	if o.who, err = rosterOf(r.self.Root, g.View()); err != nil {
		return nil, err
	}
	if o.signer, err = seatOf(r.self.Root, info.SignerLeaf); err != nil {
		return nil, err
	}
	return o, r.checkEntry(o)
}

// checkEntry holds what a joiner sees against the rules.
func (r *Room) checkEntry(o *opened) error {
	me := r.self.User()
	if o.rules.Root != r.self.Root || o.rules.banned(me) || o.rules.revoked(me, r.self.Device()) {
		return ErrUnwanted
	}
	if o.rules.Mode == ModeDirect {
		other := o.rules.Peers[0]
		if other == me {
			other = o.rules.Peers[1]
		}
		if DirectGroup(me, other, o.rules.Generation) != r.id {
			return fmt.Errorf("%w: the room's id is not that of this direct chat", ErrOffer)
		}
	}
	if string(o.group.GroupID()) != string(r.id[:]) {
		return ErrOffer
	}
	return nil
}

// PeekWelcome says which room a Welcome is for, without joining.
func PeekWelcome(self Self, w Welcome, keys []*mls.PrivateKeyPackage) (identity.GroupID, error) {
	ow, err := mls.OpenWelcome(newRoom(self, identity.GroupID{}).config(), w.Data, keys, mls.JoinOptions{})
	if err != nil {
		return identity.GroupID{}, err
	}
	var id identity.GroupID
	if copy(id[:], ow.GroupID()) != len(id) || len(ow.GroupID()) != len(id) {
		return id, ErrOffer
	}
	return id, nil
}

// JoinWelcome enters a room that this device has no state of. The entries after
// Result.ResyncAfter are to be examined next; the first handshake among them
// is the commit that brings this device in.
func JoinWelcome(self Self, w Welcome, keys []*mls.PrivateKeyPackage) (*Room, *Result, error) {
	r := newRoom(self, identity.GroupID{})
	o, err := r.open(w, keys)
	if err != nil {
		return nil, nil, err
	}
	signer := o.signer.user
	if o.rules.Mode != ModeOpen && o.rules.Mode != ModeDirect && signer != self.User() && o.rules.role(signer) < RoleAdmin && o.who.byUser[self.User()] < 2 {
		return nil, nil, fmt.Errorf("%w: added by somebody who may not add", ErrOffer)
	}
	res, err := r.enter(o)
	if err != nil {
		return nil, nil, err
	}
	return r, res, nil
}

// enter starts over at the place that the Welcome names.
func (r *Room) enter(o *opened) (*Result, error) {
	if err := r.adopt(o.group); err != nil {
		return nil, err
	}
	r.st = status{state: StateJoining, place: o.place, inviter: o.signer.user, counter: 0}
	r.remember(o.place.seq, o.place.chain, identity.UserID{})
	r.putGroup(o.group.Records())
	return &Result{Verdict: VerdictApplied, Resync: true, ResyncAfter: o.place.seq, Used: o.used, Changed: true, Records: r.flush()}, nil
}

// Offer is what a stranger joins by, as the core served it.
type Offer struct {
	Group           identity.GroupID
	GroupInfo, Tree []byte
	Link            *identity.LinkSecret // nil: an open room
	Inviter         identity.UserID      // from the link; zero if unknown
	Through         uint64               // commits up to this entry count for nothing: ErrStale came before, and with the log there the core still served these same bytes
}

// verify reads an offer and checks that it is the room which the link names.
func (o Offer) verify(r *Room) (info, tree []byte, p *placeInfo, view *mls.View, err error) {
	info, p, tree, err = openOffer(o)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	parsed, err := mls.ParseGroupInfo(info)
	if err != nil {
		return nil, nil, nil, nil, ErrOffer
	}
	if view, err = parsed.Verify(r.config(), tree); err != nil {
		return nil, nil, nil, nil, fmt.Errorf("%w: %w", ErrOffer, err)
	}
	if r.rules, err = rulesOf(view); err != nil {
		return nil, nil, nil, nil, err
	}
	if r.who, err = rosterOf(r.self.Root, view); err != nil {
		return nil, nil, nil, nil, err
	}
	if r.rules.Root != r.self.Root {
		return nil, nil, nil, nil, ErrOffer
	}
	if o.Link == nil {
		if r.rules.Mode != ModeOpen {
			return nil, nil, nil, nil, ErrOffer
		}
		return info, tree, p, view, nil
	}
	link, ok := r.rules.link(o.Link.ID())
	if !ok || o.Inviter != (identity.UserID{}) && link.Creator != o.Inviter {
		return nil, nil, nil, nil, fmt.Errorf("%w: the link is not of this room", ErrOffer)
	}
	return info, tree, p, view, nil
}

// Preview says what an offer leads to, before joining.
func Preview(self Self, o Offer) (*Info, error) {
	r := newRoom(self, o.Group)
	if _, _, _, _, err := o.verify(r); err != nil {
		return nil, err
	}
	return r.Info(), nil
}

// JoinExternal prepares to enter an open room, or one whose link this device
// holds, by a commit of its own. Entries after Position are to be examined
// first; then Enter gives what to append. If that is refused as stale, fetch a
// new offer and start again.
func JoinExternal(self Self, o Offer) (*Room, []Record, error) {
	r := newRoom(self, o.Group)
	if err := r.knock(o); err != nil {
		return nil, nil, err
	}
	return r, r.flush(), nil
}

// Verify settles a doubt (TodoVerify) by the offer that the core serves now: a
// device that came in from outside, to which nobody has spoken yet, heard
// somebody speak in another epoch. If the offer has its leaf, all is well;
// otherwise it joined by an offer that was out of date, and joins again.
// ErrStale: the offer is from before this device came, and proves nothing.
func (r *Room) Verify(o Offer) (*Result, error) {
	if !r.st.suspect || r.group == nil {
		return nil, ErrUsage
	}
	fresh := newRoom(r.self, r.id)
	_, _, offered, _, err := o.verify(fresh)
	if err != nil {
		return nil, err
	}
	own, err := r.own()
	if err != nil {
		return nil, err
	}
	res := &Result{}
	if there, ok := fresh.who.seat(own.user, own.device); ok && there.joinID == own.joinID {
		r.st.known, r.st.suspect = true, false
	} else if offered.place.seq < r.st.joinSeq {
		return nil, ErrStale
	} else {
		r.st.suspect = false
		r.misjoined(res)
	}
	res.Records = r.flush()
	return res, nil
}

// knock is what a stranger joins by, kept until its commit is in the log.
type knock struct {
	info, tree []byte
	suite      mls.Suite
	resync     *mls.LeafIndex
	through    uint64 // as in Offer
}

func (r *Room) knock(o Offer) error {
	info, tree, p, view, err := o.verify(r)
	if err != nil {
		return err
	}
	if r.rules.banned(r.self.User()) || r.rules.revoked(r.self.User(), r.self.Device()) {
		return ErrNotAllowed
	}
	r.offered, r.judging, r.offeredEpoch = o.Link, r.rules, view.Epoch()
	r.knocking = &knock{info: info, tree: tree, suite: view.Suite(), through: o.Through}
	if old, ok := r.who.seat(r.self.User(), r.self.Device()); ok {
		r.knocking.resync = &old.index
	}
	r.st = status{state: StateJoining, place: p.place, inviter: o.Inviter}
	r.remember(p.place.seq, p.place.chain, identity.UserID{})
	return nil
}

// Enter gives the commit that brings this device in, placed after what was
// examined by now; the same one until another handshake comes between.
// ErrStale: somebody has committed since the offer was made, or it is lost
// with a restart; fetch a new one and start again.
func (r *Room) Enter() (*Append, error) {
	if r.st.state != StateJoining || r.group != nil {
		return nil, ErrUsage
	}
	if r.pending == nil {
		if err := r.commitExternal(); err != nil {
			return nil, err
		}
	}
	a := &Append{Kind: EntryHandshake, ID: r.pendingID, Examined: r.st.place.mark, Add: []Route{{r.self.User(), r.self.Device()}}}
	a.Payload = append([]byte{payloadCommit}, r.pending.Message()...)
	if r.offered != nil {
		a.Link = &LinkUse{r.offered.ID(), r.offered.FetchToken()}
	}
	next := r.pending.Next()
	if err := r.publish(a, next, r.rules, r.place(next, r.rules.Mode)); err != nil {
		return nil, err
	}
	a.Records = r.flush()
	return a, nil
}

// commitExternal makes the external commit for the place that was reached.
func (r *Room) commitExternal() error {
	k := r.knocking
	if k == nil || r.st.stale {
		return ErrStale
	}
	signer, err := r.self.signer(k.suite)
	if err != nil {
		return err
	}
	options := mls.ExternalOptions{
		Tree: k.tree, Signer: signer, Credential: mls.BasicCredential(r.self.Credential.Encode()), Capabilities: capabilities(),
		LeafExtensions: newJoinID(), AuthenticatedData: (&attest{after: r.st.place.mark}).encode(), Resync: k.resync,
	}
	if r.offered != nil {
		id := r.offered.ID()
		options.PSKs = [][]byte{id[:]}
	}
	pending, err := mls.JoinExternal(r.config(), k.info, options)
	if err != nil {
		return err
	}
	r.pendingInfo = r.rules.encode()
	r.setPending(pending, randomID())
	return nil
}
