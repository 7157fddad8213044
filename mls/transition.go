package mls

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// transition is what the proposals of a commit do to a group, before its
// path.
type transition struct {
	tree       *tree
	extensions extensionList
	committer  LeafIndex
	external   bool
	added      []LeafIndex
	packages   []*KeyPackage // of added
	removed    []Member
	changed    []changedLeaf
	psks       []PSKID
	reInit     *ReInit
	kemOutput  []byte // ExternalInit's
	contextNew bool
	needsPath  bool
	ownUpdate  *storedProposal
}

// judgement is a proposal list sorted by type.
type judgement struct {
	gce      *GroupContextExtensions
	updates  []resolvedProposal
	removes  []LeafIndex
	adds     []*KeyPackage
	psks     []PSKID
	reInit   *ReInit
	external *ExternalInit
}

// resolvedProposal is a proposal with where it came from.
type resolvedProposal struct {
	Proposed
	stored *storedProposal // nil by value
}

// transition judges a list of proposals (section 12.2) and applies them to a
// clone of the tree (section 12.3).
func (g *Group) transition(list []resolvedProposal, sender Sender) (*transition, error) {
	external := sender.Type == SenderNewMemberCommit
	j, err := g.sort(list, sender)
	if err != nil {
		return nil, err
	}
	if external {
		err = j.checkExternal(list)
	} else {
		err = j.checkMember(list)
	}
	if err != nil {
		return nil, err
	}
	t := &transition{tree: g.tree.clone(), extensions: g.context.extensions, committer: sender.Leaf, external: external,
		psks: j.psks, reInit: j.reInit}
	t.needsPath = len(list) == 0 || j.gce != nil || len(j.updates) > 0 || len(j.removes) > 0 || j.external != nil
	if j.external != nil {
		t.kemOutput = j.external.KEMOutput
	}
	if err := g.applyContext(t, j.gce); err != nil {
		return nil, err
	}
	if err := g.applyUpdates(t, j.updates); err != nil {
		return nil, err
	}
	for _, i := range j.removes {
		t.removed = append(t.removed, Member{i, t.tree.leaf(i)})
		t.tree.remove(i)
	}
	return t, g.applyAdds(t, j.adds)
}

// sort judges every proposal by itself and puts it with its like.
func (g *Group) sort(list []resolvedProposal, committer Sender) (*judgement, error) {
	j := &judgement{}
	touched := map[LeafIndex]bool{}
	touch := func(i LeafIndex) error {
		if g.tree.leaf(i) == nil {
			return fmt.Errorf("leaf %d: %w", i, ErrUnknownLeaf)
		}
		if touched[i] {
			return fmt.Errorf("leaf %d: %w", i, ErrDuplicateLeaf)
		}
		touched[i] = true
		return nil
	}
	for _, p := range list {
		var err error
		switch proposal := p.Proposal.(type) {
		case *Add:
			j.adds = append(j.adds, proposal.KeyPackage)
		case *Update:
			if committer.Type == SenderMember && p.Sender == committer {
				return nil, ErrSelfUpdate
			}
			err = touch(p.Sender.Leaf)
			j.updates = append(j.updates, p)
		case *Remove:
			if committer.Type == SenderMember && proposal.Index == committer.Leaf {
				return nil, ErrSelfRemove
			}
			err = touch(proposal.Index)
			j.removes = append(j.removes, proposal.Index)
		case *PreSharedKey:
			err = g.checkPSK(proposal.ID, j.psks)
			j.psks = append(j.psks, proposal.ID)
		case *ReInit:
			err = g.checkReInit(proposal)
			j.reInit = proposal
		case *ExternalInit:
			if j.external != nil {
				err = fmt.Errorf("two external inits: %w", ErrProposalList)
			}
			j.external = proposal
		case *GroupContextExtensions:
			if j.gce != nil {
				err = fmt.Errorf("two group context extensions: %w", ErrProposalList)
			}
			j.gce = proposal
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", describe(p.Proposal), err)
		}
	}
	return j, nil
}

