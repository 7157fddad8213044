package mls

import (
	"bytes"
	"errors"
	"testing"
)

var pathRefusals = []refusal{
	{"an empty commit without a path", ErrPathRequired, func(f *forger) error { return f.commit(nil) }},
	{"a removal without a path", ErrPathRequired, func(f *forger) error { return f.commit(nil, values(&Remove{f.carol.own})...) }},
	{"confirmation tag", ErrConfirmationTag, func(f *forger) error { return f.commit(f.path(nil, nil)) }},
	{"a node too few", ErrPath, func(f *forger) error {
		return f.commit(f.path(nil, func(p *updatePath) { p.nodes = p.nodes[:1] }))
	}},
	{"a node too many", ErrPath, func(f *forger) error {
		return f.commit(f.path(nil, func(p *updatePath) { p.nodes = append(p.nodes, p.nodes[0]) }))
	}},
	{"a secret too few", ErrPath, func(f *forger) error {
		return f.commit(f.path(nil, func(p *updatePath) { p.nodes[0].secrets = nil }))
	}},
	{"a secret too many", ErrPath, func(f *forger) error {
		return f.commit(f.path(nil, func(p *updatePath) { p.nodes[0].secrets = append(p.nodes[0].secrets, p.nodes[0].secrets[0]) }))
	}},
	{"a secret of another length", ErrPath, func(f *forger) error {
		return f.commit(f.path(nil, func(p *updatePath) { p.nodes[0].secrets[0].ct = random(63) }))
	}},
	{"an encapsulation of another length", ErrPath, func(f *forger) error {
		return f.commit(f.path(nil, func(p *updatePath) { p.nodes[0].secrets[0].kem = random(1119) }))
	}},
	{"a node key that is none", ErrPath, func(f *forger) error {
		return f.commit(f.path(nil, func(p *updatePath) { p.nodes[0].encryptionKey = bytes.Repeat([]byte{0xff}, xwingKeySize) }))
	}},
	{"another node key", ErrParentHash, func(f *forger) error {
		return f.commit(f.path(nil, func(p *updatePath) {
			key, _, _ := generatedKey(f.alice.cs)
			p.nodes[0].encryptionKey = key.PublicKey().Bytes()
		}))
	}},
	{"another parent hash", ErrParentHash, func(f *forger) error {
		return f.commit(f.path(func(l *leafTemplate) { l.parentHash = random(48) }, nil))
	}},
	{"a leaf of an update", ErrLeafSource, func(f *forger) error {
		return f.commit(f.path(func(l *leafTemplate) { l.source = SourceUpdate }, nil))
	}},
	{"the old encryption key", ErrLeaf, func(f *forger) error {
		return f.commit(f.path(func(l *leafTemplate) { l.encryptionKey = f.alice.tree.leaf(f.alice.own).encryptionKey }, nil))
	}},
	{"signature of the leaf", ErrSignature, func(f *forger) error {
		return f.commit(f.path(nil, func(p *updatePath) { p.leaf = readLeaf(&reader{b: changed(p.leaf.raw, -1)}) }))
	}},
	{"a leaf signed for another group", ErrSignature, func(f *forger) error {
		return f.commit(f.path(nil, func(p *updatePath) {
			lt := must((*LeafUpdate)(nil).template(p.leaf, SourceCommit, p.leaf.encryptionKey))(f.t)
			lt.parentHash = p.leaf.parentHash
			p.leaf = must(lt.sign(f.alice.signer, []byte("elsewhere"), f.alice.own))(f.t)
		}))
	}},
	{"another member's encryption key", ErrDuplicateKey, func(f *forger) error {
		return f.commit(f.path(func(l *leafTemplate) { l.encryptionKey = f.carol.tree.leaf(f.carol.own).encryptionKey }, nil))
	}},
	{"capabilities without the credential", ErrCapabilities, func(f *forger) error {
		return f.commit(f.path(func(l *leafTemplate) { l.capabilities.Credentials = nil }, nil))
	}},
	{"a credential that the application refuses", ErrCredential, func(f *forger) error {
		f.bob.cfg.Credential = func(c CredentialCheck) error {
			if c.Event != EventCommit || c.Old == nil {
				return nil
			}
			return errors.New("somebody else now")
		}
		return f.commit(f.path(nil, nil))
	}},
	{"rules of the application", ErrRules, func(f *forger) error {
		f.bob.cfg.Rules = func(*Change) error { return errors.New("not you") }
		return f.commit(f.path(nil, nil))
	}},
	{"a path secret that does not open", ErrPrivate, func(f *forger) error {
		return f.commit(f.path(nil, func(p *updatePath) {
			for _, n := range p.nodes {
				for i := range n.secrets {
					n.secrets[i].ct = random(64)
				}
			}
		}))
	}},
	{"a path secret that gives other keys", ErrPrivate, func(f *forger) error {
		g := f.alice
		steps := g.tree.filteredPath(g.own)
		return f.commit(f.path(nil, func(p *updatePath) {
			tr := must(g.transition(nil, Sender{SenderMember, g.own}))(f.t)
			keys := make([][]byte, len(steps))
			for k := range p.nodes {
				keys[k] = p.nodes[k].encryptionKey
			}
			tr.tree.setPath(g.own, steps, keys)
			tr.tree.setLeaf(g.own, p.leaf)
			wrong := &newPath{steps: steps, publics: keys}
			for range steps {
				wrong.secrets = append(wrong.secrets, random(48))
			}
			p.nodes = must(tr.tree.encryptPath(wrong, nil, g.provisional(tr)))(f.t)
		}))
	}},
}

