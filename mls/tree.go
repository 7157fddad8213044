package mls

import (
	"crypto/hpke"
	"fmt"
	"slices"
	"sync/atomic"
)

// parentNode is ParentNode (section 7.1). It is never changed once it is in
// a tree.
type parentNode struct {
	encryptionKey []byte
	parentHash    []byte
	unmerged      []LeafIndex
	key           atomic.Pointer[hpke.PublicKey]
}

func (p *parentNode) append(b []byte) []byte {
	b = appendVec(b, p.encryptionKey)
	b = appendVec(b, p.parentHash)
	b = appendLength(b, 4*len(p.unmerged))
	for _, i := range p.unmerged {
		b = appendU32(b, uint32(i))
	}
	return b
}

func readParent(r *reader) *parentNode {
	p := &parentNode{encryptionKey: r.long(), parentHash: r.vec()}
	raw := r.sub()
	if n := len(raw.b) / 4; n > 0 {
		p.unmerged = make([]LeafIndex, 0, n)
	}
	for raw.more() {
		p.unmerged = append(p.unmerged, LeafIndex(raw.u32()))
	}
	r.close(raw)
	return p
}

func (p *parentNode) public(cs *suite) (hpke.PublicKey, error) {
	if key := p.key.Load(); key != nil {
		return *key, nil
	}
	key, err := cs.publicKey(p.encryptionKey)
	if err != nil {
		return nil, err
	}
	p.key.Store(&key)
	return key, nil
}

// tree is a ratchet tree's public half. The nodes in it are shared with other
// trees and are replaced, never changed; a clone costs the pointers.
type tree struct {
	cs      *suite
	leaves  []*Leaf       // to the last that is not blank
	parents []*parentNode // node 2i+1 at i; what is beyond the end is blank
	hashes  [][]byte      // by node; nil where not known
}

func (t *tree) clone() *tree {
	return &tree{t.cs, slices.Clone(t.leaves), slices.Clone(t.parents), slices.Clone(t.hashes)}
}

// width is the number of leaves of the full tree.
func (t *tree) width() uint32 { return ceilPow2(uint32(len(t.leaves))) }

func (t *tree) root() nodeIndex { return rootOf(t.width()) }

func (t *tree) leaf(i LeafIndex) *Leaf {
	if int64(i) < int64(len(t.leaves)) {
		return t.leaves[i]
	}
	return nil
}

func (t *tree) parent(x nodeIndex) *parentNode {
	if i := int(x / 2); i < len(t.parents) {
		return t.parents[i]
	}
	return nil
}

func (t *tree) blank(x nodeIndex) bool {
	if x.isLeaf() {
		return t.leaf(x.leaf()) == nil
	}
	return t.parent(x) == nil
}

func (t *tree) encryptionKey(x nodeIndex) []byte {
	if x.isLeaf() {
		return t.leaf(x.leaf()).encryptionKey
	}
	return t.parent(x).encryptionKey
}

func (t *tree) public(x nodeIndex) (hpke.PublicKey, error) {
	if x.isLeaf() {
		return t.leaf(x.leaf()).public(t.cs)
	}
	return t.parent(x).public(t.cs)
}

// touch forgets the hashes from x up.
func (t *tree) touch(x nodeIndex) {
	if len(t.hashes) != int(2*t.width()-1) {
		t.hashes = nil // another width: other ancestors
		return
	}
	for root := t.root(); ; x = x.parent() {
		t.hashes[x] = nil
		if x == root {
			return
		}
	}
}

func (t *tree) setParent(x nodeIndex, p *parentNode) {
	i := int(x / 2)
	if i >= len(t.parents) {
		if p == nil {
			return
		}
		t.parents = append(t.parents, make([]*parentNode, i+1-len(t.parents))...)
	}
	if t.parents[i] == nil && p == nil {
		return
	}
	t.parents[i] = p
	t.touch(x)
}

func (t *tree) setLeaf(i LeafIndex, l *Leaf) {
	if int(i) >= len(t.leaves) {
		before := t.width()
		t.leaves = append(t.leaves, make([]*Leaf, int(i)+1-len(t.leaves))...)
		t.widen(before)
	}
	t.leaves[i] = l
	t.touch(i.node())
}

// widen keeps the hashes of the left part when the tree grows.
func (t *tree) widen(before uint32) {
	if t.width() == before || t.hashes == nil {
		return
	}
	grown := make([][]byte, 2*t.width()-1)
	copy(grown, t.hashes)
	t.hashes = grown
}

func (t *tree) blankPath(i LeafIndex) {
	for _, x := range directPath(i.node(), t.width()) {
		t.setParent(x, nil)
	}
}

// add puts a leaf at the leftmost blank place not before from (section
// 12.1.1), and returns the place.
func (t *tree) add(l *Leaf, from LeafIndex) LeafIndex {
	i := from
	for int(i) < len(t.leaves) && t.leaves[i] != nil {
		i++
	}
	t.setLeaf(i, l)
	for _, x := range directPath(i.node(), t.width()) {
		p := t.parent(x)
		if p == nil {
			continue
		}
		at, _ := slices.BinarySearch(p.unmerged, i)
		t.setParent(x, &parentNode{encryptionKey: p.encryptionKey, parentHash: p.parentHash,
			unmerged: slices.Insert(slices.Clone(p.unmerged), at, i)})
		t.parent(x).key.Store(p.key.Load())
	}
	return i
}

