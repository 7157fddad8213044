package mls

import (
	"bytes"
	"crypto/hpke"
	"fmt"
	"sync/atomic"
	"time"
)

// versionMLS10 is the only protocol version.
const versionMLS10 = 1

// defaultLifetime is how long a KeyPackage is good for if nothing is said.
const defaultLifetime = 84 * 24 * time.Hour

// A KeyPackage is what others add a client to a group by (section 10). Values
// come from [ParseKeyPackage] or [NewKeyPackage] and are verified; the fields
// that arrive inside an Add proposal are verified when the proposal is judged.
type KeyPackage struct {
	raw        []byte
	suite      Suite
	version    uint16
	initKey    []byte
	leaf       *Leaf
	extensions extensionList
	signature  []byte
	tbs        int
	verified   atomic.Bool // spares the signatures a second check
}

func readKeyPackage(r *reader) *KeyPackage {
	start := r.b
	k := &KeyPackage{}
	k.version = r.u16()
	k.suite = Suite(r.u16())
	k.initKey = r.long()
	k.leaf = readLeaf(r)
	k.extensions = readExtensions(r)
	k.tbs = len(start) - len(r.b)
	k.signature = r.long()
	n := len(start) - len(r.b)
	k.raw = start[:n:n]
	return k
}

// Bytes is the KeyPackage as an MLSMessage.
func (k *KeyPackage) Bytes() []byte {
	return append(messageHeader(wireKeyPackage, len(k.raw)), k.raw...)
}

// Ref is the KeyPackageRef (section 5.2).
func (k *KeyPackage) Ref() []byte {
	cs, err := lookup(k.suite)
	if err != nil {
		return nil
	}
	return cs.refHash(keyPackageRefLabel, k.raw)
}

// Suite is the suite that the keys are for.
func (k *KeyPackage) Suite() Suite { return k.suite }

// Leaf is the leaf that the client would have.
func (k *KeyPackage) Leaf() *Leaf { return k.leaf }

// Extensions lists the KeyPackage's own extensions.
func (k *KeyPackage) Extensions() []Extension { return k.extensions.all() }

// LastResort tells whether the KeyPackage may be used more than once.
func (k *KeyPackage) LastResort() bool { _, ok := k.extensions.get(ExtLastResort); return ok }

// CheckLifetime is [ErrLifetime] when now is outside of the leaf's lifetime.
// Whoever adds a member asks this; whoever receives the Add does not, since
// what is valid must not depend on a clock.
func (k *KeyPackage) CheckLifetime(now time.Time) error { return k.leaf.lifetime.check(now) }

// verify is section 10.1, without the group's own demands.
func (k *KeyPackage) verify() error {
	if k.version != versionMLS10 {
		return fmt.Errorf("key package: %w", ErrVersion)
	}
	cs, err := lookup(k.suite)
	if err != nil {
		return err
	}
	if k.leaf.source != SourceKeyPackage {
		return fmt.Errorf("key package: %w", ErrLeafSource)
	}
	if bytes.Equal(k.initKey, k.leaf.encryptionKey) {
		return fmt.Errorf("init key is the encryption key: %w", ErrKeyPackage)
	}
	if err := cs.checkPublic(k.initKey); err != nil {
		return fmt.Errorf("init key: %w: %w", ErrKeyPackage, err)
	}
	if err := cs.checkPublic(k.leaf.encryptionKey); err != nil {
		return err
	}
	if !cs.verifyLabelled(k.leaf.signatureKey, "KeyPackageTBS", k.raw[:k.tbs], k.signature) {
		return fmt.Errorf("key package: %w", ErrSignature)
	}
	if err := k.leaf.checkSelf(k.suite); err != nil {
		return err
	}
	if err := k.leaf.verify(cs, nil, 0); err != nil {
		return err
	}
	k.verified.Store(true)
	return nil
}

// ParseKeyPackage reads an MLSMessage with a KeyPackage and verifies its
// signatures and structure (section 10.1). The lifetime is asked separately,
// with [KeyPackage.CheckLifetime].
func ParseKeyPackage(message []byte) (*KeyPackage, error) {
	k, err := parseKeyPackage(message)
	if err != nil {
		return nil, err
	}
	if err := k.verify(); err != nil {
		return nil, fmt.Errorf("parse key package: %w", err)
	}
	return k, nil
}

func parseKeyPackage(message []byte) (*KeyPackage, error) {
	r := &reader{b: bytesClone(message)}
	if err := readHeader(r, wireKeyPackage); err != nil {
		return nil, err
	}
	k := readKeyPackage(r)
	return k, r.end("key package")
}

// KeyPackageOptions say what a new KeyPackage holds.
type KeyPackageOptions struct {
	Suite      Suite
	Signer     *SigningKey
	Credential Credential
	// Capabilities default to DefaultCapabilities of the extensions in use.
	Capabilities *Capabilities
	// Lifetime defaults to one hour ago until 84 days from now.
	Lifetime       *Lifetime
	LeafExtensions []Extension
	Extensions     []Extension
	// LastResort marks a KeyPackage that is used when all others are gone.
	LastResort bool
}

// PrivateKeyPackage is a KeyPackage with the private keys that its owner joins
// with. It prints as [redacted].
type PrivateKeyPackage struct {
	KeyPackage    *KeyPackage
	initKey       []byte
	encryptionKey []byte
	signer        *SigningKey
}

// String keeps the keys out of logs.
func (p *PrivateKeyPackage) String() string { return "[redacted]" }

