package mls

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var seedFlag = flag.Uint64("mls.seed", 0, "seed of the simulation; 0 draws one")

// simulation is a group of 3 to 30 members who do what comes to their mind,
// by a seed: everybody sees the same ordered log of commits, and messages in
// any order, twice or not at all.
type simulation struct {
	t       *testing.T
	r       *rand.Rand
	suite   Suite
	members map[string]*Group
	stores  map[string]map[string][]byte // what each has on disk
	waiting map[string][][]byte          // messages not delivered yet
	seen    map[string]map[string]bool   // messages read, by reader
	gone    []*Group                     // those who were removed, as they were
	born    int
	done    map[string]int // how often each operation happened
}

func (s *simulation) names() []string { return slices.Sorted(maps.Keys(s.members)) }

func (s *simulation) some() string {
	names := s.names()
	return names[s.r.IntN(len(names))]
}

// save brings a member's disk up to date.
func (s *simulation) save(name string, records []Record) {
	store := s.stores[name]
	if store == nil {
		store = map[string][]byte{}
		s.stores[name] = store
	}
	for _, r := range records {
		if r.Value == nil {
			delete(store, string(r.Key))
		} else {
			store[string(r.Key)] = bytes.Clone(r.Value)
		}
	}
}

// restart loads a member from its disk.
func (s *simulation) restart(name string) {
	var records []Record
	for key, value := range s.stores[name] {
		records = append(records, Record{[]byte(key), value})
	}
	s.members[name] = must(Load(testConfig(), records))(s.t)
	s.done["restart"]++
}

// enter puts a member into its next epoch.
func (s *simulation) enter(name string, next *Group) {
	old := s.members[name]
	s.save(name, next.Diff(old))
	s.members[name] = next
	if old != nil && s.r.IntN(2) == 0 {
		old.Wipe()
	}
	// What of the old epoch was not delivered is lost.
	s.waiting[name] = nil
}

func (s *simulation) newPerson() (*person, string) {
	s.born++
	name := fmt.Sprintf("person %03d", s.born)
	return newPerson(s.t, s.suite, name), name
}

// options is what a member wants to commit.
func (s *simulation) options(name string) (CommitOptions, map[string]*PrivateKeyPackage) {
	o := CommitOptions{Public: s.r.IntN(3) == 0, ForcePath: s.r.IntN(2) == 0, ByReference: true, AuthenticatedData: []byte(name)}
	joiners := map[string]*PrivateKeyPackage{}
	g := s.members[name]
	n := len(s.members)
	for range s.r.IntN(4) {
		if n < 30 && s.r.IntN(2) == 0 {
			p, who := s.newPerson()
			joiners[who] = p.keyPackage(s.t)
			o.Proposals = append(o.Proposals, &Add{joiners[who].KeyPackage})
			n++
		}
	}
	if victim := s.members[s.some()]; n > 3 && victim != g && s.r.IntN(3) == 0 {
		o.Proposals = append(o.Proposals, &Remove{victim.own})
	}
	if s.r.IntN(4) == 0 {
		o.Proposals = append(o.Proposals, &PreSharedKey{ExternalPSK([]byte("link"))})
	}
	return o, joiners
}

// commit lets one to three members commit at once; the first wins.
func (s *simulation) commit() {
	type attempt struct {
		name    string
		pending *Pending
		joiners map[string]*PrivateKeyPackage
	}
	var attempts []attempt
	for range 1 + s.r.IntN(3) {
		name := s.some()
		if slices.ContainsFunc(attempts, func(a attempt) bool { return a.name == name }) {
			continue
		}
		o, joiners := s.options(name)
		pending := must(s.members[name].Commit(o))(s.t)
		s.save(name, s.members[name].Changes())
		attempts = append(attempts, attempt{name, pending, joiners})
	}
	won := attempts[0]
	for _, lost := range attempts[1:] {
		lost.pending.Drop()
		s.done["lost commit"]++
	}
	if s.r.IntN(4) == 0 { // the winner restarts before it knows
		saved := won.pending.Save()
		s.restart(won.name)
		won.pending = must(s.members[won.name].LoadPending(saved))(s.t)
	}
	message := won.pending.Message()
	for _, name := range s.names() {
		g := s.members[name]
		if name == won.name {
			refused(s.t, g, message, ErrOwnMessage)
			s.enter(name, must(won.pending.Apply())(s.t))
			continue
		}
		staged := must(g.Process(message))(s.t).Commit
		next := must(staged.Apply())(s.t)
		if next.Status() == Removed {
			s.gone = append(s.gone, g)
			delete(s.members, name)
			delete(s.stores, name)
			delete(s.waiting, name)
			s.done["removal"]++
			continue
		}
		s.enter(name, next)
	}
	tree := s.members[won.name].Tree()
	pieces := won.pending.WelcomePieces()
	for _, who := range slices.Sorted(maps.Keys(won.joiners)) {
		k := won.joiners[who]
		at := slices.IndexFunc(pieces, func(p WelcomePiece) bool { return bytes.Equal(p.Ref, k.KeyPackage.Ref()) })
		g, _, err := Join(testConfig(), pieces[at].Welcome, []*PrivateKeyPackage{k}, tree, JoinOptions{})
		if err != nil {
			s.t.Fatal(err)
		}
		s.enter(who, g)
		s.done["join"]++
	}
	s.done["commit"]++
	s.check()
}

