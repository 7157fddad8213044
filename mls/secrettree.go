package mls

import (
	"crypto/hmac"
	"fmt"
	"maps"
	"slices"
)

// MaxSkip is how many generations of a ratchet a message may be ahead. Each
// skipped key is kept until its message comes.
const MaxSkip = 1000

// maxKept bounds the skipped keys that are kept for one ratchet; the oldest
// go first.
const maxKept = MaxSkip

// ratchetKind tells a leaf's two ratchets apart.
type ratchetKind uint8

const (
	ratchetHandshake   ratchetKind = 0
	ratchetApplication ratchetKind = 1
)

func ratchetFor(c ContentType) ratchetKind {
	if c == ContentApplication {
		return ratchetApplication
	}
	return ratchetHandshake
}

// ratchetID names one ratchet of the secret tree.
type ratchetID struct {
	leaf LeafIndex
	kind ratchetKind
}

// messageKey is what one message is encrypted with.
type messageKey struct{ key, nonce []byte }

func (k messageKey) wipe() { clear(k.key); clear(k.nonce) }

// ratchet is a hash ratchet (section 9.1): the secret of the next generation,
// and the keys of those that were skipped.
type ratchet struct {
	next    uint32
	secret  []byte
	skipped map[uint32]messageKey
}

func (r *ratchet) clone() *ratchet {
	c := &ratchet{r.next, bytesClone(r.secret), make(map[uint32]messageKey, len(r.skipped))}
	for g, k := range r.skipped {
		c.skipped[g] = messageKey{bytesClone(k.key), bytesClone(k.nonce)}
	}
	return c
}

func (r *ratchet) wipe() {
	clear(r.secret)
	for _, k := range r.skipped {
		k.wipe()
	}
}

// secretTree is section 9's tree, opened only where somebody sent: nodes
// holds the secrets that are not consumed, ratchets those of the leaves that
// are. What changed since the last save is in the two dirty sets.
type secretTree struct {
	cs            *suite
	leaves        uint32
	nodes         map[nodeIndex][]byte
	ratchets      map[ratchetID]*ratchet
	dirtyNodes    map[nodeIndex]bool
	dirtyRatchets map[ratchetID]bool
}

func newSecretTree(cs *suite, leaves uint32, encryptionSecret []byte) *secretTree {
	s := emptySecretTree(cs, leaves)
	s.nodes[rootOf(leaves)] = encryptionSecret
	return s
}

func emptySecretTree(cs *suite, leaves uint32) *secretTree {
	return &secretTree{cs, leaves, map[nodeIndex][]byte{}, map[ratchetID]*ratchet{}, map[nodeIndex]bool{}, map[ratchetID]bool{}}
}

func (s *secretTree) clone() *secretTree {
	c := emptySecretTree(s.cs, s.leaves)
	for x, secret := range s.nodes {
		c.nodes[x] = bytesClone(secret)
	}
	for id, r := range s.ratchets {
		c.ratchets[id] = r.clone()
	}
	maps.Copy(c.dirtyNodes, s.dirtyNodes)
	maps.Copy(c.dirtyRatchets, s.dirtyRatchets)
	return c
}

func (s *secretTree) wipe() {
	for _, secret := range s.nodes {
		clear(secret)
	}
	for _, r := range s.ratchets {
		r.wipe()
	}
}

// open consumes the secrets on the way to a leaf and starts its ratchets.
func (s *secretTree) open(leaf LeafIndex) error {
	x := leaf.node()
	if uint32(leaf) >= s.leaves {
		return fmt.Errorf("leaf %d: %w", leaf, ErrUnknownLeaf)
	}
	way := []nodeIndex{x}
	for root := rootOf(s.leaves); s.nodes[x] == nil; {
		if x == root {
			return fmt.Errorf("leaf %d: %w", leaf, ErrKeyUsed)
		}
		x = x.parent()
		way = append(way, x)
	}
	for k := len(way) - 1; k > 0; k-- {
		at := way[k]
		secret := s.nodes[at]
		s.nodes[at.left()] = s.cs.expandWithLabel(secret, "tree", []byte("left"), s.cs.nh)
		s.nodes[at.right()] = s.cs.expandWithLabel(secret, "tree", []byte("right"), s.cs.nh)
		s.dirtyNodes[at.left()], s.dirtyNodes[at.right()] = true, true
		s.drop(at)
	}
	secret := s.nodes[leaf.node()]
	for kind, label := range []string{ratchetHandshake: "handshake", ratchetApplication: "application"} {
		id := ratchetID{leaf, ratchetKind(kind)}
		s.ratchets[id] = &ratchet{secret: s.cs.deriveSecret(secret, label), skipped: map[uint32]messageKey{}}
		s.dirtyRatchets[id] = true
	}
	s.drop(leaf.node())
	return nil
}

func (s *secretTree) drop(x nodeIndex) {
	clear(s.nodes[x])
	delete(s.nodes, x)
	s.dirtyNodes[x] = true
}

