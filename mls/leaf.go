package mls

import (
	"bytes"
	"crypto/hpke"
	"fmt"
	"sync/atomic"
	"time"
)

// CredentialType tells how a credential names its holder (section 5.3).
type CredentialType uint16

// The credential types that can be parsed. Their contents are the
// application's business: see [Config].
const (
	CredentialBasic CredentialType = 1
	CredentialX509  CredentialType = 2
)

// A Credential names the holder of a leaf.
type Credential struct {
	Type         CredentialType
	Identity     []byte   // CredentialBasic
	Certificates [][]byte // CredentialX509, leaf certificate first, DER
}

// BasicCredential is a credential of bytes that only the application reads.
func BasicCredential(identity []byte) Credential {
	return Credential{Type: CredentialBasic, Identity: identity}
}

func (c Credential) append(b []byte) []byte {
	b = appendU16(b, uint16(c.Type))
	if c.Type == CredentialX509 {
		return appendVecOf(b, func(b []byte) []byte {
			for _, cert := range c.Certificates {
				b = appendVec(b, cert)
			}
			return b
		})
	}
	return appendVec(b, c.Identity)
}

func (c Credential) equal(other Credential) bool {
	return bytes.Equal(c.append(nil), other.append(nil))
}

// readCredential keeps the raw bytes; parse gives the value.
func readCredential(r *reader) []byte {
	start := r.b
	switch CredentialType(r.u16()) {
	case CredentialBasic:
		r.vec()
	case CredentialX509:
		s := r.sub()
		for s.more() {
			s.vec()
		}
		r.close(s)
	default:
		r.fail()
	}
	return start[:len(start)-len(r.b)]
}

func parseCredential(raw []byte) Credential {
	r := &reader{b: raw}
	c := Credential{Type: CredentialType(r.u16())}
	if c.Type == CredentialX509 {
		for s := r.sub(); s.more(); {
			c.Certificates = append(c.Certificates, s.vec())
		}
		return c
	}
	c.Identity = r.vec()
	return c
}

// Capabilities tell what a client supports (section 7.2). What RFC 9420
// defines as default is never listed.
type Capabilities struct {
	Versions    []uint16
	Suites      []Suite
	Extensions  []ExtensionType
	Proposals   []ProposalType
	Credentials []CredentialType
}

// DefaultCapabilities are those of this package, with basic credentials and
// the given extension types, which the application understands.
func DefaultCapabilities(extra ...ExtensionType) Capabilities {
	return Capabilities{
		Versions:    []uint16{versionMLS10},
		Suites:      Suites(),
		Extensions:  extra,
		Credentials: []CredentialType{CredentialBasic},
	}
}

func (c Capabilities) append(b []byte) []byte {
	b = appendU16s(b, c.Versions)
	b = appendU16s(b, c.Suites)
	b = appendU16s(b, c.Extensions)
	b = appendU16s(b, c.Proposals)
	return appendU16s(b, c.Credentials)
}

// rawCapabilities are the lists as they were received.
type rawCapabilities struct{ versions, suites, extensions, proposals, credentials []byte }

func readCapabilities(r *reader) rawCapabilities {
	return rawCapabilities{r.u16s(), r.u16s(), r.u16s(), r.u16s(), r.u16s()}
}

// Lifetime bounds the use of a KeyPackage, in seconds since 1970, both ends
// included.
type Lifetime struct{ NotBefore, NotAfter uint64 }

func (l Lifetime) check(now time.Time) error {
	t := uint64(max(now.Unix(), 0))
	if t < l.NotBefore || t > l.NotAfter {
		return fmt.Errorf("%d is not in %d..%d: %w", t, l.NotBefore, l.NotAfter, ErrLifetime)
	}
	return nil
}

// LeafSource tells how a leaf came into the tree.
type LeafSource uint8

// The sources of a leaf (section 7.2).
const (
	SourceKeyPackage LeafSource = 1
	SourceUpdate     LeafSource = 2
	SourceCommit     LeafSource = 3
)

// A Leaf is a member's public description (LeafNode, section 7.2). It is
// never changed once made.
type Leaf struct {
	raw           []byte // the whole encoding
	encryptionKey []byte
	signatureKey  []byte
	credential    []byte
	capabilities  rawCapabilities
	source        LeafSource
	lifetime      Lifetime
	parentHash    []byte
	extensions    extensionList
	signature     []byte
	tbs           int // raw[:tbs] is what comes before the signature
	key           atomic.Pointer[hpke.PublicKey]
}

// EncryptionKey is the leaf's HPKE public key.
func (l *Leaf) EncryptionKey() []byte { return bytesClone(l.encryptionKey) }

// SignatureKey is the public key that the member's messages verify with.
func (l *Leaf) SignatureKey() []byte { return bytesClone(l.signatureKey) }

// Credential names the member.
func (l *Leaf) Credential() Credential { return parseCredential(bytesClone(l.credential)) }