func (g *Group) checkPSK(id PSKID, before []PSKID) error {
	if len(id.Nonce) != g.cs.nh {
		return fmt.Errorf("nonce of %d bytes: %w", len(id.Nonce), ErrPSK)
	}
	// The keys of another group come in only while this one starts.
	if id.Type == PSKResumption && id.Usage != UsageApplication && g.context.epoch > 0 {
		return fmt.Errorf("usage %d: %w", id.Usage, ErrPSK)
	}
	if slices.ContainsFunc(before, func(other PSKID) bool {
		return bytes.Equal(id.append(nil), other.append(nil))
	}) {
		return fmt.Errorf("twice: %w", ErrPSK)
	}
	return nil
}

func (g *Group) checkReInit(p *ReInit) error {
	if p.Version != versionMLS10 {
		return fmt.Errorf("version %d: %w", p.Version, ErrReInit)
	}
	if err := rawExtensions(p.Extensions).checkContext(); err != nil {
		return fmt.Errorf("%w: %w", ErrReInit, err)
	}
	return nil
}

// checkMember is section 12.2 for a member's commit.
func (j *judgement) checkMember(list []resolvedProposal) error {
	if j.external != nil {
		return fmt.Errorf("external init by a member: %w", ErrProposalList)
	}
	if j.reInit != nil && len(list) > 1 {
		return fmt.Errorf("reinit with other proposals: %w", ErrProposalList)
	}
	return nil
}

// checkExternal is section 12.2 for an external commit.
func (j *judgement) checkExternal(list []resolvedProposal) error {
	if slices.ContainsFunc(list, func(p resolvedProposal) bool { return p.ByReference }) {
		return fmt.Errorf("proposal by reference: %w", ErrExternal)
	}
	if j.external == nil {
		return fmt.Errorf("no external init: %w", ErrExternal)
	}
	if len(j.removes) > 1 {
		return fmt.Errorf("two removes: %w", ErrExternal)
	}
	if j.gce != nil || j.reInit != nil || len(j.updates) > 0 || len(j.adds) > 0 {
		return fmt.Errorf("proposal of a type that only members commit: %w", ErrExternal)
	}
	return nil
}

func (g *Group) applyContext(t *transition, p *GroupContextExtensions) error {
	if p == nil {
		return nil
	}
	t.extensions = rawExtensions(p.Extensions)
	t.contextNew = true
	if !t.extensions.ok() {
		return fmt.Errorf("an extension twice: %w", ErrExtension)
	}
	if err := t.extensions.checkContext(); err != nil {
		return err
	}
	return g.cfg.checkExternalSenders(&groupContext{groupID: g.context.groupID, extensions: t.extensions})
}

func (c Config) checkExternalSenders(context *groupContext) error {
	senders, err := context.extensions.externalSenders()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrExtension, err)
	}
	for _, s := range senders {
		err := c.Credential(CredentialCheck{Event: EventExternalSender, GroupID: bytesClone(context.groupID),
			Credential: parseCredential(s.credential), SignatureKey: bytesClone(s.signatureKey)})
		if err != nil {
			return fmt.Errorf("external sender: %w: %w", ErrCredential, err)
		}
	}
	return nil
}

func (g *Group) applyUpdates(t *transition, updates []resolvedProposal) error {
	for _, p := range updates {
		i, leaf := p.Sender.Leaf, p.Proposal.(*Update).Leaf
		if p.Sender.Type != SenderMember {
			return fmt.Errorf("update: %w", ErrSenderType)
		}
		if err := g.checkReplacement(i, leaf, SourceUpdate); err != nil {
			return fmt.Errorf("update: %w", err)
		}
		t.changed = append(t.changed, changedLeaf{i, EventUpdate, g.tree.leaf(i)})
		t.tree.update(i, leaf)
		if i == g.own {
			t.ownUpdate = p.stored
		}
	}
	return nil
}

