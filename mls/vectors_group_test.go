package mls

import (
	"slices"
	"testing"
)

func readTreeOf(t *testing.T, cs *suite, raw []byte) *tree {
	t.Helper()
	return must(readTree(cs, &reader{b: raw}))(t)
}

func TestVectorsTreeOperations(t *testing.T) {
	type vector struct {
		Suite      Suite `json:"cipher_suite"`
		Proposal   hexBytes
		Sender     LeafIndex `json:"proposal_sender"`
		Before     hexBytes  `json:"tree_before"`
		HashBefore hexBytes  `json:"tree_hash_before"`
		After      hexBytes  `json:"tree_after"`
		HashAfter  hexBytes  `json:"tree_hash_after"`
	}
	each(t, "tree-operations.json", func(c *vector) Suite { return c.Suite }, func(t *testing.T, cs *suite, c *vector) {
		tr := readTreeOf(t, cs, c.Before)
		same(t, "encoding", tr.append(nil), c.Before)
		same(t, "hash before", tr.rootHash(), c.HashBefore)
		r := &reader{b: c.Proposal}
		switch p := readProposal(r).(type) {
		case *Add:
			tr.add(p.KeyPackage.leaf, 0)
		case *Update:
			tr.update(c.Sender, p.Leaf)
		case *Remove:
			tr.remove(p.Index)
		default:
			t.Fatalf("%T", p)
		}
		if err := r.end("proposal"); err != nil {
			t.Fatal(err)
		}
		same(t, "tree after", tr.append(nil), c.After)
		same(t, "hash after", tr.rootHash(), c.HashAfter)
	})
}

func TestVectorsTreeValidation(t *testing.T) {
	type vector struct {
		Suite       Suite `json:"cipher_suite"`
		Tree        hexBytes
		Group       hexBytes      `json:"group_id"`
		Hashes      []hexBytes    `json:"tree_hashes"`
		Resolutions [][]nodeIndex `json:"resolutions"`
	}
	each(t, "tree-validation.json", func(c *vector) Suite { return c.Suite }, func(t *testing.T, cs *suite, c *vector) {
		tr := readTreeOf(t, cs, c.Tree)
		for x, want := range c.Hashes {
			same(t, "hash", tr.hash(nodeIndex(x)), want)
		}
		for x, want := range c.Resolutions {
			if got := tr.resolution(nil, nodeIndex(x)); !slices.Equal(got, want) {
				t.Errorf("resolution of %d: %v, want %v", x, got, want)
			}
		}
		context := &groupContext{suite: cs.id, groupID: c.Group}
		if err := tr.checkJoined(context, AnyCredential); err != nil {
			t.Error(err)
		}
	})
}

