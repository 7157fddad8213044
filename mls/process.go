package mls

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Kind tells what a received message was.
type Kind uint8

// The kinds of received messages.
const (
	KindApplication Kind = Kind(ContentApplication)
	KindProposal    Kind = Kind(ContentProposal)
	KindCommit      Kind = Kind(ContentCommit)
)

// Received is a message that was verified.
type Received struct {
	Kind              Kind
	Sender            Sender
	Epoch             uint64
	AuthenticatedData []byte
	Private           bool
	Generation        uint32 // of the sender's ratchet, private messages only
	Data              []byte // application messages
	Proposal          Proposal
	Commit            *Staged
}

// Staged is a commit of somebody else that was verified but is not in force.
type Staged struct {
	from     *Group
	next     *Group
	info     *CommitInfo
	key      *opened
	finished bool
}

// String keeps the secrets out of logs.
func (s *Staged) String() string { return "[redacted]" }

// GoString keeps the secrets out of logs.
func (s *Staged) GoString() string { return "[redacted]" }

// Info tells what the commit does.
func (s *Staged) Info() *CommitInfo { return s.info }

// Next is the group of the epoch that the commit starts, for reading before
// Apply.
func (s *Staged) Next() *Group { return s.next }

// Apply gives the group of the new epoch. If the commit removes this member,
// that is a group with [Removed] status that holds no secrets.
func (s *Staged) Apply() (*Group, error) {
	if s.finished {
		return nil, fmt.Errorf("apply staged commit twice: %w", ErrUsage)
	}
	s.finished = true
	if s.next.status == Removed {
		return s.next, nil
	}
	if s.key != nil && s.from.cfg.KeepEpochs > 0 {
		s.key.messages.consume(s.key.key)
	}
	s.from.keep(s.next)
	return s.next, nil
}

// Drop overwrites the secrets of a commit that will not be applied. It can be
// processed again.
func (s *Staged) Drop() {
	if !s.finished {
		s.finished = true
		s.next.Wipe()
	}
}

// Process verifies a message of the group. An application message is
// decrypted, a proposal kept for the commit that refers to it, a commit
// staged. A message that is refused changes nothing.
func (g *Group) Process(message []byte) (*Received, error) {
	r, err := g.process(message, false)
	if err != nil {
		return nil, fmt.Errorf("process: %w", err)
	}
	return r, nil
}

// Decrypt is Process for application messages only: a handshake is refused
// before anything of it is opened.
func (g *Group) Decrypt(message []byte) (*Received, error) {
	r, err := g.process(message, true)
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w", err)
	}
	return r, nil
}

func (g *Group) process(message []byte, onlyApplication bool) (*Received, error) {
	if err := g.usable(); err != nil {
		return nil, err
	}
	public, private, err := readFramed(message)
	if err != nil {
		return nil, err
	}
	if private != nil {
		if onlyApplication && private.contentType != ContentApplication {
			return nil, fmt.Errorf("a handshake: %w", ErrWireFormat)
		}
		return g.processPrivate(private)
	}
	if onlyApplication {
		return nil, fmt.Errorf("a public message: %w", ErrWireFormat)
	}
	return g.processPublic(public)
}

func (g *Group) processPrivate(p *privateMessage) (*Received, error) {
	if !bytes.Equal(p.groupID, g.context.groupID) {
		return nil, ErrWrongGroup
	}
	o, err := g.unprotect(p)
	if err != nil {
		return nil, err
	}
	c := o.content.content
	r := &Received{Kind: Kind(c.contentType), Sender: c.sender, Epoch: c.epoch, AuthenticatedData: c.authenticatedData,
		Private: true, Generation: o.content.generation}
	switch c.contentType {
	case ContentApplication:
		o.messages.consume(o.key)
		r.Data = c.application
	case ContentProposal:
		if r.Proposal, err = g.receiveProposal(o.content); err != nil {
			return nil, err
		}
		o.messages.consume(o.key)
	case ContentCommit:
		if r.Commit, err = g.stage(o.content); err != nil {
			return nil, err
		}
		r.Commit.key = o
	}
	return r, nil
}

