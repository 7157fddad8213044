package room

import (
	"errors"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/internal/pack"
	"github.com/securelink-chat/securelink/seal"
)

// ErrKnock is the one error of a knock that does not open or does not count.
var ErrKnock = errors.New("room: a knock that does not count")

// knockSize is the size of every knock's plaintext, so that the core does not
// learn how long a name is.
const knockSize = 512

// knockLabel is of the box in which the holder of a link says who asks.
const knockLabel = "SecureLink/1 knock box"

// Asker is somebody who asks to be let in by a link that needs approval.
type Asker struct {
	Credential identity.Credential
	At         uint64 // the asker's clock, Unix milliseconds
}

// SealKnock makes what a device says at the door: who it is, signed for this
// room and link, in a box that only those who know the link's secret open. The
// core carries it and reads nothing.
func SealKnock(self Self, group identity.GroupID, secret identity.LinkSecret, now time.Time) []byte {
	word := identity.Knock{Group: group, Link: secret.ID(), Device: self.Device(), At: uint64(now.UnixMilli())}
	signature := self.Key.SignKnock(self.Root, word)
	var plain pack.Writer
	plain.Bytes(self.Credential.Encode())
	plain.U64(word.At)
	plain.Fixed(signature[:])
	padded := make([]byte, knockSize)
	copy(padded, plain.B)
	key := seal.NewKey(secret.SealKey(), knockLabel)
	defer key.Wipe()
	return key.Seal(nil, padded, group[:], word.Link[:])
}

// OpenKnock opens what somebody said at the door of a room by a link of it, and
// checks that the device that it names has signed it.
func OpenKnock(root identity.PublicKey, group identity.GroupID, secret identity.LinkSecret, box []byte) (*Asker, error) {
	id := secret.ID()
	key := seal.NewKey(secret.SealKey(), knockLabel)
	defer key.Wipe()
	plain, err := key.Open(nil, box, group[:], id[:])
	if err != nil || len(plain) != knockSize {
		return nil, ErrKnock
	}
	rd := pack.Read(plain)
	credential, err := identity.ParseCredential(root, rd.Bytes(knockSize))
	if err != nil {
		return nil, ErrKnock
	}
	asker := &Asker{Credential: credential, At: rd.U64()}
	var signature identity.Signature
	rd.Fixed(signature[:])
	word := identity.Knock{Group: group, Link: id, Device: credential.Certificate.Device, At: asker.At}
	if rd.Err() != nil || identity.VerifyKnock(root, credential.Certificate.DeviceKey, word, signature) != nil {
		return nil, ErrKnock
	}
	return asker, nil
}
