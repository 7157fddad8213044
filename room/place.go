package room

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/internal/pack"
	"github.com/securelink-chat/securelink/mls"
	"github.com/securelink-chat/securelink/seal"
)

// Labels of what joiners fetch.
const (
	treeLabel = "SecureLink/1 tree"
	linkLabel = "SecureLink/1 link"
)

// Route is a device in the core's routing list.
type Route struct {
	User   identity.UserID
	Device identity.DeviceID
}

// WelcomePiece is the Welcome of one joiner.
type WelcomePiece struct {
	User   identity.UserID
	Device identity.DeviceID
	Data   []byte
}

// LinkInfo is what the core serves to the holder of a join link: both parts sealed.
type LinkInfo struct {
	ID        [16]byte
	TokenHash Hash // of the fetch token, identity.TokenHash
	GroupInfo []byte
	Tree      []byte
}

// LinkUse proves to the core that the joiner holds a link.
type LinkUse struct {
	ID    [16]byte
	Token [32]byte
}

// Append is an entry that waits to be sent, with everything that the core
// stores beside it in one transaction. Records must be stored before a byte of
// it leaves.
type Append struct {
	Kind     EntryKind
	Examined uint64
	ID       MessageID
	Payload  []byte
	Body     []byte

	Add, Remove []Route
	Welcomes    []WelcomePiece
	Tree        []byte // open rooms: in the clear; elsewhere a box, there if somebody joins by it
	GroupInfo   []byte // open rooms
	Links       []LinkInfo
	Gone        [][16]byte // links that end with this entry
	Link        *LinkUse

	Records []Record
}

func sum(b []byte) Hash { return sha256.Sum256(b) }

// placeInfo is the extension in every GroupInfo: where in the log its maker
// stood, and how to open the tree.
type placeInfo struct {
	place    place
	boxed    bool
	treeKey  [32]byte
	treeHash Hash // of the tree as it is served
}

func (p *placeInfo) encode() []byte {
	var w pack.Writer
	w.U64(p.place.seq)
	w.Fixed(p.place.chain[:])
	w.U64(p.place.mark)
	w.Bool(p.boxed)
	w.Fixed(p.treeKey[:])
	w.Fixed(p.treeHash[:])
	return w.B
}

func decodePlaceInfo(b []byte) (*placeInfo, error) {
	r := pack.Read(b)
	p := &placeInfo{}
	p.place.seq = r.U64()
	r.Fixed(p.place.chain[:])
	p.place.mark = r.U64()
	p.boxed = r.Bool()
	r.Fixed(p.treeKey[:])
	r.Fixed(p.treeHash[:])
	if p.place.mark > p.place.seq {
		r.Fail()
	}
	return p, r.Done()
}

// openTree checks the tree as the core served it and takes it out of its box.
func (p *placeInfo) openTree(group identity.GroupID, served []byte) ([]byte, error) {
	hash := sum(served)
	if subtle.ConstantTimeCompare(hash[:], p.treeHash[:]) != 1 {
		return nil, ErrOffer
	}
	if !p.boxed {
		return served, nil
	}
	k := seal.NewKey(p.treeKey, treeLabel)
	defer k.Wipe()
	tree, err := k.Open(nil, served, group[:])
	if err != nil {
		return nil, ErrOffer
	}
	return tree, nil
}

// placing prepares what joiners of an epoch need.
type placing struct {
	info placeInfo
	tree []byte // as it is to be served
}

// place puts the tree into a box, or leaves it in the clear in open rooms.
func (r *Room) place(next *mls.Group, mode Mode) *placing {
	p := &placing{info: placeInfo{place: r.st.place}, tree: next.Tree()}
	if mode != ModeOpen {
		p.info.boxed = true
		rand.Read(p.info.treeKey[:])
		k := seal.NewKey(p.info.treeKey, treeLabel)
		defer k.Wipe()
		p.tree = k.Seal(nil, p.tree, r.id[:])
	}
	p.info.treeHash = sum(p.tree)
	return p
}

func (p *placing) extension() mls.Extension {
	return mls.Extension{Type: extPlace, Data: p.info.encode()}
}

// publish fills in what strangers join by: in open rooms GroupInfo and tree, in
// rooms with links both sealed for each link.
func (r *Room) publish(a *Append, next *mls.Group, rules *Rules, p *placing) error {
	open := rules.Mode == ModeOpen
	var linked []LinkEntry
	for _, l := range rules.Links {
		if !l.Approval {
			linked = append(linked, l)
		}
	}
	if !open && len(linked) == 0 {
		return nil
	}
	info, err := next.GroupInfo(mls.GroupInfoOptions{ExternalPub: true, Extensions: []mls.Extension{p.extension()}})
	if err != nil {
		return err
	}
	a.Tree = p.tree
	if open {
		a.GroupInfo = info
		return nil
	}
	for _, l := range linked {
		id, token := l.Secret.ID(), l.Secret.FetchToken()
		k := seal.NewKey(l.Secret.SealKey(), linkLabel)
		a.Links = append(a.Links, LinkInfo{ID: id, TokenHash: identity.TokenHash(token), GroupInfo: k.Seal(nil, info, r.id[:], id[:]), Tree: p.tree})
		k.Wipe()
	}
	return nil
}

// Publish makes GroupInfo and tree of the current epoch anew, for when the core
// may hold those of a change that was refused. ErrNothing in rooms that nobody
// joins from outside.
func (r *Room) Publish() (*Append, error) {
	if r.st.state != StateMember && r.st.state != StateWaiting {
		return nil, ErrJoining
	}
	a := &Append{Examined: r.st.place.mark}
	if err := r.publish(a, r.group, r.rules, r.place(r.group, r.rules.Mode)); err != nil {
		return nil, err
	}
	r.st.publishDue = false
	a.Records = r.flush()
	if a.Tree == nil {
		return nil, ErrNothing
	}
	return a, nil
}

// openOffer takes apart what a stranger fetched.
func openOffer(o Offer) (info []byte, p *placeInfo, tree []byte, err error) {
	if len(o.GroupInfo) > maxGroupInfo || len(o.Tree) > maxTree {
		return nil, nil, nil, ErrOffer
	}
	info = o.GroupInfo
	if o.Link != nil {
		id := o.Link.ID()
		k := seal.NewKey(o.Link.SealKey(), linkLabel)
		defer k.Wipe()
		if info, err = k.Open(nil, o.GroupInfo, o.Group[:], id[:]); err != nil {
			return nil, nil, nil, ErrOffer
		}
	}
	parsed, err := mls.ParseGroupInfo(info)
	if err != nil || string(parsed.GroupID()) != string(o.Group[:]) {
		return nil, nil, nil, ErrOffer
	}
	data, ok := parsed.Extension(extPlace)
	if !ok {
		return nil, nil, nil, ErrOffer
	}
	if p, err = decodePlaceInfo(data); err != nil {
		return nil, nil, nil, ErrOffer
	}
	if tree, err = p.openTree(o.Group, o.Tree); err != nil {
		return nil, nil, nil, err
	}
	return info, p, tree, nil
}