// checkReplacement judges the signature, source and keys of a leaf that comes
// in place of the member's at i.
func (g *Group) checkReplacement(i LeafIndex, leaf *Leaf, source LeafSource) error {
	if leaf.source != source {
		return fmt.Errorf("leaf %d: %w", i, ErrLeafSource)
	}
	if old := g.tree.leaf(i); old != nil && bytes.Equal(leaf.encryptionKey, old.encryptionKey) {
		return fmt.Errorf("leaf %d keeps its encryption key: %w", i, ErrLeaf)
	}
	if err := g.cs.checkPublic(leaf.encryptionKey); err != nil {
		return err
	}
	return leaf.verify(g.cs, g.context.groupID, i)
}

func (g *Group) applyAdds(t *transition, adds []*KeyPackage) error {
	err := parallel(len(adds), func(k int) error {
		if err := adds[k].checkFor(g.context.suite); err != nil {
			return fmt.Errorf("add: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	from := LeafIndex(0)
	for _, k := range adds {
		from = t.tree.add(k.leaf, from)
		t.added = append(t.added, from)
		t.packages = append(t.packages, k)
		t.changed = append(t.changed, changedLeaf{from, EventAdd, nil})
	}
	return nil
}

// checkFor judges a KeyPackage for a group of the given suite.
func (k *KeyPackage) checkFor(s Suite) error {
	if k.version != versionMLS10 {
		return fmt.Errorf("key package: %w", ErrVersion)
	}
	if k.suite != s {
		return fmt.Errorf("key package for suite %#x: %w", uint16(k.suite), ErrSuiteMismatch)
	}
	if k.verified.Load() {
		return nil
	}
	err := k.verify()
	if err != nil && !errors.Is(err, ErrInvalid) {
		return fmt.Errorf("%w: %w", ErrKeyPackage, err)
	}
	return err
}

// checkNew judges the leaves and keys of the tree after the proposals and the
// path.
func (g *Group) checkNew(t *transition, context *groupContext, path []pathStep) error {
	if err := t.tree.checkLeaves(context, g.cfg.Credential, t.changed, t.contextNew); err != nil {
		return err
	}
	nodes := make([]nodeIndex, 0, len(t.changed)+len(path))
	for _, c := range t.changed {
		nodes = append(nodes, c.index.node())
	}
	for _, s := range path {
		nodes = append(nodes, s.node)
	}
	return t.tree.checkKeys(nodes)
}

// info tells about the transition; the views are of before and after.
func (g *Group) info(t *transition, context *groupContext, list []resolvedProposal) *CommitInfo {
	info := &CommitInfo{
		Change: Change{
			Old: g.View(), New: &View{context, t.tree},
			Committer: t.committer, External: t.external,
		},
		PSKs: t.psks, ExtensionsChanged: t.contextNew, ReInit: t.reInit, Removed: t.removed,
		Resync: t.external && len(t.removed) > 0,
	}
	for _, p := range list {
		info.Proposals = append(info.Proposals, p.Proposed)
	}
	for _, i := range t.added {
		info.Added = append(info.Added, Member{i, t.tree.leaf(i)})
	}
	for _, c := range t.changed {
		switch c.event {
		case EventUpdate, EventCommit:
			info.Updated = append(info.Updated, Updated{c.index, c.old, t.tree.leaf(c.index)})
		case EventExternalJoin:
			info.Added = append(info.Added, Member{c.index, t.tree.leaf(c.index)})
		}
	}
	info.CommitterLeaf = g.tree.leaf(t.committer)
	if t.external {
		info.CommitterLeaf = t.tree.leaf(t.committer)
	}
	for _, m := range t.removed {
		info.SelfRemoved = info.SelfRemoved || m.Index == g.own
	}
	return info
}

// CommitInfo tells what a commit does.
type CommitInfo struct {
	Change
	Added   []Member
	Removed []Member
	// Updated has the leaves that were replaced, the committer's among them
	// when the commit has a path.
	Updated           []Updated
	PSKs              []PSKID
	ExtensionsChanged bool
	ReInit            *ReInit
	SelfRemoved       bool
	// Resync tells that an external joiner removed its own old leaf.
	Resync bool
}

// Updated is a leaf that was replaced.
type Updated struct {
	Index    LeafIndex
	Old, New *Leaf
}
