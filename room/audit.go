package room

import "github.com/securelink-chat/securelink/mls"

// Spot is the place in the ratchets under whose key an entry was encrypted.
// The tag tells apart two epochs of one number. No two entries of a log may
// share a spot.
type Spot struct {
	Tag [16]byte
	mls.Position
}

// Spot says where the next entry of the log stands in the ratchets of the epoch
// that this device is in. It is for whoever audits a log, and changes nothing.
// ok is false for what no ratchet has encrypted: statements, notices, commits
// from outside.
func (r *Room) Spot(e Entry) (s Spot, ok bool, err error) {
	message := e.Payload
	switch {
	case e.Kind == EntryNotice, e.Kind == EntryHandshake && (len(message) == 0 || message[0] != payloadCommit):
		return s, false, nil
	case e.Kind == EntryHandshake:
		message = message[1:]
	}
	header, err := mls.Peek(message)
	if err != nil || !header.Private {
		return s, false, err
	}
	if r.group == nil {
		return s, false, ErrJoining
	}
	if s.Tag, err = tagOf(r.group); err != nil {
		return s, false, err
	}
	s.Position, err = r.group.Position(message)
	return s, err == nil, err
}
