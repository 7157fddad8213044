package mls

import (
	"bytes"
	"crypto/hpke"
	"fmt"
	"slices"
)

const pathNodeLabel = "UpdatePathNode"

// privateKeys are a member's private keys by node, as the KEM writes them.
type privateKeys map[nodeIndex][]byte

func (k privateKeys) clone() privateKeys {
	c := make(privateKeys, len(k))
	for x, key := range k {
		c[x] = bytesClone(key)
	}
	return c
}

func (k privateKeys) wipe() {
	for _, key := range k {
		clear(key)
	}
}

// prune forgets the keys of nodes that are blank or have another key now.
func (k privateKeys) prune(before, after *tree) {
	for x, key := range k {
		if x.isLeaf() {
			continue
		}
		was, is := before.parent(x), after.parent(x)
		if is == nil || was == nil || !bytes.Equal(was.encryptionKey, is.encryptionKey) {
			clear(key)
			delete(k, x)
		}
	}
}

// pathKey is the key pair that a path secret stands for (section 7.4).
func (cs *suite) pathKey(pathSecret []byte) (hpke.PrivateKey, error) {
	return cs.deriveKeyPair(cs.deriveSecret(pathSecret, "node"))
}

func (cs *suite) nextPathSecret(pathSecret []byte) []byte { return cs.deriveSecret(pathSecret, "path") }

// newPath is a path in the making: secrets and keys for each step.
type newPath struct {
	steps   []pathStep
	secrets [][]byte
	commit  []byte // commit_secret
	keys    privateKeys
	publics [][]byte
}

func (cs *suite) makePath(steps []pathStep, secret []byte) (*newPath, error) {
	p := &newPath{steps: steps, keys: privateKeys{}, publics: make([][]byte, len(steps))}
	for range steps {
		p.secrets = append(p.secrets, secret)
		secret = cs.nextPathSecret(secret)
	}
	p.commit = secret
	private := make([][]byte, len(steps))
	err := parallel(len(steps), func(k int) error {
		key, err := cs.pathKey(p.secrets[k])
		if err != nil {
			return fmt.Errorf("path key: %w", err)
		}
		p.publics[k] = key.PublicKey().Bytes()
		if private[k], err = key.Bytes(); err != nil {
			return fmt.Errorf("path key: %w", err)
		}
		return nil
	})
	for k, s := range steps {
		p.keys[s.node] = private[k]
	}
	return p, err
}

// wipe overwrites the path secrets; nil has none.
func (p *newPath) wipe() {
	if p == nil {
		return
	}
	for _, secret := range p.secrets {
		clear(secret)
	}
}

// secretFor is the path secret that opens the path for the leaf at i: that of
// the lowest step above both.
func (p *newPath) secretFor(i LeafIndex) []byte {
	for k, s := range p.steps {
		if i.node().under(s.copath) {
			return p.secrets[k]
		}
	}
	return nil
}

// recipients lists for one step whom its path secret is encrypted to: the
// resolution of the copath child without those who join by this commit.
func (t *tree) recipients(s pathStep, added []LeafIndex) []nodeIndex {
	list := t.resolution(nil, s.copath)
	return slices.DeleteFunc(list, func(x nodeIndex) bool {
		return x.isLeaf() && slices.Contains(added, x.leaf())
	})
}

// encryptPath encrypts the path secrets (section 7.6). context is the
// provisional GroupContext.
func (t *tree) encryptPath(p *newPath, added []LeafIndex, context []byte) ([]updatePathNode, error) {
	type job struct {
		step, at int
		to       nodeIndex
	}
	var jobs []job
	nodes := make([]updatePathNode, len(p.steps))
	for k, s := range p.steps {
		to := t.recipients(s, added)
		nodes[k] = updatePathNode{p.publics[k], make([]ciphertext, len(to))}
		for at, x := range to {
			jobs = append(jobs, job{k, at, x})
		}
	}
	err := parallel(len(jobs), func(i int) error {
		j := jobs[i]
		key, err := t.public(j.to)
		if err != nil {
			return err
		}
		nodes[j.step].secrets[j.at], err = t.cs.seal(key, pathNodeLabel, context, p.secrets[j.step])
		return err
	})
	return nodes, err
}