func TestVectorsTreeKEM(t *testing.T) {
	type pathSecret struct {
		Node   nodeIndex
		Secret hexBytes `json:"path_secret"`
	}
	type vector struct {
		Suite     Suite    `json:"cipher_suite"`
		Group     hexBytes `json:"group_id"`
		Epoch     uint64
		Confirmed hexBytes `json:"confirmed_transcript_hash"`
		Tree      hexBytes `json:"ratchet_tree"`
		Leaves    []struct {
			Index      LeafIndex
			Encryption hexBytes     `json:"encryption_priv"`
			Signature  hexBytes     `json:"signature_priv"`
			Secrets    []pathSecret `json:"path_secrets"`
		} `json:"leaves_private"`
		Paths []struct {
			Sender   LeafIndex
			Path     hexBytes   `json:"update_path"`
			Secrets  []hexBytes `json:"path_secrets"`
			Commit   hexBytes   `json:"commit_secret"`
			HashAter hexBytes   `json:"tree_hash_after"`
		} `json:"update_paths"`
	}
	each(t, "treekem.json", func(c *vector) Suite { return c.Suite }, func(t *testing.T, cs *suite, c *vector) {
		before := readTreeOf(t, cs, c.Tree)
		private := map[LeafIndex]privateKeys{}
		for _, l := range c.Leaves {
			keys := privateKeys{l.Index.node(): l.Encryption}
			for _, s := range l.Secrets {
				key := must(cs.pathKey(s.Secret))(t)
				same(t, "private node", key.PublicKey().Bytes(), before.parent(s.Node).encryptionKey)
				keys[s.Node] = must(key.Bytes())(t)
			}
			private[l.Index] = keys
		}
		for n, u := range c.Paths {
			tr := before.clone()
			r := &reader{b: u.Path}
			path := readUpdatePath(r)
			if err := r.end("path"); err != nil {
				t.Fatal(err)
			}
			steps := must(tr.checkPath(u.Sender, path, nil))(t)
			if err := path.leaf.verify(cs, c.Group, u.Sender); err != nil {
				t.Error(err)
			}
			same(t, "tree hash", tr.rootHash(), u.HashAter)
			context := (&groupContext{cs.id, c.Group, c.Epoch, tr.rootHash(), c.Confirmed, nil}).encode()
			for leaf, keys := range private {
				if leaf == u.Sender {
					continue
				}
				opened := must(tr.openPath(leaf, keys, path, steps, nil, context))(t)
				same(t, "commit secret", opened.commit, u.Commit)
				for k, s := range steps {
					if leaf.node().under(s.copath) {
						key := must(cs.pathKey(u.Secrets[leaf]))(t)
						same(t, "path secret", opened.keys[steps[k].node], must(key.Bytes())(t))
					}
				}
			}
			if n > 0 {
				continue
			}
			// And once our own path, which every leaf must open.
			own := before.clone()
			steps = own.filteredPath(u.Sender)
			made := must(cs.makePath(steps, random(cs.nh)))(t)
			own.setPath(u.Sender, steps, made.publics)
			nodes := must(own.encryptPath(made, nil, context))(t)
			for leaf, keys := range private {
				if leaf == u.Sender {
					continue
				}
				opened := must(own.openPath(leaf, keys, &updatePath{path.leaf, nodes}, steps, nil, context))(t)
				same(t, "own commit secret", opened.commit, made.commit)
			}
		}
	})
}

func TestVectorsWelcome(t *testing.T) {
	type vector struct {
		Suite      Suite    `json:"cipher_suite"`
		Init       hexBytes `json:"init_priv"`
		Signer     hexBytes `json:"signer_pub"`
		KeyPackage hexBytes `json:"key_package"`
		Welcome    hexBytes
	}
	each(t, "welcome.json", func(c *vector) Suite { return c.Suite }, func(t *testing.T, cs *suite, c *vector) {
		k := must(parseKeyPackage(c.KeyPackage))(t)
		w := must(OpenWelcome(Config{Credential: AnyCredential}, c.Welcome,
			[]*PrivateKeyPackage{{KeyPackage: k, initKey: c.Init}}, JoinOptions{}))(t)
		if !cs.verifyLabelled(c.Signer, "GroupInfoTBS", w.tbs, w.signature) {
			t.Error("the group info's signature does not verify")
		}
		s, _ := cs.derive(w.epoch)
		same(t, "confirmation tag", cs.mac(s.confirmation, w.context.confirmed), w.tag)
	})
}