func (s *secretTree) ratchet(id ratchetID) (*ratchet, error) {
	if r := s.ratchets[id]; r != nil {
		return r, nil
	}
	if err := s.open(id.leaf); err != nil {
		return nil, err
	}
	return s.ratchets[id], nil
}

// step gives the key of generation g from its secret, and the next secret.
func (cs *suite) step(secret []byte, g uint32) (messageKey, []byte) {
	h := hmac.New(cs.hash, secret)
	generation := appendU32(make([]byte, 0, 4), g)
	return messageKey{
		expandBlock(h, kdfLabel("key", generation, cs.nk), cs.nk),
		expandBlock(h, kdfLabel("nonce", generation, nn), nn),
	}, expandBlock(h, kdfLabel("secret", generation, cs.nh), cs.nh)
}

// take gives the next key to send with, and moves on.
func (s *secretTree) take(id ratchetID) (messageKey, uint32, error) {
	r, err := s.ratchet(id)
	if err != nil {
		return messageKey{}, 0, err
	}
	if r.next == ^uint32(0) {
		return messageKey{}, 0, fmt.Errorf("the ratchet is at its end: %w", ErrGeneration)
	}
	g := r.next
	key, next := s.cs.step(r.secret, g)
	clear(r.secret)
	r.secret, r.next = next, g+1
	s.dirtyRatchets[id] = true
	return key, g, nil
}

// A lookahead is the key of a received message that is not consumed yet, with
// what consuming it changes.
type lookahead struct {
	id      ratchetID
	g       uint32
	key     messageKey
	secret  []byte // of the generation after g; nil when g was skipped before
	skipped []messageKey
	from    uint32
}

// find looks for the key of generation g and changes nothing but the opening
// of the tree: a forged message must not use up the key of a true one.
func (s *secretTree) find(id ratchetID, g uint32) (*lookahead, error) {
	r, err := s.ratchet(id)
	if err != nil {
		return nil, err
	}
	if g < r.next {
		key, ok := r.skipped[g]
		if !ok {
			return nil, fmt.Errorf("generation %d of leaf %d: %w", g, id.leaf, ErrKeyUsed)
		}
		return &lookahead{id: id, g: g, key: key}, nil
	}
	if g-r.next > MaxSkip || g == ^uint32(0) {
		return nil, fmt.Errorf("generation %d of leaf %d, expected %d: %w", g, id.leaf, r.next, ErrGeneration)
	}
	l := &lookahead{id: id, g: g, from: r.next}
	secret := r.secret
	for at := r.next; ; at++ {
		key, next := s.cs.step(secret, at)
		if at > r.next {
			clear(secret)
		}
		secret = next
		if at == g {
			l.key, l.secret = key, secret
			return l, nil
		}
		l.skipped = append(l.skipped, key)
	}
}

// consume deletes the key of a message that was found good.
func (s *secretTree) consume(l *lookahead) {
	r := s.ratchets[l.id]
	s.dirtyRatchets[l.id] = true
	if l.secret == nil {
		l.key.wipe()
		delete(r.skipped, l.g)
		return
	}
	for i, key := range l.skipped {
		r.skipped[l.from+uint32(i)] = key
	}
	clear(r.secret)
	r.secret, r.next = l.secret, l.g+1
	if over := len(r.skipped) - maxKept; over > 0 {
		oldest := slices.Sorted(maps.Keys(r.skipped))
		for _, g := range oldest[:over] {
			r.skipped[g].wipe()
			delete(r.skipped, g)
		}
	}
}

// encode is a ratchet's record.
func (r *ratchet) encode() []byte {
	b := appendU32([]byte{stateVersion}, r.next)
	b = appendVec(b, r.secret)
	b = appendU32(b, uint32(len(r.skipped)))
	for _, g := range slices.Sorted(maps.Keys(r.skipped)) {
		b = appendU32(b, g)
		b = appendVec(b, r.skipped[g].key)
		b = appendVec(b, r.skipped[g].nonce)
	}
	return b
}

func decodeRatchet(cs *suite, saved []byte) (*ratchet, error) {
	rd := &reader{b: bytesClone(saved)}
	if rd.u8() != stateVersion {
		rd.fail()
	}
	r := &ratchet{next: rd.u32(), secret: rd.vec(), skipped: map[uint32]messageKey{}}
	n := rd.u32()
	if n > maxKept {
		rd.fail()
	}
	for ; n > 0 && !rd.bad; n-- {
		g := rd.u32()
		k := messageKey{rd.vec(), rd.vec()}
		if g >= r.next || len(k.key) != cs.nk || len(k.nonce) != nn {
			rd.fail()
		}
		r.skipped[g] = k
	}
	if len(r.secret) != cs.nh {
		rd.fail()
	}
	if err := rd.end("saved ratchet"); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	return r, nil
}
