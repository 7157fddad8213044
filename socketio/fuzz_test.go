package socketio

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzPacket reads whatever text as a packet. What is accepted is JSON in the
// eyes of encoding/json too, and comes out as it went in.
func FuzzPacket(f *testing.F) {
	for _, seed := range []string{
		`0`, `0{}`, `0/a,{"x":1}`, `1`, `1/a`, `1/a,`, `2["a",1,"ä",{"b":[null]}]`, `2/a,12["a"]`, `31[]`, `3/a,1["x"]`,
		`51-["a",{"_placeholder":true,"num":0}]`, `61-1[{"num":0,"_placeholder":true}]`, `50-["a"]`, `5`, `51`, `5-`, `510-/a,1["\u0061"]`,
		`2["a",1e5,-0.5E-7]`, `2[ "a" , [ ] ]`, `2["a",{"k":"\ud800"}]`,
	} {
		f.Add([]byte(seed))
	}
	opts := &Options{MaxAttachments: 10, MaxDepth: 64}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parsePacket(text, opts)
		if err != nil {
			return
		}
		for _, raw := range p.args.JSON {
			if !json.Valid(raw) {
				t.Fatalf("%q has the argument %q", text, raw)
			}
		}
		if p.payload != nil && !json.Valid(p.payload) {
			t.Fatalf("%q has the payload %q", text, p.payload)
		}
		if p.kind != typeEvent && p.kind != typeBinaryEvent {
			return
		}
		p.args.Attachments = make([][]byte, p.attachments)
		if p.attachments == 0 && p.kind == typeBinaryEvent {
			return // is written as an event without attachments
		}
		checked, err := p.args.checked()
		if err != nil {
			t.Fatalf("%q cannot be sent on: %v", text, err)
		}
		id := int64(-1)
		if p.hasID {
			id = int64(p.id)
		}
		again, err := parsePacket(appendEvent(nil, p.namespace, id, p.name, checked), opts)
		if err != nil || again.name != p.name || again.id != p.id || again.namespace != p.namespace || len(again.args.JSON) != len(p.args.JSON) {
			t.Fatalf("%q became %+v, %v", text, again, err)
		}
	})
}

// FuzzJSON holds the scanner against encoding/json: they accept the same texts,
// but for depth.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{`1`, ` [1, 2 ] `, `{"a":"\u00e4"}`, `-0`, `01`, `1.`, `.5`, `1e`, `"\q"`, "\"\x7f\"", `{"a"}`, `[1,]`, `tru`, `nullx`, "\"\xff\""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		blanks, err := checkValue(text, maxOwnDepth, unchecked)
		if err == errDepth {
			return
		}
		if (err == nil) != json.Valid(text) {
			t.Fatalf("%q: %v, encoding/json says %v", text, err, json.Valid(text))
		}
		if err != nil || blanks {
			return
		}
		var compact bytes.Buffer
		if json.Compact(&compact, text) != nil || !bytes.Equal(compact.Bytes(), text) {
			t.Fatalf("%q has blanks that were not seen", text)
		}
	})
}

// FuzzString holds our strings against those of encoding/json.
func FuzzString(f *testing.F) {
	for _, seed := range []string{"", "a\"\\", "\x00\x1f\x7f", "ä\u2028\U0001f600", "\xff\xc3", "<>&", "\b\f"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var back string
		if err := json.Unmarshal(appendString(nil, text), &back); err != nil || back != strings.ToValidUTF8(text, "\ufffd") && !hasInvalidRun(text) {
			t.Fatalf("%q came back as %q, %v", text, back, err)
		}
	})
}

// hasInvalidRun reports whether invalid bytes stand next to each other:
// strings.ToValidUTF8 makes one replacement of a run, JSON one of each byte.
func hasInvalidRun(text string) bool {
	return strings.ToValidUTF8(text, "\ufffd") != strings.ToValidUTF8(text, "") && len([]rune(text)) != len([]rune(strings.ToValidUTF8(text, "\ufffd")))
}
