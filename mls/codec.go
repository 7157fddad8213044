package mls

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// The presentation language of TLS with RFC 9420's variable-size vectors
// (section 2.1.2). Writing appends to a slice. Reading takes slices of the
// input without copying; the first failure sticks, so that a decoder checks
// once, at its end.

// maxVector is the longest vector that the length header can tell.
const maxVector = 1<<30 - 1

func appendU16(b []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(b, v) }
func appendU32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }
func appendU64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

// appendLength writes the shortest header for a vector of n bytes.
func appendLength(b []byte, n int) []byte {
	switch {
	case n < 1<<6:
		return append(b, byte(n))
	case n < 1<<14:
		return appendU16(b, 1<<14|uint16(n))
	case n <= maxVector:
		return appendU32(b, 2<<30|uint32(n))
	}
	// No caller can hold a structure of a gigabyte: frames are far smaller.
	panic("mls: vector is too long")
}

func appendVec[T ~[]byte | ~string](b []byte, v T) []byte {
	return append(appendLength(b, len(v)), v...)
}

// appendVecOf writes what f appends as one vector.
func appendVecOf(b []byte, f func([]byte) []byte) []byte {
	start := len(b)
	b = f(append(b, 0, 0, 0, 0))
	n := len(b) - start - 4
	header := appendLength(make([]byte, 0, 4), n)
	copy(b[start:], header)
	if len(header) < 4 {
		copy(b[start+len(header):], b[start+4:])
		b = b[:start+len(header)+n]
	}
	return b
}

func appendU16s[T ~uint16](b []byte, list []T) []byte {
	b = appendLength(b, 2*len(list))
	for _, v := range list {
		b = appendU16(b, uint16(v))
	}
	return b
}

func appendOptional(b []byte, present bool) []byte {
	if present {
		return append(b, 1)
	}
	return append(b, 0)
}

// A reader takes values off the front of a slice.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) fail() { r.bad, r.b = true, nil }

func (r *reader) u8() uint8 {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if v := r.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if v := r.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if v := r.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// length reads a vector's header and refuses one that is longer than needed.
func (r *reader) length() int {
	first := r.u8()
	n := int(first & 0x3f)
	switch first >> 6 {
	case 0:
		return n
	case 1:
		n = n<<8 | int(r.u8())
		if n < 1<<6 {
			r.fail()
		}
	case 2:
		n = n<<8 | int(r.u8())
		n = n<<16 | int(r.u16())
		if n < 1<<14 {
			r.fail()
		}
	default:
		r.fail()
	}
	return n
}

func (r *reader) vec() []byte {
	n := r.length()
	return r.take(n)
}

// minLong is the shortest key, signature or encapsulation of any suite. What
// is shorter where one is due is refused at once, which also bounds what a
// message full of tiny structures can cost to decode.
const minLong = 32

// long reads a vector that cannot be shorter than minLong.
func (r *reader) long() []byte {
	v := r.vec()
	if len(v) < minLong {
		r.fail()
		return nil
	}
	return v
}

// sub reads a vector and returns a reader of its contents, which must be
// ended with [reader.close].
func (r *reader) sub() *reader {
	s := &reader{b: r.vec()}
	s.bad = r.bad
	return s
}

// close hands a finished sub reader's failure, or its unread rest, to r.
func (r *reader) close(s *reader) {
	if s.bad || len(s.b) > 0 {
		r.fail()
	}
}

func (r *reader) more() bool { return !r.bad && len(r.b) > 0 }

// optional reads the octet before an optional value.
func (r *reader) optional() bool {
	v := r.u8()
	if v > 1 {
		r.fail()
	}
	return v == 1
}

// u16s reads a vector of 16-bit values, as its raw bytes.
func (r *reader) u16s() []byte {
	v := r.vec()
	if len(v)%2 != 0 {
		r.fail()
		return nil
	}
	return v
}

// end is nil when everything was read, and nothing is left over.
func (r *reader) end(what string) error {
	if r.bad {
		return fmt.Errorf("%s: %w", what, ErrMalformed)
	}
	if len(r.b) > 0 {
		return fmt.Errorf("%s: %d bytes left over: %w", what, len(r.b), ErrMalformed)
	}
	return nil
}

// hasU16 looks for v in the raw bytes of a list of 16-bit values.
func hasU16(list []byte, v uint16) bool {
	for i := 0; i+1 < len(list); i += 2 {
		if binary.BigEndian.Uint16(list[i:]) == v {
			return true
		}
	}
	return false
}

func u16List[T ~uint16](raw []byte) []T {
	list := make([]T, 0, len(raw)/2)
	for ; len(raw) >= 2; raw = raw[2:] {
		list = append(list, T(binary.BigEndian.Uint16(raw)))
	}
	return list
}

// bytesClone is a copy that is never nil, for values that are set but empty.
func bytesClone(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }

func concat(parts ...[]byte) []byte { return slices.Concat(parts...) }
