package mls

import (
	"fmt"
)

// What section 7.3 demands of leaves, apart from their signatures.

// checkSelf is what a leaf must satisfy by itself.
func (l *Leaf) checkSelf(s Suite) error {
	if !hasU16(l.capabilities.versions, versionMLS10) {
		return fmt.Errorf("version: %w", ErrCapabilities)
	}
	if !hasU16(l.capabilities.suites, uint16(s)) {
		return fmt.Errorf("suite: %w", ErrCapabilities)
	}
	if !l.supportsCredential(l.credentialType()) {
		return fmt.Errorf("own credential: %w", ErrCapabilities)
	}
	return l.extensions.each(func(t ExtensionType, _ []byte) error {
		if !l.supportsExtension(t) {
			return fmt.Errorf("own extension %#x: %w", uint16(t), ErrCapabilities)
		}
		return nil
	})
}

// checkContext is what a leaf must satisfy in a group with these extensions.
func (l *Leaf) checkContext(extensions extensionList, req required) error {
	if err := req.metBy(l); err != nil {
		return err
	}
	return extensions.each(func(t ExtensionType, _ []byte) error {
		if !l.supportsExtension(t) {
			return fmt.Errorf("group extension %#x: %w", uint16(t), ErrCapabilities)
		}
		return nil
	})
}

// changedLeaf is a leaf that a commit or a join brings in.
type changedLeaf struct {
	index LeafIndex
	event CredentialEvent
	old   *Leaf
}

// checkLeaves judges new leaves in the tree that they will be in. all tells
// that every leaf has to be looked at, because the context changed or the
// tree is new here.
func (t *tree) checkLeaves(context *groupContext, credential func(CredentialCheck) error, changed []changedLeaf, all bool) error {
	req, err := context.extensions.required()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrExtension, err)
	}
	for _, c := range changed {
		l := t.leaves[c.index]
		if err := l.checkSelf(context.suite); err != nil {
			return fmt.Errorf("leaf %d: %w", c.index, err)
		}
		if all {
			continue
		}
		if err := l.checkContext(context.extensions, req); err != nil {
			return fmt.Errorf("leaf %d: %w", c.index, err)
		}
	}
	if all {
		for i, l := range t.leaves {
			if l == nil {
				continue
			}
			if err := l.checkContext(context.extensions, req); err != nil {
				return fmt.Errorf("leaf %d: %w", i, err)
			}
		}
	}
	if err := t.checkCredentialTypes(); err != nil {
		return err
	}
	for _, c := range changed {
		l := t.leaves[c.index]
		err := credential(CredentialCheck{c.event, bytesClone(context.groupID), l.Credential(), l.SignatureKey(), l, c.old})
		if err != nil {
			return fmt.Errorf("leaf %d: %w: %w", c.index, ErrCredential, err)
		}
	}
	return nil
}

// checkCredentialTypes demands that every member supports every credential
// type that is in use.
func (t *tree) checkCredentialTypes() error {
	var used []CredentialType
	for _, l := range t.leaves {
		if l == nil {
			continue
		}
		c := l.credentialType()
		known := false
		for _, u := range used {
			known = known || u == c
		}
		if !known {
			used = append(used, c)
		}
	}
	for i, l := range t.leaves {
		if l == nil {
			continue
		}
		for _, c := range used {
			if !l.supportsCredential(c) {
				return fmt.Errorf("leaf %d: credential type %d: %w", i, c, ErrCapabilities)
			}
		}
	}
	return nil
}

// checkJoined is what a joiner checks of a tree (section 12.4.3.1), besides
// its hash.
func (t *tree) checkJoined(context *groupContext, credential func(CredentialCheck) error) error {
	if err := context.extensions.checkContext(); err != nil {
		return err
	}
	if err := t.checkUnmerged(); err != nil {
		return err
	}
	if err := t.checkAllKeys(); err != nil {
		return err
	}
	// All hashes are known after this, so that what follows only reads.
	t.rootHash()
	if err := t.checkParentHashes(); err != nil {
		return err
	}
	changed := make([]changedLeaf, 0, len(t.leaves))
	for i, l := range t.leaves {
		if l != nil {
			changed = append(changed, changedLeaf{index: LeafIndex(i), event: EventJoin})
		}
	}
	for i, p := range t.parents {
		if p == nil {
			continue
		}
		if err := t.cs.checkPublic(p.encryptionKey); err != nil {
			return fmt.Errorf("node %d: %w", 2*i+1, err)
		}
	}
	err := parallel(len(changed), func(k int) error {
		i := changed[k].index
		if err := t.cs.checkPublic(t.leaves[i].encryptionKey); err != nil {
			return fmt.Errorf("leaf %d: %w", i, err)
		}
		return t.leaves[i].verify(t.cs, context.groupID, i)
	})
	if err != nil {
		return err
	}
	return t.checkLeaves(context, credential, changed, true)
}
