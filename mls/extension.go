package mls

import (
	"encoding/binary"
	"fmt"
)

// ExtensionType is the type of an extension (section 17.3).
type ExtensionType uint16

// The extension types of RFC 9420, and the last-resort mark of
// draft-ietf-mls-extensions.
const (
	ExtApplicationID        ExtensionType = 1
	ExtRatchetTree          ExtensionType = 2
	ExtRequiredCapabilities ExtensionType = 3
	ExtExternalPub          ExtensionType = 4
	ExtExternalSenders      ExtensionType = 5
	ExtLastResort           ExtensionType = 10
)

// isDefault tells the types that every client supports without saying so.
func (t ExtensionType) isDefault() bool { return t >= ExtApplicationID && t <= ExtExternalSenders }

// An Extension is a typed addition to a leaf, a KeyPackage, a GroupContext or
// a GroupInfo.
type Extension struct {
	Type ExtensionType
	Data []byte
}

// extensionList is the checked encoding of a list of extensions, without the
// length before it: no type is in it twice.
type extensionList []byte

func makeExtensions(list []Extension) (extensionList, error) {
	var b []byte
	for _, e := range list {
		b = appendVec(appendU16(b, uint16(e.Type)), e.Data)
	}
	if !extensionList(b).ok() {
		return nil, fmt.Errorf("an extension type twice: %w", ErrUsage)
	}
	return b, nil
}

func readExtensions(r *reader) extensionList {
	list := extensionList(r.vec())
	if !r.bad && !list.ok() {
		r.fail()
	}
	return list
}

// ok walks the list and looks for a type that comes twice.
func (l extensionList) ok() bool {
	var few [16]uint16
	var many *[1 << 10]uint64
	r := &reader{b: l}
	for n := 0; r.more(); n++ {
		t := r.u16()
		r.vec()
		if r.bad {
			return false
		}
		if n < len(few) {
			for _, seen := range few[:n] {
				if seen == t {
					return false
				}
			}
			few[n] = t
			continue
		}
		if many == nil {
			many = new([1 << 10]uint64)
			for _, seen := range few {
				many[seen/64] |= 1 << (seen % 64)
			}
		}
		if many[t/64]&(1<<(t%64)) != 0 {
			return false
		}
		many[t/64] |= 1 << (t % 64)
	}
	return !r.bad
}

func (l extensionList) each(f func(ExtensionType, []byte) error) error {
	for r := (&reader{b: l}); r.more(); {
		t := ExtensionType(r.u16())
		if err := f(t, r.vec()); err != nil {
			return err
		}
	}
	return nil
}

func (l extensionList) get(t ExtensionType) ([]byte, bool) {
	for r := (&reader{b: l}); r.more(); {
		found := ExtensionType(r.u16())
		if data := r.vec(); found == t {
			return data, true
		}
	}
	return nil, false
}

func (l extensionList) all() []Extension {
	var list []Extension
	for r := (&reader{b: l}); r.more(); {
		t := ExtensionType(r.u16())
		list = append(list, Extension{t, bytesClone(r.vec())})
	}
	return list
}

// RequiredCapabilities is the extension of a GroupContext that says what
// every member must support (section 11.1).
func RequiredCapabilities(extensions []ExtensionType, proposals []ProposalType, credentials []CredentialType) Extension {
	b := appendU16s(nil, extensions)
	b = appendU16s(b, proposals)
	return Extension{ExtRequiredCapabilities, appendU16s(b, credentials)}
}

// required is a parsed RequiredCapabilities, as raw lists.
type required struct{ extensions, proposals, credentials []byte }

func (l extensionList) required() (required, error) {
	data, ok := l.get(ExtRequiredCapabilities)
	if !ok {
		return required{}, nil
	}
	r := &reader{b: data}
	req := required{r.u16s(), r.u16s(), r.u16s()}
	return req, r.end("required capabilities")
}

func (q required) metBy(l *Leaf) error {
	for b := q.extensions; len(b) > 0; b = b[2:] {
		if t := ExtensionType(binary.BigEndian.Uint16(b)); !l.supportsExtension(t) {
			return fmt.Errorf("extension %#x: %w", uint16(t), ErrRequired)
		}
	}
	for b := q.proposals; len(b) > 0; b = b[2:] {
		if t := ProposalType(binary.BigEndian.Uint16(b)); !l.supportsProposal(t) {
			return fmt.Errorf("proposal %#x: %w", uint16(t), ErrRequired)
		}
	}
	for b := q.credentials; len(b) > 0; b = b[2:] {
		if t := CredentialType(binary.BigEndian.Uint16(b)); !l.supportsCredential(t) {
			return fmt.Errorf("credential %#x: %w", uint16(t), ErrRequired)
		}
	}
	return nil
}

// externalSender is one entry of the external_senders extension (section
// 12.1.8.1).
type externalSender struct {
	signatureKey []byte
	credential   []byte
}

// ExternalSender makes the entry of an external_senders extension.
type ExternalSender struct {
	SignatureKey []byte
	Credential   Credential
}

// ExternalSenders is the extension that lets others than members propose.
func ExternalSenders(senders []ExternalSender) Extension {
	return Extension{ExtExternalSenders, appendVecOf(nil, func(b []byte) []byte {
		for _, s := range senders {
			b = s.Credential.append(appendVec(b, s.SignatureKey))
		}
		return b
	})}
}

func (l extensionList) externalSenders() ([]externalSender, error) {
	data, ok := l.get(ExtExternalSenders)
	if !ok {
		return nil, nil
	}
	r := &reader{b: data}
	var list []externalSender
	s := r.sub()
	for s.more() {
		list = append(list, externalSender{s.long(), readCredential(s)})
	}
	r.close(s)
	return list, r.end("external senders")
}

// checkContext parses the extensions that a GroupContext may hold and the
// package knows, so that none carries unknown or trailing bytes.
func (l extensionList) checkContext() error {
	if _, err := l.required(); err != nil {
		return fmt.Errorf("%w: %w", ErrExtension, err)
	}
	if _, err := l.externalSenders(); err != nil {
		return fmt.Errorf("%w: %w", ErrExtension, err)
	}
	for _, t := range []ExtensionType{ExtApplicationID, ExtRatchetTree, ExtExternalPub} {
		if _, ok := l.get(t); ok {
			return fmt.Errorf("type %d in a group context: %w", t, ErrExtension)
		}
	}
	return nil
}
