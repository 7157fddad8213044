package room

import (
	"errors"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/internal/pack"
	"github.com/securelink-chat/securelink/mls"
)

// seat is a leaf of the tree as the rules see it.
type seat struct {
	index      mls.LeafIndex
	credential identity.Credential
	user       identity.UserID
	device     identity.DeviceID
	joinID     identity.JoinID
}

// roster is everybody in a tree, in the order of leaves.
type roster struct {
	seats    []seat
	byDevice map[identity.DeviceID]int
	byUser   map[identity.UserID]int // how many devices
}

var errLeaf = errors.New("room: leaf without a valid credential and join id")

// seatOf reads a leaf without verifying signatures: the credential check of the
// group has done that before any rule looks at it.
func seatOf(root identity.PublicKey, leaf *mls.Leaf) (seat, error) {
	c, err := identity.DecodeCredential(leaf.Credential().Identity)
	if err != nil {
		return seat{}, errLeaf
	}
	s := seat{credential: c, user: c.User(root), device: c.Certificate.Device}
	id, ok := leaf.Extension(extJoinID)
	if !ok || len(id) != len(s.joinID) {
		return seat{}, errLeaf
	}
	copy(s.joinID[:], id)
	return s, nil
}

// rosterOf reads a whole tree and refuses doubles.
func rosterOf(root identity.PublicKey, view *mls.View) (*roster, error) {
	r := &roster{byDevice: map[identity.DeviceID]int{}, byUser: map[identity.UserID]int{}}
	keys, stays := map[identity.PublicKey]bool{}, map[identity.JoinID]bool{}
	for m := range view.Members() {
		s, err := seatOf(root, m.Leaf)
		if err != nil {
			return nil, err
		}
		s.index = m.Index
		if _, double := r.byDevice[s.device]; double || keys[s.credential.Certificate.DeviceKey] || stays[s.joinID] {
			return nil, errors.New("room: one device twice")
		}
		keys[s.credential.Certificate.DeviceKey], stays[s.joinID] = true, true
		r.byDevice[s.device] = len(r.seats)
		r.byUser[s.user]++
		r.seats = append(r.seats, s)
	}
	return r, nil
}

// seat finds a device of a user.
func (r *roster) seat(user identity.UserID, device identity.DeviceID) (seat, bool) {
	at, ok := r.byDevice[device]
	if !ok || r.seats[at].user != user {
		return seat{}, false
	}
	return r.seats[at], true
}

// at finds the seat of a leaf.
func (r *roster) at(index mls.LeafIndex) (seat, bool) {
	for _, s := range r.seats {
		if s.index == index {
			return s, true
		}
	}
	return seat{}, false
}

// stays says whether a seat is in the roster with the same stay.
func (r *roster) stays(s seat) bool {
	was, ok := r.seat(s.user, s.device)
	return ok && was.joinID == s.joinID
}

func (r *roster) has(user identity.UserID) bool { return r.byUser[user] > 0 }

// checkCredential is run for every leaf that MLS meets (RFC 9420 section
// 5.3.1): whose device it is, signed by its owner; and that a device stays
// itself when it renews its leaf.
func checkCredential(root identity.PublicKey, check mls.CredentialCheck) error {
	if check.Leaf == nil {
		return errLeaf // an external sender: rooms have none
	}
	if check.Credential.Type != mls.CredentialBasic {
		return errLeaf
	}
	c, err := identity.ParseCredential(root, check.Credential.Identity)
	if err != nil {
		return err
	}
	if string(check.SignatureKey) != string(c.Certificate.DeviceKey[:]) {
		return errLeaf
	}
	now, err := seatOf(root, check.Leaf)
	if err != nil {
		return err
	}
	if check.Old == nil || check.Event != mls.EventCommit && check.Event != mls.EventUpdate {
		return nil
	}
	before, err := seatOf(root, check.Old)
	if err != nil {
		return err
	}
	if before.credential.Certificate != now.credential.Certificate || before.joinID != now.joinID ||
		before.credential.Profile.Version > now.credential.Profile.Version {
		return errors.New("room: a leaf was replaced by another device's, or by an older name")
	}
	return nil
}

// attest is the authenticated data of a commit: the tag of the epoch that it
// was made in, the handshake that it follows, and the signed words that permit
// what it does.
type attest struct {
	tag        [16]byte
	after      uint64 // the mark: a commit counts only right after the handshake that its maker had examined
	undo       bool
	statements []*identity.Statement
	notices    []*identity.Notice
}

func (a *attest) encode() []byte {
	var w pack.Writer
	w.U8(RulesVersion)
	w.Fixed(a.tag[:])
	w.U64(a.after)
	w.Bool(a.undo)
	w.U32(uint32(len(a.statements)))
	for _, s := range a.statements {
		w.Bytes(s.Encode())
	}
	w.U32(uint32(len(a.notices)))
	for _, n := range a.notices {
		w.Bytes(n.Encode())
	}
	return w.B
}

func decodeAttest(b []byte) (*attest, error) {
	if len(b) > maxAttestBytes {
		return nil, pack.ErrFormat
	}
	r := pack.Read(b)
	if r.U8() != RulesVersion {
		r.Fail()
	}
	a := &attest{}
	r.Fixed(a.tag[:])
	a.after = r.U64()
	a.undo = r.Bool()
	for range r.Count(maxEvidence, 4) {
		s, err := identity.DecodeStatement(r.Bytes(maxStatement))
		if err != nil {
			return nil, pack.ErrFormat
		}
		a.statements = append(a.statements, s)
	}
	for range r.Count(maxEvidence, 4) {
		n, err := identity.DecodeNotice(r.Bytes(maxStatement))
		if err != nil {
			return nil, pack.ErrFormat
		}
		a.notices = append(a.notices, n)
	}
	if err := r.Done(); err != nil {
		return nil, err
	}
	return a, nil
}

// maxStatement bounds an encoded statement or notice.
const maxStatement = identity.MaxKeyPackage + 512
