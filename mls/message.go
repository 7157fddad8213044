package mls

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
)

// Encrypt makes an application message (section 6.3). authenticatedData goes
// with it in the clear. The ratchet has moved on after this: save
// [Group.Changes] before the message leaves.
func (g *Group) Encrypt(data, authenticatedData []byte) ([]byte, error) {
	if err := g.usable(); err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	a := &authenticatedContent{wire: wirePrivate, content: &framedContent{
		groupID: g.context.groupID, epoch: g.context.epoch, sender: Sender{SenderMember, g.own},
		authenticatedData: authenticatedData, contentType: ContentApplication, application: data,
	}}
	if err := a.sign(g.signer, g.contextRaw); err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return g.protect(a, g.cfg.Padding)
}

// protect encrypts signed content as a PrivateMessage, padded to a multiple of
// padTo bytes.
func (g *Group) protect(a *authenticatedContent, padTo int) ([]byte, error) {
	c := a.content
	key, generation, err := g.messages.take(ratchetID{g.own, ratchetFor(c.contentType)})
	if err != nil {
		return nil, fmt.Errorf("protect: %w", err)
	}
	defer key.wipe()
	size := len(c.rawBody) + len(a.signature) + len(a.confirmationTag) + 8
	plain := make([]byte, 0, size+padTo+aeadOverhead)
	plain = a.appendAuth(append(plain, c.rawBody...))
	if padTo > 0 && len(plain)%padTo != 0 {
		plain = append(plain, make([]byte, padTo-len(plain)%padTo)...)
	}
	p := &privateMessage{groupID: c.groupID, epoch: c.epoch, contentType: c.contentType, authenticatedData: c.authenticatedData}
	guard := g.guard()
	aead, err := g.cs.newAEAD(key.key)
	if err != nil {
		return nil, fmt.Errorf("protect: %w", err)
	}
	p.ciphertext = aead.Seal(plain[:0], guarded(key.nonce, guard), plain, p.contentAAD())
	aead, nonce, err := g.cs.senderAEAD(g.secrets.senderData, p.ciphertext)
	if err != nil {
		return nil, err
	}
	sender := append(appendU32(appendU32(nil, uint32(g.own)), generation), guard...)
	p.senderData = aead.Seal(nil, nonce, sender, p.senderAAD())
	return p.message(), nil
}

// guardBatch is how many reuse guards are drawn at once: in a browser the
// random source costs as much as the encryption.
const guardBatch = 32

// guard gives four fresh random bytes. They are never saved, so that a state
// that is loaded twice guards each time with others.
func (g *Group) guard() []byte {
	if len(g.guards) == 0 {
		g.guards = random(4 * guardBatch)
	}
	guard := g.guards[:4:4]
	g.guards = g.guards[4:]
	return guard
}

// guarded is the nonce with the reuse guard in it.
func guarded(nonce, guard []byte) []byte {
	out := bytesClone(nonce)
	for i, b := range guard {
		out[i] ^= b
	}
	return out
}

func (cs *suite) senderAEAD(secret, ciphertext []byte) (cipher.AEAD, []byte, error) {
	key, nonce := cs.senderKey(secret, ciphertext)
	aead, err := cs.newAEAD(key)
	if err != nil {
		return nil, nil, fmt.Errorf("sender data: %w", err)
	}
	return aead, nonce, nil
}

// reading is what it takes to read the messages of an epoch.
type reading struct {
	contextRaw   []byte
	senderData   []byte
	messages     *secretTree
	signatureKey func(LeafIndex) []byte // nil for no such member
	current      bool
}

func (g *Group) reading(epoch uint64) (*reading, error) {
	switch {
	case epoch == g.context.epoch:
		return &reading{g.contextRaw, g.secrets.senderData, g.messages, func(i LeafIndex) []byte {
			if l := g.tree.leaf(i); l != nil {
				return l.signatureKey
			}
			return nil
		}, true}, nil
	case epoch > g.context.epoch:
		return nil, fmt.Errorf("epoch %d in epoch %d: %w", epoch, g.context.epoch, ErrFutureEpoch)
	}
	for _, p := range g.past {
		if p.epoch == epoch {
			return &reading{p.contextRaw, p.senderData, p.messages, func(i LeafIndex) []byte {
				if int64(i) < int64(len(p.signatureKeys)) && len(p.signatureKeys[i]) > 0 {
					return p.signatureKeys[i]
				}
				return nil
			}, false}, nil
		}
	}
	return nil, fmt.Errorf("epoch %d in epoch %d: %w", epoch, g.context.epoch, ErrPastEpoch)
}

// opened is a PrivateMessage that was decrypted and verified, with the key
// that it has not consumed yet.
type opened struct {
	content  *authenticatedContent
	messages *secretTree
	key      *lookahead
}