// processPublic is section 6.2.
func (g *Group) processPublic(a *authenticatedContent) (*Received, error) {
	c := a.content
	if !bytes.Equal(c.groupID, g.context.groupID) {
		return nil, ErrWrongGroup
	}
	if c.epoch > g.context.epoch {
		return nil, fmt.Errorf("epoch %d in epoch %d: %w", c.epoch, g.context.epoch, ErrFutureEpoch)
	}
	if c.epoch < g.context.epoch {
		return nil, fmt.Errorf("epoch %d in epoch %d: %w", c.epoch, g.context.epoch, ErrPastEpoch)
	}
	if c.contentType == ContentApplication {
		return nil, fmt.Errorf("application data in the clear: %w", ErrWireFormat)
	}
	key, err := g.senderKey(a)
	if err != nil {
		return nil, err
	}
	if c.sender.Type == SenderMember && !equalSecret(a.membershipTag, a.membershipMAC(g.cs, g.secrets.membership, g.contextRaw)) {
		return nil, ErrMembershipTag
	}
	if c.sender.Type == SenderMember && c.sender.Leaf == g.own {
		return nil, ErrOwnMessage
	}
	if err := a.verify(g.cs, key, g.contextRaw); err != nil {
		return nil, err
	}
	r := &Received{Kind: Kind(c.contentType), Sender: c.sender, Epoch: c.epoch, AuthenticatedData: c.authenticatedData}
	if c.contentType == ContentProposal {
		r.Proposal, err = g.receiveProposal(a)
	} else {
		r.Commit, err = g.stage(a)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// senderKey finds the public key that a PublicMessage verifies with, which
// also judges whether such a sender may send such content.
func (g *Group) senderKey(a *authenticatedContent) ([]byte, error) {
	c := a.content
	switch c.sender.Type {
	case SenderMember:
		l := g.tree.leaf(c.sender.Leaf)
		if l == nil {
			return nil, fmt.Errorf("leaf %d: %w", c.sender.Leaf, ErrUnknownSender)
		}
		return l.signatureKey, nil
	case SenderExternal:
		senders, err := g.context.extensions.externalSenders()
		if err != nil {
			return nil, err
		}
		if int64(c.sender.Leaf) >= int64(len(senders)) {
			return nil, fmt.Errorf("external sender %d: %w", c.sender.Leaf, ErrUnknownSender)
		}
		if c.contentType == ContentProposal {
			switch c.proposal.Type() {
			case TypeAdd, TypeRemove, TypePreSharedKey, TypeReInit, TypeGroupContextExtensions:
				return senders[c.sender.Leaf].signatureKey, nil
			}
		}
	case SenderNewMemberProposal:
		if add, ok := c.proposal.(*Add); ok && c.contentType == ContentProposal {
			return add.KeyPackage.leaf.signatureKey, nil
		}
	case SenderNewMemberCommit:
		if c.contentType == ContentCommit {
			if c.commit.path == nil {
				return nil, fmt.Errorf("external commit: %w", ErrPathRequired)
			}
			return c.commit.path.leaf.signatureKey, nil
		}
	}
	return nil, fmt.Errorf("sender type %d: %w", c.sender.Type, ErrSenderType)
}

// maxProposals bounds the proposals that are kept in an epoch.
const maxProposals = 4096

// receiveProposal judges a proposal by itself and keeps it for a commit.
func (g *Group) receiveProposal(a *authenticatedContent) (Proposal, error) {
	c := a.content
	if len(g.proposals) >= maxProposals {
		return nil, fmt.Errorf("too many proposals: %w", ErrProposalList)
	}
	p := &storedProposal{Proposed: Proposed{c.proposal, c.sender, true}, ref: a.ref(g.cs)}
	if err := g.checkProposal(p.Proposed); err != nil {
		return nil, fmt.Errorf("%s: %w", describe(c.proposal), err)
	}
	g.store(p)
	return c.proposal, nil
}

func (g *Group) store(p *storedProposal) {
	if !slices.ContainsFunc(g.proposals, func(other *storedProposal) bool { return bytes.Equal(other.ref, p.ref) }) {
		g.proposals = append(g.proposals, p)
	}
}

// checkProposal is what can be said of a proposal before its commit.
func (g *Group) checkProposal(p Proposed) error {
	switch proposal := p.Proposal.(type) {
	case *Add:
		if err := proposal.KeyPackage.checkFor(g.context.suite); err != nil {
			return err
		}
		l := proposal.KeyPackage.leaf
		req, err := g.context.extensions.required()
		if err != nil {
			return err
		}
		if err := l.checkContext(g.context.extensions, req); err != nil {
			return err
		}
		return g.checkCredential(EventAdd, l, nil)
	case *Update:
		if p.Sender.Type != SenderMember {
			return ErrSenderType
		}
		if err := g.checkReplacement(p.Sender.Leaf, proposal.Leaf, SourceUpdate); err != nil {
			return err
		}
		return g.checkCredential(EventUpdate, proposal.Leaf, g.tree.leaf(p.Sender.Leaf))
	case *Remove:
		if g.tree.leaf(proposal.Index) == nil {
			return ErrUnknownLeaf
		}
	case *PreSharedKey:
		return g.checkPSK(proposal.ID, nil)
	case *ReInit:
		return g.checkReInit(proposal)
	case *ExternalInit:
		return ErrProposalList
	case *GroupContextExtensions:
		return rawExtensions(proposal.Extensions).checkContext()
	}
	return nil
}

func (g *Group) checkCredential(event CredentialEvent, l, old *Leaf) error {
	err := g.cfg.Credential(CredentialCheck{event, bytesClone(g.context.groupID), l.Credential(), l.SignatureKey(), l, old})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCredential, err)
	}
	return nil
}

