package mls

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// hexBytes is binary in the vectors: hex, or null.
type hexBytes []byte

func (h *hexBytes) UnmarshalJSON(data []byte) error {
	var s *string
	if err := json.Unmarshal(data, &s); err != nil || s == nil {
		return err
	}
	raw, err := hex.DecodeString(*s)
	*h = append([]byte{}, raw...)
	return err
}

// load reads a file of vectors from testdata, or from the folder of the
// working group's own files.
func load[T any](t *testing.T, name string) []T {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if errors.Is(err, os.ErrNotExist) {
		folder := os.Getenv("MLS_VECTORS")
		if folder == "" {
			folder = filepath.Join("..", "..", "shared", "vectors", "mls")
		}
		raw, err = os.ReadFile(filepath.Join(folder, name))
	}
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("no vectors: %s is not there; MLS_VECTORS names their folder", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	var cases []T
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// heavy are the files that take minutes under the race detector or in a
// browser's engine. There, and only there, they are run in part.
var heavy = map[string]bool{"treekem.json": true, "tree-validation.json": true}

// each runs the cases of the suites that we support: all but those with X448,
// which Go does not have.
func each[T any](t *testing.T, name string, id func(*T) Suite, f func(t *testing.T, cs *suite, c *T)) {
	cases := load[T](t, name)
	ran := 0
	seen := map[Suite]int{}
	for i := range cases {
		s := id(&cases[i])
		cs, err := lookup(s)
		if err != nil {
			if s != 4 && s != 6 {
				t.Errorf("case %d: %v", i, err)
			}
			continue
		}
		ran++
		if seen[s]++; heavy[name] && (testing.Short() || raceDetector) && s != X25519AES128 && seen[s] > 1 {
			continue // of the other suites only the first: these take minutes here
		}
		t.Run(fmt.Sprintf("%d/suite%d", i, s), func(t *testing.T) { f(t, cs, &cases[i]) })
	}
	if ran == 0 {
		t.Fatal("no case ran")
	}
}

func same(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got %x, want %x", what, got, want)
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestVectorsDeserialization(t *testing.T) {
	type vector struct {
		Header hexBytes `json:"vlbytes_header"`
		Length int      `json:"length"`
	}
	for _, c := range load[vector](t, "deserialization.json") {
		r := &reader{b: c.Header}
		if n := r.length(); n != c.Length || r.bad || r.more() {
			t.Errorf("%x: %d, want %d", c.Header, n, c.Length)
		}
		same(t, "header", appendLength(nil, c.Length), c.Header)
	}
}

func TestVectorsTreeMath(t *testing.T) {
	type vector struct {
		Leaves  uint32    `json:"n_leaves"`
		Nodes   uint32    `json:"n_nodes"`
		Root    uint32    `json:"root"`
		Left    []*uint32 `json:"left"`
		Right   []*uint32 `json:"right"`
		Parent  []*uint32 `json:"parent"`
		Sibling []*uint32 `json:"sibling"`
	}
	for _, c := range load[vector](t, "tree-math.json") {
		if root := rootOf(c.Leaves); uint32(root) != c.Root {
			t.Errorf("root of %d: %d, want %d", c.Leaves, root, c.Root)
		}
		check := func(name string, x nodeIndex, want *uint32, f func(nodeIndex) nodeIndex) {
			if want != nil && uint32(f(x)) != *want {
				t.Errorf("%s of %d among %d: %d, want %d", name, x, c.Leaves, f(x), *want)
			}
		}
		for i := range c.Nodes {
			x := nodeIndex(i)
			check("left", x, c.Left[i], nodeIndex.left)
			check("right", x, c.Right[i], nodeIndex.right)
			check("parent", x, c.Parent[i], nodeIndex.parent)
			check("sibling", x, c.Sibling[i], nodeIndex.sibling)
		}
	}
}

type encryptVector struct {
	Priv, Pub, Label hexOrText
	Context          hexBytes
	Plaintext        hexBytes
	KEM              hexBytes `json:"kem_output"`
	Ciphertext       hexBytes
}

// hexOrText keeps a JSON string as it is, for labels.
type hexOrText string

func (h hexOrText) hex(t *testing.T) []byte {
	t.Helper()
	return must(hex.DecodeString(string(h)))(t)
}

func (v *encryptVector) run(t *testing.T, cs *suite) {
	key := must(cs.privateKey(v.Priv.hex(t)))(t)
	same(t, "public key", key.PublicKey().Bytes(), v.Pub.hex(t))
	plain := must(cs.open(key, string(v.Label), v.Context, ciphertext{v.KEM, v.Ciphertext}))(t)
	same(t, "plaintext", plain, v.Plaintext)
	again := must(cs.seal(must(cs.publicKey(v.Pub.hex(t)))(t), string(v.Label), v.Context, plain))(t)
	same(t, "round trip", must(cs.open(key, string(v.Label), v.Context, again))(t), v.Plaintext)
}

type expandVector struct {
	Secret  hexBytes
	Label   string
	Context hexBytes
	Length  int
	Out     hexBytes
}

type deriveVector struct {
	Secret hexBytes
	Label  string
	Out    hexBytes
}

func TestVectorsCryptoBasics(t *testing.T) {
	type vector struct {
		Suite   Suite `json:"cipher_suite"`
		RefHash struct {
			Label string
			Value hexBytes
			Out   hexBytes
		} `json:"ref_hash"`
		Expand     expandVector `json:"expand_with_label"`
		Derive     deriveVector `json:"derive_secret"`
		DeriveTree struct {
			Secret     hexBytes
			Label      string
			Generation uint32
			Length     int
			Out        hexBytes
		} `json:"derive_tree_secret"`
		Sign struct {
			Priv, Pub, Content, Signature hexBytes
			Label                         string
		} `json:"sign_with_label"`
		Encrypt encryptVector `json:"encrypt_with_label"`
	}
	each(t, "crypto-basics.json", func(c *vector) Suite { return c.Suite }, func(t *testing.T, cs *suite, c *vector) {
		same(t, "RefHash", cs.refHash(c.RefHash.Label, c.RefHash.Value), c.RefHash.Out)
		e := c.Expand
		same(t, "ExpandWithLabel", cs.expandWithLabel(e.Secret, e.Label, e.Context, e.Length), e.Out)
		same(t, "DeriveSecret", cs.deriveSecret(c.Derive.Secret, c.Derive.Label), c.Derive.Out)
		d := c.DeriveTree
		same(t, "DeriveTreeSecret", cs.deriveTreeSecret(d.Secret, d.Label, d.Generation, d.Length), d.Out)
		s := c.Sign
		if !cs.verifyLabelled(s.Pub, s.Label, s.Content, s.Signature) {
			t.Error("the signature does not verify")
		}
		signer := must(ParseSigningKey(cs.id, s.Priv))(t)
		same(t, "signature key", signer.Public(), s.Pub)
		own := must(signer.signLabelled(s.Label, s.Content))(t)
		if !cs.verifyLabelled(s.Pub, s.Label, s.Content, own) {
			t.Error("our signature does not verify")
		}
		if cs.verifyLabelled(s.Pub, s.Label+"x", s.Content, own) {
			t.Error("the signature verifies under another label")
		}
		c.Encrypt.run(t, cs)
	})
}

func TestVectorsXWingBasics(t *testing.T) {
	type vector struct {
		Suite         Suite `json:"cipher_suite"`
		DeriveKeyPair []struct {
			IKM, Priv, Pub hexBytes
		} `json:"derive_key_pair"`
		Encrypt  encryptVector `json:"encrypt_with_label"`
		Expand   expandVector  `json:"expand_with_label"`
		Derive   deriveVector  `json:"derive_secret"`
		External struct {
			Secret hexBytes `json:"external_secret"`
			Pub    hexBytes `json:"external_pub"`
			KEM    hexBytes `json:"kem_output"`
			Init   hexBytes `json:"init_secret"`
		} `json:"external_init"`
	}
	each(t, "xwing-basics.json", func(c *vector) Suite { return c.Suite }, func(t *testing.T, cs *suite, c *vector) {
		for _, d := range c.DeriveKeyPair {
			key := must(cs.deriveKeyPair(d.IKM))(t)
			same(t, "private key", must(key.Bytes())(t), d.Priv)
			same(t, "public key", key.PublicKey().Bytes(), d.Pub)
		}
		c.Encrypt.run(t, cs)
		e := c.Expand
		same(t, "ExpandWithLabel", cs.expandWithLabel(e.Secret, e.Label, e.Context, e.Length), e.Out)
		same(t, "DeriveSecret", cs.deriveSecret(c.Derive.Secret, c.Derive.Label), c.Derive.Out)
		same(t, "external key", must(cs.deriveKeyPair(c.External.Secret))(t).PublicKey().Bytes(), c.External.Pub)
		same(t, "init secret", must(cs.receiveExternalInit(c.External.Secret, c.External.KEM))(t), c.External.Init)
	})
}

func TestVectorsKeySchedule(t *testing.T) {
	type epoch struct {
		Commit        hexBytes `json:"commit_secret"`
		PSK           hexBytes `json:"psk_secret"`
		TreeHash      hexBytes `json:"tree_hash"`
		Confirmed     hexBytes `json:"confirmed_transcript_hash"`
		Context       hexBytes `json:"group_context"`
		Joiner        hexBytes `json:"joiner_secret"`
		Welcome       hexBytes `json:"welcome_secret"`
		Init          hexBytes `json:"init_secret"`
		SenderData    hexBytes `json:"sender_data_secret"`
		Encryption    hexBytes `json:"encryption_secret"`
		Exporter      hexBytes `json:"exporter_secret"`
		Authenticator hexBytes `json:"epoch_authenticator"`
		External      hexBytes `json:"external_secret"`
		Confirmation  hexBytes `json:"confirmation_key"`
		Membership    hexBytes `json:"membership_key"`
		Resumption    hexBytes `json:"resumption_psk"`
		ExternalPub   hexBytes `json:"external_pub"`
		Export        struct {
			Label   string
			Context hexBytes
			Length  int
			Secret  hexBytes
		} `json:"exporter"`
	}
	type vector struct {
		Suite  Suite    `json:"cipher_suite"`
		Group  hexBytes `json:"group_id"`
		Init   hexBytes `json:"initial_init_secret"`
		Epochs []epoch
	}
	each(t, "key-schedule.json", func(c *vector) Suite { return c.Suite }, func(t *testing.T, cs *suite, c *vector) {
		initSecret := []byte(c.Init)
		for i, e := range c.Epochs {
			context := (&groupContext{cs.id, c.Group, uint64(i), e.TreeHash, e.Confirmed, nil}).encode()
			same(t, "context", context, e.Context)
			joiner := cs.joinerSecret(initSecret, e.Commit, context)
			same(t, "joiner", joiner, e.Joiner)
			welcome, secret := cs.schedule(joiner, e.PSK, context)
			same(t, "welcome", welcome, e.Welcome)
			s, encryption := cs.derive(secret)
			same(t, "init", s.init, e.Init)
			same(t, "sender data", s.senderData, e.SenderData)
			same(t, "encryption", encryption, e.Encryption)
			same(t, "exporter", s.exporter, e.Exporter)
			same(t, "authenticator", s.authenticator, e.Authenticator)
			same(t, "external", s.external, e.External)
			same(t, "confirmation", s.confirmation, e.Confirmation)
			same(t, "membership", s.membership, e.Membership)
			same(t, "resumption", s.resumption, e.Resumption)
			same(t, "external pub", must(cs.deriveKeyPair(s.external))(t).PublicKey().Bytes(), e.ExternalPub)
			same(t, "export", cs.export(s.exporter, e.Export.Label, e.Export.Context, e.Export.Length), e.Export.Secret)
			initSecret = s.init
		}
	})
}

func TestVectorsPSKSecret(t *testing.T) {
	type vector struct {
		Suite Suite `json:"cipher_suite"`
		PSKs  []struct {
			ID    hexBytes `json:"psk_id"`
			PSK   hexBytes `json:"psk"`
			Nonce hexBytes `json:"psk_nonce"`
		} `json:"psks"`
		Secret hexBytes `json:"psk_secret"`
	}
	each(t, "psk_secret.json", func(c *vector) Suite { return c.Suite }, func(t *testing.T, cs *suite, c *vector) {
		var ids []PSKID
		var keys [][]byte
		for _, p := range c.PSKs {
			ids = append(ids, PSKID{Type: PSKExternal, ID: p.ID, Nonce: p.Nonce})
			keys = append(keys, p.PSK)
		}
		same(t, "psk secret", cs.pskSecret(ids, keys), c.Secret)
	})
}

func TestVectorsTranscriptHashes(t *testing.T) {
	type vector struct {
		Suite     Suite    `json:"cipher_suite"`
		Key       hexBytes `json:"confirmation_key"`
		Content   hexBytes `json:"authenticated_content"`
		Before    hexBytes `json:"interim_transcript_hash_before"`
		Confirmed hexBytes `json:"confirmed_transcript_hash_after"`
		After     hexBytes `json:"interim_transcript_hash_after"`
	}
	each(t, "transcript-hashes.json", func(c *vector) Suite { return c.Suite }, func(t *testing.T, cs *suite, c *vector) {
		r := &reader{b: c.Content}
		a := &authenticatedContent{wire: wireFormat(r.u16()), content: readFramedContent(r)}
		a.readAuth(r)
		if err := r.end("content"); err != nil {
			t.Fatal(err)
		}
		same(t, "encoding", a.append(nil), c.Content)
		confirmed := cs.confirmedHash(c.Before, a)
		same(t, "confirmed", confirmed, c.Confirmed)
		same(t, "tag", cs.mac(c.Key, confirmed), a.confirmationTag)
		same(t, "interim", cs.interimHash(confirmed, a.confirmationTag), c.After)
	})
}

func TestVectorsSecretTree(t *testing.T) {
	type vector struct {
		Suite      Suite    `json:"cipher_suite"`
		Encryption hexBytes `json:"encryption_secret"`
		SenderData struct {
			Secret hexBytes `json:"sender_data_secret"`
			Sample hexBytes `json:"ciphertext"`
			Key    hexBytes
			Nonce  hexBytes
		} `json:"sender_data"`
		Leaves [][]struct {
			Generation       uint32
			ApplicationKey   hexBytes `json:"application_key"`
			ApplicationNonce hexBytes `json:"application_nonce"`
			HandshakeKey     hexBytes `json:"handshake_key"`
			HandshakeNonce   hexBytes `json:"handshake_nonce"`
		}
	}
	each(t, "secret-tree.json", func(c *vector) Suite { return c.Suite }, func(t *testing.T, cs *suite, c *vector) {
		key, nonce := cs.senderKey(c.SenderData.Secret, c.SenderData.Sample)
		same(t, "sender key", key, c.SenderData.Key)
		same(t, "sender nonce", nonce, c.SenderData.Nonce)
		s := newSecretTree(cs, ceilPow2(uint32(len(c.Leaves))), bytesClone(c.Encryption))
		for i, generations := range c.Leaves {
			for _, g := range generations {
				app := must(s.find(ratchetID{LeafIndex(i), ratchetApplication}, g.Generation))(t)
				same(t, "application key", app.key.key, g.ApplicationKey)
				same(t, "application nonce", app.key.nonce, g.ApplicationNonce)
				s.consume(app)
				hs := must(s.find(ratchetID{LeafIndex(i), ratchetHandshake}, g.Generation))(t)
				same(t, "handshake key", hs.key.key, g.HandshakeKey)
				same(t, "handshake nonce", hs.key.nonce, g.HandshakeNonce)
				s.consume(hs)
			}
		}
		if len(s.nodes) != int(s.leaves)-len(c.Leaves) {
			t.Errorf("%d node secrets are left", len(s.nodes))
		}
	})
}
