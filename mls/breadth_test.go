package mls

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestProposalsByReference(t *testing.T) {
	everySuite(t, func(t *testing.T, s Suite) {
		for _, public := range []bool{false, true} {
			groups := newWorld(t, s, 5)
			frank := newPerson(t, s, "frank").keyPackage(t)
			o := ProposeOptions{Public: public}
			send := func(from int, message []byte) {
				for i, g := range groups {
					if i == from {
						refused(t, g, message, ErrOwnMessage)
					} else if r := must(g.Process(message))(t); r.Kind != KindProposal {
						t.Fatalf("kind %d", r.Kind)
					}
				}
			}
			send(1, must(groups[1].Propose(&Add{frank.KeyPackage}, o))(t))
			send(2, must(groups[2].ProposeUpdate(nil, o))(t))
			send(0, must(groups[0].ProposeUpdate(nil, o))(t)) // the committer's own, left out
			send(3, must(groups[3].Propose(&Remove{4}, o))(t))
			send(1, must(groups[1].Propose(&PreSharedKey{ExternalPSK([]byte("link"))}, o))(t))
			groups[2] = reload(t, groups[2]) // with the key of its own update

			pending := must(groups[0].Commit(CommitOptions{ByReference: true, Public: public, TreeInWelcome: true}))(t)
			if n := len(pending.Info().Proposals); n != 4 {
				t.Fatalf("%d proposals are committed", n)
			}
			next := []*Group{must(pending.Apply())(t)}
			for _, g := range groups[1:4] {
				next = append(next, receive(t, g, pending.Message()))
			}
			joined, info, err := Join(testConfig(), pending.Welcome(), []*PrivateKeyPackage{frank}, nil, JoinOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if len(info.PSKs) != 1 {
				t.Errorf("%d PSKs", len(info.PSKs))
			}
			next = append(next, joined)
			agree(t, next...)
			talk(t, next...)
			// Everybody can still commit, the updated member with its new key too.
			for range next {
				slices.Reverse(next)
				next = advanceAll(t, CommitOptions{}, append(next[1:], next[0]))
			}
		}
	})
}

func TestMemberChangesCredentialAndSignatureKey(t *testing.T) {
	groups := newWorld(t, DefaultSuite, 3)
	fresh := must(NewSigningKey(DefaultSuite))(t)
	name := BasicCredential([]byte("married"))
	var seen []CredentialCheck
	groups[1].cfg.Credential = func(c CredentialCheck) error { seen = append(seen, c); return nil }
	groups = advanceAll(t, CommitOptions{Leaf: &LeafUpdate{Credential: &name, Signer: fresh}}, groups)
	if len(seen) != 1 || seen[0].Event != EventCommit || string(seen[0].Credential.Identity) != "married" ||
		string(seen[0].Old.Credential().Identity) != "member 0" || !bytes.Equal(seen[0].SignatureKey, fresh.Public()) {
		t.Errorf("credential checks %+v", seen)
	}
	groups[0] = reload(t, groups[0])
	talk(t, groups...)

	again := must(NewSigningKey(DefaultSuite))(t)
	message := must(groups[1].ProposeUpdate(&LeafUpdate{Signer: again}, ProposeOptions{}))(t)
	must(groups[0].Process(message))(t)
	must(groups[2].Process(message))(t)
	groups = advanceAll(t, CommitOptions{ByReference: true}, groups)
	if !bytes.Equal(groups[0].View().Leaf(groups[1].own).SignatureKey(), again.Public()) {
		t.Error("the update did not bring the new signature key")
	}
	talk(t, groups...)
}

func TestGroupContextExtensions(t *testing.T) {
	const custom = ExtensionType(0xF100)
	capabilities := DefaultCapabilities(custom)
	person := func(name string) *PrivateKeyPackage {
		p := newPerson(t, DefaultSuite, name)
		return must(NewKeyPackage(KeyPackageOptions{Suite: DefaultSuite, Signer: p.signer, Credential: p.credential(), Capabilities: &capabilities}))(t)
	}
	alice := must(CreateWith(testConfig(), []byte("g"), []Extension{{custom, []byte("one")}}, person("alice")))(t)
	groups := advanceAll(t, CommitOptions{}, []*Group{alice}, person("bob"))
	next := []Extension{{custom, []byte("two")}, RequiredCapabilities([]ExtensionType{custom}, nil, []CredentialType{CredentialBasic})}
	groups = advanceAll(t, CommitOptions{Proposals: []Proposal{&GroupContextExtensions{next}}}, groups, person("carol"))
	for _, g := range groups {
		if data, _ := g.View().Extension(custom); string(data) != "two" {
			t.Errorf("leaf %d has %q", g.own, data)
		}
	}
	talk(t, groups...)
	without := newPerson(t, DefaultSuite, "dave").keyPackage(t)
	if _, err := groups[0].Commit(CommitOptions{Proposals: []Proposal{&Add{without.KeyPackage}}}); !errors.Is(err, ErrRequired) {
		t.Errorf("who lacks a required capability was added: %v", err)
	}
}

func TestResumptionPSKOfPastEpoch(t *testing.T) {
	groups := newWorld(t, DefaultSuite, 3)
	for _, g := range groups {
		g.cfg.KeepResumption = 2
	}
	first := groups[0].Epoch()
	psk := groups[0].ResumptionPSK()
	groups = advanceAll(t, CommitOptions{}, groups)
	groups = advanceAll(t, CommitOptions{}, groups)
	groups[1] = reload(t, groups[1])
	if !bytes.Equal(groups[1].resumption(first), psk) {
		t.Fatal("the resumption key was not kept")
	}
	o := func() CommitOptions {
		return CommitOptions{Proposals: []Proposal{&PreSharedKey{PSKID{Type: PSKResumption, Usage: UsageApplication,
			GroupID: groups[0].GroupID(), Epoch: first}}}}
	}
	groups = advanceAll(t, o(), groups)
	talk(t, groups...)
	if _, err := groups[0].Commit(o()); !errors.Is(err, ErrMissingPSK) {
		t.Errorf("an epoch older than two is still there: %v", err)
	}
}

func TestPastEpochsCanBeRead(t *testing.T) {
	groups := newWorld(t, DefaultSuite, 3)
	groups[1].cfg.KeepEpochs = 2
	talk(t, groups...)
	var late [][]byte
	for range 3 {
		late = append(late, must(groups[0].Encrypt(fmt.Appendf(nil, "epoch %d", groups[0].Epoch()), nil))(t))
		groups = advanceAll(t, CommitOptions{}, groups)
		groups[1] = reload(t, groups[1])
	}
	refused(t, groups[1], late[0], ErrPastEpoch)
	for _, message := range late[1:] {
		r := must(groups[1].Decrypt(message))(t)
		if string(r.Data) != fmt.Sprintf("epoch %d", r.Epoch) {
			t.Errorf("%q in epoch %d", r.Data, r.Epoch)
		}
		refused(t, groups[1], message, ErrKeyUsed)
		refused(t, groups[2], message, ErrPastEpoch)
	}
	if len(groups[1].Changes()) == 0 {
		t.Error("reading a late message leaves nothing to save")
	}
	groups[1] = reload(t, groups[1])
	refused(t, groups[1], late[1], ErrKeyUsed)
}

func TestReInit(t *testing.T) {
	groups := newWorld(t, X25519AES128, 3)
	follow := &ReInit{GroupID: []byte("the next group"), Version: 1, Suite: DefaultSuite}
	groups = advanceAll(t, CommitOptions{Proposals: []Proposal{follow}}, groups)
	for i := range groups {
		groups[i] = reload(t, groups[i])
		if groups[i].Status() != Suspended {
			t.Fatalf("status %d", groups[i].Status())
		}
		if _, err := groups[i].Encrypt(nil, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("a suspended group sends: %v", err)
		}
	}
	alice := newPerson(t, DefaultSuite, "member 0")
	start := func(id string) (*Group, *PrivateKeyPackage, *Pending) {
		g := must(Create(alice.cfg, CreateOptions{Suite: DefaultSuite, GroupID: []byte(id), Signer: alice.signer, Credential: alice.credential()}))(t)
		k := newPerson(t, DefaultSuite, "member 1").keyPackage(t)
		psk := PSKID{Type: PSKResumption, Usage: UsageReInit, GroupID: groups[0].GroupID(), Epoch: groups[0].Epoch()}
		return g, k, must(g.Commit(CommitOptions{From: groups[0], TreeInWelcome: true, Proposals: []Proposal{&PreSharedKey{psk}, &Add{k.KeyPackage}}}))(t)
	}
	_, k, pending := start("the next group")
	next := []*Group{must(pending.Apply())(t)}
	if _, err := OpenWelcome(testConfig(), pending.Welcome(), []*PrivateKeyPackage{k}, JoinOptions{}); !errors.Is(err, ErrMissingPSK) {
		t.Errorf("joined without the old group: %v", err)
	}
	g, _, err := Join(testConfig(), pending.Welcome(), []*PrivateKeyPackage{k}, nil, JoinOptions{From: groups[1]})
	if err != nil {
		t.Fatal(err)
	}
	next = append(next, g)
	agree(t, next...)
	talk(t, next...)

	_, k, pending = start("some other group")
	if _, err := OpenWelcome(testConfig(), pending.Welcome(), []*PrivateKeyPackage{k}, JoinOptions{From: groups[1]}); !errors.Is(err, ErrReInit) {
		t.Errorf("another group than was announced: %v", err)
	}
}

func TestProposalsFromOutside(t *testing.T) {
	authority := must(NewSigningKey(DefaultSuite))(t)
	senders := ExternalSenders([]ExternalSender{{authority.Public(), BasicCredential([]byte("authority"))}})
	alice := newPerson(t, DefaultSuite, "alice").create(t, senders)
	groups := advanceAll(t, CommitOptions{}, []*Group{alice}, newPerson(t, DefaultSuite, "bob").keyPackage(t), newPerson(t, DefaultSuite, "carol").keyPackage(t))
	message := must(ExternalProposal(authority, 0, groups[0].GroupID(), groups[0].Epoch(), &Remove{2}))(t)
	dave := newPerson(t, DefaultSuite, "dave").keyPackage(t)
	self := must(ProposeSelf(dave, groups[0].GroupID(), groups[0].Epoch()))(t)
	wrong := must(ExternalProposal(dave.signer, 0, groups[0].GroupID(), groups[0].Epoch(), &Remove{1}))(t)
	unknown := must(ExternalProposal(authority, 1, groups[0].GroupID(), groups[0].Epoch(), &Remove{1}))(t)
	update := must(ExternalProposal(authority, 0, groups[0].GroupID(), groups[0].Epoch(), &ExternalInit{random(32)}))(t)
	for _, g := range groups[:2] {
		refused(t, g, wrong, ErrSignature)
		refused(t, g, unknown, ErrUnknownSender)
		refused(t, g, update, ErrSenderType)
		must(g.Process(message))(t)
		must(g.Process(self))(t)
	}
	pending := must(groups[0].Commit(CommitOptions{ByReference: true, TreeInWelcome: true}))(t)
	next := []*Group{must(pending.Apply())(t), receive(t, groups[1], pending.Message())}
	g, _, err := Join(testConfig(), pending.Welcome(), []*PrivateKeyPackage{dave}, nil, JoinOptions{})
	if err != nil {
		t.Fatal(err)
	}
	next = append(next, g)
	agree(t, next...)
	if next[0].View().Count() != 3 {
		t.Errorf("%d members", next[0].View().Count())
	}
}

// TestGreaseIsIgnored puts the reserved values wherever a list is read.
func TestGreaseIsIgnored(t *testing.T) {
	grease := []uint16{0x0a0a, 0x7a7a, 0xeaea}
	c := DefaultCapabilities(ExtensionType(grease[0]))
	for _, v := range grease {
		c.Versions = append(c.Versions, v)
		c.Suites = append(c.Suites, Suite(v))
		c.Extensions = append(c.Extensions, ExtensionType(v))
		c.Proposals = append(c.Proposals, ProposalType(v))
		c.Credentials = append(c.Credentials, CredentialType(v))
	}
	p := newPerson(t, DefaultSuite, "greasy")
	k := must(NewKeyPackage(KeyPackageOptions{Suite: DefaultSuite, Signer: p.signer, Credential: p.credential(), Capabilities: &c,
		Extensions: []Extension{{ExtensionType(0x1a1a), []byte("x")}}, LeafExtensions: []Extension{{ExtensionType(0x0a0a), []byte("y")}}}))(t)
	k.KeyPackage = must(ParseKeyPackage(k.KeyPackage.Bytes()))(t)
	o := CommitOptions{WelcomeExtensions: func(*Group) ([]Extension, error) {
		return []Extension{{ExtensionType(0x2a2a), []byte("z")}}, nil
	}}
	groups := advanceAll(t, o, newWorld(t, DefaultSuite, 2), k)
	talk(t, groups...)
}

func TestX509CredentialsAreOpaque(t *testing.T) {
	c := DefaultCapabilities()
	c.Credentials = []CredentialType{CredentialBasic, CredentialX509}
	person := func(credential Credential) *PrivateKeyPackage {
		signer := must(NewSigningKey(P256AES128))(t)
		return must(NewKeyPackage(KeyPackageOptions{Suite: P256AES128, Signer: signer, Credential: credential, Capabilities: &c}))(t)
	}
	chain := Credential{Type: CredentialX509, Certificates: [][]byte{[]byte("leaf"), []byte("issuer")}}
	alice := must(CreateWith(testConfig(), []byte("g"), nil, person(BasicCredential([]byte("alice")))))(t)
	groups := advanceAll(t, CommitOptions{}, []*Group{alice}, person(chain))
	if got := groups[0].View().Leaf(1).Credential(); !got.equal(chain) {
		t.Errorf("credential %+v", got)
	}
	talk(t, groups...)
	basic := newPerson(t, P256AES128, "bob").keyPackage(t)
	if _, err := groups[0].Commit(CommitOptions{Proposals: []Proposal{&Add{basic.KeyPackage}}}); !errors.Is(err, ErrCapabilities) {
		t.Errorf("who does not support a credential in use was added: %v", err)
	}
}

func TestLostAndReorderedMessages(t *testing.T) {
	groups := newWorld(t, DefaultSuite, 2)
	var messages [][]byte
	for i := range 40 {
		messages = append(messages, must(groups[0].Encrypt([]byte{byte(i)}, nil))(t))
	}
	for i := 39; i >= 0; i -= 3 {
		if r := must(groups[1].Decrypt(messages[i]))(t); r.Data[0] != byte(i) {
			t.Errorf("message %d reads %d", i, r.Data[0])
		}
		refused(t, groups[1], messages[i], ErrKeyUsed)
		groups[1] = reload(t, groups[1])
	}
	for range MaxSkip + 1 {
		must(groups[0].Encrypt(nil, nil))(t)
	}
	far := must(groups[0].Encrypt(nil, nil))(t)
	refused(t, groups[1], far, ErrGeneration)
	must(groups[1].Decrypt(messages[1]))(t)
}

func TestKeyAtTheEndOfTheRatchetCostsNothing(t *testing.T) {
	groups := newWorld(t, DefaultSuite, 2)
	id := ratchetID{0, ratchetApplication}
	if _, err := groups[1].messages.find(id, ^uint32(0)); !errors.Is(err, ErrGeneration) {
		t.Errorf("got %v", err)
	}
	groups[1].messages.ratchets[id].next = ^uint32(0) - 5
	if _, err := groups[1].messages.find(id, ^uint32(0)); !errors.Is(err, ErrGeneration) {
		t.Errorf("got %v", err)
	}
	if _, err := groups[1].messages.find(id, ^uint32(0)-1); err != nil {
		t.Error(err)
	}
}

func TestPaddingHidesTheLength(t *testing.T) {
	groups := newWorld(t, DefaultSuite, 2)
	groups[0].cfg.Padding = 256
	short := must(groups[0].Encrypt([]byte("a"), nil))(t)
	long := must(groups[0].Encrypt(make([]byte, 100), nil))(t)
	if len(short) != len(long) {
		t.Errorf("%d and %d bytes", len(short), len(long))
	}
	if r := must(groups[1].Decrypt(short))(t); string(r.Data) != "a" {
		t.Errorf("read %q", r.Data)
	}
}

func TestWipedGroupIsClosed(t *testing.T) {
	groups := newWorld(t, DefaultSuite, 2)
	message := must(groups[0].Encrypt([]byte("x"), nil))(t)
	old := groups[1]
	secret := old.secrets.exporter
	groups = advanceAll(t, CommitOptions{}, groups)
	old.Wipe()
	if !bytes.Equal(secret, make([]byte, len(secret))) {
		t.Error("a secret is still there")
	}
	refused(t, old, message, ErrClosed)
	if _, err := old.Commit(CommitOptions{}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	talk(t, groups...)
}

func TestSecretsDoNotPrint(t *testing.T) {
	g := newWorld(t, DefaultSuite, 2)[0]
	p := newPerson(t, DefaultSuite, "x").keyPackage(t)
	pending := must(g.Commit(CommitOptions{Proposals: []Proposal{&Add{p.KeyPackage}}, TreeInWelcome: true}))(t)
	welcome := must(OpenWelcome(testConfig(), pending.Welcome(), []*PrivateKeyPackage{p}, JoinOptions{}))(t)
	for _, v := range []any{g, p, p.signer, pending, welcome, g.Records()[0]} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			if out := fmt.Sprintf(format, v); !bytes.Contains([]byte(out), []byte("[redacted]")) || len(out) > 100 {
				t.Errorf("%s of %T: %.100s", format, v, out)
			}
		}
	}
}

func TestPublicKeysAreJudgedAsTheKEMDoes(t *testing.T) {
	cs := must(lookup(DefaultSuite))(t)
	key, _, err := generatedKey(cs)
	if err != nil {
		t.Fatal(err)
	}
	good := key.PublicKey().Bytes()
	for i := range 1300 {
		raw := bytes.Clone(good)
		if i > 0 {
			raw[i*7%len(raw)] = 0xff
			raw[(i*7+1)%len(raw)] |= 0x0f
		}
		_, err := cs.kem.NewPublicKey(raw)
		if ours := cs.checkPublic(raw); (ours == nil) != (err == nil) {
			t.Fatalf("%d: %v, but the KEM says %v", i, ours, err)
		}
	}
	if cs.checkPublic(good[1:]) == nil {
		t.Error("a short key passes")
	}
}
