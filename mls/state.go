package mls

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
)

// stateVersion is the first byte of everything that is saved.
const stateVersion = 1

// A Record is one entry of a group's saved state: an ordered map from keys to
// bytes, to which the application adds a prefix of its own. A nil Value
// deletes the key. Records are secrets.
type Record struct {
	Key   []byte
	Value []byte
}

// String keeps the value out of logs.
func (r Record) String() string { return fmt.Sprintf("%x [redacted]", r.Key) }

// GoString keeps the value out of logs.
func (r Record) GoString() string { return r.String() }

// The kinds of records, by the first byte of their keys. What a message
// changes is in the small ones: a ratchet's position, at a sender's first
// message also a few secrets of the secret tree.
const (
	recordState    = 'S' // the epoch
	recordNode     = 'N' // + u32: a node of the ratchet tree
	recordSecret   = 'T' // + u32: a node of the secret tree
	recordRatchet  = 'R' // + u32 leaf, u8 kind
	recordProposal = 'P' // + u32 place
	recordPast     = 'H' // + u64 epoch, then 'S', 'T' or 'R' as above
)

func nodeKey(kind byte, x nodeIndex) []byte { return appendU32([]byte{kind}, uint32(x)) }

func ratchetKey(id ratchetID) []byte {
	return append(appendU32([]byte{recordRatchet}, uint32(id.leaf)), byte(id.kind))
}

// checksumSize is how much of a SHA-256 ends a state record, against damage on
// disk; it is no protection from an attacker, who could write it too.
const checksumSize = 8

func seal(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append(b, sum[:checksumSize]...)
}

func unseal(b []byte) (*reader, error) {
	if len(b) < 1+checksumSize || b[0] != stateVersion {
		return nil, fmt.Errorf("state record: %w", ErrState)
	}
	body := b[:len(b)-checksumSize]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:checksumSize], b[len(body):]) {
		return nil, fmt.Errorf("checksum of a state record: %w", ErrState)
	}
	return &reader{b: bytesClone(body[1:])}, nil
}

// encodeState writes what changes with an epoch, without the tree.
func (g *Group) encodeState() []byte {
	b := []byte{stateVersion, byte(g.status)}
	b = appendVec(b, g.contextRaw)
	b = appendVec(b, g.interim)
	b = appendVec(b, g.tag)
	b = appendU32(b, uint32(g.own))
	b = appendVec(b, g.signer.bytes())
	b = appendU32(b, g.messages.leaves)
	b = appendVecOf(b, func(b []byte) []byte {
		for _, x := range slices.Sorted(g.keys.nodes()) {
			b = appendVec(appendU32(b, uint32(x)), g.keys[x])
		}
		return b
	})
	g.secrets.each(func(p *[]byte) { b = appendVec(b, *p) })
	b = appendVecOf(b, func(b []byte) []byte {
		for _, r := range g.resumptions {
			b = appendVec(appendU64(b, r.epoch), r.key)
		}
		return b
	})
	b = appendOptional(b, g.reInit != nil)
	if g.reInit != nil {
		b = g.reInit.appendBody(b)
	}
	return seal(b)
}

func (p *storedProposal) encode() []byte {
	b := p.Sender.append([]byte{stateVersion})
	b = appendVec(b, p.ref)
	b = appendProposal(b, p.Proposal)
	b = appendVec(b, p.key)
	return seal(appendVec(b, p.signer.bytes()))
}

func (p *pastEpoch) encode() []byte {
	b := appendVec([]byte{stateVersion}, p.contextRaw)
	b = appendVec(b, p.senderData)
	b = appendU32(b, p.messages.leaves)
	b = appendVecOf(b, func(b []byte) []byte {
		for _, key := range p.signatureKeys {
			b = appendVec(b, key)
		}
		return b
	})
	return seal(b)
}

func pastKey(epoch uint64, rest ...byte) []byte {
	return append(appendU64([]byte{recordPast}, epoch), rest...)
}

// put calls f with every record of the secret tree.
func (s *secretTree) put(prefix []byte, f func(key, value []byte)) {
	for x, secret := range s.nodes {
		f(concat(prefix, nodeKey(recordSecret, x)), append([]byte{stateVersion}, secret...))
	}
	for id, r := range s.ratchets {
		f(concat(prefix, ratchetKey(id)), r.encode())
	}
}

// putDirty calls f with what changed since the last call; a nil value deletes.
func (s *secretTree) putDirty(prefix []byte, f func(key, value []byte)) {
	for x := range s.dirtyNodes {
		var value []byte
		if secret := s.nodes[x]; secret != nil {
			value = append([]byte{stateVersion}, secret...)
		}
		f(concat(prefix, nodeKey(recordSecret, x)), value)
	}
	for id := range s.dirtyRatchets {
		f(concat(prefix, ratchetKey(id)), s.ratchets[id].encode())
	}
	clear(s.dirtyNodes)
	clear(s.dirtyRatchets)
}

// small calls f with all records but those of the ratchet tree.
func (g *Group) small(f func(key, value []byte)) {
	f([]byte{recordState}, g.encodeState())
	g.messages.put(nil, f)
	for i, p := range g.proposals {
		f(nodeKey(recordProposal, nodeIndex(i)), p.encode())
	}
	for _, p := range g.past {
		f(pastKey(p.epoch, recordState), p.encode())
		p.messages.put(pastKey(p.epoch), f)
	}
}

// Records is the whole saved state.
func (g *Group) Records() []Record { return g.Diff(nil) }