// resolve looks up what a commit refers to.
func (g *Group) resolve(a *authenticatedContent) ([]resolvedProposal, error) {
	c := a.content
	list := make([]resolvedProposal, 0, len(c.commit.proposals))
	for _, p := range c.commit.proposals {
		if p.proposal != nil {
			if _, ok := p.proposal.(*Update); ok {
				return nil, ErrSelfUpdate // by value it can only be the committer's
			}
			list = append(list, resolvedProposal{Proposed: Proposed{p.proposal, c.sender, false}})
			continue
		}
		at := slices.IndexFunc(g.proposals, func(s *storedProposal) bool { return bytes.Equal(s.ref, p.ref) })
		if at < 0 && c.sender.Type == SenderNewMemberCommit {
			return nil, fmt.Errorf("proposal by reference: %w", ErrExternal)
		}
		if at < 0 {
			return nil, fmt.Errorf("%x: %w", p.ref, ErrUnknownProposal)
		}
		list = append(list, resolvedProposal{g.proposals[at].Proposed, g.proposals[at]})
	}
	return list, nil
}

// stage processes a verified commit (section 12.4.2): first what everybody
// can judge, then what takes this member's keys.
func (g *Group) stage(a *authenticatedContent) (*Staged, error) {
	list, err := g.resolve(a)
	if err != nil {
		return nil, err
	}
	t, err := g.transition(list, a.content.sender)
	if err != nil {
		return nil, err
	}
	path := a.content.commit.path
	if t.needsPath && path == nil {
		return nil, ErrPathRequired
	}
	var steps []pathStep
	if path != nil {
		if steps, err = g.mergePath(t, path); err != nil {
			return nil, err
		}
	}
	context := &groupContext{suite: g.context.suite, groupID: g.context.groupID, epoch: g.context.epoch + 1, extensions: t.extensions}
	if err := g.checkNew(t, context, steps); err != nil {
		return nil, err
	}
	info := g.info(t, context, list)
	if err := g.rules(info, a); err != nil {
		return nil, err
	}
	s := &Staged{from: g, info: info}
	if info.SelfRemoved {
		s.next = g.removedGroup()
		return s, nil
	}
	s.next, err = g.enter(t, a, steps)
	if private, ok := errors.AsType[*PrivateError](err); ok {
		private.Info = info
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// mergePath judges a path's public side and puts it into the new tree.
func (g *Group) mergePath(t *transition, path *updatePath) ([]pathStep, error) {
	event := EventCommit
	if t.external {
		event = EventExternalJoin
		t.committer = t.tree.add(path.leaf, 0)
	}
	old := g.replaced(t)
	if old != nil && bytes.Equal(old.encryptionKey, path.leaf.encryptionKey) {
		return nil, fmt.Errorf("path keeps the encryption key: %w", ErrLeaf)
	}
	steps, err := t.tree.checkPath(t.committer, path, t.added)
	if err != nil {
		return nil, err
	}
	t.changed = append(t.changed, changedLeaf{t.committer, event, old})
	return steps, path.leaf.verify(g.cs, g.context.groupID, t.committer)
}

// enter derives the next epoch with this member's keys.
func (g *Group) enter(t *transition, a *authenticatedContent, steps []pathStep) (*Group, error) {
	keys := g.keys.clone()
	signer := g.signer
	if u := t.ownUpdate; u != nil {
		keys[g.own.node()] = bytesClone(u.key)
		if u.signer != nil {
			signer = u.signer
		}
	}
	commitSecret := make([]byte, g.cs.nh)
	if path := a.content.commit.path; path != nil {
		opened, err := t.tree.openPath(g.own, keys, path, steps, t.added, g.provisional(t))
		if err != nil {
			return nil, &PrivateError{Err: err}
		}
		keys.prune(g.tree, t.tree)
		for x, key := range opened.keys {
			keys[x] = key
		}
		commitSecret = opened.commit
	} else {
		keys.prune(g.tree, t.tree)
	}
	initSecret := g.secrets.init
	if t.kemOutput != nil {
		var err error
		if initSecret, err = g.cs.receiveExternalInit(g.secrets.external, t.kemOutput); err != nil {
			return nil, err
		}
	}
	psks, err := g.cfg.pskKeys(t.psks, g)
	if err != nil {
		return nil, err
	}
	n := g.advance(t, a, initSecret, commitSecret, g.cs.pskSecret(t.psks, psks), keys)
	clear(commitSecret)
	clear(n.joiner)
	clear(n.welcome)
	n.group.signer = signer
	if !equalSecret(a.confirmationTag, g.cs.mac(n.group.secrets.confirmation, n.group.context.confirmed)) {
		return nil, ErrConfirmationTag
	}
	g.settle(n.group, a.confirmationTag)
	return n.group, nil
}

// removedGroup is what is left for a member that a commit removes.
func (g *Group) removedGroup() *Group {
	return &Group{cfg: g.cfg, cs: g.cs, context: g.context, contextRaw: g.contextRaw, interim: g.interim, tag: g.tag, tree: g.tree,
		own: g.own, keys: privateKeys{}, signer: g.signer, secrets: &epochSecrets{}, messages: emptySecretTree(g.cs, g.tree.width()),
		status: Removed}
}
