package mls

import "fmt"

// ProposalType is the type of a proposal (section 12.1).
type ProposalType uint16

// The proposal types of RFC 9420.
const (
	TypeAdd                    ProposalType = 1
	TypeUpdate                 ProposalType = 2
	TypeRemove                 ProposalType = 3
	TypePreSharedKey           ProposalType = 4
	TypeReInit                 ProposalType = 5
	TypeExternalInit           ProposalType = 6
	TypeGroupContextExtensions ProposalType = 7
)

func (t ProposalType) isDefault() bool { return t >= TypeAdd && t <= TypeGroupContextExtensions }

// A Proposal is one change that a commit makes: [*Add], [*Update], [*Remove],
// [*PreSharedKey], [*ReInit], [*ExternalInit] or [*GroupContextExtensions].
type Proposal interface {
	Type() ProposalType
	appendBody([]byte) []byte
}

// Add brings in the client of a KeyPackage.
type Add struct{ KeyPackage *KeyPackage }

// Update replaces the leaf of the member who proposes it.
type Update struct{ Leaf *Leaf }

// Remove takes a member out.
type Remove struct{ Index LeafIndex }

// PreSharedKey mixes a secret from outside of the group into the next epoch.
type PreSharedKey struct{ ID PSKID }

// ReInit ends the group, so that another with these parameters follows it.
type ReInit struct {
	GroupID    []byte
	Version    uint16
	Suite      Suite
	Extensions []Extension
}

// ExternalInit is how a newcomer's commit gets to a secret that the group can
// derive too.
type ExternalInit struct{ KEMOutput []byte }

// GroupContextExtensions replaces the extensions of the group.
type GroupContextExtensions struct{ Extensions []Extension }

// Type is [TypeAdd].
func (*Add) Type() ProposalType { return TypeAdd }

// Type is [TypeUpdate].
func (*Update) Type() ProposalType { return TypeUpdate }

// Type is [TypeRemove].
func (*Remove) Type() ProposalType { return TypeRemove }

// Type is [TypePreSharedKey].
func (*PreSharedKey) Type() ProposalType { return TypePreSharedKey }

// Type is [TypeReInit].
func (*ReInit) Type() ProposalType { return TypeReInit }

// Type is [TypeExternalInit].
func (*ExternalInit) Type() ProposalType { return TypeExternalInit }

// Type is [TypeGroupContextExtensions].
func (*GroupContextExtensions) Type() ProposalType { return TypeGroupContextExtensions }

func (p *Add) appendBody(b []byte) []byte          { return append(b, p.KeyPackage.raw...) }
func (p *Update) appendBody(b []byte) []byte       { return append(b, p.Leaf.raw...) }
func (p *Remove) appendBody(b []byte) []byte       { return appendU32(b, uint32(p.Index)) }
func (p *PreSharedKey) appendBody(b []byte) []byte { return p.ID.append(b) }
func (p *ExternalInit) appendBody(b []byte) []byte { return appendVec(b, p.KEMOutput) }

func (p *ReInit) appendBody(b []byte) []byte {
	b = appendVec(b, p.GroupID)
	b = appendU16(appendU16(b, p.Version), uint16(p.Suite))
	return appendVec(b, rawExtensions(p.Extensions))
}

func (p *GroupContextExtensions) appendBody(b []byte) []byte {
	return appendVec(b, rawExtensions(p.Extensions))
}

func rawExtensions(list []Extension) extensionList {
	var b []byte
	for _, e := range list {
		b = appendVec(appendU16(b, uint16(e.Type)), e.Data)
	}
	return b
}

func appendProposal(b []byte, p Proposal) []byte {
	return p.appendBody(appendU16(b, uint16(p.Type())))
}

