// Package pack writes and reads small binary structures in fixed order: big
// endian integers, fixed-width fields and byte strings behind a length. There
// is one encoding of every value, so what is signed or hashed needs no
// canonical form, and a reader never allocates more than it was given.
package pack

import (
	"encoding/binary"
	"errors"
)

// ErrFormat is every way in which bytes can fail to be the structure that was
// expected: too short, too long, a length over its bound, bytes left over.
var ErrFormat = errors.New("pack: malformed")

// Writer appends fields to B. The zero value is ready to use.
type Writer struct{ B []byte }

// U8 appends one byte.
func (w *Writer) U8(v uint8) { w.B = append(w.B, v) }

// U16 appends two bytes.
func (w *Writer) U16(v uint16) { w.B = binary.BigEndian.AppendUint16(w.B, v) }

// U32 appends four bytes.
func (w *Writer) U32(v uint32) { w.B = binary.BigEndian.AppendUint32(w.B, v) }

// U64 appends eight bytes.
func (w *Writer) U64(v uint64) { w.B = binary.BigEndian.AppendUint64(w.B, v) }

// Bool appends 1 or 0.
func (w *Writer) Bool(v bool) {
	if v {
		w.U8(1)
	} else {
		w.U8(0)
	}
}

// Fixed appends b as it is; its width belongs to the structure.
func (w *Writer) Fixed(b []byte) { w.B = append(w.B, b...) }

// Bytes appends u32 length and b.
func (w *Writer) Bytes(b []byte) {
	w.U32(uint32(len(b)))
	w.Fixed(b)
}

// String appends u32 length and s.
func (w *Writer) String(s string) { w.Bytes([]byte(s)) }

// Reader takes fields from a byte slice. The first failure sticks: every later
// read gives zero values, and Done reports it.
type Reader struct {
	b   []byte
	bad bool
}

// Read starts a reader over b, which it neither copies nor changes.
func Read(b []byte) *Reader { return &Reader{b: b} }

// take gives the next n bytes, aliased, or nil after a failure.
func (r *Reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

// U8 reads one byte.
func (r *Reader) U8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// U16 reads two bytes.
func (r *Reader) U16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// U32 reads four bytes.
func (r *Reader) U32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// U64 reads eight bytes.
func (r *Reader) U64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Bool reads one byte that must be 0 or 1.
func (r *Reader) Bool() bool {
	v := r.U8()
	if v > 1 {
		r.bad = true
	}
	return v == 1
}

// Fixed fills dst.
func (r *Reader) Fixed(dst []byte) {
	if b := r.take(len(dst)); b != nil {
		copy(dst, b)
	}
}

// Bytes reads u32 length and a copy of so many bytes, at most limit.
func (r *Reader) Bytes(limit int) []byte {
	n := r.U32()
	if uint64(n) > uint64(limit) {
		r.bad = true
		return nil
	}
	b := r.take(int(n))
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b...)
}

// String reads u32 length and so many bytes, at most limit.
func (r *Reader) String(limit int) string { return string(r.Bytes(limit)) }

// Count reads u32, a number of items of at least width bytes each, at most
// limit, and refuses a number that the remaining bytes cannot hold.
func (r *Reader) Count(limit, width int) int {
	n := r.U32()
	if uint64(n) > uint64(limit) || uint64(n)*uint64(max(width, 1)) > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(n)
}

// Fail marks the structure as malformed; for rules that types cannot say.
func (r *Reader) Fail() { r.bad = true }

// Left is how many bytes have not been read.
func (r *Reader) Left() int { return len(r.b) }

// Err is ErrFormat after a failure.
func (r *Reader) Err() error {
	if r.bad {
		return ErrFormat
	}
	return nil
}

// Done is ErrFormat after a failure or if bytes are left over.
func (r *Reader) Done() error {
	if r.bad || len(r.b) != 0 {
		return ErrFormat
	}
	return nil
}