// Capabilities tell what the member supports.
func (l *Leaf) Capabilities() Capabilities {
	c := l.capabilities
	return Capabilities{u16List[uint16](c.versions), u16List[Suite](c.suites), u16List[ExtensionType](c.extensions),
		u16List[ProposalType](c.proposals), u16List[CredentialType](c.credentials)}
}

// Source tells how the leaf came into the tree.
func (l *Leaf) Source() LeafSource { return l.source }

// Lifetime is set for leaves of a KeyPackage only.
func (l *Leaf) Lifetime() (Lifetime, bool) { return l.lifetime, l.source == SourceKeyPackage }

// Extensions lists the leaf's extensions.
func (l *Leaf) Extensions() []Extension { return l.extensions.all() }

// Extension is the data of the leaf's extension of type t.
func (l *Leaf) Extension(t ExtensionType) ([]byte, bool) { return l.extensions.get(t) }

// Bytes is the leaf's encoding.
func (l *Leaf) Bytes() []byte { return bytesClone(l.raw) }

func readLeaf(r *reader) *Leaf {
	start := r.b
	l := &Leaf{}
	l.encryptionKey = r.long()
	l.signatureKey = r.long()
	l.credential = readCredential(r)
	l.capabilities = readCapabilities(r)
	l.source = LeafSource(r.u8())
	switch l.source {
	case SourceKeyPackage:
		l.lifetime = Lifetime{r.u64(), r.u64()}
	case SourceUpdate:
	case SourceCommit:
		l.parentHash = r.vec()
	default:
		r.fail()
	}
	l.extensions = readExtensions(r)
	l.tbs = len(start) - len(r.b)
	l.signature = r.long()
	n := len(start) - len(r.b)
	l.raw = start[:n:n]
	return l
}

// public decodes the encryption key when it is first needed.
func (l *Leaf) public(cs *suite) (hpke.PublicKey, error) {
	if key := l.key.Load(); key != nil {
		return *key, nil
	}
	key, err := cs.publicKey(l.encryptionKey)
	if err != nil {
		return nil, err
	}
	l.key.Store(&key)
	return key, nil
}

// leafTBS is LeafNodeTBS: group and index are left out of a KeyPackage's leaf.
func (l *Leaf) leafTBS(groupID []byte, index LeafIndex) []byte {
	b := bytesClone(l.raw[:l.tbs])
	if l.source == SourceKeyPackage {
		return b
	}
	return appendU32(appendVec(b, groupID), uint32(index))
}

func (l *Leaf) verify(cs *suite, groupID []byte, index LeafIndex) error {
	if !cs.verifyLabelled(l.signatureKey, "LeafNodeTBS", l.leafTBS(groupID, index), l.signature) {
		return fmt.Errorf("leaf %d: %w", index, ErrSignature)
	}
	return nil
}

// supports tell whether the leaf's capabilities cover a value; defaults of
// the RFC are covered always.
func (l *Leaf) supportsExtension(t ExtensionType) bool {
	return t.isDefault() || hasU16(l.capabilities.extensions, uint16(t))
}

func (l *Leaf) supportsProposal(t ProposalType) bool {
	return t.isDefault() || hasU16(l.capabilities.proposals, uint16(t))
}

func (l *Leaf) supportsCredential(t CredentialType) bool {
	return hasU16(l.capabilities.credentials, uint16(t))
}

func (l *Leaf) credentialType() CredentialType {
	return CredentialType(uint16(l.credential[0])<<8 | uint16(l.credential[1]))
}

// leafTemplate is what a new leaf is made of.
type leafTemplate struct {
	encryptionKey []byte
	credential    Credential
	capabilities  Capabilities
	source        LeafSource
	lifetime      Lifetime
	parentHash    []byte
	extensions    extensionList
}

// sign makes the leaf of a template.
func (t *leafTemplate) sign(signer *SigningKey, groupID []byte, index LeafIndex) (*Leaf, error) {
	if signer == nil {
		return nil, fmt.Errorf("leaf without a signature key: %w", ErrUsage)
	}
	b := appendVec(nil, t.encryptionKey)
	b = appendVec(b, signer.public)
	b = t.credential.append(b)
	b = t.capabilities.append(b)
	b = append(b, byte(t.source))
	switch t.source {
	case SourceKeyPackage:
		b = appendU64(appendU64(b, t.lifetime.NotBefore), t.lifetime.NotAfter)
	case SourceCommit:
		b = appendVec(b, t.parentHash)
	}
	b = appendVec(b, t.extensions)
	tbs := &Leaf{raw: b, tbs: len(b), source: t.source}
	signature, err := signer.signLabelled("LeafNodeTBS", tbs.leafTBS(groupID, index))
	if err != nil {
		return nil, err
	}
	r := &reader{b: appendVec(b, signature)}
	leaf := readLeaf(r)
	if err := r.end("new leaf"); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	return leaf, nil
}