var externalRefusals = []refusal{
	{"no path", ErrPathRequired, func(f *forger) error {
		return f.external(func(a *authenticatedContent) { a.content.commit.path = nil })
	}},
	{"no external init", ErrExternal, func(f *forger) error {
		return f.external(func(a *authenticatedContent) { a.content.commit.proposals = nil })
	}},
	{"two external inits", ErrProposalList, func(f *forger) error {
		return f.external(func(a *authenticatedContent) {
			a.content.commit.proposals = append(a.content.commit.proposals, a.content.commit.proposals[0])
		})
	}},
	{"two removals", ErrExternal, externalWith(&Remove{1}, &Remove{2})},
	{"an add", ErrExternal, func(f *forger) error { return externalWith(&Add{f.keyPackage(nil, nil)})(f) }},
	{"group context extensions", ErrExternal, externalWith(&GroupContextExtensions{})},
	{"a reinit", ErrExternal, externalWith(&ReInit{Version: 1, Suite: DefaultSuite})},
	{"the removal of nobody", ErrUnknownLeaf, externalWith(&Remove{9})},
	{"a proposal by reference", ErrExternal, func(f *forger) error {
		must(f.bob.Process(must(f.alice.Propose(&Remove{f.carol.own}, ProposeOptions{}))(f.t)))(f.t)
		return f.external(func(a *authenticatedContent) {
			a.content.commit.proposals = append(a.content.commit.proposals, proposalOrRef{ref: f.bob.proposals[0].ref})
		})
	}},
	{"an unknown reference", ErrExternal, func(f *forger) error {
		return f.external(func(a *authenticatedContent) {
			a.content.commit.proposals = append(a.content.commit.proposals, proposalOrRef{ref: random(48)})
		})
	}},
	{"an encapsulation that is none", ErrExternal, func(f *forger) error {
		return f.external(func(a *authenticatedContent) { a.content.commit.proposals = values(&ExternalInit{random(77)}) })
	}},
	{"another external init secret", ErrConfirmationTag, func(f *forger) error {
		return f.external(func(a *authenticatedContent) { a.confirmationTag = changed(a.confirmationTag, 0) })
	}},
	{"signature of another", ErrSignature, func(f *forger) error {
		return f.external(func(a *authenticatedContent) {
			a.content.commit.path.leaf = readLeaf(&reader{b: f.alice.tree.leaf(f.alice.own).raw})
		})
	}},
}

