package mls

import (
	"bytes"
	"crypto/hpke"
	"fmt"
)

// GroupInfo describes a group's state for who is not in it (section 12.4.3).
// Its signature cannot be checked without the ratchet tree: until a join
// succeeds, or [GroupInfo.Verify], nothing in it is verified.
type GroupInfo struct {
	cs         *suite
	context    groupContext
	contextRaw []byte
	extensions extensionList
	tag        []byte
	signer     LeafIndex
	signature  []byte
	tbs        []byte
}

// Suite is the group's suite.
func (i *GroupInfo) Suite() Suite { return i.context.suite }

// GroupID names the group.
func (i *GroupInfo) GroupID() []byte { return bytesClone(i.context.groupID) }

// Epoch is the epoch that is described.
func (i *GroupInfo) Epoch() uint64 { return i.context.epoch }

// Signer is the member who describes it.
func (i *GroupInfo) Signer() LeafIndex { return i.signer }

// Extensions lists the GroupInfo's own extensions.
func (i *GroupInfo) Extensions() []Extension { return i.extensions.all() }

// Extension is the data of the GroupInfo's extension of type t.
func (i *GroupInfo) Extension(t ExtensionType) ([]byte, bool) {
	data, ok := i.extensions.get(t)
	return bytesClone(data), ok
}

// ContextExtension is the data of the group's extension of type t.
func (i *GroupInfo) ContextExtension(t ExtensionType) ([]byte, bool) {
	data, ok := i.context.extensions.get(t)
	return bytesClone(data), ok
}

func readGroupInfo(r *reader) (*GroupInfo, error) {
	start := r.b
	i := &GroupInfo{context: readGroupContext(r)}
	i.contextRaw = start[:len(start)-len(r.b)]
	i.extensions = readExtensions(r)
	i.tag = r.vec()
	i.signer = LeafIndex(r.u32())
	i.tbs = start[:len(start)-len(r.b)]
	i.signature = r.vec()
	if err := r.end("group info"); err != nil {
		return nil, err
	}
	var err error
	i.cs, err = lookup(i.context.suite)
	return i, err
}

// ParseGroupInfo reads an MLSMessage with a GroupInfo, unverified.
func ParseGroupInfo(message []byte) (*GroupInfo, error) {
	r := &reader{b: bytesClone(message)}
	if err := readHeader(r, wireGroupInfo); err != nil {
		return nil, fmt.Errorf("parse group info: %w", err)
	}
	i, err := readGroupInfo(r)
	if err != nil {
		return nil, fmt.Errorf("parse group info: %w", err)
	}
	return i, nil
}

// ratchetTree is the tree beside the GroupInfo, or else the one inside.
func (i *GroupInfo) ratchetTree(beside []byte) (*tree, error) {
	raw := bytesClone(beside)
	if len(beside) == 0 {
		var ok bool
		if raw, ok = i.extensions.get(ExtRatchetTree); !ok {
			return nil, fmt.Errorf("no ratchet tree inside or beside: %w", ErrGroupInfo)
		}
	}
	return readTree(i.cs, &reader{b: raw})
}

// verify judges the GroupInfo and the tree as a joiner does, all leaves
// included.
func (i *GroupInfo) verify(cfg Config, t *tree) error {
	signer := t.leaf(i.signer)
	if signer == nil {
		return fmt.Errorf("signer %d: %w", i.signer, ErrUnknownSender)
	}
	if !i.cs.verifyLabelled(signer.signatureKey, "GroupInfoTBS", i.tbs, i.signature) {
		return fmt.Errorf("group info: %w", ErrSignature)
	}
	if !bytes.Equal(t.rootHash(), i.context.treeHash) {
		return ErrTreeHash
	}
	if err := t.checkJoined(&i.context, cfg.Credential); err != nil {
		return err
	}
	return cfg.checkExternalSenders(&i.context)
}

// Verify judges the GroupInfo with its tree, which is inside if nil is given,
// and returns the group's public state.
func (i *GroupInfo) Verify(cfg Config, tree []byte) (*View, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	t, err := i.ratchetTree(tree)
	if err != nil {
		return nil, fmt.Errorf("verify group info: %w", err)
	}
	if err := i.verify(cfg, t); err != nil {
		return nil, fmt.Errorf("verify group info: %w", err)
	}
	return &View{&i.context, t}, nil
}

// GroupInfoOptions say what a GroupInfo holds.
type GroupInfoOptions struct {
	// Tree puts the ratchet tree inside.
	Tree bool
	// ExternalPub adds the key for external commits.
	ExternalPub bool
	// Extensions are the application's.
	Extensions []Extension
}

// GroupInfo signs a description of the group's state, an MLSMessage.
func (g *Group) GroupInfo(o GroupInfoOptions) ([]byte, error) {
	if err := g.usable(); err != nil {
		return nil, fmt.Errorf("group info: %w", err)
	}
	raw, err := g.groupInfo(o)
	if err != nil {
		return nil, fmt.Errorf("group info: %w", err)
	}
	return append(messageHeader(wireGroupInfo, len(raw)), raw...), nil
}

// groupInfo is the GroupInfo without a message header.
func (g *Group) groupInfo(o GroupInfoOptions) ([]byte, error) {
	list := o.Extensions[:len(o.Extensions):len(o.Extensions)]
	if o.ExternalPub {
		key, err := g.externalKey()
		if err != nil {
			return nil, err
		}
		list = append(list, Extension{ExtExternalPub, appendVec(nil, key.PublicKey().Bytes())})
	}
	if o.Tree {
		list = append(list, Extension{ExtRatchetTree, g.Tree()})
	}
	extensions, err := makeExtensions(list)
	if err != nil {
		return nil, err
	}
	b := bytesClone(g.contextRaw)
	b = appendVec(b, extensions)
	b = appendVec(b, g.tag)
	b = appendU32(b, uint32(g.own))
	signature, err := g.signer.signLabelled("GroupInfoTBS", b)
	if err != nil {
		return nil, err
	}
	return appendVec(b, signature), nil
}

// externalKey is the key pair that newcomers encrypt to (section 8.3).
func (g *Group) externalKey() (hpke.PrivateKey, error) {
	key, err := g.cs.deriveKeyPair(g.secrets.external)
	if err != nil {
		return nil, fmt.Errorf("external key: %w", err)
	}
	return key, nil
}

const externalInitLabel = "MLS 1.0 external init secret"

// sendExternalInit makes the init secret of an external commit.
func (cs *suite) sendExternalInit(to hpke.PublicKey) (kemOutput, secret []byte, err error) {
	enc, sender, err := hpke.NewSender(to, cs.kdf, cs.aead, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("external init: %w", err)
	}
	secret, err = sender.Export(externalInitLabel, cs.nh)
	return enc, secret, err
}

// receiveExternalInit is its other side, which every member computes alike.
func (cs *suite) receiveExternalInit(external, kemOutput []byte) ([]byte, error) {
	key, err := cs.deriveKeyPair(external)
	if err != nil {
		return nil, fmt.Errorf("external init: %w", err)
	}
	recipient, err := hpke.NewRecipient(kemOutput, key, cs.kdf, cs.aead, nil)
	if err != nil {
		return nil, fmt.Errorf("external init: %w", ErrExternal)
	}
	return recipient.Export(externalInitLabel, cs.nh)
}
