package mls

import (
	"bytes"
	"fmt"
	"slices"
)

// CommitOptions say what a commit holds and how it is sent.
type CommitOptions struct {
	// Proposals go by value, in this order.
	Proposals []Proposal
	// ByReference commits also what was proposed by messages, as far as it
	// fits with the rest.
	ByReference bool
	// ForcePath gives the commit a path even where the RFC demands none.
	ForcePath         bool
	AuthenticatedData []byte
	// Public sends a PublicMessage instead of a PrivateMessage.
	Public bool
	// Leaf changes this member's own leaf; it implies a path.
	Leaf *LeafUpdate
	// TreeInWelcome puts the ratchet tree into the Welcome.
	TreeInWelcome bool
	// WelcomeExtensions gives the extensions of the Welcome's GroupInfo. It is
	// called with the group of the new epoch, once, if somebody joins.
	WelcomeExtensions func(next *Group) ([]Extension, error)
	// PadTo rounds a PrivateMessage up to a multiple of this many bytes.
	PadTo int
	// From is the group that this one follows after a ReInit: its resumption
	// key is found there.
	From *Group
}

// LeafUpdate says what changes in an own leaf besides its encryption key.
type LeafUpdate struct {
	Credential   *Credential
	Signer       *SigningKey
	Capabilities *Capabilities
	Extensions   *[]Extension
}

// template is the leaf to be, with everything that does not change.
func (u *LeafUpdate) template(old *Leaf, source LeafSource, encryptionKey []byte) (*leafTemplate, error) {
	t := &leafTemplate{encryptionKey: encryptionKey, credential: parseCredential(old.credential),
		capabilities: old.Capabilities(), source: source, extensions: old.extensions}
	if u == nil {
		return t, nil
	}
	if u.Credential != nil {
		t.credential = *u.Credential
	}
	if u.Capabilities != nil {
		t.capabilities = *u.Capabilities
	}
	if u.Extensions != nil {
		list, err := makeExtensions(*u.Extensions)
		if err != nil {
			return nil, err
		}
		t.extensions = list
	}
	return t, nil
}

func (u *LeafUpdate) signer(old *SigningKey) *SigningKey {
	if u != nil && u.Signer != nil {
		return u.Signer
	}
	return old
}

// Pending is an own commit that is not in force yet.
type Pending struct {
	from     *Group // nil after an external join
	next     *Group
	message  []byte
	info     *CommitInfo
	welcome  []byte
	pieces   []WelcomePiece
	finished bool
}

// WelcomePiece is the Welcome of one joiner alone.
type WelcomePiece struct {
	Ref        []byte
	KeyPackage *KeyPackage
	Welcome    []byte // an MLSMessage
}

// String keeps the secrets out of logs.
func (p *Pending) String() string { return "[redacted]" }

// GoString keeps the secrets out of logs.
func (p *Pending) GoString() string { return "[redacted]" }

// Message is the commit, an MLSMessage.
func (p *Pending) Message() []byte { return bytesClone(p.message) }

// Info tells what the commit does. It is nil after [Group.LoadPending].
func (p *Pending) Info() *CommitInfo { return p.info }

// Welcome is one Welcome for all joiners, nil if nobody joins.
func (p *Pending) Welcome() []byte { return bytes.Clone(p.welcome) }

// WelcomePieces are Welcomes for each joiner alone, in the order of the Adds.
func (p *Pending) WelcomePieces() []WelcomePiece { return slices.Clone(p.pieces) }

// Next is the group of the epoch that the commit starts, for exporting what
// goes beside the commit. Nothing may be sent with it before the commit is
// accepted.
func (p *Pending) Next() *Group { return p.next }

// Apply gives the group of the new epoch. Call it when the commit was
// accepted.
func (p *Pending) Apply() (*Group, error) {
	if p.finished {
		return nil, fmt.Errorf("apply pending commit twice: %w", ErrUsage)
	}
	p.finished = true
	if p.from != nil {
		p.from.keep(p.next)
	}
	return p.next, nil
}

// Drop overwrites the secrets of a commit that was not accepted.
func (p *Pending) Drop() {
	if !p.finished {
		p.finished = true
		p.next.Wipe()
	}
}

// draft is a commit in the making.
type draft struct {
	options CommitOptions
	list    []resolvedProposal
	sender  Sender
	init    []byte // init_secret of the epoch before, or of ExternalInit
	signer  *SigningKey
	keys    privateKeys
	t       *transition
	path    *newPath
	// newcomer stands in for an external joiner's leaf.
	newcomer *Leaf
}