func externalWith(list ...Proposal) func(*forger) error {
	return func(f *forger) error {
		return f.external(func(a *authenticatedContent) {
			a.content.commit.proposals = append(a.content.commit.proposals, values(list...)...)
		})
	}
}

var joinRefusals = []refusal{
	{"signature", ErrSignature, func(f *forger) error {
		return f.joinBy(func(p *infoParts) { p.signer = f.carol.own })
	}},
	{"a signer who is nobody", ErrUnknownSender, func(f *forger) error { return f.joinBy(func(p *infoParts) { p.signer = 3 }) }},
	{"tree hash", ErrTreeHash, func(f *forger) error {
		return f.joinBy(func(p *infoParts) { p.keepHash, p.context.treeHash = true, random(48) })
	}},
	{"another member's leaf exchanged", ErrTreeHash, func(f *forger) error {
		return f.joinBy(func(p *infoParts) {
			p.keepHash = true
			f.replaceLeaf(p, f.carol, func(l *leafTemplate) { l.credential = BasicCredential([]byte("eve")) })
		})
	}},
	{"a tree that ends with a blank", ErrTree, func(f *forger) error {
		return f.joinBy(func(p *infoParts) { p.tree.leaves = append(p.tree.leaves, nil) })
	}},
	{"parent hash of a leaf", ErrParentHash, func(f *forger) error {
		return f.joinBy(func(p *infoParts) {
			for _, g := range []*Group{f.alice, f.bob, f.carol} {
				f.replaceLeaf(p, g, func(l *leafTemplate) { l.parentHash = random(48) })
			}
		})
	}},
	{"a parent node that nobody made", ErrParentHash, func(f *forger) error {
		return f.joinBy(func(p *infoParts) {
			key, _, _ := generatedKey(f.alice.cs)
			p.tree.parents[0] = &parentNode{encryptionKey: key.PublicKey().Bytes(), parentHash: random(48)}
		})
	}},
	{"unmerged leaves out of order", ErrUnmerged, unmerged(2, 1)},
	{"an unmerged leaf twice", ErrUnmerged, unmerged(1, 1)},
	{"an unmerged leaf that is blank", ErrUnmerged, unmerged(3)},
	{"an unmerged leaf that a node between lacks", ErrUnmerged, unmerged(0)},
	{"an unmerged leaf of another subtree", ErrUnmerged, func(f *forger) error {
		return f.joinBy(func(p *infoParts) {
			q := p.tree.parents[0]
			p.tree.parents[0] = &parentNode{encryptionKey: q.encryptionKey, parentHash: q.parentHash, unmerged: []LeafIndex{2}}
		})
	}},
	{"one encryption key twice", ErrDuplicateKey, func(f *forger) error {
		return f.joinBy(func(p *infoParts) {
			f.replaceLeaf(p, f.carol, func(l *leafTemplate) { l.encryptionKey = p.tree.leaf(f.bob.own).encryptionKey })
		})
	}},
	{"a parent's key twice", ErrDuplicateKey, func(f *forger) error {
		return f.joinBy(func(p *infoParts) {
			q := p.tree.parents[0]
			p.tree.parents[0] = &parentNode{encryptionKey: p.tree.parents[1].encryptionKey, parentHash: q.parentHash}
		})
	}},
	{"signature of a leaf", ErrSignature, func(f *forger) error {
		return f.joinBy(func(p *infoParts) {
			p.tree.leaves[f.carol.own] = readLeaf(&reader{b: changed(p.tree.leaf(f.carol.own).raw, -1)})
			p.tree.parents = nil
		})
	}},
	{"a leaf key that is none", ErrLeaf, func(f *forger) error {
		return f.joinBy(func(p *infoParts) {
			p.tree.parents = nil
			f.replaceLeaf(p, f.carol, func(l *leafTemplate) { l.encryptionKey = random(40) })
		})
	}},
	{"a member without a required capability", ErrRequired, func(f *forger) error {
		return f.joinBy(func(p *infoParts) {
			p.context.extensions = rawExtensions([]Extension{RequiredCapabilities([]ExtensionType{0xF300}, nil, nil)})
		})
	}},
	{"a member without a group extension", ErrCapabilities, func(f *forger) error {
		return f.joinBy(func(p *infoParts) { p.context.extensions = rawExtensions([]Extension{{Type: 0xF300}}) })
	}},
	{"a group extension that does not parse", ErrExtension, func(f *forger) error {
		return f.joinBy(func(p *infoParts) {
			p.context.extensions = rawExtensions([]Extension{{ExtRequiredCapabilities, []byte{7}}})
		})
	}},
	{"no key for external commits", ErrGroupInfo, func(f *forger) error { return f.joinBy(func(p *infoParts) { p.extensions = nil }) }},
	{"an external key with a byte too many", ErrGroupInfo, func(f *forger) error {
		return f.joinBy(func(p *infoParts) { p.extensions[0].Data = append(p.extensions[0].Data, 0) })
	}},
	{"an external key that is none", ErrGroupInfo, func(f *forger) error {
		return f.joinBy(func(p *infoParts) { p.extensions[0].Data = appendVec(nil, random(32)) })
	}},
	{"one GroupInfo extension twice", ErrMalformed, func(f *forger) error {
		return f.joinBy(func(p *infoParts) { p.extensions = append(p.extensions, p.extensions[0]) })
	}},
	{"an unknown suite", ErrUnsupported, func(f *forger) error { return f.joinBy(func(p *infoParts) { p.context.suite = 4 }) }},
	{"no tree", ErrGroupInfo, func(f *forger) error {
		info, _ := f.info(func(*infoParts) {})
		_, err := must(ParseGroupInfo(info))(f.t).Verify(testConfig(), nil)
		return err
	}},
	{"a credential that the application refuses", ErrCredential, func(f *forger) error {
		info, tree := f.info(func(*infoParts) {})
		_, err := must(ParseGroupInfo(info))(f.t).Verify(Config{Credential: func(CredentialCheck) error { return errors.New("no") }}, tree)
		return err
	}},
}