func TestVectorsMessageProtection(t *testing.T) {
	type vector struct {
		Suite           Suite    `json:"cipher_suite"`
		Group           hexBytes `json:"group_id"`
		Epoch           uint64
		TreeHash        hexBytes `json:"tree_hash"`
		Confirmed       hexBytes `json:"confirmed_transcript_hash"`
		SignaturePriv   hexBytes `json:"signature_priv"`
		SignaturePub    hexBytes `json:"signature_pub"`
		Encryption      hexBytes `json:"encryption_secret"`
		SenderData      hexBytes `json:"sender_data_secret"`
		Membership      hexBytes `json:"membership_key"`
		Proposal        hexBytes
		ProposalPriv    hexBytes `json:"proposal_priv"`
		ProposalPub     hexBytes `json:"proposal_pub"`
		Commit          hexBytes
		CommitPriv      hexBytes `json:"commit_priv"`
		CommitPub       hexBytes `json:"commit_pub"`
		Application     hexBytes
		ApplicationPriv hexBytes `json:"application_priv"`
	}
	each(t, "message-protection.json", func(c *vector) Suite { return c.Suite }, func(t *testing.T, cs *suite, c *vector) {
		signer := must(ParseSigningKey(cs.id, c.SignaturePriv))(t)
		same(t, "signature key", signer.Public(), c.SignaturePub)
		// The group as far as the vector tells of it, of the member at own.
		group := func(own LeafIndex) *Group {
			leaf := func() *Leaf { return &Leaf{signatureKey: c.SignaturePub} }
			g := &Group{cfg: Config{Credential: AnyCredential}, cs: cs, own: own, signer: signer,
				context:  groupContext{cs.id, c.Group, c.Epoch, c.TreeHash, c.Confirmed, nil},
				tree:     &tree{cs: cs, leaves: []*Leaf{leaf(), leaf()}},
				secrets:  &epochSecrets{senderData: c.SenderData, membership: c.Membership},
				messages: newSecretTree(cs, 2, bytesClone(c.Encryption))}
			g.contextRaw = g.context.encode()
			return g
		}
		// read opens a message as far as its framing goes.
		read := func(message []byte) *authenticatedContent {
			t.Helper()
			public, private, err := readFramed(message)
			if err != nil {
				t.Fatal(err)
			}
			g := group(0)
			if private != nil {
				return must(g.unprotect(private))(t).content
			}
			same(t, "membership tag", public.membershipMAC(cs, c.Membership, g.contextRaw), public.membershipTag)
			if err := public.verify(cs, c.SignaturePub, g.contextRaw); err != nil {
				t.Error(err)
			}
			return public
		}
		for _, m := range []struct {
			kind ContentType
			raw  hexBytes
			all  []hexBytes
		}{
			{ContentProposal, c.Proposal, []hexBytes{c.ProposalPub, c.ProposalPriv}},
			{ContentCommit, c.Commit, []hexBytes{c.CommitPub, c.CommitPriv}},
			{ContentApplication, c.Application, []hexBytes{c.ApplicationPriv}},
		} {
			for _, message := range m.all {
				a := read(message)
				body := a.content.rawBody
				if m.kind == ContentApplication {
					body = a.content.application
				}
				same(t, "content", body, m.raw)
				if a.content.contentType != m.kind {
					t.Errorf("content type %d", a.content.contentType)
				}
			}
			for _, w := range []wireFormat{wirePublic, wirePrivate} {
				if w == wirePublic && m.kind == ContentApplication {
					continue
				}
				g := group(1)
				own := &authenticatedContent{wire: w, confirmationTag: random(cs.nh), content: &framedContent{
					groupID: c.Group, epoch: c.Epoch, sender: Sender{SenderMember, 1}, contentType: m.kind}}
				r := &reader{b: m.raw}
				if m.kind == ContentApplication {
					own.content.application, r.b = m.raw, nil
				} else {
					own.content.readBody(r)
				}
				if err := own.sign(signer, g.contextRaw); err != nil {
					t.Fatal(err)
				}
				if m.kind != ContentCommit {
					own.confirmationTag = nil
				}
				same(t, "round trip", read(must(g.frame(own, 0))(t)).content.rawBody, own.content.rawBody)
			}
		}
		inClear := &authenticatedContent{wire: wirePublic, content: &framedContent{groupID: c.Group, epoch: c.Epoch,
			sender: Sender{SenderMember, 1}, contentType: ContentApplication, application: c.Application}}
		if err := inClear.sign(signer, group(1).contextRaw); err != nil {
			t.Fatal(err)
		}
		refused(t, group(0), must(group(1).frame(inClear, 0))(t), ErrWireFormat)
	})
}

