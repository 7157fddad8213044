package mls

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// everySuite runs a scenario with each suite.
func everySuite(t *testing.T, f func(t *testing.T, s Suite)) {
	for _, s := range Suites() {
		if testing.Short() && s != DefaultSuite && s != P256AES128 {
			continue
		}
		t.Run(fmt.Sprintf("%#x", uint16(s)), func(t *testing.T) { f(t, s) })
	}
}

func TestCreateAddUpdateRemove(t *testing.T) {
	everySuite(t, func(t *testing.T, s Suite) {
		groups := newWorld(t, s, 3)
		talk(t, groups...)
		groups = advanceAll(t, CommitOptions{Public: true, AuthenticatedData: []byte("why")}, groups)
		talk(t, groups...)

		dave := newPerson(t, s, "dave").keyPackage(t)
		groups = advanceAll(t, CommitOptions{TreeInWelcome: true, ForcePath: true}, groups, dave, newPerson(t, s, "erin").keyPackage(t))
		talk(t, groups...)

		slices.Reverse(groups) // erin commits now
		gone := groups[2]
		pending := must(groups[0].Commit(CommitOptions{Proposals: []Proposal{&Remove{gone.own}}}))(t)
		staged := must(gone.Process(pending.Message()))(t).Commit
		if !staged.Info().SelfRemoved {
			t.Error("the removed member is not told so")
		}
		out := must(staged.Apply())(t)
		if _, err := out.Encrypt(nil, nil); out.Status() != Removed || !errors.Is(err, ErrClosed) {
			t.Errorf("status %d, %v", out.Status(), err)
		}
		next := []*Group{must(pending.Apply())(t)}
		for _, g := range groups[1:] {
			if g != gone {
				next = append(next, receive(t, g, pending.Message()))
			}
		}
		agree(t, next...)
		talk(t, next...)
		refused(t, gone, must(next[0].Encrypt([]byte("secret"), nil))(t), ErrFutureEpoch)
	})
}

func TestACommitChangesNothingUntilItIsApplied(t *testing.T) {
	groups := newWorld(t, DefaultSuite, 3)
	before := groups[0].EpochAuthenticator()
	lost := must(groups[0].Commit(CommitOptions{}))(t)
	if !bytes.Equal(groups[0].EpochAuthenticator(), before) {
		t.Fatal("committing changed the epoch")
	}
	seen := must(groups[1].Process(lost.Message()))(t).Commit
	if info := seen.Info(); info.Committer != 0 || !info.HasPath || len(info.Updated) != 1 {
		t.Errorf("info %+v", info)
	}
	seen.Drop()
	lost.Drop()
	talk(t, groups...)
	// The same commit can be looked at again, and another wins.
	if _, err := groups[1].Process(lost.Message()); err != nil {
		t.Error(err)
	}
	groups = advanceAll(t, CommitOptions{}, []*Group{groups[1], groups[2], groups[0]})
	refused(t, groups[0], lost.Message(), ErrPastEpoch)
	talk(t, groups...)
}

func TestRemoveAndAddOfOneDeviceInOneCommit(t *testing.T) {
	alice, bob := newPerson(t, DefaultSuite, "alice"), newPerson(t, DefaultSuite, "bob")
	groups := advanceAll(t, CommitOptions{}, []*Group{alice.create(t)}, bob.keyPackage(t))
	groups = advanceAll(t, CommitOptions{}, groups, newPerson(t, DefaultSuite, "carol").keyPackage(t))
	again := bob.keyPackage(t) // same signature key, fresh encryption keys
	if _, err := groups[0].Commit(CommitOptions{Proposals: []Proposal{&Add{again.KeyPackage}}}); !errors.Is(err, ErrDuplicateKey) {
		t.Errorf("bob was added twice: %v", err)
	}
	old := groups[1].own
	rest := []*Group{groups[0], groups[2]}
	rest = advanceAll(t, CommitOptions{Proposals: []Proposal{&Remove{old}}, AuthenticatedData: []byte("nack")}, rest, again)
	talk(t, rest...)
}

