package mls

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"slices"
)

func (k privateKeys) nodes() iter.Seq[nodeIndex] { return maps.Keys(k) }

// Load reads a group from all its records, in any order. Damage is
// [ErrState].
func Load(cfg Config, records []Record) (*Group, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	l := &loader{g: &Group{cfg: cfg}, past: map[uint64]*pastEpoch{}}
	for _, r := range records {
		if bytes.Equal(r.Key, []byte{recordState}) {
			if err := l.state(r.Value); err != nil {
				return nil, fmt.Errorf("load group: %w", err)
			}
		}
	}
	if l.g.cs == nil {
		return nil, fmt.Errorf("load group: no state record: %w", ErrState)
	}
	for _, r := range records {
		if err := l.record(r); err != nil {
			return nil, fmt.Errorf("load group: record %x: %w", r.Key, err)
		}
	}
	if err := l.finish(); err != nil {
		return nil, fmt.Errorf("load group: %w", err)
	}
	return l.g, nil
}

// loader puts a group together from its records.
type loader struct {
	g         *Group
	past      map[uint64]*pastEpoch
	secrets   []pastRecord // of past epochs, until all epochs are known
	proposals []placedProposal
}

type pastRecord struct {
	epoch uint64
	Record
}

type placedProposal struct {
	place uint32
	*storedProposal
}

func (l *loader) state(saved []byte) error {
	r, err := unseal(saved)
	if err != nil {
		return err
	}
	g := l.g
	g.status = Status(r.u8())
	g.contextRaw = r.vec()
	c := &reader{b: g.contextRaw}
	g.context = readGroupContext(c)
	g.interim, g.tag = r.vec(), r.vec()
	g.own = LeafIndex(r.u32())
	private := r.vec()
	leaves := r.u32()
	g.keys = privateKeys{}
	for s := r.sub(); s.more(); {
		x := nodeIndex(s.u32())
		g.keys[x] = s.vec()
		if s.bad {
			r.fail()
		}
	}
	g.secrets = &epochSecrets{}
	g.secrets.each(func(p *[]byte) { *p = r.vec() })
	for s := r.sub(); s.more(); {
		g.resumptions = append(g.resumptions, resumption{s.u64(), s.vec()})
		if s.bad {
			r.fail()
		}
	}
	if r.optional() {
		g.reInit = &ReInit{r.vec(), r.u16(), Suite(r.u16()), readFewExtensions(r)}
	}
	if r.end("state") != nil || c.end("context") != nil || g.status >= Wiped || leaves == 0 || leaves&(leaves-1) != 0 {
		return fmt.Errorf("state record: %w", ErrState)
	}
	cs, err := lookup(g.context.suite)
	if err != nil {
		return err
	}
	g.cs = cs
	g.tree = &tree{cs: cs}
	g.messages = emptySecretTree(cs, leaves)
	if g.signer, err = savedSigner(cs.id, private); err != nil {
		return err
	}
	return l.checkSecrets()
}

func (l *loader) checkSecrets() error {
	var bad bool
	l.g.secrets.each(func(p *[]byte) { bad = bad || len(*p) != l.g.cs.nh && l.g.status != Removed })
	for _, r := range l.g.resumptions {
		bad = bad || len(r.key) != l.g.cs.nh
	}
	if bad {
		return fmt.Errorf("length of a secret: %w", ErrState)
	}
	return nil
}

func (l *loader) record(r Record) error {
	if len(r.Key) == 0 || len(r.Value) == 0 {
		return fmt.Errorf("empty: %w", ErrState)
	}
	switch r.Key[0] {
	case recordState:
		if len(r.Key) == 1 {
			return nil
		}
	case recordNode:
		if len(r.Key) == 5 && r.Value[0] == stateVersion {
			return l.node(nodeIndex(binary.BigEndian.Uint32(r.Key[1:])), r.Value[1:])
		}
	case recordSecret, recordRatchet:
		return l.g.messages.load(r)
	case recordProposal:
		if len(r.Key) == 5 {
			return l.proposal(binary.BigEndian.Uint32(r.Key[1:]), r.Value)
		}
	case recordPast:
		if len(r.Key) > 9 {
			epoch := binary.BigEndian.Uint64(r.Key[1:])
			if len(r.Key) == 10 && r.Key[9] == recordState {
				return l.pastState(epoch, r.Value)
			}
			l.secrets = append(l.secrets, pastRecord{epoch, Record{r.Key[9:], r.Value}})
			return nil
		}
	}
	return fmt.Errorf("unknown: %w", ErrState)
}

