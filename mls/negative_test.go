package mls

import (
	"bytes"
	"errors"
	"testing"
)

// A refusal is one way in which a message can be wrong.
type refusal struct {
	name string
	want error
	try  func(f *forger) error
}

var framingRefusals = []refusal{
	{"nothing", ErrMalformed, func(f *forger) error { return f.judge(nil) }},
	{"another version", ErrVersion, func(f *forger) error { return f.judge(changed(f.good(false), 1)) }},
	{"a key package", ErrWireFormat, func(f *forger) error { return f.judge(f.keyPackage(nil, nil).Bytes()) }},
	{"a byte too many, public", ErrMalformed, func(f *forger) error { return f.judge(append(f.good(true), 0)) }},
	{"a byte too many, private", ErrMalformed, func(f *forger) error { return f.judge(append(f.good(false), 0)) }},
	{"a byte too few", ErrMalformed, func(f *forger) error { m := f.good(true); return f.judge(m[:len(m)-1]) }},
	{"a length that is not minimal", ErrMalformed, func(f *forger) error {
		m := f.good(false)
		return f.judge(concat(m[:4], []byte{0x40, m[4]}, m[5:]))
	}},
	{"another group", ErrWrongGroup, func(f *forger) error { return f.judge(changed(f.good(false), 5)) }},
	{"another group, public", ErrWrongGroup, func(f *forger) error { return f.judge(changed(f.good(true), 5)) }},
	{"a future epoch", ErrFutureEpoch, func(f *forger) error { return f.judge(epochOf(f, 1)) }},
	{"a past epoch", ErrPastEpoch, func(f *forger) error { return f.judge(epochOf(f, ^uint64(0))) }},
	{"membership tag", ErrMembershipTag, func(f *forger) error { return f.judge(changed(f.good(true), -1)) }},
	{"no member as sender", ErrUnknownSender, func(f *forger) error {
		a := f.content(ContentCommit)
		a.wire, a.content.commit, a.content.sender.Leaf = wirePublic, &commitBody{}, 7
		return f.judge(f.send(a, f.alice.signer))
	}},
	{"signature of another, public", ErrSignature, func(f *forger) error {
		a := f.content(ContentCommit)
		a.wire, a.content.commit, a.content.sender.Leaf = wirePublic, &commitBody{}, f.carol.own
		return f.judge(f.send(a, f.alice.signer))
	}},
	{"signature of another, private", ErrSignature, func(f *forger) error {
		// Alice knows all keys of the epoch, so she can encrypt as carol.
		a := f.content(ContentApplication)
		a.content.sender.Leaf, f.alice.own = f.carol.own, f.carol.own
		return f.judge(f.send(a, f.alice.signer))
	}},
	{"ciphertext", ErrDecrypt, func(f *forger) error { return f.judge(changed(f.good(false), -1)) }},
	{"sender data", ErrDecrypt, func(f *forger) error {
		p := f.private()
		p.senderData = changed(p.senderData, 0)
		return f.judge(p.message())
	}},
	{"authenticated data", ErrDecrypt, func(f *forger) error {
		p := f.private()
		p.authenticatedData = []byte("changed")
		return f.judge(p.message())
	}},
	{"content type", ErrDecrypt, func(f *forger) error {
		p := f.private()
		p.contentType = ContentProposal
		return f.judge(p.message())
	}},
	{"unknown content type", ErrMalformed, func(f *forger) error {
		p := f.private()
		p.contentType = 9
		return f.judge(p.message())
	}},
	{"padding", ErrPadding, func(f *forger) error {
		a := f.content(ContentApplication)
		if err := a.sign(f.alice.signer, f.alice.contextRaw); err != nil {
			return err
		}
		a.content.rawBody = a.appendAuth(a.content.rawBody)
		a.signature, a.content.contentType = []byte{}, ContentApplication
		a.content.rawBody = append(a.content.rawBody, 0, 0, 1)
		return f.judge(must(f.alice.frame(a, 0))(f.t))
	}},
	{"a message twice", ErrKeyUsed, func(f *forger) error {
		m := must(f.alice.Encrypt([]byte("x"), nil))(f.t)
		must(f.bob.Decrypt(m))(f.t)
		return f.judge(m)
	}},
	{"an own message", ErrOwnMessage, func(f *forger) error {
		_, err := f.alice.Process(must(f.alice.Encrypt([]byte("x"), nil))(f.t))
		return err
	}},
	{"an own public message", ErrOwnMessage, func(f *forger) error {
		_, err := f.alice.Process(f.good(true))
		return err
	}},
	{"a handshake where application data is due", ErrWireFormat, func(f *forger) error {
		_, err := f.bob.Decrypt(must(f.alice.Commit(CommitOptions{}))(f.t).Message())
		return err
	}},
	{"a commit by an external sender", ErrSenderType, func(f *forger) error {
		a := f.content(ContentCommit)
		a.wire, a.content.commit, a.content.sender = wirePublic, &commitBody{}, Sender{SenderExternal, 0}
		was := f.bob.context.extensions
		defer func() { f.bob.context.extensions = was }()
		f.bob.context.extensions = rawExtensions([]Extension{ExternalSenders([]ExternalSender{{f.alice.signer.Public(), BasicCredential(nil)}})})
		return f.judge(f.send(a, f.alice.signer))
	}},
	{"an external sender that is not listed", ErrUnknownSender, func(f *forger) error {
		return f.judge(must(ExternalProposal(f.alice.signer, 3, f.alice.GroupID(), f.alice.Epoch(), &Remove{1}))(f.t))
	}},
	{"a newcomer who proposes a removal", ErrSenderType, func(f *forger) error {
		return f.judge(must(proposeFromOutside(f.alice.signer, Sender{Type: SenderNewMemberProposal}, f.alice.GroupID(), f.alice.Epoch(), &Remove{1}))(f.t))
	}},
	{"a proposal of unknown type", ErrMalformed, func(f *forger) error {
		m := must(f.alice.Propose(&Remove{f.carol.own}, ProposeOptions{Public: true}))(f.t)
		at := 4 + 1 + len(f.alice.context.groupID) + 8 + 5 + 1 + 1
		m[at] = 0x77
		return f.judge(m)
	}},
}

