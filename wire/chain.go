package wire

import (
	"crypto/sha256"
	"encoding/binary"
)

// LogStart is h_0, the mark of a room's log before its first entry:
// SHA-256("SecureLink/1 log" 00 | room_id).
func LogStart(room RoomID) Hash {
	return sha256.Sum256(append([]byte("SecureLink/1 log\x00"), room[:]...))
}

// ChainNext is the mark after an entry. It takes hashes of payload and body,
// so that the chain still proves an entry whose body was deleted:
//
//	SHA-256("SecureLink/1 entry" 00 | h_prev | u64 seq | u64 time | u8 kind | SHA-256(payload) | SHA-256(body))
//
// time is in milliseconds since 1970.
func ChainNext(prev Hash, seq, time uint64, kind EntryKind, payload, body Hash) Hash {
	const label = "SecureLink/1 entry\x00"
	var in [len(label) + 32 + 8 + 8 + 1 + 32 + 32]byte
	b := append(in[:0], label...)
	b = append(b, prev[:]...)
	b = binary.BigEndian.AppendUint64(b, seq)
	b = binary.BigEndian.AppendUint64(b, time)
	b = append(b, byte(kind))
	b = append(b, payload[:]...)
	b = append(b, body[:]...)
	return sha256.Sum256(b)
}

// Next is the mark after this entry, when prev is the mark before it.
func (e *Entry) Next(prev Hash) Hash {
	return ChainNext(prev, e.Seq, e.Time, e.Kind, e.PayloadSum(), e.BodySum())
}

// PayloadSum is the hash of the payload: of the bytes in the entry, or the
// name of the blob that holds them.
func (e *Entry) PayloadSum() Hash {
	if e.PayloadBlob != nil {
		return *e.PayloadBlob
	}
	return sha256.Sum256(e.Payload)
}

// BodySum is the hash of the body, also after the body is deleted.
func (e *Entry) BodySum() Hash {
	if e.BodyGone != nil {
		return *e.BodyGone
	}
	return sha256.Sum256(e.Body)
}