// maxSavedLeaves bounds a tree before anything is allocated for it.
const maxSavedLeaves = 1 << 20

func (l *loader) node(x nodeIndex, raw []byte) error {
	t := l.g.tree
	if x >= 2*maxSavedLeaves {
		return fmt.Errorf("node %d: %w", x, ErrState)
	}
	r := &reader{b: bytesClone(raw)}
	if x.isLeaf() {
		t.setLeaf(x.leaf(), readLeaf(r))
	} else {
		p := readParent(r)
		i := int(x / 2)
		if i >= len(t.parents) {
			t.parents = append(t.parents, make([]*parentNode, i+1-len(t.parents))...)
		}
		t.parents[i] = p
	}
	if err := r.end("node"); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	return nil
}

// load takes one record of a secret tree.
func (s *secretTree) load(r Record) error {
	switch {
	case r.Key[0] == recordSecret && len(r.Key) == 5 && len(r.Value) == 1+s.cs.nh && r.Value[0] == stateVersion:
		x := nodeIndex(binary.BigEndian.Uint32(r.Key[1:]))
		if x <= 2*nodeIndex(s.leaves-1) {
			s.nodes[x] = bytesClone(r.Value[1:])
			return nil
		}
	case r.Key[0] == recordRatchet && len(r.Key) == 6 && r.Key[5] <= byte(ratchetApplication):
		id := ratchetID{LeafIndex(binary.BigEndian.Uint32(r.Key[1:])), ratchetKind(r.Key[5])}
		ratchet, err := decodeRatchet(s.cs, r.Value)
		if err != nil {
			return err
		}
		if uint32(id.leaf) < s.leaves {
			s.ratchets[id] = ratchet
			return nil
		}
	}
	return fmt.Errorf("secret tree: %w", ErrState)
}

func (l *loader) proposal(place uint32, saved []byte) error {
	r, err := unseal(saved)
	if err != nil {
		return err
	}
	p := &storedProposal{}
	p.Sender, p.ByReference = readSender(r), true
	p.ref = r.vec()
	p.Proposal = readProposal(r)
	p.key = r.vec()
	private := r.vec()
	if err := r.end("proposal"); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	if p.signer, err = savedSigner(l.g.cs.id, private); err != nil {
		return err
	}
	l.proposals = append(l.proposals, placedProposal{place, p})
	return nil
}

func (l *loader) pastState(epoch uint64, saved []byte) error {
	r, err := unseal(saved)
	if err != nil {
		return err
	}
	p := &pastEpoch{epoch: epoch, contextRaw: r.vec(), senderData: r.vec()}
	p.messages = emptySecretTree(l.g.cs, r.u32())
	s := r.sub()
	for s.more() {
		p.signatureKeys = append(p.signatureKeys, s.vec())
	}
	r.close(s)
	if r.end("past epoch") != nil || len(p.senderData) != l.g.cs.nh {
		return fmt.Errorf("past epoch: %w", ErrState)
	}
	l.past[epoch] = p
	return nil
}

// finish puts in order what came in any, and checks that all fits together.
func (l *loader) finish() error {
	g := l.g
	slices.SortFunc(l.proposals, func(a, b placedProposal) int { return cmp.Compare(a.place, b.place) })
	for _, p := range l.proposals {
		g.proposals = append(g.proposals, p.storedProposal)
	}
	g.saved = len(g.proposals)
	for _, epoch := range slices.Sorted(maps.Keys(l.past)) {
		g.past = append(g.past, l.past[epoch])
	}
	for _, r := range l.secrets {
		p := l.past[r.epoch]
		if p == nil {
			return fmt.Errorf("secrets of a past epoch without it: %w", ErrState)
		}
		if err := p.messages.load(r.Record); err != nil {
			return err
		}
	}
	if len(g.tree.leaves) == 0 || len(g.tree.parents) > int(g.tree.width()) {
		return fmt.Errorf("ratchet tree: %w", ErrState)
	}
	if !bytes.Equal(g.tree.rootHash(), g.context.treeHash) {
		return fmt.Errorf("tree hash: %w", ErrState)
	}
	if g.status != Removed && g.tree.leaf(g.own) == nil {
		return fmt.Errorf("own leaf: %w", ErrState)
	}
	for x, key := range g.keys {
		if x > 2*nodeIndex(g.tree.width()-1) || g.tree.blank(x) {
			return fmt.Errorf("private key of blank node %d: %w", x, ErrState)
		}
		if _, err := g.cs.privateKey(key); err != nil {
			return fmt.Errorf("private key of node %d: %w", x, ErrState)
		}
	}
	return nil
}
