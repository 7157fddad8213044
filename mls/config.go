package mls

import (
	"fmt"
	"iter"
	"runtime"
	"sync"
)

// CredentialEvent tells at which of section 5.3.1's occasions a credential is
// judged.
type CredentialEvent uint8

// The occasions.
const (
	EventAdd            CredentialEvent = 1 // an Add proposal
	EventUpdate         CredentialEvent = 2 // an Update proposal
	EventCommit         CredentialEvent = 3 // the new leaf of a member's commit
	EventExternalJoin   CredentialEvent = 4 // the new leaf of an external commit
	EventJoin           CredentialEvent = 5 // every leaf of a tree that is joined
	EventExternalSender CredentialEvent = 6 // an entry of external_senders
)

// CredentialCheck is what a credential is judged by.
type CredentialCheck struct {
	Event        CredentialEvent
	GroupID      []byte
	Credential   Credential
	SignatureKey []byte
	Leaf         *Leaf // nil for an external sender
	// Old is the leaf that this one replaces: before an update or commit, or
	// removed by the same external commit. Nil if there is none.
	Old *Leaf
}

// AnyCredential accepts every credential: for tests, and for applications
// that trust whoever delivers the messages.
func AnyCredential(CredentialCheck) error { return nil }

// Config is what the application decides. It is not saved with a group but
// given again when the group is loaded.
type Config struct {
	// Credential judges a credential and must be a pure function, since all
	// members have to come to the same result. It is required.
	Credential func(CredentialCheck) error
	// Rules judges a commit, own, received or external, after everything that
	// RFC 9420 demands of it that needs no secrets. It must be a pure function.
	// Nil accepts all.
	Rules func(*Change) error
	// PSK gives the external pre-shared key of an id, nil if unknown.
	PSK func(id []byte) []byte
	// KeepEpochs is how many past epochs' messages can still be read.
	KeepEpochs int
	// KeepResumption is how many past epochs' resumption keys are kept.
	KeepResumption int
	// Padding rounds the length of application messages up to a multiple of
	// this many bytes; 0 adds none.
	Padding int
}

func (c Config) check() error {
	if c.Credential == nil {
		return fmt.Errorf("config without a credential function: %w", ErrUsage)
	}
	if c.KeepEpochs < 0 || c.KeepResumption < 0 || c.Padding < 0 {
		return fmt.Errorf("config with a negative number: %w", ErrUsage)
	}
	return nil
}

// Change is what [Config.Rules] judges: a commit that is valid by the RFC.
type Change struct {
	Old, New *View
	// Committer is the sender's leaf; of an external commit its new one.
	Committer LeafIndex
	// CommitterLeaf is a member's leaf before the commit, an external
	// joiner's new leaf.
	CommitterLeaf *Leaf
	External      bool
	// Private tells whether the commit came as a PrivateMessage.
	Private           bool
	HasPath           bool
	Proposals         []Proposed
	AuthenticatedData []byte
}

// Proposed is a proposal with who made it.
type Proposed struct {
	Proposal    Proposal
	Sender      Sender
	ByReference bool
}

// Member is an occupied leaf.
type Member struct {
	Index LeafIndex
	Leaf  *Leaf
}

// View is a group's public state in one epoch, for reading.
type View struct {
	context *groupContext
	tree    *tree
}

// Suite is the group's suite.
func (v *View) Suite() Suite { return v.context.suite }

// GroupID names the group.
func (v *View) GroupID() []byte { return bytesClone(v.context.groupID) }

// Epoch counts the group's commits.
func (v *View) Epoch() uint64 { return v.context.epoch }

// Extensions lists the GroupContext's extensions.
func (v *View) Extensions() []Extension { return v.context.extensions.all() }

// Extension is the data of the GroupContext's extension of type t.
func (v *View) Extension(t ExtensionType) ([]byte, bool) {
	data, ok := v.context.extensions.get(t)
	return bytesClone(data), ok
}

// Leaf is the member at i, nil if the leaf is blank or not in the tree.
func (v *View) Leaf(i LeafIndex) *Leaf { return v.tree.leaf(i) }

// Members goes through the occupied leaves, from the left.
func (v *View) Members() iter.Seq[Member] {
	return func(yield func(Member) bool) {
		for i, l := range v.tree.leaves {
			if l != nil && !yield(Member{LeafIndex(i), l}) {
				return
			}
		}
	}
}

// Count is the number of members.
func (v *View) Count() int { return v.tree.count() }

// TreeHash is the hash of the ratchet tree.
func (v *View) TreeHash() []byte { return bytesClone(v.tree.rootHash()) }

// parallel calls f for 0 to n-1 on all processors and waits. The error is
// that of the lowest index, so that it does not depend on timing.
func parallel(n int, f func(i int) error) error {
	workers := min(runtime.GOMAXPROCS(0), n)
	errs := make([]error, n)
	if workers <= 1 {
		for i := range n {
			if err := f(i); err != nil {
				return err
			}
		}
		return nil
	}
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < n; i += workers {
				if errs[i] = f(i); errs[i] != nil {
					return
				}
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
