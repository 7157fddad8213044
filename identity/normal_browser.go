//go:build browser

package identity

import "syscall/js"

// A browser knows Unicode's normal forms, so their tables are not loaded a
// second time. It may know a newer Unicode than unicode.IsLetter and the other
// tables here. That changes no verdict on a name: [CheckName] refuses every
// character that those tables do not have, a name that is verified must be its
// own normal form, and Unicode never changes the normal form of a text whose
// characters were all assigned (UAX #15, section 3).

// nfc is canonical composition; s is UTF-8.
func nfc(s string) string { return normal(s, "NFC") }

// nfkd is compatibility decomposition; s is UTF-8.
func nfkd(s string) string { return normal(s, "NFKD") }

var normalize = js.Global().Get("String").Get("prototype").Get("normalize")

func normal(s, form string) string {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return normalize.Call("call", s, form).String()
		}
	}
	return s // ASCII is in every form
}
