package mls

import (
	"bytes"
	"fmt"
	"slices"
)

// Status tells what a group can still do.
type Status uint8

// The states of a group.
const (
	Active Status = iota
	// Removed: a commit took this member out; nothing can be read or sent.
	Removed
	// Suspended: a ReInit was committed; another group follows.
	Suspended
	// Wiped: the secrets were overwritten by [Group.Wipe].
	Wiped
)

// A Group is one member's state in one epoch. It is not safe for use by
// several goroutines at once. Applying a commit gives a new Group and leaves
// this one usable, until [Group.Wipe].
type Group struct {
	cfg         Config
	cs          *suite
	context     groupContext
	contextRaw  []byte
	interim     []byte // interim_transcript_hash
	tag         []byte // confirmation_tag of the commit that made the epoch
	tree        *tree
	own         LeafIndex
	keys        privateKeys
	signer      *SigningKey
	secrets     *epochSecrets
	messages    *secretTree
	status      Status
	proposals   []*storedProposal
	saved       int          // how many of the proposals were given out for saving
	resumptions []resumption // of past epochs, oldest first
	past        []*pastEpoch // oldest first
	reInit      *ReInit      // what ended the group
	guards      []byte       // random bytes for reuse guards, drawn ahead
}

// storedProposal is a proposal that a commit can refer to.
type storedProposal struct {
	Proposed
	ref []byte
	// For an Update of this member's own: the new leaf's private key and, if
	// it changes, the signature key.
	key    []byte
	signer *SigningKey
}

// resumption is a past epoch's resumption PSK.
type resumption struct {
	epoch uint64
	key   []byte
}

// pastEpoch is what it takes to read the messages of an epoch that is over.
type pastEpoch struct {
	epoch         uint64
	contextRaw    []byte
	senderData    []byte
	signatureKeys [][]byte // by leaf, empty for a blank
	messages      *secretTree
}

// CreateOptions say what a new group starts with.
type CreateOptions struct {
	Suite      Suite
	GroupID    []byte
	Signer     *SigningKey
	Credential Credential
	// Capabilities default to DefaultCapabilities of the extensions in use.
	Capabilities   *Capabilities
	LeafExtensions []Extension
	// Extensions are the GroupContext's.
	Extensions []Extension
}

// Create makes a group with one member (section 11).
func Create(cfg Config, o CreateOptions) (*Group, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cs, err := lookup(o.Suite)
	if err != nil {
		return nil, err
	}
	extensions, err := makeExtensions(o.Extensions)
	if err != nil {
		return nil, err
	}
	if o.Capabilities == nil {
		c := DefaultCapabilities(typesOf(slices.Concat(o.LeafExtensions, o.Extensions))...)
		o.Capabilities = &c
	}
	own, err := NewKeyPackage(KeyPackageOptions{Suite: o.Suite, Signer: o.Signer, Credential: o.Credential,
		Capabilities: o.Capabilities, LeafExtensions: o.LeafExtensions})
	if err != nil {
		return nil, err
	}
	return create(cfg, cs, o.GroupID, extensions, own)
}

// CreateWith makes a group whose first leaf is that of a KeyPackage, which
// nobody else may have been given.
func CreateWith(cfg Config, groupID []byte, extensions []Extension, own *PrivateKeyPackage) (*Group, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cs, err := lookup(own.KeyPackage.suite)
	if err != nil {
		return nil, err
	}
	list, err := makeExtensions(extensions)
	if err != nil {
		return nil, err
	}
	return create(cfg, cs, groupID, list, own)
}

func create(cfg Config, cs *suite, groupID []byte, extensions extensionList, own *PrivateKeyPackage) (*Group, error) {
	t := &tree{cs: cs, leaves: []*Leaf{own.KeyPackage.leaf}}
	g := &Group{
		cfg: cfg, cs: cs, tree: t, signer: own.signer,
		context: groupContext{suite: cs.id, groupID: bytesClone(groupID), treeHash: t.rootHash(), confirmed: []byte{}, extensions: extensions},
		keys:    privateKeys{0: bytesClone(own.encryptionKey)},
	}
	if err := extensions.checkContext(); err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	if err := cfg.checkExternalSenders(&g.context); err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	if err := t.checkLeaves(&g.context, cfg.Credential, []changedLeaf{{0, EventJoin, nil}}, true); err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	g.contextRaw = g.context.encode()
	g.start(random(cs.nh))
	g.tag = cs.mac(g.secrets.confirmation, g.context.confirmed)
	g.interim = cs.interimHash(g.context.confirmed, g.tag)
	return g, nil
}

