package socketio

import (
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"
)

var (
	errJSON        = errors.New("socketio: malformed JSON")
	errDepth       = errors.New("socketio: JSON is nested too deep")
	errPlaceholder = errors.New("socketio: placeholder without attachment")
)

// unchecked says to a scanner that placeholders are plain objects here.
const unchecked = -1

// scanner checks a JSON text (RFC 8259) without building anything of it, so
// that arguments can be handed on as they came: numbers keep their form.
type scanner struct {
	text        []byte
	pos         int
	depth       int // how much deeper it may go
	attachments int // how many there are, or unchecked
	blanks      bool
}

func (s *scanner) skip() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
			s.blanks = true
		default:
			return
		}
	}
}

func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

// value steps over one value; its first byte is the next.
func (s *scanner) value() error {
	switch c := s.peek(); {
	case c == '{':
		return s.object()
	case c == '[':
		return s.array(nil)
	case c == '"':
		return s.str()
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	}
	return errJSON
}

func (s *scanner) literal(word string) error {
	if len(s.text)-s.pos < len(word) || string(s.text[s.pos:s.pos+len(word)]) != word {
		return errJSON
	}
	s.pos += len(word)
	return nil
}

func (s *scanner) digits() bool {
	start := s.pos
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos > start
}

func (s *scanner) number() error {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if !s.digits() {
		return errJSON
	}
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return errJSON
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return errJSON
		}
	}
	return nil
}

func (s *scanner) str() error {
	for s.pos++; s.pos < len(s.text); s.pos++ {
		switch c := s.text[s.pos]; {
		case c == '"':
			s.pos++
			return nil
		case c < 0x20:
			return errJSON
		case c == '\\':
			s.pos++
			switch s.peek() {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					s.pos++
					if !isHex(s.peek()) {
						return errJSON
					}
				}
			default:
				return errJSON
			}
		}
	}
	return errJSON
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// array steps over an array and tells each of its elements.
func (s *scanner) array(each func(element []byte)) error {
	if s.depth == 0 {
		return errDepth
	}
	s.depth--
	s.pos++
	s.skip()
	if s.peek() == ']' {
		s.pos++
		s.depth++
		return nil
	}
	for {
		s.skip()
		start := s.pos
		if err := s.value(); err != nil {
			return err
		}
		if each != nil {
			each(s.text[start:s.pos:s.pos])
		}
		s.skip()
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			s.depth++
			return nil
		default:
			return errJSON
		}
	}
}

// object steps over an object. Where attachments are checked, one that says
// that it stands for bytes must name bytes that there are.
func (s *scanner) object() error {
	if s.depth == 0 {
		return errDepth
	}
	s.depth--
	s.pos++
	s.skip()
	if s.peek() == '}' {
		s.pos++
		s.depth++
		return nil
	}
	var marker bool
	var num []byte
	for {
		s.skip()
		start := s.pos
		if s.peek() != '"' {
			return errJSON
		}
		if err := s.str(); err != nil {
			return err
		}
		key := s.text[start:s.pos]
		s.skip()
		if s.peek() != ':' {
			return errJSON
		}
		s.pos++
		s.skip()
		start = s.pos
		if err := s.value(); err != nil {
			return err
		}
		if s.attachments != unchecked {
			switch plainName(key) {
			case "_placeholder":
				marker = string(s.text[start:s.pos]) == "true"
			case "num":
				num = s.text[start:s.pos]
			}
		}
		s.skip()
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			s.depth++
			if marker {
				if n, err := strconv.ParseUint(string(num), 10, 31); err != nil || int(n) >= s.attachments {
					return errPlaceholder
				}
			}
			return nil
		default:
			return errJSON
		}
	}
}

// plainName is a checked string as it reads: names may be spelled with escapes.
func plainName(quoted []byte) string {
	for _, c := range quoted {
		if c == '\\' {
			var name string
			if json.Unmarshal(quoted, &name) != nil {
				return ""
			}
			return name
		}
	}
	return string(quoted[1 : len(quoted)-1])
}

// splitArray checks a JSON array and cuts it into its elements, which alias it.
func splitArray(text []byte, depth, attachments int) ([]json.RawMessage, error) {
	s := scanner{text: text, depth: depth, attachments: attachments}
	s.skip()
	if s.peek() != '[' {
		return nil, errJSON
	}
	elements := make([]json.RawMessage, 0, 4)
	if err := s.array(func(element []byte) { elements = append(elements, element) }); err != nil {
		return nil, err
	}
	s.skip()
	if s.pos != len(text) {
		return nil, errJSON
	}
	return elements, nil
}

// checkValue checks one JSON text and reports whether there are blanks in it.
func checkValue(text []byte, depth, attachments int) (blanks bool, err error) {
	s := scanner{text: text, depth: depth, attachments: attachments}
	s.skip()
	if err := s.value(); err != nil {
		return false, err
	}
	s.skip()
	if s.pos != len(text) {
		return false, errJSON
	}
	return s.blanks, nil
}

// appendString writes a JSON string. What is not UTF-8 becomes U+FFFD, as
// encoding/json does it: text frames must be UTF-8.
func appendString(dst []byte, text string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if c >= 0x20 && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = append(dst, text[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, text[start:i]...)
			dst = append(dst, "\ufffd"...)
			i++
			start = i
			continue
		}
		i += size
	}
	dst = append(dst, text[start:]...)
	return append(dst, '"')
}