func readProposal(r *reader) Proposal {
	switch ProposalType(r.u16()) {
	case TypeAdd:
		return &Add{readKeyPackage(r)}
	case TypeUpdate:
		return &Update{readLeaf(r)}
	case TypeRemove:
		return &Remove{LeafIndex(r.u32())}
	case TypePreSharedKey:
		return &PreSharedKey{readPSKID(r)}
	case TypeReInit:
		return &ReInit{r.vec(), r.u16(), Suite(r.u16()), readFewExtensions(r)}
	case TypeExternalInit:
		return &ExternalInit{r.long()}
	case TypeGroupContextExtensions:
		return &GroupContextExtensions{readFewExtensions(r)}
	}
	r.fail()
	return nil
}

// maxContextExtensions bounds the extensions of a GroupContext: more of them
// than any application has would only cost memory.
const maxContextExtensions = 64

func readFewExtensions(r *reader) []Extension {
	list := readExtensions(r)
	n := 0
	for s := (&reader{b: list}); s.more(); n++ {
		s.u16()
		s.vec()
	}
	if n > maxContextExtensions {
		r.fail()
		return nil
	}
	return list.all()
}

// PSKType tells where a pre-shared key comes from (section 8.4).
type PSKType uint8

// The sources of a pre-shared key.
const (
	PSKExternal   PSKType = 1
	PSKResumption PSKType = 2
)

// ResumptionUsage tells what a resumption key is used for.
type ResumptionUsage uint8

// The uses of a resumption key. Branching is not supported.
const (
	UsageApplication ResumptionUsage = 1
	UsageReInit      ResumptionUsage = 2
	UsageBranch      ResumptionUsage = 3
)

// PSKID names a pre-shared key. The nonce is fresh in every proposal; left
// empty, a commit fills it in.
type PSKID struct {
	Type    PSKType
	ID      []byte          // PSKExternal
	Usage   ResumptionUsage // PSKResumption
	GroupID []byte          // PSKResumption
	Epoch   uint64          // PSKResumption
	Nonce   []byte
}

// ExternalPSK names the key that [Config.PSK] gives for id.
func ExternalPSK(id []byte) PSKID { return PSKID{Type: PSKExternal, ID: id} }

func (id PSKID) append(b []byte) []byte {
	b = append(b, byte(id.Type))
	if id.Type == PSKExternal {
		b = appendVec(b, id.ID)
	} else {
		b = append(b, byte(id.Usage))
		b = appendVec(b, id.GroupID)
		b = appendU64(b, id.Epoch)
	}
	return appendVec(b, id.Nonce)
}

func readPSKID(r *reader) PSKID {
	id := PSKID{Type: PSKType(r.u8())}
	switch id.Type {
	case PSKExternal:
		id.ID = r.vec()
	case PSKResumption:
		id.Usage = ResumptionUsage(r.u8())
		id.GroupID = r.vec()
		id.Epoch = r.u64()
		if id.Usage < UsageApplication || id.Usage > UsageBranch {
			r.fail()
		}
	default:
		r.fail()
	}
	id.Nonce = r.long()
	return id
}

// pskSecret chains the keys of a commit or Welcome (section 8.4).
func (cs *suite) pskSecret(ids []PSKID, keys [][]byte) []byte {
	secret := make([]byte, cs.nh)
	zero := make([]byte, cs.nh)
	for i, id := range ids {
		extracted := cs.extract(zero, keys[i])
		label := appendU16(appendU16(id.append(nil), uint16(i)), uint16(len(ids)))
		input := cs.expandWithLabel(extracted, "derived psk", label, cs.nh)
		secret = cs.extract(input, secret)
	}
	return secret
}

// proposalOrRef is one entry of a commit: a proposal, or the hash of one that
// was sent before.
type proposalOrRef struct {
	proposal Proposal
	ref      []byte
}

// commitBody is Commit (section 12.4).
type commitBody struct {
	proposals []proposalOrRef
	path      *updatePath
}

func (c *commitBody) append(b []byte) []byte {
	b = appendVecOf(b, func(b []byte) []byte {
		for _, p := range c.proposals {
			if p.proposal != nil {
				b = appendProposal(append(b, 1), p.proposal)
			} else {
				b = appendVec(append(b, 2), p.ref)
			}
		}
		return b
	})
	b = appendOptional(b, c.path != nil)
	if c.path != nil {
		b = c.path.append(b)
	}
	return b
}