type passiveClient struct {
	Suite Suite `json:"cipher_suite"`
	PSKs  []struct {
		ID  hexBytes `json:"psk_id"`
		PSK hexBytes `json:"psk"`
	} `json:"external_psks"`
	KeyPackage    hexBytes `json:"key_package"`
	Signature     hexBytes `json:"signature_priv"`
	Encryption    hexBytes `json:"encryption_priv"`
	Init          hexBytes `json:"init_priv"`
	Welcome       hexBytes
	Tree          hexBytes `json:"ratchet_tree"`
	Authenticator hexBytes `json:"initial_epoch_authenticator"`
	Epochs        []struct {
		Application struct {
			Message   hexBytes
			Plaintext hexBytes
			AAD       hexBytes `json:"authenticated_data"`
		}
		Proposals     []hexBytes
		Commit        hexBytes
		Authenticator hexBytes `json:"epoch_authenticator"`
		Exporter      struct {
			Label   string
			Context hexBytes
			Length  int
			Secret  hexBytes
		}
	}
}

func (c *passiveClient) follow(t *testing.T, _ *suite) {
	cfg := Config{Credential: AnyCredential, PSK: func(id []byte) []byte {
		for _, p := range c.PSKs {
			if string(p.ID) == string(id) {
				return p.PSK
			}
		}
		return nil
	}}
	k := must(ParseKeyPackage(c.KeyPackage))(t)
	signer := must(ParseSigningKey(c.Suite, c.Signature))(t)
	if c.Suite == P384AES256 && len(c.Signature) == 32 {
		// The file's key is not that of the leaf; whoever only follows needs none.
		signer = nil
	}
	private := must(ImportKeyPackage(k, c.Init, c.Encryption, signer))(t)
	private = must(ParsePrivateKeyPackage(private.Marshal()))(t)
	w := must(OpenWelcome(cfg, c.Welcome, []*PrivateKeyPackage{private}, JoinOptions{}))(t)
	g, _, err := w.Join(c.Tree)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "epoch authenticator", g.EpochAuthenticator(), c.Authenticator)
	for i, e := range c.Epochs {
		if len(e.Application.Message) > 0 {
			r := must(g.Decrypt(e.Application.Message))(t)
			same(t, "plaintext", r.Data, e.Application.Plaintext)
			same(t, "authenticated data", r.AuthenticatedData, e.Application.AAD)
			refused(t, g, e.Application.Message, ErrKeyUsed)
		}
		for _, p := range e.Proposals {
			if r := must(g.Process(p))(t); r.Kind != KindProposal {
				t.Fatalf("kind %d", r.Kind)
			}
		}
		r := must(g.Process(e.Commit))(t)
		g = must(r.Commit.Apply())(t)
		same(t, "epoch authenticator", g.EpochAuthenticator(), e.Authenticator)
		if g.Epoch() == 0 || len(e.Exporter.Secret) > 0 {
			secret := must(g.Exporter(e.Exporter.Label, e.Exporter.Context, e.Exporter.Length))(t)
			same(t, "exporter", secret, e.Exporter.Secret)
		}
		if t.Failed() {
			t.Fatalf("epoch %d", i)
		}
	}
}

func TestVectorsPassiveClientClassic(t *testing.T) {
	each(t, "passive-client-classic.json", func(c *passiveClient) Suite { return c.Suite },
		func(t *testing.T, cs *suite, c *passiveClient) { c.follow(t, cs) })
}

func TestVectorsPassiveClientXWing(t *testing.T) {
	each(t, "passive-client-xwing.json", func(c *passiveClient) Suite { return c.Suite },
		func(t *testing.T, cs *suite, c *passiveClient) { c.follow(t, cs) })
}