func TestExternalJoinWithPSKAndResync(t *testing.T) {
	everySuite(t, func(t *testing.T, s Suite) {
		groups := newWorld(t, s, 2)
		link := must(groups[0].GroupInfo(GroupInfoOptions{Tree: true, ExternalPub: true}))(t)
		dave := newPerson(t, s, "dave")
		o := ExternalOptions{Signer: dave.signer, Credential: dave.credential(), PSKs: [][]byte{[]byte("link")}, AuthenticatedData: []byte("hello")}
		pending := must(JoinExternal(dave.cfg, link, o))(t)
		pending = must(LoadExternal(dave.cfg, pending.Save()))(t)
		for i, g := range groups {
			r := must(g.Process(pending.Message()))(t)
			if info := r.Commit.Info(); !info.External || len(info.Added) != 1 || len(info.PSKs) != 1 || string(info.AuthenticatedData) != "hello" {
				t.Errorf("info %+v", info)
			}
			groups[i] = must(r.Commit.Apply())(t)
		}
		groups = append(groups, must(pending.Apply())(t))
		agree(t, groups...)
		talk(t, groups...)

		// Dave loses his state and comes back in place of his old leaf.
		lost := groups[2].own
		info := must(groups[1].GroupInfo(GroupInfoOptions{ExternalPub: true}))(t)
		o = ExternalOptions{Signer: dave.signer, Credential: dave.credential(), Resync: &lost, Tree: groups[1].Tree()}
		pending = must(JoinExternal(dave.cfg, info, o))(t)
		for i, g := range groups[:2] {
			r := must(g.Process(pending.Message()))(t)
			if !r.Commit.Info().Resync {
				t.Error("the resync is not told")
			}
			groups[i] = must(r.Commit.Apply())(t)
		}
		groups[2] = must(pending.Apply())(t)
		agree(t, groups...)
		talk(t, groups...)
	})
}

func TestWelcomePiecesAndTreeBeside(t *testing.T) {
	alice := newPerson(t, DefaultSuite, "alice").create(t)
	var keys []*PrivateKeyPackage
	o := CommitOptions{WelcomeExtensions: func(next *Group) ([]Extension, error) {
		return []Extension{{0xF100, next.TreeHash()}}, nil
	}}
	for i := range 5 {
		keys = append(keys, newPerson(t, DefaultSuite, fmt.Sprint(i)).keyPackage(t))
		o.Proposals = append(o.Proposals, &Add{keys[i].KeyPackage})
	}
	pending := must(alice.Commit(o))(t)
	tree := pending.Next().Tree()
	groups := []*Group{must(pending.Apply())(t)}
	for i, piece := range pending.WelcomePieces() {
		if _, err := OpenWelcome(testConfig(), piece.Welcome, []*PrivateKeyPackage{keys[(i+1)%5]}, JoinOptions{}); !errors.Is(err, ErrNoKeyPackage) {
			t.Errorf("piece %d is open to another: %v", i, err)
		}
		w := must(OpenWelcome(testConfig(), piece.Welcome, keys, JoinOptions{}))(t)
		if w.KeyPackage() != keys[i] {
			t.Error("opened with another key package")
		}
		if data, ok := w.Extension(0xF100); !ok || !bytes.Equal(data, groups[0].TreeHash()) {
			t.Errorf("extension %x", data)
		}
		if _, _, err := w.Join(nil); !errors.Is(err, ErrGroupInfo) {
			t.Errorf("joined without a tree: %v", err)
		}
		g, info, err := w.Join(tree)
		if err != nil {
			t.Fatal(err)
		}
		if info.Signer != 0 {
			t.Errorf("signer %d", info.Signer)
		}
		groups = append(groups, g)
	}
	agree(t, groups...)
	talk(t, groups...)
}

func TestSavedStateGoesOn(t *testing.T) {
	groups := newWorld(t, DefaultSuite, 4)
	talk(t, groups...)
	store := map[string][]byte{}
	save := func(list []Record) {
		for _, r := range list {
			if r.Value == nil {
				delete(store, string(r.Key))
			} else {
				store[string(r.Key)] = bytes.Clone(r.Value)
			}
		}
	}
	stored := func() *Group {
		var list []Record
		for key, value := range store {
			list = append(list, Record{[]byte(key), value})
		}
		return must(Load(testConfig(), list))(t)
	}
	save(groups[1].Records())
	groups[1].Changes()
	for round := range 3 {
		for range 3 {
			message := must(groups[0].Encrypt([]byte("x"), nil))(t)
			for _, g := range groups[1:] {
				must(g.Decrypt(message))(t)
			}
			save(groups[1].Changes())
		}
		own := must(groups[1].Encrypt([]byte("y"), nil))(t)
		save(groups[1].Changes())
		groups[1] = stored()
		for _, i := range []int{0, 2, 3} {
			must(groups[i].Decrypt(own))(t)
		}
		talk(t, groups...)
		save(groups[1].Changes())

		old := groups[1]
		back := map[string][]byte{}
		groups = advanceAll(t, CommitOptions{ForcePath: round == 1}, groups)
		for _, r := range old.Diff(groups[1]) {
			back[string(r.Key)] = r.Value
		}
		save(groups[1].Diff(old))
		groups[1] = stored()
		agree(t, groups...)
		// The way back leads to the old epoch.
		for key, value := range store {
			if _, ok := back[key]; !ok {
				back[key] = value
			}
		}
		var list []Record
		for key, value := range back {
			if value != nil {
				list = append(list, Record{[]byte(key), value})
			}
		}
		agree(t, old, must(Load(testConfig(), list))(t))
	}
}