// remove blanks a leaf and its path, and cuts off the right half while it is
// empty (section 12.1.3).
func (t *tree) remove(i LeafIndex) {
	t.setLeaf(i, nil)
	t.blankPath(i)
	before := t.width()
	n := len(t.leaves)
	for n > 0 && t.leaves[n-1] == nil {
		n--
	}
	clear(t.leaves[n:])
	t.leaves = t.leaves[:n]
	if w := t.width(); w != before {
		if len(t.parents) > int(w)-1 {
			clear(t.parents[w-1:])
			t.parents = t.parents[:w-1]
		}
		if len(t.hashes) >= int(2*w-1) {
			t.hashes = slices.Clip(t.hashes[:2*w-1])
		}
	}
}

func (t *tree) update(i LeafIndex, l *Leaf) {
	t.setLeaf(i, l)
	t.blankPath(i)
}

// resolution appends the resolution of x (section 4.1.1).
func (t *tree) resolution(list []nodeIndex, x nodeIndex) []nodeIndex {
	if x.isLeaf() {
		if t.leaf(x.leaf()) != nil {
			list = append(list, x)
		}
		return list
	}
	if p := t.parent(x); p != nil {
		list = append(list, x)
		for _, i := range p.unmerged {
			list = append(list, i.node())
		}
		return list
	}
	return t.resolution(t.resolution(list, x.left()), x.right())
}

// occupied tells whether there is a member below x, which is to say that the
// resolution of x is not empty.
func (t *tree) occupied(x nodeIndex) bool {
	first := int(x) - (1<<x.level() - 1)
	last := min((int(x)+(1<<x.level()-1))/2, len(t.leaves)-1)
	for i := first / 2; i <= last; i++ {
		if t.leaves[i] != nil {
			return true
		}
	}
	return false
}

// pathStep is a node of a filtered direct path with its child off the path.
type pathStep struct{ node, copath nodeIndex }

// filteredPath lists the ancestors of leaf i that have members on their other
// side too (section 4.1.2).
func (t *tree) filteredPath(i LeafIndex) []pathStep {
	var path []pathStep
	x := i.node()
	for root := t.root(); x != root; x = x.parent() {
		if s := x.sibling(); t.occupied(s) {
			path = append(path, pathStep{x.parent(), s})
		}
	}
	return path
}

func (t *tree) count() int {
	n := 0
	for _, l := range t.leaves {
		if l != nil {
			n++
		}
	}
	return n
}

// append writes ratchet_tree (section 12.4.3.3), its vector header included.
func (t *tree) append(b []byte) []byte {
	size := 0
	for _, l := range t.leaves {
		if l != nil {
			size += len(l.raw) + 4
		}
	}
	return appendVecOf(slices.Grow(b, size+2048*len(t.parents)/4), func(b []byte) []byte {
		for x := nodeIndex(0); int(x) < 2*len(t.leaves)-1; x++ {
			b = t.appendNode(b, x)
		}
		return b
	})
}

const (
	nodeLeaf   = 1
	nodeParent = 2
)

// appendNode writes optional<Node>.
func (t *tree) appendNode(b []byte, x nodeIndex) []byte {
	if t.blank(x) {
		return append(b, 0)
	}
	if x.isLeaf() {
		return append(append(b, 1, nodeLeaf), t.leaf(x.leaf()).raw...)
	}
	return t.parent(x).append(append(b, 1, nodeParent))
}

// readTree reads ratchet_tree. What is in it is not verified.
func readTree(cs *suite, r *reader) (*tree, error) {
	t := &tree{cs: cs}
	s := r.sub()
	// One pass to count, one to read: a tree may be nearly all blanks, and
	// growing the slices would cost many times the input.
	count := 0
	for c := *s; c.more(); count++ {
		skipNode(&c)
	}
	t.leaves = make([]*Leaf, 0, (count+1)/2)
	t.parents = make([]*parentNode, 0, count/2)
	blank := true
	for x := nodeIndex(0); s.more(); x++ {
		var l *Leaf
		var p *parentNode
		if blank = !s.optional(); !blank {
			switch kind := s.u8(); {
			case kind == nodeLeaf && x.isLeaf():
				l = readLeaf(s)
			case kind == nodeParent && !x.isLeaf():
				p = readParent(s)
			default:
				s.fail()
			}
		}
		if x.isLeaf() {
			t.leaves = append(t.leaves, l)
		} else {
			t.parents = append(t.parents, p)
		}
	}
	r.close(s)
	if err := r.end("ratchet tree"); err != nil {
		return nil, err
	}
	if blank || len(t.leaves) == len(t.parents) {
		return nil, fmt.Errorf("ratchet tree ends with a blank or a parent: %w", ErrTree)
	}
	return t, nil
}

func skipNode(r *reader) {
	if !r.optional() {
		return
	}
	switch r.u8() {
	case nodeLeaf:
		skipLeaf(r)
	case nodeParent:
		r.long()
		r.vec()
		r.vec()
	default:
		r.fail()
	}
}

func skipLeaf(r *reader) {
	r.long()
	r.long()
	readCredential(r)
	readCapabilities(r)
	switch LeafSource(r.u8()) {
	case SourceKeyPackage:
		r.take(16)
	case SourceCommit:
		r.vec()
	}
	r.vec()
	r.long()
}