func readProposalOrRef(r *reader) proposalOrRef {
	switch r.u8() {
	case 1:
		return proposalOrRef{proposal: readProposal(r)}
	case 2:
		return proposalOrRef{ref: r.long()}
	}
	r.fail()
	return proposalOrRef{}
}

func readCommit(r *reader) *commitBody {
	c := &commitBody{}
	s := r.sub()
	// One pass to count, one to read: growing the slice would cost many times
	// the input.
	count, lists := 0, 0
	for skip := *s; skip.more(); count++ {
		if skipProposalOrRef(&skip) {
			lists++
		}
	}
	if lists > maxExtensionLists {
		s.fail()
	}
	c.proposals = make([]proposalOrRef, 0, count)
	for s.more() {
		c.proposals = append(c.proposals, readProposalOrRef(s))
	}
	r.close(s)
	if r.optional() {
		c.path = readUpdatePath(r)
	}
	return c
}

// maxExtensionLists bounds the proposals of a commit that carry a list of
// extensions; more than one is refused anyway, but not before it is decoded.
const maxExtensionLists = 16

// skipProposalOrRef tells whether it passed a list of extensions.
func skipProposalOrRef(r *reader) bool {
	switch r.u8() {
	case 1:
	case 2:
		r.long()
		return false
	default:
		r.fail()
		return false
	}
	switch ProposalType(r.u16()) {
	case TypeAdd:
		r.u32()
		r.long()
		skipLeaf(r)
		r.vec()
		r.long()
	case TypeUpdate:
		skipLeaf(r)
	case TypeRemove:
		r.u32()
	case TypePreSharedKey:
		if PSKType(r.u8()) == PSKResumption {
			r.u8()
			r.vec()
			r.u64()
		} else {
			r.vec()
		}
		r.long()
	case TypeReInit:
		r.vec()
		r.u32()
		r.vec()
		return true
	case TypeExternalInit:
		r.long()
	case TypeGroupContextExtensions:
		r.vec()
		return true
	default:
		r.fail()
	}
	return false
}

// updatePathNode is UpdatePathNode (section 7.6).
type updatePathNode struct {
	encryptionKey []byte
	secrets       []ciphertext
}

// updatePath is UpdatePath.
type updatePath struct {
	leaf  *Leaf
	nodes []updatePathNode
}

func (p *updatePath) append(b []byte) []byte {
	b = append(b, p.leaf.raw...)
	return appendVecOf(b, func(b []byte) []byte {
		for _, n := range p.nodes {
			b = appendVec(b, n.encryptionKey)
			b = appendVecOf(b, func(b []byte) []byte {
				for _, c := range n.secrets {
					b = c.append(b)
				}
				return b
			})
		}
		return b
	})
}

// maxPathNodes is the height of the highest tree that can be.
const maxPathNodes = 32

func readUpdatePath(r *reader) *updatePath {
	p := &updatePath{leaf: readLeaf(r)}
	s := r.sub()
	for s.more() {
		if len(p.nodes) == maxPathNodes {
			s.fail()
			break
		}
		n := updatePathNode{encryptionKey: s.vec()}
		list := s.sub()
		for list.more() {
			n.secrets = append(n.secrets, ciphertext{list.long(), list.long()})
		}
		s.close(list)
		p.nodes = append(p.nodes, n)
	}
	r.close(s)
	return p
}

func describe(p Proposal) string {
	switch p.(type) {
	case *Add:
		return "add"
	case *Update:
		return "update"
	case *Remove:
		return "remove"
	case *PreSharedKey:
		return "psk"
	case *ReInit:
		return "reinit"
	case *ExternalInit:
		return "external init"
	case *GroupContextExtensions:
		return "group context extensions"
	}
	return fmt.Sprintf("%T", p)
}
