package mls

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// testPSKs are the external keys that everybody in the tests knows.
var testPSKs = map[string][]byte{"link": []byte("the secret of a link"), "other": []byte("another secret")}

// testConfig is the usual one.
func testConfig() Config {
	return Config{Credential: AnyCredential, PSK: func(id []byte) []byte { return testPSKs[string(id)] }}
}

// A person is a device with its signature key.
type person struct {
	name   string
	suite  Suite
	signer *SigningKey
	cfg    Config
}

func newPerson(t testing.TB, s Suite, name string) *person {
	t.Helper()
	return &person{name, s, must(NewSigningKey(s))(t), testConfig()}
}

func (p *person) credential() Credential { return BasicCredential([]byte(p.name)) }

func (p *person) keyPackage(t testing.TB) *PrivateKeyPackage {
	t.Helper()
	return must(NewKeyPackage(KeyPackageOptions{Suite: p.suite, Signer: p.signer, Credential: p.credential()}))(t)
}

func (p *person) create(t testing.TB, extensions ...Extension) *Group {
	t.Helper()
	return must(Create(p.cfg, CreateOptions{Suite: p.suite, GroupID: []byte("a group"), Signer: p.signer,
		Credential: p.credential(), Extensions: extensions}))(t)
}

// refused demands that a message is refused for the given reason.
func refused(t testing.TB, g *Group, message []byte, want error) {
	t.Helper()
	if _, err := g.Process(message); !errors.Is(err, want) {
		t.Errorf("refused with %v, want %v", err, want)
	}
}

// agree demands that all groups are in the same epoch with the same secrets.
func agree(t testing.TB, groups ...*Group) {
	t.Helper()
	for _, g := range groups[1:] {
		if !bytes.Equal(g.EpochAuthenticator(), groups[0].EpochAuthenticator()) || !bytes.Equal(g.TreeHash(), groups[0].TreeHash()) {
			t.Fatalf("leaf %d in epoch %d and leaf %d in epoch %d differ", g.own, g.Epoch(), groups[0].own, groups[0].Epoch())
		}
	}
}

// talk sends a message from everybody to everybody.
func talk(t testing.TB, groups ...*Group) {
	t.Helper()
	for _, from := range groups {
		text := fmt.Appendf(nil, "from leaf %d in epoch %d", from.own, from.Epoch())
		message := must(from.Encrypt(text, []byte("aad")))(t)
		for _, to := range groups {
			if to == from {
				refused(t, to, message, ErrOwnMessage)
				continue
			}
			r := must(to.Decrypt(message))(t)
			if !bytes.Equal(r.Data, text) || r.Sender.Leaf != from.own || string(r.AuthenticatedData) != "aad" {
				t.Fatalf("leaf %d read %q by %d", to.own, r.Data, r.Sender.Leaf)
			}
		}
	}
}

// receive processes a commit and applies it.
func receive(t testing.TB, g *Group, message []byte) *Group {
	t.Helper()
	r := must(g.Process(message))(t)
	if r.Commit == nil {
		t.Fatalf("kind %d is no commit", r.Kind)
	}
	return must(r.Commit.Apply())(t)
}

// advance lets the first of the groups commit, all others process it, and
// those join whom it adds.
func advanceAll(t testing.TB, o CommitOptions, groups []*Group, joiners ...*PrivateKeyPackage) []*Group {
	t.Helper()
	for _, k := range joiners {
		o.Proposals = append(o.Proposals, &Add{k.KeyPackage})
	}
	pending := must(groups[0].Commit(o))(t)
	next := []*Group{must(pending.Apply())(t)}
	for _, g := range groups[1:] {
		next = append(next, receive(t, g, pending.Message()))
	}
	var tree []byte
	if !o.TreeInWelcome {
		tree = next[0].Tree()
	}
	for _, k := range joiners {
		g, _, err := Join(groups[0].cfg, pending.Welcome(), []*PrivateKeyPackage{k}, tree, JoinOptions{})
		if err != nil {
			t.Fatal(err)
		}
		next = append(next, g)
	}
	agree(t, next...)
	return next
}

// newWorld is a group of n members, all joined by Welcome.
func newWorld(t testing.TB, s Suite, n int) []*Group {
	t.Helper()
	groups := []*Group{newPerson(t, s, "member 0").create(t)}
	for i := 1; i < n; i++ {
		groups = advanceAll(t, CommitOptions{}, groups, newPerson(t, s, fmt.Sprint("member ", i)).keyPackage(t))
	}
	return groups
}

// reload saves a group and loads it again.
func reload(t testing.TB, g *Group) *Group {
	t.Helper()
	return must(Load(g.cfg, g.Records()))(t)
}
