package identity

import (
	"crypto/ed25519"

	"github.com/securelink-chat/securelink/internal/pack"
)

// MaxKeyPackage bounds the key package inside a statement, in bytes.
const MaxKeyPackage = 16 << 10

// StatementKind says what a statement asks a room for.
type StatementKind uint8

// The kinds of statements.
const (
	// StatementLeave: the user of this device leaves with all devices; signed by the device.
	StatementLeave StatementKind = 1
	// StatementRevoke: the device is the user's no longer, for ever; signed by the identity key.
	StatementRevoke StatementKind = 2
	// StatementRejoin: the device has lost its place (Reason says how) and asks to
	// be removed and added in one commit; signed by the device.
	StatementRejoin StatementKind = 3
	// StatementNack: the entry Seq with hash Entry, which others may be able to
	// apply, fails for the keys of this device; signed by the device.
	StatementNack StatementKind = 4
)

// Reasons of a re-join.
const (
	ReasonLost     uint8 = 1 // the device has no state of the room
	ReasonRollback uint8 = 2 // its state was older than what it had sent
	ReasonClone    uint8 = 3 // somebody else uses its state
	ReasonPackage  uint8 = 4 // the key package of its Welcome was used up
)

// Statement is a device's signed word to a room, valid for one stay of that
// device in it. It travels in the clear as an entry of the log.
type Statement struct {
	Kind       StatementKind
	Group      GroupID
	User       UserID
	Device     DeviceID
	JoinID     JoinID
	Seq        uint64   // nack: the entry that fails; re-join: the newest entry that was seen
	Entry      [32]byte // nack: the chain hash after that entry
	Reason     uint8    // re-join
	KeyPackage []byte   // nack and re-join: a fresh one
	Signature  Signature
}

func (s *Statement) write(w *pack.Writer) {
	w.U8(uint8(s.Kind))
	w.Fixed(s.Group[:])
	w.Fixed(s.User[:])
	w.Fixed(s.Device[:])
	w.Fixed(s.JoinID[:])
	w.U64(s.Seq)
	w.Fixed(s.Entry[:])
	w.U8(s.Reason)
	w.Bytes(s.KeyPackage)
}

func (s *Statement) signed(root PublicKey) []byte {
	w := labelled("SecureLink/1 statement")
	w.Fixed(root[:])
	s.write(w)
	return w.B
}

// wellFormed says whether exactly the fields of its kind are used, so that a
// statement has one form.
func (s *Statement) wellFormed() bool {
	fresh := len(s.KeyPackage) > 0 && len(s.KeyPackage) <= MaxKeyPackage
	switch s.Kind {
	case StatementLeave, StatementRevoke:
		return s.Seq == 0 && s.Entry == [32]byte{} && s.Reason == 0 && len(s.KeyPackage) == 0
	case StatementRejoin:
		return fresh && s.Entry == [32]byte{} && s.Reason >= ReasonLost && s.Reason <= ReasonPackage
	case StatementNack:
		return fresh && s.Reason == 0
	}
	return false
}

// SignStatement signs for a device: leave, re-join, nack.
func (d *DeviceKey) SignStatement(root PublicKey, s *Statement) { s.Signature = d.sign(s.signed(root)) }

// SignStatement signs for a user: revoke.
func (k *Key) SignStatement(root PublicKey, s *Statement) { s.Signature = k.sign(s.signed(root)) }

// Verify checks form and signature under the device's key, or for a revocation
// under the identity key. That the keys belong to the user and device that the
// statement names is for the caller, who finds them in the room's tree.
func (s *Statement) Verify(root, device, identity PublicKey) error {
	if !s.wellFormed() {
		return ErrSignature
	}
	key := device
	if s.Kind == StatementRevoke {
		key = identity
	}
	return verify(key, s.signed(root), s.Signature)
}

// Encode gives the statement with its signature at the end.
func (s *Statement) Encode() []byte {
	var w pack.Writer
	s.write(&w)
	w.Fixed(s.Signature[:])
	return w.B
}