// GoString keeps the keys out of logs.
func (p *PrivateKeyPackage) GoString() string { return "[redacted]" }

// Wipe overwrites the private keys that the package owns, not the signer.
func (p *PrivateKeyPackage) Wipe() {
	clear(p.initKey)
	clear(p.encryptionKey)
}

func generatedKey(cs *suite) (hpke.PrivateKey, []byte, error) {
	key, err := cs.kem.GenerateKey()
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	raw, err := key.Bytes()
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	return key, raw, nil
}

func typesOf(list []Extension) []ExtensionType {
	var types []ExtensionType
	for _, e := range list {
		if !e.Type.isDefault() {
			types = append(types, e.Type)
		}
	}
	return types
}

// NewKeyPackage makes fresh keys and signs a KeyPackage for them.
func NewKeyPackage(o KeyPackageOptions) (*PrivateKeyPackage, error) {
	cs, err := lookup(o.Suite)
	if err != nil {
		return nil, err
	}
	if o.Signer == nil {
		return nil, fmt.Errorf("key package without a signer: %w", ErrUsage)
	}
	initKey, initRaw, err := generatedKey(cs)
	if err != nil {
		return nil, err
	}
	leafKey, leafRaw, err := generatedKey(cs)
	if err != nil {
		return nil, err
	}
	template := &leafTemplate{
		encryptionKey: leafKey.PublicKey().Bytes(),
		credential:    o.Credential,
		source:        SourceKeyPackage,
	}
	if o.Capabilities != nil {
		template.capabilities = *o.Capabilities
	} else {
		template.capabilities = DefaultCapabilities(typesOf(o.LeafExtensions)...)
	}
	if o.Lifetime != nil {
		template.lifetime = *o.Lifetime
	} else {
		now := time.Now()
		template.lifetime = Lifetime{uint64(now.Add(-time.Hour).Unix()), uint64(now.Add(defaultLifetime).Unix())}
	}
	if template.extensions, err = makeExtensions(o.LeafExtensions); err != nil {
		return nil, err
	}
	extensions := o.Extensions
	if o.LastResort {
		extensions = append(extensions[:len(extensions):len(extensions)], Extension{Type: ExtLastResort})
	}
	list, err := makeExtensions(extensions)
	if err != nil {
		return nil, err
	}
	leaf, err := template.sign(o.Signer, nil, 0)
	if err != nil {
		return nil, err
	}
	b := appendU16(appendU16(nil, versionMLS10), uint16(o.Suite))
	b = appendVec(b, initKey.PublicKey().Bytes())
	b = append(b, leaf.raw...)
	b = appendVec(b, list)
	signature, err := o.Signer.signLabelled("KeyPackageTBS", b)
	if err != nil {
		return nil, err
	}
	r := &reader{b: appendVec(b, signature)}
	k := readKeyPackage(r)
	if err := r.end("new key package"); err != nil {
		return nil, err
	}
	return ImportKeyPackage(k, initRaw, leafRaw, o.Signer)
}

// ImportKeyPackage joins a KeyPackage with its private keys, and checks that
// they belong together. Without a signer the client can join and read, but
// every attempt to send is [ErrUsage].
func ImportKeyPackage(k *KeyPackage, initKey, encryptionKey []byte, signer *SigningKey) (*PrivateKeyPackage, error) {
	cs, err := lookup(k.suite)
	if err != nil {
		return nil, err
	}
	for _, pair := range []struct{ private, public []byte }{{initKey, k.initKey}, {encryptionKey, k.leaf.encryptionKey}} {
		key, err := cs.privateKey(pair.private)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(key.PublicKey().Bytes(), pair.public) {
			return nil, fmt.Errorf("private keys of another key package: %w", ErrUsage)
		}
	}
	if signer != nil && !cs.sig.samePublic(signer.public, k.leaf.signatureKey) {
		return nil, fmt.Errorf("signature key of another key package: %w", ErrUsage)
	}
	return &PrivateKeyPackage{k, bytesClone(initKey), bytesClone(encryptionKey), signer}, nil
}

// Marshal is the saved form, which [ParsePrivateKeyPackage] reads: a secret.
func (p *PrivateKeyPackage) Marshal() []byte {
	b := []byte{stateVersion}
	b = appendVec(b, p.KeyPackage.raw)
	b = appendVec(b, p.initKey)
	b = appendVec(b, p.encryptionKey)
	return appendVec(b, p.signer.bytes())
}

// ParsePrivateKeyPackage reads what Marshal wrote.
func ParsePrivateKeyPackage(saved []byte) (*PrivateKeyPackage, error) {
	r := &reader{b: bytesClone(saved)}
	if r.u8() != stateVersion {
		return nil, fmt.Errorf("saved key package: %w", ErrState)
	}
	sub := r.sub()
	k := readKeyPackage(sub)
	r.close(sub)
	initKey, encryptionKey, private := r.vec(), r.vec(), r.vec()
	if err := r.end("saved key package"); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	signer, err := savedSigner(k.suite, private)
	if err != nil {
		return nil, fmt.Errorf("saved key package: %w", err)
	}
	p, err := ImportKeyPackage(k, initKey, encryptionKey, signer)
	if err != nil {
		return nil, fmt.Errorf("saved key package: %w: %w", ErrState, err)
	}
	return p, nil
}

// savedSigner reads a signature key that may be absent.
func savedSigner(s Suite, private []byte) (*SigningKey, error) {
	if len(private) == 0 {
		return nil, nil
	}
	signer, err := ParseSigningKey(s, private)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	return signer, nil
}