// external lets somebody in without a Welcome, or back in.
func (s *simulation) external() {
	helper := s.members[s.some()]
	info := must(helper.GroupInfo(GroupInfoOptions{ExternalPub: true, Tree: true}))(s.t)
	p, name := s.newPerson()
	o := ExternalOptions{Signer: p.signer, Credential: p.credential(), PSKs: [][]byte{[]byte("other")}}
	if victim := s.some(); len(s.members) >= 30 || s.r.IntN(2) == 0 && s.members[victim] != helper {
		if s.members[victim] == helper {
			return
		}
		name = victim // lost its state: same keys, new place
		o.Resync = &s.members[victim].own
		o.Signer, o.Credential = s.members[victim].signer, BasicCredential([]byte(victim))
		s.done["resync"]++
	}
	pending := must(JoinExternal(testConfig(), info, o))(s.t)
	for _, other := range s.names() {
		if other != name {
			s.enter(other, receive(s.t, s.members[other], pending.Message()))
		}
	}
	delete(s.stores, name)
	delete(s.members, name)
	s.enter(name, must(pending.Apply())(s.t))
	s.done["external"]++
	s.check()
}

func (s *simulation) propose() {
	name := s.some()
	g := s.members[name]
	o := ProposeOptions{Public: s.r.IntN(2) == 0}
	var message []byte
	switch victim := s.members[s.some()]; s.r.IntN(3) {
	case 0:
		message = must(g.ProposeUpdate(nil, o))(s.t)
	case 1:
		if len(s.members) < 5 {
			return
		}
		message = must(g.Propose(&Remove{victim.own}, o))(s.t)
	default:
		message = must(g.Propose(&PreSharedKey{ExternalPSK([]byte("other"))}, o))(s.t)
	}
	s.save(name, g.Changes())
	for _, other := range s.names() {
		if other != name {
			must(s.members[other].Process(message))(s.t)
			s.save(other, s.members[other].Changes())
		}
	}
	s.done["proposal"]++
}

func (s *simulation) send() {
	name := s.some()
	message := must(s.members[name].Encrypt(fmt.Appendf(nil, "by %s", name), []byte(name)))(s.t)
	s.save(name, s.members[name].Changes())
	for _, other := range s.names() {
		switch {
		case other == name:
		case s.r.IntN(10) == 0: // lost
		case s.r.IntN(10) == 0: // twice
			s.waiting[other] = append(s.waiting[other], message, message)
		default:
			s.waiting[other] = append(s.waiting[other], message)
		}
	}
	for _, g := range s.gone {
		if _, err := g.Decrypt(message); err == nil {
			s.t.Fatal("a removed member reads on")
		}
	}
	s.done["message"]++
}

// deliver gives one member what waits for it, in any order.
func (s *simulation) deliver() {
	name := s.some()
	messages := s.waiting[name]
	s.waiting[name] = nil
	s.r.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
	if s.seen[name] == nil {
		s.seen[name] = map[string]bool{}
	}
	for _, message := range messages {
		r, err := s.members[name].Decrypt(message)
		if s.seen[name][string(message)] {
			if !errors.Is(err, ErrKeyUsed) {
				s.t.Fatalf("a repeated message: %v", err)
			}
			continue
		}
		if err != nil {
			s.t.Fatal(err)
		}
		if want := "by " + string(r.AuthenticatedData); string(r.Data) != want {
			s.t.Fatalf("read %q, want %q", r.Data, want)
		}
		s.seen[name][string(message)] = true
		s.save(name, s.members[name].Changes())
		s.done["read"]++
	}
}

func (s *simulation) check() {
	s.t.Helper()
	agree(s.t, slices.Collect(maps.Values(s.members))...)
	any := s.members[s.some()]
	if n := any.View().Count(); n != len(s.members) {
		s.t.Fatalf("%d in the tree, %d members", n, len(s.members))
	}
	fresh := must(readTree(any.cs, &reader{b: any.Tree()}))(s.t)
	if !bytes.Equal(fresh.rootHash(), any.TreeHash()) {
		s.t.Fatal("the cached tree hash is wrong")
	}
	if err := fresh.checkParentHashes(); err != nil {
		s.t.Fatal(err)
	}
	if err := fresh.checkUnmerged(); err != nil {
		s.t.Fatal(err)
	}
}

func simulate(t *testing.T, suite Suite, operations int) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	defer func() {
		if t.Failed() {
			t.Logf("again with: go test -run %s -mls.seed=%d", t.Name(), seed)
		}
	}()
	s := &simulation{t: t, r: rand.New(rand.NewPCG(seed, 1)), suite: suite, members: map[string]*Group{},
		stores: map[string]map[string][]byte{}, waiting: map[string][][]byte{}, seen: map[string]map[string]bool{}, done: map[string]int{}}
	p, name := s.newPerson()
	s.enter(name, p.create(t))
	for len(s.members) < 3 {
		s.commit()
	}
	for range operations {
		switch n := s.r.IntN(100); {
		case n < 12:
			s.commit()
		case n < 16:
			s.external()
		case n < 24:
			s.propose()
		case n < 34:
			s.restart(s.some())
		case n < 65:
			s.send()
		default:
			s.deliver()
		}
	}
	s.commit()
	t.Logf("%d members in epoch %d: %v", len(s.members), s.members[s.some()].Epoch(), s.done)
	for _, what := range []string{"commit", "lost commit", "join", "external", "restart", "message", "read"} {
		if s.done[what] == 0 && operations >= 300 {
			t.Errorf("no %s happened", what)
		}
	}
}

func TestSimulation(t *testing.T) {
	operations := 400
	if testing.Short() || raceDetector {
		operations = 60
	}
	t.Run("classical", func(t *testing.T) { simulate(t, X25519AES128, operations) })
	t.Run("default", func(t *testing.T) { simulate(t, DefaultSuite, operations/2) })
}