// Commit makes a commit. Nothing changes but the position of the own
// handshake ratchet, for which [Group.Changes] has to be saved before the
// message leaves; the new epoch is entered by [Pending.Apply].
func (g *Group) Commit(o CommitOptions) (*Pending, error) {
	if err := g.usable(); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	d := &draft{options: o, sender: Sender{SenderMember, g.own}, init: g.secrets.init, signer: g.signer, keys: g.keys.clone()}
	var err error
	if d.list, err = g.collect(o); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	p, err := g.commit(d)
	if err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	p.from = g
	return p, nil
}

// collect lists the proposals of a commit: those by reference first.
func (g *Group) collect(o CommitOptions) ([]resolvedProposal, error) {
	var list []resolvedProposal
	own := Sender{SenderMember, g.own}
	for _, p := range o.Proposals {
		switch p := p.(type) {
		case *PreSharedKey:
			id := p.ID
			if len(id.Nonce) == 0 {
				id.Nonce = random(g.cs.nh)
			}
			list = append(list, resolvedProposal{Proposed: Proposed{&PreSharedKey{id}, own, false}})
		case *GroupContextExtensions:
			if _, err := makeExtensions(p.Extensions); err != nil {
				return nil, err
			}
			list = append(list, resolvedProposal{Proposed: Proposed{p, own, false}})
		case *Update, *ExternalInit:
			return nil, fmt.Errorf("%s by value: %w", describe(p), ErrUsage)
		default:
			list = append(list, resolvedProposal{Proposed: Proposed{p, own, false}})
		}
	}
	if o.ByReference {
		list = slices.Concat(g.fitting(list), list)
	}
	return list, nil
}

// fitting picks the pending proposals that can stand in one commit by this
// member with the given ones: of several for a leaf a Remove goes before an
// Update and the later before the earlier.
func (g *Group) fitting(given []resolvedProposal) []resolvedProposal {
	taken := map[LeafIndex]bool{g.own: true}
	once := map[ProposalType]bool{}
	reInit := false
	for _, p := range given {
		if remove, ok := p.Proposal.(*Remove); ok {
			taken[remove.Index] = true
		}
		once[p.Proposal.Type()] = true
	}
	var list []resolvedProposal
	pick := func(p *storedProposal) {
		list = append(list, resolvedProposal{Proposed{p.Proposal, p.Sender, true}, p})
	}
	for _, pass := range []ProposalType{TypeReInit, TypeRemove, TypeUpdate, TypeAdd} {
		for _, p := range slices.Backward(g.proposals) {
			switch proposal := p.Proposal.(type) {
			case *ReInit:
				if pass == TypeReInit && len(given) == 0 && !reInit {
					reInit = true
					pick(p)
				}
			case *Remove:
				if pass == TypeRemove && !reInit && !taken[proposal.Index] {
					taken[proposal.Index] = true
					pick(p)
				}
			case *Update:
				if pass == TypeUpdate && !reInit && !taken[p.Sender.Leaf] {
					taken[p.Sender.Leaf] = true
					pick(p)
				}
			case *GroupContextExtensions:
				if pass == TypeAdd && !reInit && !once[TypeGroupContextExtensions] {
					once[TypeGroupContextExtensions] = true
					pick(p)
				}
			default:
				if pass == TypeAdd && !reInit {
					pick(p)
				}
			}
		}
	}
	slices.Reverse(list)
	return list
}

