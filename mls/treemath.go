package mls

import "math/bits"

// LeafIndex is a member's place among the leaves, from 0.
type LeafIndex uint32

// nodeIndex is a node's place in the array of a left-balanced tree: leaf i is
// node 2i, parents are the odd numbers (RFC 9420, appendix C). All functions
// are for full trees: the number of leaves is a power of two.
type nodeIndex uint32

func (i LeafIndex) node() nodeIndex { return nodeIndex(2 * i) }

func (x nodeIndex) isLeaf() bool { return x&1 == 0 }

func (x nodeIndex) leaf() LeafIndex { return LeafIndex(x / 2) }

// level is the height of x above the leaves.
func (x nodeIndex) level() int { return bits.TrailingZeros32(^uint32(x)) }

// rootOf is the root of a tree of n leaves, n a power of two.
func rootOf(n uint32) nodeIndex { return nodeIndex(n - 1) }

// left and right are the children of a parent.
func (x nodeIndex) left() nodeIndex  { return x ^ 1<<(x.level()-1) }
func (x nodeIndex) right() nodeIndex { return x ^ 3<<(x.level()-1) }

// parent must not be asked of the root.
func (x nodeIndex) parent() nodeIndex {
	k := x.level()
	return (x | 1<<k) &^ (1 << (k + 1))
}

func (x nodeIndex) sibling() nodeIndex {
	p := x.parent()
	if x < p {
		return p.right()
	}
	return p.left()
}

// under tells whether x is y or lies in the subtree below y.
func (x nodeIndex) under(y nodeIndex) bool {
	k := y.level()
	return x.level() <= k && x>>(k+1) == y>>(k+1)
}

// directPath lists the ancestors of x, from its parent to the root.
func directPath(x nodeIndex, leaves uint32) []nodeIndex {
	root := rootOf(leaves)
	path := make([]nodeIndex, 0, bits.Len32(leaves))
	for x != root {
		x = x.parent()
		path = append(path, x)
	}
	return path
}

// ceilPow2 is the smallest power of two that is not below n.
func ceilPow2(n uint32) uint32 {
	if n <= 1 {
		return 1
	}
	return 1 << bits.Len32(n-1)
}
