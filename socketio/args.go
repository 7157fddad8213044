package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"sync"
)

// maxOwnDepth bounds the nesting of what we ourselves send.
const maxOwnDepth = 1000

// ErrBytes is returned for a value of a type that encoding/json would turn
// bytes of into base64 text: put the bytes into []any or map[string]any, or
// use [Args].
var ErrBytes = errors.New("socketio: bytes inside a typed value would be sent as text")

// Args are the arguments of an event or an acknowledgement. JSON holds one text
// an argument; where bytes belong it has {"_placeholder":true,"num":n}, which
// stands for Attachments[n].
type Args struct {
	JSON        []json.RawMessage
	Attachments [][]byte
}

// Len is the number of arguments.
func (a Args) Len() int { return len(a.JSON) }

// Decode reads argument i into v as encoding/json does, except that a number
// without a type of its own becomes a [json.Number]. Bytes inside the argument
// are left as placeholders.
func (a Args) Decode(i int, v any) error {
	if i < 0 || i >= len(a.JSON) {
		return fmt.Errorf("socketio: no argument %d among %d", i, len(a.JSON))
	}
	d := json.NewDecoder(bytes.NewReader(a.JSON[i]))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("socketio: argument %d: %w", i, err)
	}
	return nil
}

// Bytes is argument i if it is bytes.
func (a Args) Bytes(i int) ([]byte, bool) {
	if i < 0 || i >= len(a.JSON) {
		return nil, false
	}
	return a.Attachment(a.JSON[i])
}

// Attachment is the bytes that a JSON text, taken from anywhere within the
// arguments, stands for.
func (a Args) Attachment(text json.RawMessage) ([]byte, bool) {
	if len(a.Attachments) == 0 || len(text) == 0 || text[0] != '{' {
		return nil, false
	}
	var stand struct {
		Marker bool `json:"_placeholder"`
		Num    int  `json:"num"`
	}
	if json.Unmarshal(text, &stand) != nil || !stand.Marker || stand.Num < 0 || stand.Num >= len(a.Attachments) {
		return nil, false
	}
	return a.Attachments[stand.Num], true
}

// checked is the arguments as they may be sent: valid JSON without blanks,
// whose placeholders all stand for something.
func (a Args) checked() (Args, error) {
	attachments := unchecked
	if len(a.Attachments) > 0 {
		attachments = len(a.Attachments)
	}
	copied := false
	for i, text := range a.JSON {
		if len(text) == 0 {
			text = json.RawMessage("null")
		}
		blanks, err := checkValue(text, maxOwnDepth, attachments)
		if err != nil {
			return a, fmt.Errorf("argument %d: %w", i, err)
		}
		if !blanks && len(a.JSON[i]) > 0 {
			continue
		}
		if !copied {
			a.JSON, copied = slices.Clone(a.JSON), true
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, text); err != nil {
			return a, fmt.Errorf("argument %d: %w", i, err)
		}
		a.JSON[i] = compact.Bytes()
	}
	return a, nil
}

// encodeArgs makes arguments of Go values; see [Socket.Emit].
func encodeArgs(values []any) (Args, error) {
	var args Args
	raw := false
	for i, value := range values {
		text, err := args.appendValue(nil, value, &raw, maxOwnDepth)
		if err != nil {
			return args, fmt.Errorf("argument %d: %w", i, err)
		}
		args.JSON = append(args.JSON, text)
	}
	if raw {
		return args.checked()
	}
	return args, nil
}

func (a *Args) appendValue(dst []byte, value any, raw *bool, depth int) ([]byte, error) {
	if depth == 0 {
		return nil, errDepth
	}
	switch v := value.(type) {
	case nil:
		return append(dst, "null"...), nil
	case string:
		return appendString(dst, v), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case int:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case uint64:
		return strconv.AppendUint(dst, v, 10), nil
	case []byte:
		dst = append(dst, `{"_placeholder":true,"num":`...)
		dst = strconv.AppendInt(dst, int64(len(a.Attachments)), 10)
		a.Attachments = append(a.Attachments, v)
		return append(dst, '}'), nil
	case json.RawMessage:
		*raw = true
		if len(v) == 0 {
			return append(dst, "null"...), nil
		}
		return append(dst, v...), nil
	case []any:
		return a.appendList(dst, v, raw, depth-1)
	case map[string]any:
		return a.appendMap(dst, v, raw, depth-1)
	}
	if holdsBytes(reflect.TypeOf(value)) {
		return nil, fmt.Errorf("%T: %w", value, ErrBytes)
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return append(dst, bytes.TrimSuffix(text.Bytes(), []byte{'\n'})...), nil
}

func (a *Args) appendList(dst []byte, list []any, raw *bool, depth int) (_ []byte, err error) {
	dst = append(dst, '[')
	for i, one := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = a.appendValue(dst, one, raw, depth); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), nil
}

func (a *Args) appendMap(dst []byte, m map[string]any, raw *bool, depth int) (_ []byte, err error) {
	dst = append(dst, '{')
	for i, key := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, key), ':')
		if dst, err = a.appendValue(dst, m[key], raw, depth); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

var (
	bytesKnown    sync.Map // reflect.Type to bool
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	bytesType     = reflect.TypeFor[[]byte]()
)

// holdsBytes reports whether a value of the type may hold a []byte that
// encoding/json would write as base64. Interfaces inside a type are not seen
// through.
func holdsBytes(t reflect.Type) bool {
	if known, ok := bytesKnown.Load(t); ok {
		return known.(bool)
	}
	holds := searchBytes(t, map[reflect.Type]bool{})
	bytesKnown.Store(t, holds)
	return holds
}

func searchBytes(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] || t.Implements(jsonMarshaler) || reflect.PointerTo(t).Implements(jsonMarshaler) {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Slice:
		return t == bytesType || t.Elem().Kind() == reflect.Uint8 || searchBytes(t.Elem(), seen)
	case reflect.Pointer, reflect.Array, reflect.Map:
		return searchBytes(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			field := t.Field(i)
			if (field.IsExported() || field.Anonymous) && field.Tag.Get("json") != "-" && searchBytes(field.Type, seen) {
				return true
			}
		}
	}
	return false
}
