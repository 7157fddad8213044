package link

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"time"

	"github.com/securelink-chat/securelink/seal"
)

// Record types.
const (
	typeData   = 1 // payload: 1 byte or more
	typeRekey  = 2 // no payload; the last record of its phase
	typeClose  = 3 // no payload; the last record of its direction
	typeTicket = 4 // id[32] | nonce[32]; from the server, at most one a link
)

// Sizes of records. A record is sealed from u8 type | u32 len | payload | zeros,
// which is a multiple of smallPad up to largePad, and of largePad above.
const (
	recordHead = 1 + 4
	smallPad   = 256
	largePad   = 4 << 10
	// maxPlain is the longest plaintext whose box is a frame.
	maxPlain = (MaxFrame - seal.Overhead) / largePad * largePad
	minFrame = seal.Overhead + smallPad

	// MaxPayload is the longest payload of one record.
	MaxPayload = maxPlain - recordHead

	// shareRecord is up to where payloads share a record: a longer one is no
	// better, and the reader waits for its end.
	shareRecord = 64 << 10
)

// A phase ends, for its sender, at the first of these; its receiver refuses what
// goes on to twice as much.
const (
	phaseRecords = 1 << 20
	phaseBytes   = 1 << 30
	phaseTime    = time.Hour
)

// Directions, as in the records' aad.
const (
	clientToServer = 1
	serverToClient = 2
)

// padded is the length of a plaintext with a payload of n bytes.
func padded(n int) int {
	n += recordHead
	if n <= largePad {
		return (n + smallPad - 1) / smallPad * smallPad
	}
	return (n + largePad - 1) / largePad * largePad
}

// half is one direction of a link: its key, and where it is in it.
type half struct {
	direction byte
	k         [32]byte // kept to make the next phase's
	key       *seal.Key
	phase     uint32
	seq       uint64 // of the next record; never reset

	// The phase so far. It begins with its first record.
	records int64
	bytes   int64
	since   time.Time
}

func newHalf(direction byte, k [32]byte) half {
	return half{direction: direction, k: k, key: seal.NewKey(k, labelRecord)}
}

// aad is u8 direction | u32 phase | u64 seq.
func (h *half) aad() (aad [13]byte) {
	aad[0] = h.direction
	binary.BigEndian.PutUint32(aad[1:], h.phase)
	binary.BigEndian.PutUint64(aad[5:], h.seq)
	return aad
}

// count adds a record of n bytes of frame to the phase.
func (h *half) count(n int, now time.Time) {
	if h.records == 0 {
		h.since = now
	}
	h.seq++
	h.records++
	h.bytes += int64(n)
}

// over says whether the phase has had times its share, were there one more
// record of n bytes.
func (h *half) over(times int64, n int, now time.Time) bool {
	return h.records > 0 &&
		(h.records >= times*phaseRecords || h.bytes+int64(n) > times*phaseBytes ||
			now.Sub(h.since) >= time.Duration(times)*phaseTime)
}

// rekey begins the next phase and forgets the key of this one.
func (h *half) rekey() {
	next := mustExpand(h.k, labelRekey)
	h.key.Wipe()
	h.k, h.key = next, seal.NewKey(next, labelRecord)
	h.phase++
	h.records, h.bytes = 0, 0
}

func (h *half) wipe() {
	clear(h.k[:])
	h.key.Wipe()
}

// seal appends one record to b: a rekey record first if the phase is over.
// Where each record ends is appended to ends.
func (h *half) seal(b []byte, ends []int, now time.Time, typ byte, payloads ...[]byte) ([]byte, []int) {
	n := 0
	for _, p := range payloads {
		n += len(p)
	}
	if h.over(1, seal.SealedLen(padded(n)), now) {
		b = h.sealOne(b, now, typeRekey, 0)
		ends = append(ends, len(b))
		h.rekey()
	}
	b = h.sealOne(b, now, typ, n, payloads...)
	return b, append(ends, len(b))
}

// sealOne appends one record, whose payload has n bytes, in place.
func (h *half) sealOne(b []byte, now time.Time, typ byte, n int, payloads ...[]byte) []byte {
	size := padded(n)
	start := len(b)
	b = slices.Grow(b, seal.SealedLen(size))
	plain := b[start+seal.IVSize : start+seal.IVSize+size]
	plain[0] = typ
	binary.BigEndian.PutUint32(plain[1:], uint32(n))
	at := recordHead
	for _, p := range payloads {
		at += copy(plain[at:], p)
	}
	clear(plain[at:])
	aad := h.aad()
	b = h.key.Seal(b[:start], plain, aad[:])
	h.count(len(b)-start, now)
	return b
}

// open opens the next record in place. ok is false for every reason alike; what
// a frame that fails costs does not depend on why.
func (h *half) open(frame []byte, now time.Time) (typ byte, payload []byte, ok bool) {
	size := len(frame)
	if size < minFrame || size > MaxFrame {
		return 0, nil, false
	}
	aad := h.aad()
	plain, err := h.key.OpenInPlace(frame, aad[:])
	ok = err == nil
	if !ok {
		plain = frame[seal.IVSize : size-seal.TagSize-16] // looked at like a right one, and refused
	}
	typ, payload, formed := parseRecord(plain)
	if !ok || !formed {
		if ok {
			clear(plain) // as seal does with what it refuses
		}
		return 0, nil, false
	}
	if typ != typeRekey && h.over(2, size, now) || typ == typeRekey && h.records == 0 {
		return 0, nil, false
	}
	h.count(size, now)
	return typ, payload, true
}

// parseRecord takes a record's plaintext apart: padded as it must be, with zeros,
// and with a length that fits its type. Padding is shorter than largePad, so
// that much is looked at, whatever the length says.
func parseRecord(plain []byte) (typ byte, payload []byte, ok bool) {
	if len(plain) < recordHead {
		return 0, nil, false
	}
	typ = plain[0]
	length := uint64(binary.BigEndian.Uint32(plain[1:]))
	n := int(min(length, uint64(len(plain)-recordHead)))
	payload = plain[recordHead : recordHead+n : recordHead+n]
	var rest byte
	from := max(recordHead, len(plain)-largePad)
	before := recordHead + n - from // this many of those bytes are payload
	for i, b := range plain[from:] {
		rest |= b & byte((before-1-i)>>(bits.UintSize-1)) // zero unless i >= before
	}
	switch typ {
	case typeData:
		ok = n > 0
	case typeRekey, typeClose:
		ok = n == 0
	case typeTicket:
		ok = n == ticketRecordSize
	}
	return typ, payload, ok && rest == 0 && length == uint64(n) && padded(n) == len(plain)
}