// Diff lists what turns the saved state of from into that of g: after a commit
// the small records and the nodes of the tree that changed. It works both
// ways, so that new.Diff(old) goes on and old.Diff(new), saved elsewhere, leads
// back. From nil it gives everything.
func (g *Group) Diff(from *Group) []Record {
	var list []Record
	have := map[string][]byte{}
	before := &tree{}
	if from != nil {
		from.small(func(key, value []byte) { have[string(key)] = value })
		// What from consumed since its last save is still on the disk.
		for x := range from.messages.dirtyNodes {
			if key := string(nodeKey(recordSecret, x)); have[key] == nil {
				have[key] = []byte{}
			}
		}
		before = from.tree
	}
	g.small(func(key, value []byte) {
		old, ok := have[string(key)]
		delete(have, string(key))
		if !ok || !bytes.Equal(old, value) {
			list = append(list, Record{key, value})
		}
	})
	for key, value := range have {
		clear(value)
		list = append(list, Record{[]byte(key), nil})
	}
	list = diffTree(list, before, g.tree)
	slices.SortFunc(list, func(a, b Record) int { return bytes.Compare(a.Key, b.Key) })
	return list
}

// diffTree compares by pointer: nodes are shared between epochs and never
// changed.
func diffTree(list []Record, before, after *tree) []Record {
	for i := range max(len(before.leaves), len(after.leaves)) {
		was, is := before.leaf(LeafIndex(i)), after.leaf(LeafIndex(i))
		if was == is {
			continue
		}
		r := Record{Key: nodeKey(recordNode, LeafIndex(i).node())}
		if is != nil {
			r.Value = append([]byte{stateVersion}, is.raw...)
		}
		list = append(list, r)
	}
	for i := range max(len(before.parents), len(after.parents)) {
		x := nodeIndex(2*i + 1)
		was, is := before.parent(x), after.parent(x)
		if was == is {
			continue
		}
		r := Record{Key: nodeKey(recordNode, x)}
		if is != nil {
			r.Value = is.append([]byte{stateVersion})
		}
		list = append(list, r)
	}
	return list
}

// Changes lists what changed within the epoch since the last call: a few small
// records after a message was sent or received, or a proposal kept. Save them
// before a sent message leaves, and together with a received one. After
// entering an epoch save [Group.Diff] instead.
func (g *Group) Changes() []Record {
	if g.status == Wiped {
		return nil
	}
	var list []Record
	put := func(key, value []byte) { list = append(list, Record{key, value}) }
	g.messages.putDirty(nil, put)
	for i := g.saved; i < len(g.proposals); i++ {
		put(nodeKey(recordProposal, nodeIndex(i)), g.proposals[i].encode())
	}
	g.saved = len(g.proposals)
	for _, p := range g.past {
		p.messages.putDirty(pastKey(p.epoch), put)
	}
	slices.SortFunc(list, func(a, b Record) int { return bytes.Compare(a.Key, b.Key) })
	return list
}

// Save is the pending commit with the epoch that it starts, for
// [Group.LoadPending] or [LoadExternal]: a secret.
func (p *Pending) Save() []byte {
	b := []byte{stateVersion}
	b = appendVec(b, p.message)
	b = appendVec(b, p.welcome)
	b = appendVecOf(b, func(b []byte) []byte {
		for _, w := range p.pieces {
			b = appendVec(appendVec(b, w.KeyPackage.raw), w.Welcome)
		}
		return b
	})
	b = appendVecOf(b, func(b []byte) []byte {
		for _, r := range p.next.Diff(p.from) {
			b = appendOptional(appendVec(b, r.Key), r.Value != nil)
			if r.Value != nil {
				b = appendVec(b, r.Value)
			}
		}
		return b
	})
	return seal(b)
}

// LoadPending reads a pending commit that was saved in this epoch. Its Info is
// not saved.
func (g *Group) LoadPending(saved []byte) (*Pending, error) {
	p, err := loadPending(g.cfg, g, saved)
	if err != nil {
		return nil, fmt.Errorf("load pending commit: %w", err)
	}
	if p.next.context.epoch != g.context.epoch+1 || !bytes.Equal(p.next.context.groupID, g.context.groupID) {
		return nil, fmt.Errorf("load pending commit of another epoch: %w", ErrState)
	}
	return p, nil
}

// LoadExternal reads a pending external join.
func LoadExternal(cfg Config, saved []byte) (*Pending, error) {
	p, err := loadPending(cfg, nil, saved)
	if err != nil {
		return nil, fmt.Errorf("load external join: %w", err)
	}
	return p, nil
}

func loadPending(cfg Config, from *Group, saved []byte) (*Pending, error) {
	r, err := unseal(saved)
	if err != nil {
		return nil, err
	}
	p := &Pending{from: from, message: r.vec(), welcome: r.vec()}
	if len(p.welcome) == 0 {
		p.welcome = nil
	}
	for s := r.sub(); s.more(); {
		k := s.sub()
		piece := WelcomePiece{KeyPackage: readKeyPackage(k), Welcome: s.vec()}
		s.close(k)
		if s.bad {
			r.fail()
			break
		}
		piece.Ref = piece.KeyPackage.Ref()
		p.pieces = append(p.pieces, piece)
	}
	records := map[string][]byte{}
	if from != nil {
		// Only the tree is shared; what from received since belongs to it alone.
		for _, rec := range diffTree(nil, &tree{}, from.tree) {
			records[string(rec.Key)] = rec.Value
		}
	}
	s := r.sub()
	for s.more() {
		key := string(s.vec())
		if s.optional() {
			records[key] = s.vec()
		} else {
			delete(records, key)
		}
	}
	r.close(s)
	if err := r.end("pending commit"); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	list := make([]Record, 0, len(records))
	for key, value := range records {
		list = append(list, Record{[]byte(key), value})
	}
	p.next, err = Load(cfg, list)
	return p, err
}