// good is a valid empty commit of alice.
func (f *forger) good(public bool) []byte {
	return must(f.alice.Commit(CommitOptions{Public: public}))(f.t).Message()
}

// private is a valid application message of alice, taken apart.
func (f *forger) private() *privateMessage {
	_, p, err := readFramed(must(f.alice.Encrypt([]byte("x"), []byte("aad")))(f.t))
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func epochOf(f *forger, add uint64) []byte {
	p := f.private()
	p.epoch += add
	return p.message()
}

var proposalRefusals = []refusal{
	{"an unknown reference", ErrUnknownProposal, func(f *forger) error {
		return f.commit(f.path(nil, nil), proposalOrRef{ref: random(48)})
	}},
	{"an update by value", ErrSelfUpdate, func(f *forger) error { return f.commit(nil, values(f.update(nil))...) }},
	{"an update of the committer by reference", ErrSelfUpdate, func(f *forger) error {
		a := f.content(ContentProposal)
		a.content.proposal = f.update(nil)
		must(f.bob.Process(f.send(a, f.alice.signer)))(f.t)
		return f.commit(nil, proposalOrRef{ref: a.ref(f.alice.cs)})
	}},
	{"the committer's own removal", ErrSelfRemove, func(f *forger) error { return f.commit(nil, values(&Remove{f.alice.own})...) }},
	{"two removals of one member", ErrDuplicateLeaf, func(f *forger) error { return f.commit(nil, values(&Remove{2}, &Remove{2})...) }},
	{"an update and a removal of one member", ErrDuplicateLeaf, func(f *forger) error {
		m := must(f.carol.ProposeUpdate(nil, ProposeOptions{}))(f.t)
		must(f.bob.Process(m))(f.t)
		return f.commit(nil, proposalOrRef{proposal: &Remove{f.carol.own}}, proposalOrRef{ref: f.carol.proposals[0].ref})
	}},
	{"the removal of nobody", ErrUnknownLeaf, func(f *forger) error { return f.commit(nil, values(&Remove{9})...) }},
	{"one key package twice", ErrDuplicateKey, func(f *forger) error {
		k := f.keyPackage(nil, nil)
		return f.commit(nil, values(&Add{k}, &Add{k})...)
	}},
	{"a member's signature key again", ErrDuplicateKey, func(f *forger) error {
		k := must(NewKeyPackage(KeyPackageOptions{Suite: DefaultSuite, Signer: f.carol.signer, Credential: BasicCredential(nil)}))(f.t)
		return f.commit(nil, values(&Add{k.KeyPackage})...)
	}},
	{"signature of a key package", ErrSignature, func(f *forger) error { return f.addRaw(-1) }},
	{"signature of a key package's leaf", ErrSignature, func(f *forger) error {
		return f.add(nil, func(k *KeyPackage) {
			r := &reader{b: changed(k.leaf.raw, -1)}
			k.leaf = readLeaf(r)
		})
	}},
	{"a key package of another suite", ErrSuiteMismatch, func(f *forger) error {
		k := newPerson(f.t, X25519AES128, "x").keyPackage(f.t)
		return f.commit(nil, values(&Add{k.KeyPackage})...)
	}},
	{"a key package of another version", ErrVersion, func(f *forger) error { return f.add(nil, func(k *KeyPackage) { k.version = 2 }) }},
	{"one key for joining and for the leaf", ErrKeyPackage, func(f *forger) error {
		return f.add(nil, func(k *KeyPackage) { k.initKey = k.leaf.encryptionKey })
	}},
	{"an init key that is none", ErrKeyPackage, func(f *forger) error { return f.add(nil, func(k *KeyPackage) { k.initKey = random(40) }) }},
	{"a leaf key that is none", ErrLeaf, func(f *forger) error {
		return f.add(func(l *leafTemplate) { l.encryptionKey = bytes.Repeat([]byte{0xff}, xwingKeySize) }, nil)
	}},
	{"a key package with a leaf of a commit", ErrLeafSource, func(f *forger) error {
		return f.add(func(l *leafTemplate) { l.source = SourceCommit }, nil)
	}},
	{"a client without this version", ErrCapabilities, func(f *forger) error {
		return f.add(func(l *leafTemplate) { l.capabilities.Versions = without(l.capabilities.Versions, 1) }, nil)
	}},
	{"a client without this suite", ErrCapabilities, func(f *forger) error {
		return f.add(func(l *leafTemplate) { l.capabilities.Suites = []Suite{X25519AES128} }, nil)
	}},
	{"a client without its own credential type", ErrCapabilities, func(f *forger) error {
		return f.add(func(l *leafTemplate) { l.capabilities.Credentials = nil }, nil)
	}},
	{"a leaf extension that its own client lacks", ErrCapabilities, func(f *forger) error {
		return f.add(func(l *leafTemplate) { l.extensions = rawExtensions([]Extension{{Type: 0xF200}}) }, nil)
	}},
	{"a credential type that the others lack", ErrCapabilities, func(f *forger) error {
		return f.add(func(l *leafTemplate) {
			l.credential = Credential{Type: CredentialX509, Certificates: [][]byte{{1}}}
			l.capabilities.Credentials = append(l.capabilities.Credentials, CredentialX509)
		}, nil)
	}},
	{"a credential that the application refuses", ErrCredential, func(f *forger) error {
		f.bob.cfg.Credential = func(c CredentialCheck) error { return errors.New("a stranger") }
		return f.add(nil, nil)
	}},
	{"one PSK twice", ErrPSK, func(f *forger) error {
		p := f.psk()
		return f.commit(nil, values(p, p)...)
	}},
	{"a PSK nonce of another length", ErrPSK, func(f *forger) error {
		p := f.psk()
		p.ID.Nonce = random(32)
		return f.commit(nil, values(p)...)
	}},
	{"a PSK nonce that is no nonce", ErrMalformed, func(f *forger) error {
		p := f.psk()
		p.ID.Nonce = random(8)
		return f.commit(nil, values(p)...)
	}},
	{"a reinit key in the middle of a group", ErrPSK, func(f *forger) error {
		return f.commit(nil, values(&PreSharedKey{PSKID{Type: PSKResumption, Usage: UsageReInit, GroupID: []byte("old"), Nonce: random(48)}})...)
	}},
	{"a branch key in the middle of a group", ErrPSK, func(f *forger) error {
		return f.commit(nil, values(&PreSharedKey{PSKID{Type: PSKResumption, Usage: UsageBranch, GroupID: []byte("old"), Nonce: random(48)}})...)
	}},
	{"an unknown PSK", ErrMissingPSK, func(f *forger) error {
		p := f.psk()
		p.ID.ID = []byte("never heard")
		return f.commit(nil, values(p)...)
	}},
	{"two group context extensions", ErrProposalList, func(f *forger) error {
		return f.commit(nil, values(&GroupContextExtensions{}, &GroupContextExtensions{})...)
	}},
	{"a group extension that members lack", ErrCapabilities, func(f *forger) error {
		return f.commit(f.path(nil, nil), values(&GroupContextExtensions{[]Extension{{Type: 0xF300}}})...)
	}},
	{"required capabilities that members lack", ErrRequired, func(f *forger) error {
		return f.gce(RequiredCapabilities([]ExtensionType{0xF300}, nil, nil))
	}},
	{"a required proposal type that members lack", ErrRequired, func(f *forger) error {
		return f.gce(RequiredCapabilities(nil, []ProposalType{0xF300}, nil))
	}},
	{"a required credential type that members lack", ErrRequired, func(f *forger) error {
		return f.gce(RequiredCapabilities(nil, nil, []CredentialType{CredentialX509}))
	}},
	{"required capabilities with a byte too many", ErrExtension, func(f *forger) error {
		return f.gce(Extension{ExtRequiredCapabilities, []byte{0, 0, 0, 0}})
	}},
	{"external senders that do not parse", ErrExtension, func(f *forger) error { return f.gce(Extension{ExtExternalSenders, []byte{9}}) }},
	{"a ratchet tree as a group extension", ErrExtension, func(f *forger) error { return f.gce(Extension{ExtRatchetTree, nil}) }},
	{"one group extension twice", ErrMalformed, func(f *forger) error {
		return f.gce(Extension{0xF300, nil}, Extension{0xF300, nil})
	}},
	{"an external sender that the application refuses", ErrCredential, func(f *forger) error {
		f.bob.cfg.Credential = func(c CredentialCheck) error {
			if c.Event == EventExternalSender {
				return errors.New("no authority")
			}
			return nil
		}
		return f.gce(ExternalSenders([]ExternalSender{{random(32), BasicCredential(nil)}}))
	}},
	{"a reinit with company", ErrProposalList, func(f *forger) error {
		return f.commit(nil, values(&ReInit{Version: 1, Suite: DefaultSuite}, f.psk())...)
	}},
	{"a reinit to no version", ErrReInit, func(f *forger) error { return f.commit(nil, values(&ReInit{Suite: DefaultSuite})...) }},
	{"an external init by a member", ErrProposalList, func(f *forger) error { return f.commit(nil, values(&ExternalInit{random(1120)})...) }},
	{"an external init as a proposal", ErrProposalList, func(f *forger) error { return f.propose(&ExternalInit{random(1120)}) }},
	{"the proposal to remove nobody", ErrUnknownLeaf, func(f *forger) error { return f.propose(&Remove{9}) }},
	{"an update that keeps its key", ErrLeaf, func(f *forger) error {
		return f.propose(f.update(func(l *leafTemplate) { l.encryptionKey = f.alice.tree.leaf(f.alice.own).encryptionKey }))
	}},
	{"an update with a leaf of a commit", ErrLeafSource, func(f *forger) error {
		return f.propose(f.update(func(l *leafTemplate) { l.source = SourceCommit }))
	}},
	{"the update of another's leaf", ErrSignature, func(f *forger) error {
		u := f.update(nil)
		r := &reader{b: changed(u.Leaf.raw, -1)}
		return f.propose(&Update{readLeaf(r)})
	}},
	{"an update with another's encryption key", ErrDuplicateKey, func(f *forger) error {
		u := f.update(func(l *leafTemplate) { l.encryptionKey = f.carol.tree.leaf(f.carol.own).encryptionKey })
		a := f.content(ContentProposal)
		a.content.proposal = u
		must(f.bob.Process(f.send(a, f.alice.signer)))(f.t)
		_, err := f.bob.Commit(CommitOptions{ByReference: true})
		return err
	}},
}

func (f *forger) psk() *PreSharedKey {
	id := ExternalPSK([]byte("link"))
	id.Nonce = random(48)
	return &PreSharedKey{id}
}

func (f *forger) gce(list ...Extension) error {
	return f.commit(f.path(nil, nil), values(&GroupContextExtensions{list})...)
}

func (f *forger) add(template func(*leafTemplate), outer func(*KeyPackage)) error {
	return f.commit(nil, values(&Add{f.keyPackage(template, outer)})...)
}

// addRaw adds a key package with one byte flipped.
func (f *forger) addRaw(at int) error {
	r := &reader{b: changed(f.keyPackage(nil, nil).raw, at)}
	return f.commit(nil, values(&Add{readKeyPackage(r)})...)
}

// refuse runs a table, each case on groups of its own.
func refuse(t *testing.T, table []refusal) {
	base := newWorld(t, DefaultSuite, 3)
	for range base { // everybody has made a commit
		base = advanceAll(t, CommitOptions{}, append(base[1:], base[0]))
	}
	for _, c := range table {
		t.Run(c.name, func(t *testing.T) {
			f := &forger{t, base[0].Clone(), base[1].Clone(), base[2].Clone()}
			err := c.try(f)
			if !errors.Is(err, c.want) {
				t.Fatalf("refused with %v, want %v", err, c.want)
			}
			// Nothing of it sticks: bob goes on with the others.
			f.bob.cfg = testConfig()
			if errors.Is(c.want, ErrInvalid) {
				receive(t, f.bob, must(f.carol.Commit(CommitOptions{}))(t).Message())
			}
		})
	}
}

func TestFramingIsRefused(t *testing.T)    { refuse(t, framingRefusals) }
func TestProposalsAreRefused(t *testing.T) { refuse(t, proposalRefusals) }
