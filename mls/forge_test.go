package mls

import (
	"bytes"
	"slices"
	"testing"
)

// The forger signs and encrypts what the package itself would refuse to make,
// so that each check of the receiver can be met alone.

// forger is a member who plays foul, with the groups of the others.
type forger struct {
	t     *testing.T
	alice *Group // forges
	bob   *Group // judges
	carol *Group // bystander
}

// content frames a body by alice.
func (f *forger) content(kind ContentType) *authenticatedContent {
	return &authenticatedContent{wire: wirePrivate, content: &framedContent{groupID: f.alice.context.groupID, epoch: f.alice.context.epoch,
		sender: Sender{SenderMember, f.alice.own}, contentType: kind}}
}

// send signs a content with alice's key, or another, and frames it.
func (f *forger) send(a *authenticatedContent, signer *SigningKey) []byte {
	f.t.Helper()
	if err := a.sign(signer, f.alice.contextRaw); err != nil {
		f.t.Fatal(err)
	}
	if a.content.contentType == ContentCommit && a.confirmationTag == nil {
		a.confirmationTag = random(f.alice.cs.nh)
	}
	return must(f.alice.frame(a, 0))(f.t)
}

// values are proposals by value.
func values(list ...Proposal) []proposalOrRef {
	var out []proposalOrRef
	for _, p := range list {
		out = append(out, proposalOrRef{proposal: p})
	}
	return out
}

// commit sends a commit by alice as it is given. The confirmation tag is
// random: what is refused for another reason is refused before.
func (f *forger) commit(path *updatePath, list ...proposalOrRef) error {
	f.t.Helper()
	a := f.content(ContentCommit)
	a.content.commit = &commitBody{proposals: list, path: path}
	return f.judge(f.send(a, f.alice.signer))
}

// judge is bob's opinion.
func (f *forger) judge(message []byte) error {
	_, err := f.bob.Process(message)
	return err
}

// path makes a commit path of alice, which mutate can change before the leaf
// is signed, as a good path would be changed by who made it.
func (f *forger) path(template func(*leafTemplate), mutate func(*updatePath)) *updatePath {
	f.t.Helper()
	g := f.alice
	tr := must(g.transition(nil, Sender{SenderMember, g.own}))(f.t)
	steps := tr.tree.filteredPath(g.own)
	made := must(g.cs.makePath(steps, random(g.cs.nh)))(f.t)
	hash := tr.tree.setPath(g.own, steps, made.publics)
	key, _, err := generatedKey(g.cs)
	if err != nil {
		f.t.Fatal(err)
	}
	lt := must((*LeafUpdate)(nil).template(g.tree.leaf(g.own), SourceCommit, key.PublicKey().Bytes()))(f.t)
	lt.parentHash = hash
	if template != nil {
		template(lt)
	}
	leaf := must(lt.sign(g.signer, g.context.groupID, g.own))(f.t)
	tr.tree.setLeaf(g.own, leaf)
	p := &updatePath{leaf, must(tr.tree.encryptPath(made, nil, g.provisional(tr)))(f.t)}
	if mutate != nil {
		mutate(p)
	}
	return p
}

// keyPackage makes a key package as a forger would; template and outer change
// it before each of its signatures.
func (f *forger) keyPackage(template func(*leafTemplate), outer func(*KeyPackage)) *KeyPackage {
	f.t.Helper()
	signer := must(NewSigningKey(DefaultSuite))(f.t)
	honest := must(NewKeyPackage(KeyPackageOptions{Suite: DefaultSuite, Signer: signer, Credential: BasicCredential([]byte("new"))}))(f.t).KeyPackage
	lt := must((*LeafUpdate)(nil).template(honest.leaf, SourceKeyPackage, honest.leaf.encryptionKey))(f.t)
	lt.lifetime = honest.leaf.lifetime
	if template != nil {
		template(lt)
	}
	k := &KeyPackage{version: 1, suite: DefaultSuite, initKey: honest.initKey, leaf: must(lt.sign(signer, nil, 0))(f.t)}
	if outer != nil {
		outer(k)
	}
	b := appendU16(appendU16(nil, k.version), uint16(k.suite))
	b = append(appendVec(b, k.initKey), k.leaf.raw...)
	b = appendVec(b, k.extensions)
	signature := must(signer.signLabelled("KeyPackageTBS", b))(f.t)
	r := &reader{b: appendVec(b, signature)}
	k = readKeyPackage(r)
	if err := r.end("forged"); err != nil {
		f.t.Fatal(err)
	}
	return k
}

// update makes a leaf as for an Update of alice.
func (f *forger) update(template func(*leafTemplate)) *Update {
	f.t.Helper()
	key, _, err := generatedKey(f.alice.cs)
	if err != nil {
		f.t.Fatal(err)
	}
	lt := must((*LeafUpdate)(nil).template(f.alice.tree.leaf(f.alice.own), SourceUpdate, key.PublicKey().Bytes()))(f.t)
	if template != nil {
		template(lt)
	}
	return &Update{must(lt.sign(f.alice.signer, f.alice.context.groupID, f.alice.own))(f.t)}
}

// propose sends any proposal by alice.
func (f *forger) propose(p Proposal) error {
	a := f.content(ContentProposal)
	a.content.proposal = p
	return f.judge(f.send(a, f.alice.signer))
}