// start derives an epoch's secrets and forgets what they come from.
func (g *Group) start(epochSecret []byte) {
	secrets, encryption := g.cs.derive(epochSecret)
	clear(epochSecret)
	g.secrets = secrets
	g.messages = newSecretTree(g.cs, g.tree.width(), encryption)
}

// next builds the group of the epoch that a commit starts.
type next struct {
	group   *Group
	joiner  []byte
	welcome []byte
}

// advance runs the key schedule for the epoch after a commit and makes its
// group. The confirmation tag is left to the caller.
func (g *Group) advance(t *transition, a *authenticatedContent, initSecret, commitSecret, pskSecret []byte, keys privateKeys) *next {
	cs := g.cs
	n := &Group{
		cfg: g.cfg, cs: cs, tree: t.tree, own: g.own, keys: keys, signer: g.signer,
		context: groupContext{suite: cs.id, groupID: g.context.groupID, epoch: g.context.epoch + 1,
			treeHash: t.tree.rootHash(), confirmed: cs.confirmedHash(g.interim, a), extensions: t.extensions},
	}
	n.contextRaw = n.context.encode()
	joiner := cs.joinerSecret(initSecret, commitSecret, n.contextRaw)
	welcome, epoch := cs.schedule(joiner, pskSecret, n.contextRaw)
	n.start(epoch)
	if t.reInit != nil {
		n.status, n.reInit = Suspended, t.reInit
	}
	return &next{n, joiner, welcome}
}

// settle ends the making of a next group: transcript and what is kept of the
// epoch that ends.
func (g *Group) settle(n *Group, tag []byte) {
	n.tag = tag
	n.interim = g.cs.interimHash(n.context.confirmed, tag)
}

// keep hands what past epochs are still good for to the next group.
func (g *Group) keep(n *Group) {
	if k := g.cfg.KeepResumption; k > 0 {
		n.resumptions = append(slices.Clone(g.resumptions), resumption{g.context.epoch, bytesClone(g.secrets.resumption)})
		if over := len(n.resumptions) - k; over > 0 {
			n.resumptions = n.resumptions[over:]
		}
	}
	if k := g.cfg.KeepEpochs; k > 0 {
		p := &pastEpoch{epoch: g.context.epoch, contextRaw: g.contextRaw, senderData: bytesClone(g.secrets.senderData), messages: g.messages.clone()}
		for _, l := range g.tree.leaves {
			var key []byte
			if l != nil {
				key = l.signatureKey
			}
			p.signatureKeys = append(p.signatureKeys, key)
		}
		for _, old := range g.past {
			n.past = append(n.past, old.clone())
		}
		n.past = append(n.past, p)
		if over := len(n.past) - k; over > 0 {
			n.past = n.past[over:]
		}
	}
}

func (p *pastEpoch) clone() *pastEpoch {
	c := *p
	c.senderData = bytesClone(p.senderData)
	c.messages = p.messages.clone()
	return &c
}

func (g *Group) usable() error {
	if g.status != Active {
		return fmt.Errorf("status %d: %w", g.status, ErrClosed)
	}
	return nil
}

// Suite is the group's suite.
func (g *Group) Suite() Suite { return g.cs.id }

// GroupID names the group.
func (g *Group) GroupID() []byte { return bytesClone(g.context.groupID) }

// Epoch counts the group's commits.
func (g *Group) Epoch() uint64 { return g.context.epoch }

// OwnIndex is this member's leaf.
func (g *Group) OwnIndex() LeafIndex { return g.own }

// Status tells what the group can still do.
func (g *Group) Status() Status { return g.status }

// View is the public state, for reading. It stays as it is when the group
// goes on.
func (g *Group) View() *View { return &View{&g.context, g.tree} }

