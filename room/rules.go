package room

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/internal/pack"
	"github.com/securelink-chat/securelink/mls"
)

// Mode says how people come into a room.
type Mode uint8

// The modes. Open rooms publish their tree, so a room is open from its start
// or never.
const (
	ModeInvite Mode = 1 // an admin adds them
	ModeLink   Mode = 2 // or they hold a join link
	ModeOpen   Mode = 3 // anyone, visibly
	ModeDirect Mode = 4 // two people, for ever the same
)

// Role is what a user may do in a room.
type Role uint8

// The roles, in order of rank.
const (
	RoleMember Role = 1
	RoleAdmin  Role = 2
	RoleOwner  Role = 3
)

// Grant gives a user a role above member.
type Grant struct {
	User identity.UserID
	Role Role
}

// LinkEntry is an active join link. The number stays when a removal changes the secret.
type LinkEntry struct {
	Number   uint32
	Creator  identity.UserID
	Approval bool // an admin adds who comes by it; no commit of a stranger's own
	Secret   identity.LinkSecret
}

// Revoked is a device that its user has disowned, for ever.
type Revoked struct {
	User   identity.UserID
	Device identity.DeviceID
}

// Rules are the room's settings as all members have agreed on them: an
// extension of the GroupContext. Lists are sorted and without doubles, so that
// equal rules have equal bytes.
type Rules struct {
	Root       identity.PublicKey
	Mode       Mode
	Limit      uint16             // leaves
	Peers      [2]identity.UserID // direct: smaller id first
	Generation uint32             // direct
	Title      string
	Topic      string
	Grants     []Grant
	Links      []LinkEntry
	Bans       []identity.UserID
	Revoked    []Revoked
}

// errUpdate means rules of a version that this client does not know.
var errUpdate = errors.New("room: rules of a newer version; this client needs an update")

func (r *Rules) encode() []byte {
	var w pack.Writer
	w.U8(RulesVersion)
	w.Fixed(r.Root[:])
	w.U8(uint8(r.Mode))
	w.U16(r.Limit)
	w.Fixed(r.Peers[0][:])
	w.Fixed(r.Peers[1][:])
	w.U32(r.Generation)
	w.String(r.Title)
	w.String(r.Topic)
	w.U32(uint32(len(r.Grants)))
	for _, g := range r.Grants {
		w.Fixed(g.User[:])
		w.U8(uint8(g.Role))
	}
	w.U32(uint32(len(r.Links)))
	for _, l := range r.Links {
		w.U32(l.Number)
		w.Fixed(l.Creator[:])
		w.Bool(l.Approval)
		w.Fixed(l.Secret[:])
	}
	w.U32(uint32(len(r.Bans)))
	for _, b := range r.Bans {
		w.Fixed(b[:])
	}
	w.U32(uint32(len(r.Revoked)))
	for _, d := range r.Revoked {
		w.Fixed(d.User[:])
		w.Fixed(d.Device[:])
	}
	return w.B
}

func decodeRules(b []byte) (*Rules, error) {
	if len(b) > maxRulesBytes {
		return nil, pack.ErrFormat
	}
	rd := pack.Read(b)
	if version := rd.U8(); rd.Err() == nil && version != RulesVersion {
		return nil, errUpdate
	}
	r := &Rules{}
	rd.Fixed(r.Root[:])
	r.Mode = Mode(rd.U8())
	r.Limit = rd.U16()
	rd.Fixed(r.Peers[0][:])
	rd.Fixed(r.Peers[1][:])
	r.Generation = rd.U32()
	r.Title = rd.String(MaxTitle)
	r.Topic = rd.String(MaxTopic)
	for range rd.Count(MaxLeaves, 33) {
		var g Grant
		rd.Fixed(g.User[:])
		g.Role = Role(rd.U8())
		r.Grants = append(r.Grants, g)
	}
	for range rd.Count(MaxLinks, 69) {
		l := LinkEntry{Number: rd.U32()}
		rd.Fixed(l.Creator[:])
		l.Approval = rd.Bool()
		rd.Fixed(l.Secret[:])
		r.Links = append(r.Links, l)
	}
	for range rd.Count(MaxBans, 32) {
		var u identity.UserID
		rd.Fixed(u[:])
		r.Bans = append(r.Bans, u)
	}
	for range rd.Count(MaxRevoked, 48) {
		var d Revoked
		rd.Fixed(d.User[:])
		rd.Fixed(d.Device[:])
		r.Revoked = append(r.Revoked, d)
	}
	if err := rd.Done(); err != nil {
		return nil, err
	}
	if !r.wellFormed() {
		return nil, pack.ErrFormat
	}
	return r, nil
}

