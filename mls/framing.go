package mls

import (
	"crypto/hmac"
	"fmt"
)

// Wire formats of MLSMessage (section 6).
type wireFormat uint16

const (
	wirePublic     wireFormat = 1
	wirePrivate    wireFormat = 2
	wireWelcome    wireFormat = 3
	wireGroupInfo  wireFormat = 4
	wireKeyPackage wireFormat = 5
)

// messageHeader starts an MLSMessage, with room for size more bytes.
func messageHeader(w wireFormat, size int) []byte {
	return appendU16(appendU16(make([]byte, 0, 4+size), versionMLS10), uint16(w))
}

// readHeader reads the start of an MLSMessage of one wire format.
func readHeader(r *reader, want wireFormat) error {
	version, w := r.u16(), wireFormat(r.u16())
	switch {
	case r.bad:
		return fmt.Errorf("message header: %w", ErrMalformed)
	case version != versionMLS10:
		return fmt.Errorf("message of version %d: %w", version, ErrVersion)
	case w != want:
		return fmt.Errorf("wire format %d instead of %d: %w", w, want, ErrWireFormat)
	}
	return nil
}

// ContentType tells what a framed message holds.
type ContentType uint8

// The contents of a framed message.
const (
	ContentApplication ContentType = 1
	ContentProposal    ContentType = 2
	ContentCommit      ContentType = 3
)

// SenderType tells who sent a message.
type SenderType uint8

// The senders of section 6.
const (
	SenderMember            SenderType = 1
	SenderExternal          SenderType = 2
	SenderNewMemberProposal SenderType = 3
	SenderNewMemberCommit   SenderType = 4
)

// Sender is who sent a message: a leaf for a member, an index into the
// external_senders extension for an external sender.
type Sender struct {
	Type SenderType
	Leaf LeafIndex
}

func (s Sender) append(b []byte) []byte {
	b = append(b, byte(s.Type))
	if s.Type == SenderMember || s.Type == SenderExternal {
		b = appendU32(b, uint32(s.Leaf))
	}
	return b
}

func readSender(r *reader) Sender {
	s := Sender{Type: SenderType(r.u8())}
	switch s.Type {
	case SenderMember, SenderExternal:
		s.Leaf = LeafIndex(r.u32())
	case SenderNewMemberProposal, SenderNewMemberCommit:
	default:
		r.fail()
	}
	return s
}

// framedContent is FramedContent.
type framedContent struct {
	groupID           []byte
	epoch             uint64
	sender            Sender
	authenticatedData []byte
	contentType       ContentType
	application       []byte
	proposal          Proposal
	commit            *commitBody
	rawBody           []byte // the body as received or sent
}

func (c *framedContent) append(b []byte) []byte {
	b = appendVec(b, c.groupID)
	b = appendU64(b, c.epoch)
	b = c.sender.append(b)
	b = appendVec(b, c.authenticatedData)
	b = append(b, byte(c.contentType))
	return append(b, c.rawBody...)
}

// setBody encodes the body.
func (c *framedContent) setBody() {
	switch c.contentType {
	case ContentApplication:
		c.rawBody = appendVec(nil, c.application)
	case ContentProposal:
		c.rawBody = appendProposal(nil, c.proposal)
	case ContentCommit:
		c.rawBody = c.commit.append(nil)
	}
}

func (c *framedContent) readBody(r *reader) {
	start := r.b
	switch c.contentType {
	case ContentApplication:
		c.application = r.vec()
	case ContentProposal:
		c.proposal = readProposal(r)
	case ContentCommit:
		c.commit = readCommit(r)
	default:
		r.fail()
	}
	n := len(start) - len(r.b)
	c.rawBody = start[:n:n]
}

func readFramedContent(r *reader) *framedContent {
	c := &framedContent{}
	c.groupID = r.vec()
	c.epoch = r.u64()
	c.sender = readSender(r)
	c.authenticatedData = r.vec()
	c.contentType = ContentType(r.u8())
	c.readBody(r)
	return c
}

// authenticatedContent is AuthenticatedContent: not verified yet when read
// from a message.
type authenticatedContent struct {
	wire            wireFormat
	content         *framedContent
	signature       []byte
	confirmationTag []byte // commits only
	membershipTag   []byte // public messages of members only
	generation      uint32 // private messages only
}

func (a *authenticatedContent) appendAuth(b []byte) []byte {
	b = appendVec(b, a.signature)
	if a.content.contentType == ContentCommit {
		b = appendVec(b, a.confirmationTag)
	}
	return b
}

func (a *authenticatedContent) readAuth(r *reader) {
	a.signature = r.vec()
	if a.content.contentType == ContentCommit {
		a.confirmationTag = r.vec()
	}
}

func (a *authenticatedContent) append(b []byte) []byte {
	b = a.content.append(appendU16(b, uint16(a.wire)))
	return a.appendAuth(b)
}

// tbs is FramedContentTBS; context is the encoded GroupContext.
func (a *authenticatedContent) tbs(context []byte) []byte {
	b := make([]byte, 0, 64+len(a.content.groupID)+len(a.content.authenticatedData)+len(a.content.rawBody)+len(context))
	b = appendU16(appendU16(b, versionMLS10), uint16(a.wire))
	b = a.content.append(b)
	switch a.content.sender.Type {
	case SenderMember, SenderNewMemberCommit:
		b = append(b, context...)
	}
	return b
}