func TestSavingAMessageIsSmall(t *testing.T) {
	groups := newWorld(t, DefaultSuite, 9)
	talk(t, groups...)
	for _, g := range groups {
		g.Changes()
	}
	message := must(groups[3].Encrypt(make([]byte, 256), nil))(t)
	must(groups[0].Decrypt(message))(t)
	for _, g := range []*Group{groups[0], groups[3]} {
		changes := g.Changes()
		if len(changes) != 1 || len(changes[0].Value) > 128 {
			t.Errorf("leaf %d saves %d records", g.own, len(changes))
		}
	}
}

func TestPendingCommitOutlivesARestart(t *testing.T) {
	groups := newWorld(t, DefaultSuite, 3)
	dave := newPerson(t, DefaultSuite, "dave").keyPackage(t)
	pending := must(groups[0].Commit(CommitOptions{Proposals: []Proposal{&Add{dave.KeyPackage}}}))(t)
	saved := pending.Save()
	talk(t, groups...) // what is received meanwhile belongs to the old epoch
	alice := reload(t, groups[0])
	again := must(alice.LoadPending(saved))(t)
	if !bytes.Equal(again.Message(), pending.Message()) || len(again.WelcomePieces()) != 1 {
		t.Fatal("the pending commit differs")
	}
	next := must(again.Apply())(t)
	bob := receive(t, groups[1], again.Message())
	if len(next.messages.ratchets) > 0 {
		t.Error("ratchets of the old epoch came along")
	}
	joined, _, err := Join(testConfig(), again.WelcomePieces()[0].Welcome, []*PrivateKeyPackage{dave}, next.Tree(), JoinOptions{})
	if err != nil {
		t.Fatal(err)
	}
	agree(t, next, bob, joined)
	talk(t, next, bob, joined)
	for i := range saved {
		bad := bytes.Clone(saved)
		bad[i] ^= 1
		if _, err := alice.LoadPending(bad); !errors.Is(err, ErrState) {
			t.Fatalf("byte %d: %v", i, err)
		}
		if testing.Short() {
			break
		}
		if i > 200 {
			break
		}
	}
}

func TestPrivateFailureIsToldApart(t *testing.T) {
	groups := newWorld(t, DefaultSuite, 4)
	for range 4 { // everybody has a path
		groups = advanceAll(t, CommitOptions{}, append(groups[1:], groups[0]))
	}
	victim := groups[1]
	for x, key := range victim.keys {
		fresh, raw, err := generatedKey(victim.cs)
		if err != nil || fresh == nil {
			t.Fatal(err)
		}
		_ = key
		victim.keys[x] = raw
	}
	pending := must(groups[0].Commit(CommitOptions{AuthenticatedData: []byte("who")}))(t)
	_, err := victim.Process(pending.Message())
	var private *PrivateError
	if !errors.As(err, &private) || !errors.Is(err, ErrPrivate) || errors.Is(err, ErrInvalid) || Public(err) {
		t.Fatalf("got %v", err)
	}
	if private.Info == nil || private.Info.Committer != groups[0].own || string(private.Info.AuthenticatedData) != "who" {
		t.Errorf("info %+v", private.Info)
	}
	receive(t, groups[2], pending.Message())
}

func TestRulesSeeTheChange(t *testing.T) {
	groups := newWorld(t, DefaultSuite, 3)
	deny := errors.New("not on my watch")
	var seen *Change
	for _, g := range groups {
		g.cfg.Rules = func(c *Change) error {
			seen = c
			if len(c.Proposals) > 0 {
				return deny
			}
			return nil
		}
	}
	o := CommitOptions{Proposals: []Proposal{&Remove{2}}, AuthenticatedData: []byte("why")}
	if _, err := groups[0].Commit(o); !errors.Is(err, ErrRules) || !errors.Is(err, deny) {
		t.Errorf("own commit: %v", err)
	}
	groups[0].cfg.Rules = nil
	pending := must(groups[0].Commit(o))(t)
	refused(t, groups[1], pending.Message(), ErrRules)
	if seen.Committer != 0 || seen.Old.Count() != 3 || seen.New.Count() != 2 || !seen.Private || !seen.HasPath || string(seen.AuthenticatedData) != "why" {
		t.Errorf("change %+v", seen)
	}
	if remove, ok := seen.Proposals[0].Proposal.(*Remove); !ok || remove.Index != 2 || seen.Proposals[0].ByReference {
		t.Errorf("proposal %+v", seen.Proposals[0])
	}
	groups[0].cfg.Rules = groups[1].cfg.Rules
	groups = advanceAll(t, CommitOptions{}, groups)
	talk(t, groups...)
}