func unmerged(list ...LeafIndex) func(*forger) error {
	return func(f *forger) error {
		return f.joinBy(func(p *infoParts) {
			q := p.tree.parents[1] // the root
			p.tree.parents[1] = &parentNode{encryptionKey: q.encryptionKey, parentHash: q.parentHash, unmerged: list}
		})
	}
}

var welcomeRefusals = []refusal{
	{"for somebody else", ErrNoKeyPackage, func(f *forger) error {
		_, _, err := Join(testConfig(), f.goodWelcome(), []*PrivateKeyPackage{newPerson(f.t, DefaultSuite, "x").keyPackage(f.t)}, nil, JoinOptions{})
		return err
	}},
	{"group info", ErrDecrypt, func(f *forger) error { return f.welcome(JoinOptions{}, keepAll, flip(-1)) }},
	{"a byte too many", ErrMalformed, func(f *forger) error {
		return f.welcome(JoinOptions{}, keepAll, func(b []byte) []byte { return append(b, 0) })
	}},
	{"confirmation tag", ErrConfirmationTag, func(f *forger) error {
		return f.welcome(JoinOptions{}, func(p *welcomeParts) { p.tag = random(48) }, nil)
	}},
	{"signature by another", ErrSignature, func(f *forger) error {
		return f.welcome(JoinOptions{}, func(p *welcomeParts) { p.signer = f.carol.signer }, nil)
	}},
	{"signed by the joiner", ErrWelcome, func(f *forger) error {
		return f.welcome(JoinOptions{}, func(p *welcomeParts) { p.signer, p.own = p.joiner.signer, 3 }, nil)
	}},
	{"a tree without the joiner", ErrWelcome, func(f *forger) error {
		return f.welcome(JoinOptions{}, func(p *welcomeParts) { p.group.tree, p.group.context.treeHash = f.alice.tree, f.alice.context.treeHash }, nil)
	}},
	{"a path secret of other keys", ErrPath, func(f *forger) error {
		return f.welcome(JoinOptions{}, func(p *welcomeParts) { p.secrets.pathSecret = random(48) }, nil)
	}},
	{"a path secret of another length", ErrDecrypt, func(f *forger) error {
		return f.welcome(JoinOptions{}, func(p *welcomeParts) { p.secrets.pathSecret = random(47) }, nil)
	}},
	{"a PSK that is not known", ErrMissingPSK, func(f *forger) error {
		return f.welcome(JoinOptions{}, func(p *welcomeParts) {
			p.secrets.psks = []PSKID{{Type: PSKExternal, ID: []byte("never heard"), Nonce: random(48)}}
		}, nil)
	}},
	{"a PSK nonce of another length", ErrPSK, func(f *forger) error {
		return f.welcome(JoinOptions{}, func(p *welcomeParts) {
			p.secrets.psks = []PSKID{{Type: PSKExternal, ID: []byte("link"), Nonce: random(32)}}
		}, nil)
	}},
	{"a reinit key in the middle of a group", ErrPSK, func(f *forger) error {
		return f.welcome(JoinOptions{From: f.bob}, func(p *welcomeParts) {
			p.secrets.psks = []PSKID{{Type: PSKResumption, Usage: UsageReInit, GroupID: f.bob.GroupID(), Epoch: f.bob.Epoch(), Nonce: random(48)}}
		}, nil)
	}},
	{"a reinit key of a group that goes on", ErrReInit, func(f *forger) error {
		return f.welcome(JoinOptions{From: f.bob}, func(p *welcomeParts) {
			p.group.context.epoch = 1
			p.secrets.psks = []PSKID{{Type: PSKResumption, Usage: UsageReInit, GroupID: f.bob.GroupID(), Epoch: f.bob.Epoch(), Nonce: random(48)}}
		}, nil)
	}},
	{"a group info of another suite", ErrSuiteMismatch, func(f *forger) error {
		return f.welcome(JoinOptions{}, func(p *welcomeParts) { p.group.context.suite = XWingAES128 }, nil)
	}},
	{"a group info that does not parse", ErrMalformed, func(f *forger) error {
		return f.welcome(JoinOptions{}, func(p *welcomeParts) { p.info = []byte{0, 1, 2} }, nil)
	}},
	{"of an unknown suite", ErrUnsupported, func(f *forger) error { return f.welcome(JoinOptions{}, keepAll, flip(4)) }},
}