// checkPath judges the public side of a received path: its shape, its keys
// and the parent hash. On success the path is in the tree, its leaf included.
func (t *tree) checkPath(committer LeafIndex, path *updatePath, added []LeafIndex) ([]pathStep, error) {
	steps := t.filteredPath(committer)
	if len(path.nodes) != len(steps) {
		return nil, fmt.Errorf("%d nodes instead of %d: %w", len(path.nodes), len(steps), ErrPath)
	}
	if path.leaf.source != SourceCommit {
		return nil, fmt.Errorf("path: %w", ErrLeafSource)
	}
	if err := t.cs.checkPublic(path.leaf.encryptionKey); err != nil {
		return nil, err
	}
	keys := make([][]byte, len(steps))
	for k, n := range path.nodes {
		if to := t.recipients(steps[k], added); len(n.secrets) != len(to) {
			return nil, fmt.Errorf("node %d: %d secrets instead of %d: %w", k, len(n.secrets), len(to), ErrPath)
		}
		for _, c := range n.secrets {
			if len(c.ct) != t.cs.nh+aeadOverhead || len(c.kem) != t.cs.encSize() {
				return nil, fmt.Errorf("node %d: length of a secret: %w", k, ErrPath)
			}
		}
		if err := t.cs.checkPublic(n.encryptionKey); err != nil {
			return nil, fmt.Errorf("node %d: %w: %w", k, ErrPath, err)
		}
		keys[k] = n.encryptionKey
	}
	hash := t.setPath(committer, steps, keys)
	if !bytes.Equal(hash, path.leaf.parentHash) {
		return nil, fmt.Errorf("path: %w", ErrParentHash)
	}
	t.setLeaf(committer, path.leaf)
	return steps, nil
}

// aeadOverhead is the tag of every AEAD in the table.
const aeadOverhead = 16

// encSize is the length of an encapsulated key.
func (cs *suite) encSize() int {
	switch cs.kem.ID() {
	case 0x0010:
		return 65
	case 0x0011:
		return 97
	case 0x0012:
		return 133
	case 0x0020:
		return 32
	}
	return 1120 // X-Wing
}

// openedPath is what a received path gives to one member.
type openedPath struct {
	commit []byte
	keys   privateKeys
}

// openPath decrypts the path secret meant for the member at own and derives
// the keys above it, which must be those that were published.
func (t *tree) openPath(own LeafIndex, keys privateKeys, path *updatePath, steps []pathStep, added []LeafIndex, context []byte) (*openedPath, error) {
	for k, s := range steps {
		if !own.node().under(s.copath) {
			continue
		}
		for at, x := range t.recipients(s, added) {
			raw, ok := keys[x]
			if !ok || !own.node().under(x) {
				continue
			}
			key, err := t.cs.privateKey(raw)
			if err != nil {
				return nil, fmt.Errorf("node %d: %w", x, err)
			}
			secret, err := t.cs.open(key, pathNodeLabel, context, path.nodes[k].secrets[at])
			if err != nil {
				return nil, fmt.Errorf("path secret: %w", err)
			}
			return t.climb(steps[k:], secret)
		}
		return nil, fmt.Errorf("no key for the path secret: %w", ErrDecrypt)
	}
	return nil, fmt.Errorf("not below the path: %w", ErrDecrypt)
}

// climb derives the keys of the steps from the lowest one's path secret, and
// compares them with the tree.
func (t *tree) climb(steps []pathStep, secret []byte) (*openedPath, error) {
	if len(secret) != t.cs.nh {
		return nil, fmt.Errorf("path secret of %d bytes: %w", len(secret), ErrDecrypt)
	}
	p, err := t.cs.makePath(steps, secret)
	if err != nil {
		return nil, err
	}
	for k, s := range steps {
		if node := t.parent(s.node); node == nil || !bytes.Equal(node.encryptionKey, p.publics[k]) {
			return nil, fmt.Errorf("node %d: derived key is not the published one: %w", s.node, ErrPath)
		}
	}
	p.wipe()
	return &openedPath{p.commit, p.keys}, nil
}
