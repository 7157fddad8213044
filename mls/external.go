package mls

import (
	"fmt"
	"slices"
)

// ExternalOptions say how somebody joins without a Welcome.
type ExternalOptions struct {
	// Tree is the ratchet tree, nil if it is inside the GroupInfo.
	Tree       []byte
	Signer     *SigningKey
	Credential Credential
	// Capabilities default to DefaultCapabilities of the extensions in use.
	Capabilities   *Capabilities
	LeafExtensions []Extension
	// PSKs names external pre-shared keys that are mixed in.
	PSKs [][]byte
	// Resync removes the joiner's own old leaf by the same commit.
	Resync            *LeafIndex
	AuthenticatedData []byte
}

// JoinExternal makes an external commit (section 12.4.3.2), always a
// PublicMessage. [Pending.Apply] enters the group once it is accepted.
func JoinExternal(cfg Config, groupInfo []byte, o ExternalOptions) (*Pending, error) {
	p, err := joinExternal(cfg, groupInfo, o)
	if err != nil {
		return nil, fmt.Errorf("join externally: %w", err)
	}
	return p, nil
}

func joinExternal(cfg Config, groupInfo []byte, o ExternalOptions) (*Pending, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if o.Signer == nil {
		return nil, fmt.Errorf("no signer: %w", ErrUsage)
	}
	info, err := ParseGroupInfo(groupInfo)
	if err != nil {
		return nil, err
	}
	t, err := info.ratchetTree(o.Tree)
	if err != nil {
		return nil, err
	}
	if err := info.verify(cfg, t); err != nil {
		return nil, err
	}
	cs := info.cs
	// What an outsider knows of the group, enough to make a commit from.
	g := &Group{cfg: cfg, cs: cs, context: info.context, contextRaw: bytesClone(info.contextRaw), tree: t, keys: privateKeys{},
		signer: o.Signer, secrets: &epochSecrets{}, interim: cs.interimHash(info.context.confirmed, info.tag),
		messages: emptySecretTree(cs, 1), own: ^LeafIndex(0)}
	pub, err := info.externalPub()
	if err != nil {
		return nil, err
	}
	to, err := cs.kem.NewPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("external key: %w", ErrGroupInfo)
	}
	kemOutput, initSecret, err := cs.sendExternalInit(to)
	if err != nil {
		return nil, err
	}
	sender := Sender{Type: SenderNewMemberCommit}
	d := &draft{options: CommitOptions{Public: true, AuthenticatedData: o.AuthenticatedData}, sender: sender, init: initSecret,
		signer: o.Signer, keys: privateKeys{}}
	add := func(p Proposal) {
		d.list = append(d.list, resolvedProposal{Proposed: Proposed{p, sender, false}})
	}
	add(&ExternalInit{kemOutput})
	if o.Resync != nil {
		add(&Remove{*o.Resync})
	}
	for _, id := range o.PSKs {
		psk := ExternalPSK(id)
		psk.Nonce = random(cs.nh)
		add(&PreSharedKey{psk})
	}
	if d.newcomer, err = newcomer(o, info); err != nil {
		return nil, err
	}
	return g.commit(d)
}

// newcomer is a stand-in for the joiner's leaf, from which the one in the path
// is made.
func newcomer(o ExternalOptions, info *GroupInfo) (*Leaf, error) {
	template := &leafTemplate{encryptionKey: make([]byte, minLong), credential: o.Credential, source: SourceUpdate}
	if o.Capabilities != nil {
		template.capabilities = *o.Capabilities
	} else {
		template.capabilities = DefaultCapabilities(typesOf(slices.Concat(o.LeafExtensions, info.context.extensions.all()))...)
	}
	var err error
	if template.extensions, err = makeExtensions(o.LeafExtensions); err != nil {
		return nil, err
	}
	return template.sign(o.Signer, info.context.groupID, 0)
}

// externalPub reads the external_pub extension: one vector, as RFC 9420 has
// it.
func (i *GroupInfo) externalPub() ([]byte, error) {
	data, ok := i.extensions.get(ExtExternalPub)
	if !ok {
		return nil, fmt.Errorf("no external key: %w", ErrGroupInfo)
	}
	r := &reader{b: data}
	pub := r.vec()
	if err := r.end("external key"); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGroupInfo, err)
	}
	return pub, nil
}
