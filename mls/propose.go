package mls

import "fmt"

// ProposeOptions say how a proposal is sent.
type ProposeOptions struct {
	AuthenticatedData []byte
	// Public sends a PublicMessage instead of a PrivateMessage.
	Public bool
	PadTo  int
}

// Propose sends a proposal for somebody's later commit. It is kept here too.
// Save [Group.Changes] before the message leaves.
func (g *Group) Propose(p Proposal, o ProposeOptions) ([]byte, error) {
	if id, ok := p.(*PreSharedKey); ok && len(id.ID.Nonce) == 0 {
		with := id.ID
		with.Nonce = random(g.cs.nh)
		p = &PreSharedKey{with}
	}
	if _, ok := p.(*Update); ok {
		return nil, fmt.Errorf("propose: an update is made by ProposeUpdate: %w", ErrUsage)
	}
	return g.propose(&storedProposal{Proposed: Proposed{Proposal: p}}, o)
}

// ProposeUpdate proposes fresh keys for the own leaf, and what else u changes
// in it.
func (g *Group) ProposeUpdate(u *LeafUpdate, o ProposeOptions) ([]byte, error) {
	if err := g.usable(); err != nil {
		return nil, fmt.Errorf("propose: %w", err)
	}
	key, raw, err := generatedKey(g.cs)
	if err != nil {
		return nil, err
	}
	template, err := u.template(g.tree.leaf(g.own), SourceUpdate, key.PublicKey().Bytes())
	if err != nil {
		return nil, err
	}
	leaf, err := template.sign(u.signer(g.signer), g.context.groupID, g.own)
	if err != nil {
		return nil, err
	}
	p := &storedProposal{Proposed: Proposed{Proposal: &Update{leaf}}, key: raw}
	if u != nil {
		p.signer = u.Signer
	}
	return g.propose(p, o)
}

func (g *Group) propose(p *storedProposal, o ProposeOptions) ([]byte, error) {
	if err := g.usable(); err != nil {
		return nil, fmt.Errorf("propose: %w", err)
	}
	p.Sender, p.ByReference = Sender{SenderMember, g.own}, true
	if err := g.checkProposal(p.Proposed); err != nil {
		return nil, fmt.Errorf("propose %s: %w", describe(p.Proposal), err)
	}
	a := &authenticatedContent{wire: wirePrivate, content: &framedContent{
		groupID: g.context.groupID, epoch: g.context.epoch, sender: p.Sender,
		authenticatedData: o.AuthenticatedData, contentType: ContentProposal, proposal: p.Proposal,
	}}
	if o.Public {
		a.wire = wirePublic
	}
	if err := a.sign(g.signer, g.contextRaw); err != nil {
		return nil, fmt.Errorf("propose: %w", err)
	}
	p.ref = a.ref(g.cs)
	message, err := g.frame(a, o.PadTo)
	if err != nil {
		return nil, fmt.Errorf("propose: %w", err)
	}
	g.store(p)
	return message, nil
}

// ExternalProposal signs a proposal as an external sender, whose place in the
// group's external_senders extension is index (section 12.1.8).
func ExternalProposal(signer *SigningKey, index uint32, groupID []byte, epoch uint64, p Proposal) ([]byte, error) {
	return proposeFromOutside(signer, Sender{SenderExternal, LeafIndex(index)}, groupID, epoch, p)
}

// ProposeSelf asks to be added, as somebody who is not a member.
func ProposeSelf(own *PrivateKeyPackage, groupID []byte, epoch uint64) ([]byte, error) {
	return proposeFromOutside(own.signer, Sender{Type: SenderNewMemberProposal}, groupID, epoch, &Add{own.KeyPackage})
}

func proposeFromOutside(signer *SigningKey, sender Sender, groupID []byte, epoch uint64, p Proposal) ([]byte, error) {
	a := &authenticatedContent{wire: wirePublic, content: &framedContent{
		groupID: groupID, epoch: epoch, sender: sender, contentType: ContentProposal, proposal: p,
	}}
	if err := a.sign(signer, nil); err != nil {
		return nil, fmt.Errorf("propose from outside: %w", err)
	}
	return a.public(), nil
}
