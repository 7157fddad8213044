package room

import (
	"errors"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/internal/pack"
	"github.com/securelink-chat/securelink/seal"
)

// ErrSignal is the one error of a signal that does not open or does not count.
var ErrSignal = errors.New("room: signal does not open")

// maxSignal bounds what a signal carries, in bytes.
const maxSignal = 256

// signalSize is the size of every signal's plaintext, so that kinds cannot be
// told apart.
const signalSize = 512

// Signal is a passing word: somebody is typing, has read up to a place, is
// there. It is not in the log and never uses the message ratchet.
type Signal struct {
	User   identity.UserID
	Device identity.DeviceID
	Kind   uint8
	Data   []byte
	At     uint64 // the sender's clock, Unix milliseconds; grows with every signal of a device
}

// signalKey is the key of one device's signals in one epoch.
func (r *Room) signalKey(device identity.DeviceID) (*seal.Key, error) {
	b, err := r.group.Exporter("SecureLink/1 signal", device[:], 32)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	return seal.NewKey([32]byte(b), "SecureLink/1 signal box"), nil
}

func (r *Room) word(s *Signal) identity.Signal {
	return identity.Signal{Group: r.id, Epoch: r.group.Epoch(), Device: s.Device, At: s.At, Kind: s.Kind, Data: s.Data}
}

// SealSignal makes a signal to everybody in the room: u64 epoch | device[16] | box.
func (r *Room) SealSignal(kind uint8, data []byte, now time.Time) ([]byte, error) {
	if r.st.state != StateMember {
		return nil, r.canSend()
	}
	if len(data) > maxSignal {
		return nil, ErrTooLong
	}
	s := Signal{Device: r.self.Device(), Kind: kind, Data: data, At: uint64(now.UnixMilli())}
	s.At = max(s.At, r.signals[s.Device]+1)
	r.signals[s.Device] = s.At
	key, err := r.signalKey(s.Device)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	signature := r.self.Key.SignSignal(r.self.Root, r.word(&s))
	var plain pack.Writer
	plain.U64(s.At)
	plain.U8(s.Kind)
	plain.Bytes(s.Data)
	plain.Fixed(signature[:])
	padded := make([]byte, signalSize)
	copy(padded, plain.B)
	var w pack.Writer
	w.U64(r.group.Epoch())
	w.Fixed(s.Device[:])
	head := w.B
	return key.Seal(w.B, padded, r.id[:], head), nil
}

// OpenSignal opens another member's signal: of the current epoch, newer than
// the last one of that device.
func (r *Room) OpenSignal(b []byte) (*Signal, error) {
	if r.group == nil || r.who == nil || len(b) < 24 {
		return nil, ErrSignal
	}
	rd := pack.Read(b)
	epoch := rd.U64()
	s := &Signal{}
	rd.Fixed(s.Device[:])
	at, ok := r.who.byDevice[s.Device]
	if !ok || epoch != r.group.Epoch() || s.Device == r.self.Device() {
		return nil, ErrSignal
	}
	sender := r.who.seats[at]
	key, err := r.signalKey(s.Device)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	plain, err := key.Open(nil, b[24:], r.id[:], b[:24])
	if err != nil || len(plain) != signalSize {
		return nil, ErrSignal
	}
	rd = pack.Read(plain)
	s.User, s.At, s.Kind, s.Data = sender.user, rd.U64(), rd.U8(), rd.Bytes(maxSignal)
	var signature identity.Signature
	rd.Fixed(signature[:])
	if rd.Err() != nil || identity.VerifySignal(r.self.Root, sender.credential.Certificate.DeviceKey, r.word(s), signature) != nil || s.At <= r.signals[s.Device] {
		return nil, ErrSignal
	}
	r.signals[s.Device] = s.At
	return s, nil
}