// unprotect decrypts and verifies a PrivateMessage.
func (g *Group) unprotect(p *privateMessage) (*opened, error) {
	r, err := g.reading(p.epoch)
	if err != nil {
		return nil, err
	}
	if !r.current && p.contentType != ContentApplication {
		return nil, fmt.Errorf("handshake of epoch %d in epoch %d: %w", p.epoch, g.context.epoch, ErrPastEpoch)
	}
	sender, generation, guard, err := g.openSender(r, p)
	if err != nil {
		return nil, err
	}
	own := sender == g.own
	if own && !r.current {
		return nil, ErrOwnMessage
	}
	public := r.signatureKey(sender)
	if public == nil {
		return nil, fmt.Errorf("leaf %d: %w", sender, ErrUnknownSender)
	}
	key, err := r.messages.find(ratchetID{sender, ratchetFor(p.contentType)}, generation)
	if own && errors.Is(err, ErrKeyUsed) {
		return nil, ErrOwnMessage
	}
	if err != nil {
		return nil, err
	}
	aead, err := g.cs.newAEAD(key.key.key)
	if err != nil {
		return nil, fmt.Errorf("private message: %w", err)
	}
	plain, err := aead.Open(nil, guarded(key.key.nonce, guard), p.ciphertext, p.contentAAD())
	if err != nil {
		return nil, fmt.Errorf("message of leaf %d: %w", sender, ErrDecrypt)
	}
	a := &authenticatedContent{wire: wirePrivate, generation: generation, content: &framedContent{
		groupID: p.groupID, epoch: p.epoch, sender: Sender{SenderMember, sender},
		authenticatedData: p.authenticatedData, contentType: p.contentType,
	}}
	if err := a.readPlain(plain); err != nil {
		return nil, err
	}
	if err := a.verify(g.cs, public, r.contextRaw); err != nil {
		return nil, err
	}
	if own {
		return nil, ErrTwin
	}
	return &opened{a, r.messages, key}, nil
}

// readPlain reads PrivateMessageContent.
func (a *authenticatedContent) readPlain(plain []byte) error {
	rd := &reader{b: plain}
	a.content.readBody(rd)
	a.readAuth(rd)
	padding := rd.b
	rd.b = nil
	if err := rd.end("private message content"); err != nil {
		return err
	}
	for _, b := range padding {
		if b != 0 {
			return ErrPadding
		}
	}
	return nil
}

func (g *Group) openSender(r *reading, p *privateMessage) (LeafIndex, uint32, []byte, error) {
	aead, nonce, err := g.cs.senderAEAD(r.senderData, p.ciphertext)
	if err != nil {
		return 0, 0, nil, err
	}
	sender, err := aead.Open(nil, nonce, p.senderData, p.senderAAD())
	if err != nil {
		return 0, 0, nil, fmt.Errorf("sender data: %w", ErrDecrypt)
	}
	if len(sender) != senderDataSize {
		return 0, 0, nil, fmt.Errorf("sender data: %w", ErrMalformed)
	}
	return LeafIndex(binary.BigEndian.Uint32(sender)), binary.BigEndian.Uint32(sender[4:]), sender[8:], nil
}

// Position is a place in the ratchets of an epoch. Two messages that share one
// were encrypted under one key.
type Position struct {
	Epoch      uint64
	Leaf       LeafIndex
	Handshake  bool
	Generation uint32
}

// Position reads where a PrivateMessage of the current epoch says that it
// stands, and decrypts nothing else of it: any member could have written that.
// It uses up no key, so that whoever holds the state of an epoch can check
// afterwards that nobody used a place twice.
func (g *Group) Position(message []byte) (Position, error) {
	if err := g.usable(); err != nil {
		return Position{}, fmt.Errorf("position: %w", err)
	}
	_, p, err := readFramed(message)
	switch {
	case err != nil:
		return Position{}, fmt.Errorf("position: %w", err)
	case p == nil:
		return Position{}, fmt.Errorf("position of a public message: %w", ErrWireFormat)
	case string(p.groupID) != string(g.context.groupID):
		return Position{}, fmt.Errorf("position: %w", ErrWrongGroup)
	case p.epoch < g.context.epoch:
		return Position{}, fmt.Errorf("position: %w", ErrPastEpoch)
	case p.epoch > g.context.epoch:
		return Position{}, fmt.Errorf("position: %w", ErrFutureEpoch)
	}
	sender, generation, _, err := g.openSender(&reading{senderData: g.secrets.senderData}, p)
	if err != nil {
		return Position{}, fmt.Errorf("position: %w", err)
	}
	return Position{p.epoch, sender, p.contentType != ContentApplication, generation}, nil
}
