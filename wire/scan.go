package wire

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

// ErrMalformed is everything that the strict profile refuses.
var ErrMalformed = errors.New("wire: malformed")

// Bounds of the profile, whatever the limits in force.
const (
	MaxDepth   = 8    // nested arrays and maps
	MaxPairs   = 64   // pairs of a map
	MaxItems   = 1024 // elements of an array
	MaxInteger = 1<<53 - 1
)

const (
	majorUint   = 0
	majorNegint = 1
	majorBytes  = 2
	majorText   = 3
	majorArray  = 4
	majorMap    = 5
	majorSimple = 7

	simpleFalse = majorSimple<<5 | 20
	simpleTrue  = majorSimple<<5 | 21
)

// Scan checks that data begins with one well-formed item of the strict profile
// (RFC 8949 section 4.2.1 core deterministic encoding, less floats, tags, null
// and undefined) and returns its length in bytes. It allocates nothing, so it
// runs before anything trusts a length in the data.
func Scan(data []byte) (int, error) { return scan(data, MaxDepth) }

func scan(data []byte, depth int) (int, error) {
	major, value, head, err := readHead(data)
	if err != nil {
		return 0, err
	}
	rest := data[head:]
	switch major {
	case majorUint:
		if value > MaxInteger {
			return 0, fmt.Errorf("%w: integer above 2^53", ErrMalformed)
		}
		return head, nil
	case majorBytes, majorText:
		if value > uint64(len(rest)) {
			return 0, fmt.Errorf("%w: string cut short", ErrMalformed)
		}
		if major == majorText && !utf8.Valid(rest[:value]) {
			return 0, fmt.Errorf("%w: text is not UTF-8", ErrMalformed)
		}
		return head + int(value), nil
	case majorArray:
		if value > MaxItems || depth == 0 {
			return 0, fmt.Errorf("%w: array too long or too deep", ErrMalformed)
		}
		return scanItems(data, head, int(value), depth-1)
	case majorMap:
		if value > MaxPairs || depth == 0 {
			return 0, fmt.Errorf("%w: map too long or too deep", ErrMalformed)
		}
		return scanPairs(data, head, int(value), depth-1)
	case majorSimple:
		if data[0] != simpleFalse && data[0] != simpleTrue {
			return 0, fmt.Errorf("%w: neither true nor false", ErrMalformed)
		}
		return 1, nil
	default: // negative integers and tags: nothing here needs them
		return 0, fmt.Errorf("%w: major type %d", ErrMalformed, major)
	}
}

func scanItems(data []byte, at, n, depth int) (int, error) {
	for range n {
		size, err := scan(data[at:], depth)
		if err != nil {
			return 0, err
		}
		at += size
	}
	return at, nil
}

func scanPairs(data []byte, at, n, depth int) (int, error) {
	var before []byte
	for i := range n {
		size, err := scan(data[at:], depth)
		if err != nil {
			return 0, err
		}
		key := data[at : at+size]
		if i > 0 && bytes.Compare(before, key) >= 0 {
			return 0, fmt.Errorf("%w: map keys out of order", ErrMalformed)
		}
		before = key
		at += size
		size, err = scan(data[at:], depth)
		if err != nil {
			return 0, err
		}
		at += size
	}
	return at, nil
}

// readHead reads the initial byte and argument of an item (RFC 8949 section 3)
// and refuses every form but the shortest.
func readHead(data []byte) (major byte, value uint64, size int, err error) {
	if len(data) == 0 {
		return 0, 0, 0, fmt.Errorf("%w: item cut short", ErrMalformed)
	}
	major, info := data[0]>>5, data[0]&31
	if info < 24 {
		return major, uint64(info), 1, nil
	}
	if info > 27 {
		return 0, 0, 0, fmt.Errorf("%w: reserved or indefinite length", ErrMalformed)
	}
	n := 1 << (info - 24)
	if len(data) < 1+n {
		return 0, 0, 0, fmt.Errorf("%w: item cut short", ErrMalformed)
	}
	for _, b := range data[1 : 1+n] {
		value = value<<8 | uint64(b)
	}
	if shortest := [...]uint64{24, 1 << 8, 1 << 16, 1 << 32}[info-24]; value < shortest {
		return 0, 0, 0, fmt.Errorf("%w: not the shortest form", ErrMalformed)
	}
	return major, value, 1 + n, nil
}

func byteString(data []byte) (head, n int, body []byte, err error) {
	major, value, head, err := readHead(data)
	if err != nil {
		return 0, 0, nil, err
	}
	if major != majorBytes || value > uint64(len(data)-head) {
		return 0, 0, nil, fmt.Errorf("%w: no byte string", ErrMalformed)
	}
	return head, int(value), data[head : head+int(value)], nil
}

// appendHead writes the shortest head of an item.
func appendHead(dst []byte, major byte, value uint64) []byte {
	switch {
	case value < 24:
		return append(dst, major<<5|byte(value))
	case value < 1<<8:
		return append(dst, major<<5|24, byte(value))
	case value < 1<<16:
		return append(dst, major<<5|25, byte(value>>8), byte(value))
	case value < 1<<32:
		return append(dst, major<<5|26, byte(value>>24), byte(value>>16), byte(value>>8), byte(value))
	default:
		return append(dst, major<<5|27, byte(value>>56), byte(value>>48), byte(value>>40), byte(value>>32),
			byte(value>>24), byte(value>>16), byte(value>>8), byte(value))
	}
}