// commit turns a draft into a pending commit.
func (g *Group) commit(d *draft) (*Pending, error) {
	t, err := g.transition(d.list, d.sender)
	if err != nil {
		return nil, err
	}
	d.t = t
	if d.newcomer != nil {
		t.committer = t.tree.add(d.newcomer, 0)
	}
	a := &authenticatedContent{wire: wirePrivate, content: &framedContent{
		groupID: g.context.groupID, epoch: g.context.epoch, sender: d.sender,
		authenticatedData: d.options.AuthenticatedData, contentType: ContentCommit, commit: &commitBody{},
	}}
	if d.options.Public {
		a.wire = wirePublic
	}
	for _, p := range d.list {
		if p.ByReference {
			a.content.commit.proposals = append(a.content.commit.proposals, proposalOrRef{ref: p.stored.ref})
		} else {
			a.content.commit.proposals = append(a.content.commit.proposals, proposalOrRef{proposal: p.Proposal})
		}
	}
	commitSecret := make([]byte, g.cs.nh)
	if t.needsPath || d.options.ForcePath || d.options.Leaf != nil {
		if a.content.commit.path, err = g.makePath(d); err != nil {
			return nil, err
		}
		commitSecret = d.path.commit
	}
	info, err := g.judge(d, a)
	if err != nil {
		return nil, err
	}
	keys, err := g.cfg.pskKeys(t.psks, g, d.options.From)
	if err != nil {
		return nil, err
	}
	if err := a.sign(d.signer, g.contextRaw); err != nil {
		return nil, err
	}
	d.keys.prune(g.tree, t.tree)
	if d.path != nil {
		for x, key := range d.path.keys {
			d.keys[x] = key
		}
	}
	n := g.advance(t, a, d.init, commitSecret, g.cs.pskSecret(t.psks, keys), d.keys)
	n.group.own = t.committer
	n.group.signer = d.options.Leaf.signer(d.signer)
	a.confirmationTag = g.cs.mac(n.group.secrets.confirmation, n.group.context.confirmed)
	g.settle(n.group, a.confirmationTag)
	p := &Pending{next: n.group, info: info}
	err = p.makeWelcome(d, n)
	clear(commitSecret)
	d.path.wipe()
	if err != nil {
		return nil, err
	}
	p.message, err = g.frame(a, d.options.PadTo)
	return p, err
}

// frame turns signed content into a message.
func (g *Group) frame(a *authenticatedContent, padTo int) ([]byte, error) {
	if a.wire == wirePrivate {
		return g.protect(a, padTo)
	}
	if a.content.sender.Type == SenderMember {
		a.membershipTag = a.membershipMAC(g.cs, g.secrets.membership, g.contextRaw)
	}
	return a.public(), nil
}

// makePath draws fresh path secrets, puts their keys into the new tree and
// encrypts the secrets (section 7.5).
func (g *Group) makePath(d *draft) (*updatePath, error) {
	t, i := d.t, d.t.committer
	steps := t.tree.filteredPath(i)
	path, err := g.cs.makePath(steps, random(g.cs.nh))
	if err != nil {
		return nil, err
	}
	d.path = path
	key, raw, err := generatedKey(g.cs)
	if err != nil {
		return nil, err
	}
	path.keys[i.node()] = raw
	hash := t.tree.setPath(i, steps, path.publics)
	template, err := d.options.Leaf.template(t.tree.leaf(i), SourceCommit, key.PublicKey().Bytes())
	if err != nil {
		return nil, err
	}
	template.parentHash = hash
	leaf, err := template.sign(d.options.Leaf.signer(d.signer), g.context.groupID, i)
	if err != nil {
		return nil, err
	}
	t.tree.setLeaf(i, leaf)
	event := EventCommit
	if t.external {
		event = EventExternalJoin
	}
	t.changed = append(t.changed, changedLeaf{i, event, g.replaced(t)})
	nodes, err := t.tree.encryptPath(path, t.added, g.provisional(t))
	return &updatePath{leaf, nodes}, err
}

// replaced is the leaf that the committer's new one comes in place of.
func (g *Group) replaced(t *transition) *Leaf {
	if !t.external {
		return g.tree.leaf(t.committer)
	}
	if len(t.removed) == 1 {
		return t.removed[0].Leaf
	}
	return nil
}

// provisional is the GroupContext that path secrets are bound to: of the next
// epoch, but with the transcript of this one.
func (g *Group) provisional(t *transition) []byte {
	context := groupContext{g.context.suite, g.context.groupID, g.context.epoch + 1, t.tree.rootHash(), g.context.confirmed, t.extensions}
	return context.encode()
}

// judge runs the checks on the tree to be and the application's rules.
func (g *Group) judge(d *draft, a *authenticatedContent) (*CommitInfo, error) {
	var steps []pathStep
	if d.path != nil {
		steps = d.path.steps
	}
	context := &groupContext{suite: g.context.suite, groupID: g.context.groupID, epoch: g.context.epoch + 1, extensions: d.t.extensions}
	if err := g.checkNew(d.t, context, steps); err != nil {
		return nil, err
	}
	info := g.info(d.t, context, d.list)
	return info, g.rules(info, a)
}

func (g *Group) rules(info *CommitInfo, a *authenticatedContent) error {
	info.Private = a.wire == wirePrivate
	info.HasPath = a.content.commit.path != nil
	info.AuthenticatedData = bytesClone(a.content.authenticatedData)
	if g.cfg.Rules == nil {
		return nil
	}
	if err := g.cfg.Rules(&info.Change); err != nil {
		return fmt.Errorf("%w: %w", ErrRules, err)
	}
	return nil
}
