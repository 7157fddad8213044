package pack

import (
	"bytes"
	"errors"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	var w Writer
	w.U8(7)
	w.U16(300)
	w.U32(70000)
	w.U64(1 << 40)
	w.Bool(true)
	w.Fixed([]byte("abc"))
	w.Bytes([]byte("hello"))
	w.String("")
	r := Read(w.B)
	var fixed [3]byte
	if r.U8() != 7 || r.U16() != 300 || r.U32() != 70000 || r.U64() != 1<<40 || !r.Bool() {
		t.Fatal("integers differ")
	}
	r.Fixed(fixed[:])
	if string(fixed[:]) != "abc" || !bytes.Equal(r.Bytes(5), []byte("hello")) || r.String(0) != "" {
		t.Fatal("bytes differ")
	}
	if err := r.Done(); err != nil {
		t.Fatal(err)
	}
}

func TestRefusals(t *testing.T) {
	cases := map[string]func() error{
		"short":        func() error { r := Read([]byte{1}); r.U16(); return r.Done() },
		"left over":    func() error { r := Read([]byte{1, 2}); r.U8(); return r.Done() },
		"bool of two":  func() error { r := Read([]byte{2}); r.Bool(); return r.Done() },
		"over limit":   func() error { r := Read([]byte{0, 0, 0, 2, 1, 1}); r.Bytes(1); return r.Done() },
		"long claim":   func() error { r := Read([]byte{255, 255, 255, 255}); r.Bytes(1 << 40); return r.Done() },
		"count claim":  func() error { r := Read([]byte{0, 0, 0, 9, 1}); r.Count(100, 1); return r.Err() },
		"failure kept": func() error { r := Read([]byte{1, 2, 3}); r.U32(); r.U8(); return r.Err() },
	}
	for name, read := range cases {
		if !errors.Is(read(), ErrFormat) {
			t.Errorf("%s: accepted", name)
		}
	}
}
