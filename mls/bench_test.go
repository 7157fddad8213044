package mls

import (
	"fmt"
	"testing"
)

// benchGroup is a group of n members, made without the messages that would
// have led there: the tree and the keys are those of a group in which the
// committers, in this order, have made a commit each.
type benchGroup struct {
	cs      *suite
	signers []*SigningKey
	tree    *tree
	keys    map[nodeIndex][]byte
	secret  []byte
}

func newBenchGroup(tb testing.TB, n int, committers []LeafIndex) *benchGroup {
	tb.Helper()
	cs := must(lookup(DefaultSuite))(tb)
	b := &benchGroup{cs: cs, tree: &tree{cs: cs}, keys: map[nodeIndex][]byte{}, secret: random(cs.nh)}
	for i := range n {
		p := newPerson(tb, DefaultSuite, fmt.Sprint("member ", i))
		k := p.keyPackage(tb)
		b.signers = append(b.signers, p.signer)
		b.keys[nodeIndex(2*i)] = k.encryptionKey
		b.tree.setLeaf(LeafIndex(i), k.KeyPackage.leaf)
	}
	for _, i := range committers {
		steps := b.tree.filteredPath(i)
		path := must(cs.makePath(steps, random(cs.nh)))(tb)
		hash := b.tree.setPath(i, steps, path.publics)
		key, raw, err := generatedKey(cs)
		if err != nil {
			tb.Fatal(err)
		}
		template := must((*LeafUpdate)(nil).template(b.tree.leaf(i), SourceCommit, key.PublicKey().Bytes()))(tb)
		template.parentHash = hash
		b.tree.setLeaf(i, must(template.sign(b.signers[i], []byte("a group"), i))(tb))
		b.keys[i.node()] = raw
		for x, key := range path.keys {
			b.keys[x] = key
		}
	}
	return b
}

// member is the state of one member.
func (b *benchGroup) member(i LeafIndex) *Group {
	g := &Group{cfg: testConfig(), cs: b.cs, tree: b.tree.clone(), own: i, signer: b.signers[i], keys: privateKeys{i.node(): b.keys[i.node()]},
		context: groupContext{b.cs.id, []byte("a group"), 7, b.tree.rootHash(), make([]byte, b.cs.nh), nil}}
	for _, x := range directPath(i.node(), b.tree.width()) {
		if !b.tree.blank(x) {
			g.keys[x] = b.keys[x]
		}
	}
	g.contextRaw = g.context.encode()
	g.start(bytesClone(b.secret))
	g.tag = b.cs.mac(g.secrets.confirmation, g.context.confirmed)
	g.interim = b.cs.interimHash(g.context.confirmed, g.tag)
	return g
}

func spread(n, k int) []LeafIndex {
	list := make([]LeafIndex, k)
	for i := range list {
		list[i] = LeafIndex(i * n / k)
	}
	return list
}

// theGroups are the two of the marks: 100 members of whom all have committed,
// and 1,000 of whom 65 have.
var theGroups = map[int]int{100: 100, 1000: 65}

func benchGroups(b *testing.B, f func(b *testing.B, g *benchGroup)) {
	for _, n := range []int{100, 1000} {
		g := newBenchGroup(b, n, spread(n, theGroups[n]))
		b.Run(fmt.Sprint("n=", n), func(b *testing.B) { f(b, g) })
	}
}

func BenchmarkEncrypt(b *testing.B) {
	for _, n := range []int{2, 1000} {
		g := newBenchGroup(b, n, spread(n, 2)).member(1)
		b.Run(fmt.Sprint("n=", n), func(b *testing.B) {
			data, saved := make([]byte, 256), 0
			for b.Loop() {
				if _, err := g.Encrypt(data, nil); err != nil {
					b.Fatal(err)
				}
				saved = 0
				for _, r := range g.Changes() {
					saved += len(r.Key) + len(r.Value)
				}
			}
			b.ReportMetric(float64(saved), "saved-B")
		})
	}
}

func BenchmarkDecrypt(b *testing.B) {
	for _, n := range []int{2, 1000} {
		bg := newBenchGroup(b, n, spread(n, 2))
		from, to := bg.member(1), bg.member(0)
		var messages [][]byte // outlives a run: none may be skipped
		b.Run(fmt.Sprint("n=", n), func(b *testing.B) {
			data, saved := make([]byte, 256), 0
			for b.Loop() {
				if len(messages) == 0 {
					b.StopTimer()
					for range 500 {
						messages = append(messages, must(from.Encrypt(data, nil))(b))
					}
					b.StartTimer()
				}
				if _, err := to.Decrypt(messages[0]); err != nil {
					b.Fatal(err)
				}
				messages = messages[1:]
				saved = 0
				for _, r := range to.Changes() {
					saved += len(r.Key) + len(r.Value)
				}
			}
			b.ReportMetric(float64(saved), "saved-B")
		})
	}
}

func BenchmarkUpdateCommit(b *testing.B) {
	benchGroups(b, func(b *testing.B, bg *benchGroup) {
		g, size := bg.member(0), 0
		for b.Loop() {
			size = len(must(g.Commit(CommitOptions{}))(b).message)
		}
		b.ReportMetric(float64(size), "commit-B")
	})
}

func BenchmarkProcessCommit(b *testing.B) {
	benchGroups(b, func(b *testing.B, bg *benchGroup) {
		message := must(bg.member(0).Commit(CommitOptions{}))(b).message
		g := bg.member(5)
		for b.Loop() {
			r := must(g.Process(message))(b)
			must(r.Commit.Apply())(b)
		}
	})
}

func BenchmarkJoin(b *testing.B) {
	benchGroups(b, func(b *testing.B, bg *benchGroup) {
		k := newPerson(b, DefaultSuite, "joiner").keyPackage(b)
		pending := must(bg.member(0).Commit(CommitOptions{Proposals: []Proposal{&Add{k.KeyPackage}}, ForcePath: true}))(b)
		tree := pending.Next().Tree()
		welcome := pending.WelcomePieces()[0].Welcome
		for b.Loop() {
			if _, _, err := Join(testConfig(), welcome, []*PrivateKeyPackage{k}, tree, JoinOptions{}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(welcome)), "welcome-B")
		b.ReportMetric(float64(len(tree)), "tree-B")
	})
}

func BenchmarkAdd1000(b *testing.B) {
	var o CommitOptions
	for i := range 1000 {
		message := newPerson(b, DefaultSuite, fmt.Sprint(i)).keyPackage(b).KeyPackage.Bytes()
		o.Proposals = append(o.Proposals, &Add{must(parseKeyPackage(message))(b)})
	}
	g := newPerson(b, DefaultSuite, "alice").create(b)
	for b.Loop() {
		for _, p := range o.Proposals { // the signatures are part of it
			p.(*Add).KeyPackage.verified.Store(false)
		}
		must(g.Commit(o))(b)
	}
}

// BenchmarkLoad is what a start of the program costs.
func BenchmarkLoad(b *testing.B) {
	benchGroups(b, func(b *testing.B, bg *benchGroup) {
		g := bg.member(3)
		records := g.Records()
		for b.Loop() {
			must(Load(g.cfg, records))(b)
		}
	})
}
