package room

import (
	"crypto/sha256"
	"errors"
	"math/bits"
	"unicode/utf8"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/internal/pack"
	"github.com/securelink-chat/securelink/seal"
)

// bodyLabel separates the key of a message body from every other use of seal.
const bodyLabel = "SecureLink/1 body"

// The kinds of messages, as they are inside the encryption. ItemKind continues
// the numbers with the lines that rooms write by themselves.
const (
	ItemText     ItemKind = 1
	ItemReply    ItemKind = 2
	ItemEdit     ItemKind = 3
	ItemDelete   ItemKind = 4
	ItemReaction ItemKind = 5 // Text is the emoji; empty takes it back
	ItemAck      ItemKind = 6 // shows nothing: confirms to joiners that their entry counts
)

// Draft is a message before it is sealed.
type Draft struct {
	ID         MessageID
	Kind       ItemKind
	Text       string
	Mentions   []identity.UserID
	Target     MessageID // reply, edit, delete, reaction
	TargetHash Hash      // Item.Hash of the target
}

func (d *Draft) check() error {
	targeted := d.Kind >= ItemReply && d.Kind <= ItemReaction
	switch {
	case d.Kind < ItemText || d.Kind > ItemAck, d.ID == MessageID{}, targeted == (d.Target == MessageID{}):
		return ErrUsage
	case len(d.Text) > MaxText || len(d.Mentions) > MaxMentions, d.Kind == ItemReaction && len(d.Text) > 64:
		return ErrTooLong
	case !utf8.ValidString(d.Text), (d.Kind == ItemDelete || d.Kind == ItemAck) && d.Text != "":
		return ErrUsage
	}
	return nil
}

// content is what the sealed body holds.
func (d *Draft) content() []byte {
	var w pack.Writer
	w.U8(1)
	w.String(d.Text)
	w.U8(uint8(len(d.Mentions)))
	for _, m := range d.Mentions {
		w.Fixed(m[:])
	}
	return w.B
}

func (d *Draft) readContent(b []byte) error {
	r := pack.Read(b)
	if r.U8() != 1 {
		r.Fail()
	}
	d.Text = r.String(MaxText)
	for range int(r.U8()) {
		var m identity.UserID
		r.Fixed(m[:])
		if r.Err() != nil {
			break
		}
		d.Mentions = append(d.Mentions, m)
	}
	if err := r.Done(); err != nil {
		return err
	}
	return d.check()
}

// paddedLen is the power of two times 64 that holds n bytes and one more.
func paddedLen(n int) int { return 64 << max(0, bits.Len(uint(n/64))) }

// pad appends 0x80 and zeros (ISO/IEC 7816-4).
func pad(b []byte) []byte {
	out := make([]byte, paddedLen(len(b)))
	copy(out, b)
	out[len(b)] = 0x80
	return out
}

func unpad(b []byte) ([]byte, error) {
	for i := len(b) - 1; i >= 0; i-- {
		switch b[i] {
		case 0:
			continue
		case 0x80:
			if paddedLen(i) != len(b) {
				return nil, pack.ErrFormat
			}
			return b[:i], nil
		}
		break
	}
	return nil, pack.ErrFormat
}

// envelope is the MLS application message: the key of the body, and what the
// sender swears to about it. All kinds have one size.
type envelope struct {
	key        [32]byte
	boxHash    Hash
	kind       ItemKind
	id         MessageID
	counter    uint64 // of the sender's messages under this join id, from 1
	viewSeq    uint64 // newest entry that the sender had examined
	view       Hash   // and the chain after it
	target     MessageID
	targetHash Hash
}

const envelopeSize = 32 + 32 + 1 + 16 + 8 + 8 + 32 + 16 + 32

func (e *envelope) encode() []byte {
	w := pack.Writer{B: make([]byte, 0, envelopeSize)}
	w.Fixed(e.key[:])
	w.Fixed(e.boxHash[:])
	w.U8(uint8(e.kind))
	w.Fixed(e.id[:])
	w.U64(e.counter)
	w.U64(e.viewSeq)
	w.Fixed(e.view[:])
	w.Fixed(e.target[:])
	w.Fixed(e.targetHash[:])
	return w.B
}

func decodeEnvelope(b []byte) (*envelope, error) {
	r := pack.Read(b)
	e := &envelope{}
	r.Fixed(e.key[:])
	r.Fixed(e.boxHash[:])
	e.kind = ItemKind(r.U8())
	r.Fixed(e.id[:])
	e.counter = r.U64()
	e.viewSeq = r.U64()
	r.Fixed(e.view[:])
	r.Fixed(e.target[:])
	r.Fixed(e.targetHash[:])
	return e, r.Done()
}

// hash names the message in replies and edits: SHA-256("SecureLink/1 message" 00 | envelope).
func (e *envelope) hash() Hash {
	return sha256.Sum256(append([]byte("SecureLink/1 message\x00"), e.encode()...))
}

func bodyAAD(group identity.GroupID, id MessageID) []byte { return append(group[:], id[:]...) }

// sealBody boxes the content under a fresh key.
func sealBody(key [32]byte, group identity.GroupID, d *Draft) []byte {
	k := seal.NewKey(key, bodyLabel)
	defer k.Wipe()
	plain := pad(d.content())
	defer clear(plain)
	return k.Seal(nil, plain, bodyAAD(group, d.ID))
}

var errBody = errors.New("room: the body does not belong to the message")

// openBody checks the box against the envelope and reads what it holds.
func (e *envelope) openBody(group identity.GroupID, body []byte) (*Draft, error) {
	if sha256.Sum256(body) != e.boxHash {
		return nil, errBody
	}
	k := seal.NewKey(e.key, bodyLabel)
	defer k.Wipe()
	plain, err := k.Open(nil, body, bodyAAD(group, e.id))
	if err != nil {
		return nil, errBody
	}
	content, err := unpad(plain)
	if err != nil {
		return nil, errBody
	}
	d := &Draft{ID: e.id, Kind: e.kind, Target: e.target, TargetHash: e.targetHash}
	if err := d.readContent(content); err != nil {
		return nil, errBody
	}
	return d, nil
}

// encode keeps a draft until its entry comes back from the log.
func (d *Draft) encode(w *pack.Writer) {
	w.Fixed(d.ID[:])
	w.U8(uint8(d.Kind))
	w.Fixed(d.Target[:])
	w.Fixed(d.TargetHash[:])
	w.Bytes(d.content())
}

func readDraft(r *pack.Reader) (d Draft) {
	r.Fixed(d.ID[:])
	d.Kind = ItemKind(r.U8())
	r.Fixed(d.Target[:])
	r.Fixed(d.TargetHash[:])
	if content := r.Bytes(2 * MaxText); r.Err() == nil && d.readContent(content) != nil {
		r.Fail()
	}
	return d
}

// MayChange says whether an edit, delete or reaction counts for the message
// that it names: the hash must be that message's, edits are for its author,
// deletes for its author and for admins.
func MayChange(change Item, targetUser identity.UserID, targetHash Hash) bool {
	if change.TargetHash != targetHash {
		return false
	}
	switch change.Kind {
	case ItemEdit:
		return change.User == targetUser
	case ItemDelete:
		return change.User == targetUser || change.Admin
	case ItemReaction, ItemReply:
		return true
	}
	return false
}