// external makes an external commit, which mutate can change before it is
// signed again.
func (f *forger) external(mutate func(a *authenticatedContent)) error {
	f.t.Helper()
	info := must(f.alice.GroupInfo(GroupInfoOptions{Tree: true, ExternalPub: true}))(f.t)
	eve := newPerson(f.t, DefaultSuite, "eve")
	pending := must(JoinExternal(eve.cfg, info, ExternalOptions{Signer: eve.signer, Credential: eve.credential()}))(f.t)
	a, _, err := readFramed(pending.Message())
	if err != nil {
		f.t.Fatal(err)
	}
	mutate(a)
	return f.judge(f.send(a, eve.signer))
}

// info is a GroupInfo signed by alice over what mutate makes of it.
type infoParts struct {
	context    groupContext
	tree       *tree
	extensions []Extension
	signer     LeafIndex
	keepHash   bool // else the tree hash follows the tree
}

func (f *forger) info(mutate func(*infoParts)) ([]byte, []byte) {
	f.t.Helper()
	g := f.alice
	p := &infoParts{context: g.context, tree: g.tree.clone(), signer: g.own,
		extensions: []Extension{{ExtExternalPub, appendVec(nil, must(g.externalKey())(f.t).PublicKey().Bytes())}}}
	mutate(p)
	if !p.keepHash {
		p.tree.hashes = nil
		p.context.treeHash = p.tree.rootHash()
	}
	b := p.context.encode()
	b = appendVec(b, rawExtensions(p.extensions))
	b = appendVec(b, g.tag)
	b = appendU32(b, uint32(p.signer))
	b = appendVec(b, must(g.signer.signLabelled("GroupInfoTBS", b))(f.t))
	return append(messageHeader(wireGroupInfo, len(b)), b...), p.tree.append(nil)
}

// joinBy tries to join by a forged GroupInfo.
func (f *forger) joinBy(mutate func(*infoParts)) error {
	info, tree := f.info(mutate)
	eve := newPerson(f.t, DefaultSuite, "eve")
	_, err := JoinExternal(eve.cfg, info, ExternalOptions{Tree: tree, Signer: eve.signer, Credential: eve.credential()})
	return err
}

// replaceLeaf signs a member's leaf anew, with the secrets of the forger's
// victims: only the check in question shall fail.
func (f *forger) replaceLeaf(p *infoParts, of *Group, template func(*leafTemplate)) {
	old := p.tree.leaf(of.own)
	lt := must((*LeafUpdate)(nil).template(old, old.source, old.encryptionKey))(f.t)
	lt.lifetime, lt.parentHash = old.lifetime, old.parentHash
	template(lt)
	p.tree.leaves[of.own] = must(lt.sign(of.signer, of.context.groupID, of.own))(f.t)
}

// welcomeParts is a Welcome in the making, for a joiner at leaf 3.
type welcomeParts struct {
	group   *Group // of the new epoch
	joiner  *PrivateKeyPackage
	secrets groupSecrets
	tag     []byte
	info    []byte // set: instead of the GroupInfo
	signer  *SigningKey
	own     LeafIndex
}

// welcome adds somebody with a Welcome that mutate changes, and tries to join
// by it.
func (f *forger) welcome(o JoinOptions, mutate func(*welcomeParts), late func([]byte) []byte) error {
	f.t.Helper()
	cs := f.alice.cs
	p := &welcomeParts{joiner: newPerson(f.t, DefaultSuite, "dave").keyPackage(f.t), signer: f.alice.signer, own: f.alice.own,
		secrets: groupSecrets{joiner: random(cs.nh)}}
	p.group = must(must(f.alice.Commit(CommitOptions{Proposals: []Proposal{&Add{p.joiner.KeyPackage}}}))(f.t).Apply())(f.t)
	mutate(p)
	p.group.contextRaw = p.group.context.encode()
	keys := make([][]byte, len(p.secrets.psks))
	for i, id := range p.secrets.psks {
		if keys[i] = testPSKs[string(id.ID)]; id.Type == PSKResumption {
			keys[i] = o.From.secrets.resumption
		}
	}
	welcome, epoch := cs.schedule(p.secrets.joiner, cs.pskSecret(p.secrets.psks, keys), p.group.contextRaw)
	s, _ := cs.derive(epoch)
	if p.tag == nil {
		p.tag = cs.mac(s.confirmation, p.group.context.confirmed)
	}
	p.group.tag, p.group.own, p.group.signer = p.tag, p.own, p.signer
	info := must(p.group.groupInfo(GroupInfoOptions{Tree: true}))(f.t)
	if p.info != nil {
		info = p.info
	}
	key, nonce := cs.welcomeKey(welcome)
	info = must(cs.newAEAD(key))(f.t).Seal(nil, nonce, info, nil)
	secret := must(cs.seal(must(cs.publicKey(p.joiner.KeyPackage.initKey))(f.t), welcomeLabel, info, p.secrets.append(nil)))(f.t)
	message := welcomeMessage(cs.id, []encryptedSecrets{{p.joiner.KeyPackage.Ref(), secret}}, info)
	if late != nil {
		message = late(message)
	}
	_, _, err := Join(testConfig(), message, []*PrivateKeyPackage{p.joiner}, nil, o)
	return err
}

// changed is a copy of a message with one byte flipped; at counts from the end
// if it is negative.
func changed(message []byte, at int) []byte {
	b := bytes.Clone(message)
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1
	return b
}

func without(list []uint16, v uint16) []uint16 {
	return slices.DeleteFunc(slices.Clone(list), func(x uint16) bool { return x == v })
}