// DecodeStatement reads a statement without verifying it.
func DecodeStatement(b []byte) (*Statement, error) {
	r := pack.Read(b)
	s := &Statement{Kind: StatementKind(r.U8())}
	r.Fixed(s.Group[:])
	r.Fixed(s.User[:])
	r.Fixed(s.Device[:])
	r.Fixed(s.JoinID[:])
	s.Seq = r.U64()
	r.Fixed(s.Entry[:])
	s.Reason = r.U8()
	s.KeyPackage = r.Bytes(MaxKeyPackage)
	r.Fixed(s.Signature[:])
	if r.Done() != nil || !s.wellFormed() {
		return nil, ErrFormat
	}
	return s, nil
}

// Delegation is the root key's word that another key speaks for the server in
// rooms. The root signs it once and is then left alone.
type Delegation struct {
	Delegate  PublicKey
	Signature Signature
}

func (d Delegation) signed(root PublicKey) []byte {
	w := labelled("SecureLink/1 delegate")
	w.Fixed(root[:])
	w.Fixed(d.Delegate[:])
	return w.B
}

// SignDelegation makes the delegation with the server's root key.
func SignDelegation(root ed25519.PrivateKey, delegate PublicKey) Delegation {
	public := PublicKey(root.Public().(ed25519.PublicKey))
	d := Delegation{Delegate: delegate}
	d.Signature = Signature(ed25519.Sign(root, d.signed(public)))
	return d
}

// VerifyWord checks that the delegate of this root has signed a message.
func (d Delegation) VerifyWord(root PublicKey, message []byte, signature Signature) error {
	if err := verify(root, d.signed(root), d.Signature); err != nil {
		return err
	}
	return verify(d.Delegate, message, signature)
}

// NoticeKind says what a server's notice permits.
type NoticeKind uint8

// The kinds of notices.
const (
	// NoticeRetired: the guest's leaf in an open room may be removed by any member.
	NoticeRetired NoticeKind = 1
	// NoticeOwner: the user holds the administrator link and owns the Lounge.
	NoticeOwner NoticeKind = 2
)

// Notice is the server's signed word to an open room. It permits a commit; it
// changes nothing by itself.
type Notice struct {
	Kind       NoticeKind
	Group      GroupID
	User       UserID
	Device     DeviceID // retired
	JoinID     JoinID   // retired: the stay that has ended
	Delegation Delegation
	Signature  Signature
}

func (n *Notice) write(w *pack.Writer) {
	w.U8(uint8(n.Kind))
	w.Fixed(n.Group[:])
	w.Fixed(n.User[:])
	w.Fixed(n.Device[:])
	w.Fixed(n.JoinID[:])
}

func (n *Notice) signed(root PublicKey) []byte {
	w := labelled("SecureLink/1 notice")
	w.Fixed(root[:])
	n.write(w)
	return w.B
}

// SignNotice signs with the delegate's key.
func SignNotice(root PublicKey, delegate ed25519.PrivateKey, n *Notice) {
	n.Signature = Signature(ed25519.Sign(delegate, n.signed(root)))
}

// Verify checks the delegation by the root and the notice by the delegate.
func (n *Notice) Verify(root PublicKey) error {
	if n.Kind != NoticeRetired && n.Kind != NoticeOwner {
		return ErrSignature
	}
	if n.Kind == NoticeOwner && (n.Device != DeviceID{} || n.JoinID != JoinID{}) {
		return ErrSignature
	}
	return n.Delegation.VerifyWord(root, n.signed(root), n.Signature)
}

// Encode gives the notice, the delegation and the signature.
func (n *Notice) Encode() []byte {
	var w pack.Writer
	n.write(&w)
	w.Fixed(n.Delegation.Delegate[:])
	w.Fixed(n.Delegation.Signature[:])
	w.Fixed(n.Signature[:])
	return w.B
}

// DecodeNotice reads a notice without verifying it.
func DecodeNotice(b []byte) (*Notice, error) {
	r := pack.Read(b)
	n := &Notice{Kind: NoticeKind(r.U8())}
	r.Fixed(n.Group[:])
	r.Fixed(n.User[:])
	r.Fixed(n.Device[:])
	r.Fixed(n.JoinID[:])
	r.Fixed(n.Delegation.Delegate[:])
	r.Fixed(n.Delegation.Signature[:])
	r.Fixed(n.Signature[:])
	if r.Done() != nil {
		return nil, ErrFormat
	}
	return n, nil
}