func (a *authenticatedContent) sign(signer *SigningKey, context []byte) error {
	a.content.setBody()
	var err error
	a.signature, err = signer.signLabelled("FramedContentTBS", a.tbs(context))
	return err
}

func (a *authenticatedContent) verify(cs *suite, public, context []byte) error {
	if !cs.verifyLabelled(public, "FramedContentTBS", a.tbs(context), a.signature) {
		return fmt.Errorf("message: %w", ErrSignature)
	}
	return nil
}

// membershipMAC is section 6.2's membership tag.
func (a *authenticatedContent) membershipMAC(cs *suite, key, context []byte) []byte {
	return cs.mac(key, a.appendAuth(a.tbs(context)))
}

// ref is the ProposalRef of a proposal's message.
func (a *authenticatedContent) ref(cs *suite) []byte {
	return cs.refHash(proposalRefLabel, a.append(nil))
}

// public is PublicMessage, as an MLSMessage.
func (a *authenticatedContent) public() []byte {
	b := messageHeader(wirePublic, len(a.content.rawBody)+256)
	b = a.appendAuth(a.content.append(b))
	if a.content.sender.Type == SenderMember {
		b = appendVec(b, a.membershipTag)
	}
	return b
}

// readPublic reads what follows the header of a PublicMessage.
func readPublic(r *reader) (*authenticatedContent, error) {
	a := &authenticatedContent{wire: wirePublic, content: readFramedContent(r)}
	a.readAuth(r)
	if a.content.sender.Type == SenderMember {
		a.membershipTag = r.vec()
	}
	return a, r.end("public message")
}

// privateMessage is PrivateMessage.
type privateMessage struct {
	groupID           []byte
	epoch             uint64
	contentType       ContentType
	authenticatedData []byte
	senderData        []byte
	ciphertext        []byte
}

func (p *privateMessage) message() []byte {
	b := messageHeader(wirePrivate, len(p.groupID)+len(p.authenticatedData)+len(p.senderData)+len(p.ciphertext)+32)
	b = appendVec(b, p.groupID)
	b = appendU64(b, p.epoch)
	b = append(b, byte(p.contentType))
	b = appendVec(b, p.authenticatedData)
	b = appendVec(b, p.senderData)
	return appendVec(b, p.ciphertext)
}

func readPrivate(r *reader) (*privateMessage, error) {
	p := &privateMessage{r.vec(), r.u64(), ContentType(r.u8()), r.vec(), r.vec(), r.vec()}
	if p.contentType < ContentApplication || p.contentType > ContentCommit {
		r.fail()
	}
	return p, r.end("private message")
}

// contentAAD and senderAAD are what the two ciphertexts are bound to
// (sections 6.3.1 and 6.3.2).
func (p *privateMessage) contentAAD() []byte { return appendVec(p.senderAAD(), p.authenticatedData) }

func (p *privateMessage) senderAAD() []byte {
	b := appendU64(appendVec(nil, p.groupID), p.epoch)
	return append(b, byte(p.contentType))
}

// senderKey gives the key and nonce that hide the sender.
func (cs *suite) senderKey(secret, ciphertext []byte) (key, nonce []byte) {
	sample := ciphertext[:min(len(ciphertext), cs.nh)]
	h := hmac.New(cs.hash, secret)
	return expandBlock(h, kdfLabel("key", sample, cs.nk), cs.nk), expandBlock(h, kdfLabel("nonce", sample, nn), nn)
}

// senderDataSize is leaf, generation and reuse guard.
const senderDataSize = 12

// Header is what can be read of a message without any key. Nothing in it is
// verified.
type Header struct {
	Private           bool
	GroupID           []byte
	Epoch             uint64
	Content           ContentType
	AuthenticatedData []byte
	Sender            *Sender // nil in a private message
}

// Peek reads the header of a PublicMessage or PrivateMessage without
// verifying anything.
func Peek(message []byte) (Header, error) {
	public, private, err := readFramed(message)
	switch {
	case err != nil:
		return Header{}, fmt.Errorf("peek: %w", err)
	case private != nil:
		return Header{true, private.groupID, private.epoch, private.contentType, private.authenticatedData, nil}, nil
	}
	c := public.content
	return Header{false, c.groupID, c.epoch, c.contentType, c.authenticatedData, &c.sender}, nil
}

// readFramed reads a PublicMessage or a PrivateMessage. The input is copied.
func readFramed(message []byte) (*authenticatedContent, *privateMessage, error) {
	r := &reader{b: bytesClone(message)}
	version, w := r.u16(), wireFormat(r.u16())
	if r.bad {
		return nil, nil, fmt.Errorf("message header: %w", ErrMalformed)
	}
	if version != versionMLS10 {
		return nil, nil, fmt.Errorf("message of version %d: %w", version, ErrVersion)
	}
	switch w {
	case wirePublic:
		a, err := readPublic(r)
		return a, nil, err
	case wirePrivate:
		p, err := readPrivate(r)
		return nil, p, err
	}
	return nil, nil, fmt.Errorf("wire format %d: %w", w, ErrWireFormat)
}
