package wire

import (
	"fmt"
	"reflect"
)

// ItemKind is the first element of every item.
type ItemKind uint8

// The kinds of item.
const (
	ItemRequest  ItemKind = 0
	ItemResponse ItemKind = 1
	ItemEvent    ItemKind = 2
)

// Item is one decoded item of a record. Body is still encoded: [Decode] reads
// it into the type that Op, Code or Event calls for. Body points into the
// record that the item came from.
type Item struct {
	Kind  ItemKind
	ID    uint64    // requests and responses
	Op    Op        // requests
	Key   Key       // requests: zero when the request has none
	Code  Code      // responses: OK, or why not; then Body is a [Refusal]
	Event EventType // events
	Body  []byte
}

// Request is the body of a request.
type Request interface{ Op() Op }

// Event is the body of an event.
type Event interface{ EventType() EventType }

// Encode writes one value under the profile.
func Encode(v any) ([]byte, error) { return appendBody(nil, v) }

// Decode reads exactly one value under the strict profile; what is left over
// is an error. Everything it refuses is an [ErrMalformed]. Byte strings are
// copied out of data.
func Decode(data []byte, into any) error {
	n, err := Scan(data)
	if err != nil {
		return err
	}
	if n != len(data) {
		return fmt.Errorf("%w: trailing bytes", ErrMalformed)
	}
	return decodeScanned(data, into)
}

func decodeScanned(data []byte, into any) error {
	v := reflect.ValueOf(into).Elem()
	return planOf(v.Type()).read(&decoder{data: data}, v)
}

// DecodeBody reads the body of an item that [Next] returned, which is already
// known to keep the profile.
func (it *Item) DecodeBody(into any) error { return decodeScanned(it.Body, into) }

// AppendRequest appends a request to dst. A zero key means none.
func AppendRequest(dst []byte, id uint64, key Key, body Request) ([]byte, error) {
	dst = appendHead(dst, majorArray, 5)
	dst = append(dst, byte(ItemRequest))
	dst = appendHead(dst, majorUint, id)
	dst = appendHead(dst, majorUint, uint64(body.Op()))
	if key.IsZero() {
		dst = appendHead(dst, majorBytes, 0)
	} else {
		dst = append(appendHead(dst, majorBytes, uint64(len(key))), key[:]...)
	}
	return appendBody(dst, body)
}

// AppendResponse appends the response to request id that succeeded.
func AppendResponse(dst []byte, id uint64, body any) ([]byte, error) {
	return appendBody(appendResponseHead(dst, id, OK), body)
}

// AppendEncodedResponse appends a response whose body is encoded already.
func AppendEncodedResponse(dst []byte, id uint64, body []byte) []byte {
	return append(appendResponseHead(dst, id, OK), body...)
}

// AppendRefusal appends the response to request id that failed.
func AppendRefusal(dst []byte, id uint64, code Code, why Refusal) ([]byte, error) {
	return appendBody(appendResponseHead(dst, id, code), why)
}

// AppendEvent appends an event.
func AppendEvent(dst []byte, ev Event) ([]byte, error) {
	dst = appendHead(dst, majorArray, 3)
	dst = append(dst, byte(ItemEvent))
	return appendBody(appendHead(dst, majorUint, uint64(ev.EventType())), ev)
}

// AppendEntryEvent appends an [EntryEvent] whose entry is encoded already: an
// entry is encoded once, stored, and sent as it is to everyone.
func AppendEntryEvent(dst []byte, room RoomID, entry []byte) []byte {
	dst = append(dst, majorArray<<5|3, byte(ItemEvent), byte(EventEntry))
	dst = append(dst, majorMap<<5|2, 1, majorBytes<<5|16)
	dst = append(dst, room[:]...)
	return append(append(dst, 2), entry...)
}

func appendResponseHead(dst []byte, id uint64, code Code) []byte {
	dst = append(appendHead(dst, majorArray, 4), byte(ItemResponse))
	return appendHead(appendHead(dst, majorUint, id), majorUint, uint64(code))
}

// appendBody appends a value, or what a pointer points to.
func appendBody(dst []byte, body any) ([]byte, error) {
	v := reflect.ValueOf(body)
	if v.Kind() != reflect.Pointer {
		// Arrays of bytes can be read only where they have an address.
		addressed := reflect.New(v.Type())
		addressed.Elem().Set(v)
		v = addressed
	}
	return planOf(v.Type()).appendValue(dst, v)
}

// Next reads the first item of a record's payload and returns what follows it.
// The whole item is held against the profile; its body is not decoded.
func Next(payload []byte) (it Item, rest []byte, err error) {
	n, err := Scan(payload)
	if err != nil {
		return Item{}, nil, err
	}
	it, err = parse(payload[:n])
	return it, payload[n:], err
}

func parse(raw []byte) (it Item, err error) {
	major, n, at, _ := readHead(raw)
	if major != majorArray || n < 3 {
		return it, fmt.Errorf("%w: no item", ErrMalformed)
	}
	number := func() (v uint64) {
		m, v, size, e := readHead(raw[at:])
		if e != nil || m != majorUint {
			err = fmt.Errorf("%w: no item", ErrMalformed)
			return 0
		}
		at += size
		return v
	}
	kind := number()
	if kind > uint64(ItemEvent) || n != [...]uint64{5, 4, 3}[kind] {
		return it, fmt.Errorf("%w: no item", ErrMalformed)
	}
	it.Kind = ItemKind(kind)
	switch it.Kind {
	case ItemRequest:
		it.ID = number()
		it.Op = Op(min(number(), maxNumber))
		if err == nil {
			at, err = parseKey(raw, at, &it.Key)
		}
	case ItemResponse:
		it.ID = number()
		it.Code = Code(min(number(), maxNumber))
	case ItemEvent:
		it.Event = EventType(min(number(), maxNumber))
	}
	if err != nil {
		return Item{}, err
	}
	it.Body = raw[at:]
	return it, nil
}

// maxNumber stands for every op, code and event type above it: none is known.
const maxNumber = 1<<16 - 1

func parseKey(raw []byte, at int, key *Key) (int, error) {
	head, n, body, err := byteString(raw[at:])
	if err != nil {
		return at, err
	}
	if n != 0 && n != len(key) {
		return at, fmt.Errorf("%w: key of %d bytes", ErrMalformed, n)
	}
	copy(key[:], body)
	return at + head + n, nil
}