// TreeHash is the hash of the ratchet tree.
func (g *Group) TreeHash() []byte { return bytesClone(g.context.treeHash) }

// ConfirmedTranscriptHash covers all commits of the group.
func (g *Group) ConfirmedTranscriptHash() []byte { return bytesClone(g.context.confirmed) }

// EpochAuthenticator is equal for two members exactly if they are in the same
// epoch with the same history (section 8.7).
func (g *Group) EpochAuthenticator() []byte { return bytesClone(g.secrets.authenticator) }

// ResumptionPSK is the epoch's resumption key (section 8.6): a secret.
func (g *Group) ResumptionPSK() []byte { return bytesClone(g.secrets.resumption) }

// Exporter derives n bytes for the application (section 8.5).
func (g *Group) Exporter(label string, context []byte, n int) ([]byte, error) {
	if n < 0 || n > 255*g.cs.nh {
		return nil, fmt.Errorf("exporter of %d bytes: %w", n, ErrUsage)
	}
	if g.status == Removed || g.status == Wiped {
		return nil, fmt.Errorf("exporter: %w", ErrClosed)
	}
	return g.cs.export(g.secrets.exporter, label, context, n), nil
}

// Tree is the ratchet tree as it goes beside a Welcome or GroupInfo.
func (g *Group) Tree() []byte { return g.tree.append(nil) }

// PendingProposals lists the proposals that a commit can refer to.
func (g *Group) PendingProposals() []Proposed {
	list := make([]Proposed, len(g.proposals))
	for i, p := range g.proposals {
		list[i] = p.Proposed
	}
	return list
}

// Clone is a group that goes on by itself. Of two clones only one may send:
// both would use the same keys.
func (g *Group) Clone() *Group {
	c := *g
	c.keys = g.keys.clone()
	c.messages = g.messages.clone()
	secrets := *g.secrets
	secrets.each(func(p *[]byte) { *p = bytesClone(*p) })
	c.secrets = &secrets
	c.tree = g.tree.clone()
	c.guards = nil // clones must not guard with the same bytes
	c.proposals = slices.Clone(g.proposals)
	c.resumptions = slices.Clone(g.resumptions)
	for i := range c.resumptions {
		c.resumptions[i].key = bytesClone(c.resumptions[i].key)
	}
	c.past = nil
	for _, p := range g.past {
		c.past = append(c.past, p.clone())
	}
	return &c
}

// Wipe overwrites the group's secrets. Groups of other epochs are not touched.
// Take [Group.Diff] first: a wiped group has nothing to save.
func (g *Group) Wipe() {
	g.status = Wiped
	g.keys.wipe()
	g.secrets.wipe()
	g.messages.wipe()
	for _, r := range g.resumptions {
		clear(r.key)
	}
	for _, p := range g.past {
		clear(p.senderData)
		p.messages.wipe()
	}
}

// String keeps a group's secrets out of logs.
func (g *Group) String() string {
	return fmt.Sprintf("mls.Group{%x epoch %d leaf %d [redacted]}", g.context.groupID, g.context.epoch, g.own)
}

// GoString keeps a group's secrets out of logs.
func (g *Group) GoString() string { return g.String() }

// pskKeys finds the keys of a list of ids, in this group and in others.
func (c Config) pskKeys(ids []PSKID, groups ...*Group) ([][]byte, error) {
	keys := make([][]byte, len(ids))
	for i, id := range ids {
		if id.Type == PSKExternal {
			if c.PSK != nil {
				keys[i] = c.PSK(id.ID)
			}
		} else {
			for _, g := range groups {
				if g != nil && keys[i] == nil && bytes.Equal(g.context.groupID, id.GroupID) {
					keys[i] = g.resumption(id.Epoch)
				}
			}
		}
		if keys[i] == nil {
			return nil, &MissingPSKError{id}
		}
	}
	return keys, nil
}

func (g *Group) resumption(epoch uint64) []byte {
	if epoch == g.context.epoch && (g.status == Active || g.status == Suspended) {
		return g.secrets.resumption
	}
	for _, r := range g.resumptions {
		if r.epoch == epoch {
			return r.key
		}
	}
	return nil
}