func keepAll(*welcomeParts) {}

func flip(at int) func([]byte) []byte { return func(b []byte) []byte { return changed(b, at) } }

func (f *forger) goodWelcome() []byte {
	return must(f.alice.Commit(CommitOptions{Proposals: []Proposal{&Add{f.keyPackage(nil, nil)}}}))(f.t).Welcome()
}

func TestPathsAreRefused(t *testing.T)           { refuse(t, pathRefusals) }
func TestExternalCommitsAreRefused(t *testing.T) { refuse(t, externalRefusals) }
func TestGroupInfosAreRefused(t *testing.T)      { refuse(t, joinRefusals) }
func TestWelcomesAreRefused(t *testing.T)        { refuse(t, welcomeRefusals) }

// TestTheForgerIsAbleToBeGood is the control of the tables above: what it
// makes passes if nothing is changed.
func TestTheForgerIsAbleToBeGood(t *testing.T) {
	base := newWorld(t, DefaultSuite, 3)
	f := &forger{t, base[0], base[1], base[2]}
	if err := f.propose(f.update(nil)); err != nil {
		t.Errorf("update: %v", err)
	}
	if err := f.propose(&Add{f.keyPackage(nil, nil)}); err != nil {
		t.Errorf("add: %v", err)
	}
	if err := f.external(func(*authenticatedContent) {}); err != nil {
		t.Errorf("external: %v", err)
	}
	if err := f.joinBy(func(*infoParts) {}); err != nil {
		t.Errorf("group info: %v", err)
	}
	if err := f.welcome(JoinOptions{}, keepAll, nil); err != nil {
		t.Errorf("welcome: %v", err)
	}
}
