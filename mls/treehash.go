package mls

import (
	"bytes"
	"fmt"
	"slices"
)

// hash is the tree hash (section 7.8) of the subtree at x, from the cache
// where nothing below x was touched.
func (t *tree) hash(x nodeIndex) []byte {
	if n := int(2*t.width() - 1); len(t.hashes) != n {
		t.hashes = make([][]byte, n)
	}
	if h := t.hashes[x]; h != nil {
		return h
	}
	var h []byte
	if x.isLeaf() {
		h = t.leafHash(x.leaf(), t.leaf(x.leaf()))
	} else {
		h = t.parentNodeHash(t.parent(x), t.hash(x.left()), t.hash(x.right()))
	}
	t.hashes[x] = h
	return h
}

func (t *tree) rootHash() []byte { return t.hash(t.root()) }

func (t *tree) leafHash(i LeafIndex, l *Leaf) []byte {
	head := appendOptional(appendU32([]byte{nodeLeaf}, uint32(i)), l != nil)
	if l == nil {
		return t.cs.digest(head)
	}
	return t.cs.digest(head, l.raw)
}

func (t *tree) parentNodeHash(p *parentNode, left, right []byte) []byte {
	b := make([]byte, 0, 2048)
	b = appendOptional(append(b, nodeParent), p != nil)
	if p != nil {
		b = p.append(b)
	}
	return t.cs.digest(appendVec(appendVec(b, left), right))
}

// hashWithout is the tree hash of the subtree at x as it was before the given
// leaves, sorted, came into it.
func (t *tree) hashWithout(x nodeIndex, leaves []LeafIndex) []byte {
	leaves = below(leaves, x)
	if len(leaves) == 0 {
		return t.hash(x)
	}
	if x.isLeaf() {
		return t.leafHash(x.leaf(), nil)
	}
	p := t.parent(x)
	if p != nil {
		kept := make([]LeafIndex, 0, len(p.unmerged))
		for _, i := range p.unmerged {
			if _, gone := slices.BinarySearch(leaves, i); !gone {
				kept = append(kept, i)
			}
		}
		p = &parentNode{encryptionKey: p.encryptionKey, parentHash: p.parentHash, unmerged: kept}
	}
	return t.parentNodeHash(p, t.hashWithout(x.left(), leaves), t.hashWithout(x.right(), leaves))
}

// below is the part of a sorted list that lies in the subtree at x.
func below(leaves []LeafIndex, x nodeIndex) []LeafIndex {
	half := nodeIndex(1)<<x.level() - 1
	from, _ := slices.BinarySearch(leaves, (x - half).leaf())
	to, _ := slices.BinarySearch(leaves, (x+half).leaf()+1)
	return leaves[from:to]
}

// parentHash is section 7.9's hash of p for its child on the path, sibling
// being its other child.
func (t *tree) parentHash(p *parentNode, sibling nodeIndex) []byte {
	b := appendVec(nil, p.encryptionKey)
	b = appendVec(b, p.parentHash)
	return t.cs.digest(appendVec(b, t.hashWithout(sibling, p.unmerged)))
}

// setPath puts new keys on the path of leaf i, with the parent hashes from
// the root down, and returns the parent hash for the leaf. keys belong to the
// steps of path, from the bottom.
func (t *tree) setPath(i LeafIndex, path []pathStep, keys [][]byte) []byte {
	t.blankPath(i)
	hash := []byte{}
	for k := len(path) - 1; k >= 0; k-- {
		p := &parentNode{encryptionKey: keys[k], parentHash: hash}
		t.setParent(path[k].node, p)
		hash = t.parentHash(p, path[k].copath)
	}
	return hash
}

// nodeParentHash is the parent_hash that a node carries, nil if none.
func (t *tree) nodeParentHash(x nodeIndex) []byte {
	if x.isLeaf() {
		if l := t.leaf(x.leaf()); l.source == SourceCommit {
			return l.parentHash
		}
		return nil
	}
	return t.parent(x).parentHash
}