// wellFormed checks what can be said of rules without knowing who is in the room.
func (r *Rules) wellFormed() bool {
	owners := 0
	for i, g := range r.Grants {
		if g.Role != RoleAdmin && g.Role != RoleOwner || i > 0 && bytes.Compare(r.Grants[i-1].User[:], g.User[:]) >= 0 {
			return false
		}
		if g.Role == RoleOwner {
			owners++
		}
	}
	ids := map[identity.LinkSecret]bool{}
	for i, l := range r.Links {
		if i > 0 && r.Links[i-1].Number >= l.Number || ids[l.Secret] {
			return false
		}
		ids[l.Secret] = true
	}
	for i, u := range r.Bans {
		if i > 0 && bytes.Compare(r.Bans[i-1][:], u[:]) >= 0 {
			return false
		}
	}
	for i, d := range r.Revoked {
		if i > 0 && d.compare(r.Revoked[i-1]) <= 0 {
			return false
		}
	}
	direct := r.Mode == ModeDirect
	switch {
	case r.Mode < ModeInvite || r.Mode > ModeDirect, r.Limit < 2, r.Limit > MaxLeaves, owners > 1:
		return false
	case len(r.Links) > 0 && r.Mode != ModeLink:
		return false
	case direct != (bytes.Compare(r.Peers[0][:], r.Peers[1][:]) < 0):
		return false
	case direct && (len(r.Grants) > 0 || len(r.Bans) > 0 || r.Title != "" || r.Topic != ""):
		return false
	case !direct && (r.Peers != [2]identity.UserID{} || r.Generation != 0):
		return false
	}
	return true
}

func (d Revoked) compare(other Revoked) int {
	if c := bytes.Compare(d.User[:], other.User[:]); c != 0 {
		return c
	}
	return bytes.Compare(d.Device[:], other.Device[:])
}

func (r *Rules) clone() *Rules {
	c := *r
	c.Grants, c.Links = slices.Clone(r.Grants), slices.Clone(r.Links)
	c.Bans, c.Revoked = slices.Clone(r.Bans), slices.Clone(r.Revoked)
	return &c
}

func (r *Rules) role(user identity.UserID) Role {
	for _, g := range r.Grants {
		if g.User == user {
			return g.Role
		}
	}
	return RoleMember
}

// setRole gives a role; member takes the grant away.
func (r *Rules) setRole(user identity.UserID, role Role) {
	r.Grants = slices.DeleteFunc(r.Grants, func(g Grant) bool { return g.User == user })
	if role != RoleMember {
		r.Grants = append(r.Grants, Grant{user, role})
		slices.SortFunc(r.Grants, func(a, b Grant) int { return bytes.Compare(a.User[:], b.User[:]) })
	}
}

func (r *Rules) owner() (identity.UserID, bool) {
	for _, g := range r.Grants {
		if g.Role == RoleOwner {
			return g.User, true
		}
	}
	return identity.UserID{}, false
}

func (r *Rules) banned(user identity.UserID) bool { return slices.Contains(r.Bans, user) }

func (r *Rules) ban(user identity.UserID, on bool) {
	r.Bans = slices.DeleteFunc(r.Bans, func(u identity.UserID) bool { return u == user })
	if on {
		r.Bans = append(r.Bans, user)
		slices.SortFunc(r.Bans, func(a, b identity.UserID) int { return bytes.Compare(a[:], b[:]) })
	}
}

func (r *Rules) revoked(user identity.UserID, device identity.DeviceID) bool {
	return slices.Contains(r.Revoked, Revoked{user, device})
}

func (r *Rules) revoke(d Revoked) {
	if !slices.Contains(r.Revoked, d) {
		r.Revoked = append(r.Revoked, d)
		slices.SortFunc(r.Revoked, Revoked.compare)
	}
}

// link finds an active link by its id.
func (r *Rules) link(id [16]byte) (LinkEntry, bool) {
	for _, l := range r.Links {
		if l.Secret.ID() == id {
			return l, true
		}
	}
	return LinkEntry{}, false
}

// DirectGroup is the id of the direct chat of two users, whoever starts it:
// SHA-256("SecureLink/1 direct" 00 | smaller id | larger id | u32 generation)[:16].
func DirectGroup(a, b identity.UserID, generation uint32) identity.GroupID {
	if bytes.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	in := append([]byte("SecureLink/1 direct\x00"), a[:]...)
	in = binary.BigEndian.AppendUint32(append(in, b[:]...), generation)
	sum := sha256.Sum256(in)
	return identity.GroupID(sum[:16])
}

// rulesOf reads the rules out of a GroupContext, which may hold nothing else.
func rulesOf(view *mls.View) (*Rules, error) {
	extensions := view.Extensions()
	if len(extensions) != 1 || extensions[0].Type != extRules {
		return nil, errors.New("room: group context without the room's rules, or with more")
	}
	return decodeRules(extensions[0].Data)
}