// checkParentHashes is section 7.9.2: every parent node was made by a member
// below it.
func (t *tree) checkParentHashes() error {
	for i, p := range t.parents {
		if p == nil {
			continue
		}
		x := nodeIndex(2*i + 1)
		if !t.linked(x, p, x.left(), x.right()) && !t.linked(x, p, x.right(), x.left()) {
			return fmt.Errorf("node %d: %w", x, ErrParentHash)
		}
	}
	return nil
}

// linked looks below child for the one node that was set together with p: it
// is what the resolution of child holds besides p's unmerged leaves.
func (t *tree) linked(x nodeIndex, p *parentNode, child, sibling nodeIndex) bool {
	unmerged := below(p.unmerged, child)
	resolution := t.resolution(nil, child)
	if len(resolution) != len(unmerged)+1 {
		return false
	}
	var found *nodeIndex
	for k, d := range resolution {
		if d.isLeaf() {
			if _, ok := slices.BinarySearch(unmerged, d.leaf()); ok {
				continue
			}
		}
		if found != nil {
			return false
		}
		found = &resolution[k]
	}
	if found == nil {
		return false
	}
	carried := t.nodeParentHash(*found)
	return len(carried) > 0 && bytes.Equal(carried, t.parentHash(p, sibling))
}

// checkUnmerged is section 12.4.3.1's demand on unmerged leaves: sorted, in the
// subtree, not blank, and listed by every node between.
func (t *tree) checkUnmerged() error {
	for i, p := range t.parents {
		if p == nil {
			continue
		}
		x := nodeIndex(2*i + 1)
		for k, u := range p.unmerged {
			if k > 0 && p.unmerged[k-1] >= u {
				return fmt.Errorf("node %d: not sorted: %w", x, ErrUnmerged)
			}
			if int64(u) >= int64(len(t.leaves)) || !u.node().under(x) || t.leaves[u] == nil {
				return fmt.Errorf("node %d: leaf %d: %w", x, u, ErrUnmerged)
			}
			for y := u.node().parent(); y != x; y = y.parent() {
				if between := t.parent(y); between != nil {
					if _, ok := slices.BinarySearch(between.unmerged, u); !ok {
						return fmt.Errorf("node %d lacks leaf %d: %w", y, u, ErrUnmerged)
					}
				}
			}
		}
	}
	return nil
}

// checkKeys demands that no encryption key and no signature key is in the
// tree twice, as far as the given nodes are concerned.
func (t *tree) checkKeys(changed []nodeIndex) error {
	if len(changed) > 16 {
		return t.checkAllKeys()
	}
	for _, x := range changed {
		if t.blank(x) {
			continue
		}
		key := t.encryptionKey(x)
		for i, l := range t.leaves {
			if l == nil || nodeIndex(2*i) == x {
				continue
			}
			if bytes.Equal(l.encryptionKey, key) ||
				x.isLeaf() && bytes.Equal(l.signatureKey, t.leaf(x.leaf()).signatureKey) {
				return fmt.Errorf("node %d and leaf %d: %w", x, i, ErrDuplicateKey)
			}
		}
		for i, p := range t.parents {
			if p != nil && nodeIndex(2*i+1) != x && bytes.Equal(p.encryptionKey, key) {
				return fmt.Errorf("nodes %d and %d: %w", x, 2*i+1, ErrDuplicateKey)
			}
		}
	}
	return nil
}

func (t *tree) checkAllKeys() error {
	encryption := make(map[string]bool, len(t.leaves)+len(t.parents))
	signature := make(map[string]bool, len(t.leaves))
	for i, l := range t.leaves {
		if l == nil {
			continue
		}
		if encryption[string(l.encryptionKey)] || signature[string(l.signatureKey)] {
			return fmt.Errorf("leaf %d: %w", i, ErrDuplicateKey)
		}
		encryption[string(l.encryptionKey)] = true
		signature[string(l.signatureKey)] = true
	}
	for i, p := range t.parents {
		if p == nil {
			continue
		}
		if encryption[string(p.encryptionKey)] {
			return fmt.Errorf("node %d: %w", 2*i+1, ErrDuplicateKey)
		}
		encryption[string(p.encryptionKey)] = true
	}
	return nil
}
