package line

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/securelink-chat/securelink/client"
)

// What other people write reaches the terminal through this file alone. A
// terminal obeys control characters; a reader obeys what looks like another
// line. So text keeps letters, marks, digits, punctuation and symbols, every
// line after its first is indented with a bar, and a name that could be read as
// something else stands in quotes.

const (
	maxLines  = 60   // lines of one message; the rest is counted
	maxColumn = 2000 // runes of one line
	maxName   = 40   // runes of a name, as identity allows
	maxMarks  = 8    // on one letter: more would paint over the lines around it
	bar       = "  | "
)

// visible maps one rune of untrusted text to what may be shown, -1 to drop it.
func visible(r rune) rune {
	switch {
	case r == '\t':
		return ' '
	case r == utf8.RuneError, unicode.IsControl(r):
		return '\ufffd'
	case unicode.Is(unicode.Zs, r):
		return ' '
	case unicode.Is(unicode.Bidi_Control, r), unicode.Is(unicode.Zl, r), unicode.Is(unicode.Zp, r):
		return -1
	case r == '\u200d', r == '\ufe0f':
		return r // emoji are joined and coloured by them
	case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r), unicode.Is(unicode.Cs, r):
		return -1
	case !unicode.IsGraphic(r):
		return '\ufffd'
	}
	return r
}

// shown keeps of untrusted text what may be shown.
func shown(s string) string {
	marks := 0
	return strings.Map(func(r rune) rune {
		if marks++; !unicode.In(r, unicode.Mn, unicode.Me) {
			marks = 0
		}
		if marks > maxMarks {
			return -1
		}
		return visible(r)
	}, s)
}

// SafeLine makes untrusted text one line that a terminal only shows.
func SafeLine(s string) string {
	s = strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ").Replace(s)
	return cut(strings.TrimSpace(shown(s)), maxColumn)
}

// SafeText makes untrusted text lines that a terminal only shows. Each after
// the first begins with a bar, so that none can pass for a line of ours.
func SafeText(s string) string {
	s = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n", "\u0085", "\n", "\v", "\n", "\f", "\n").Replace(s)
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	var out strings.Builder
	for i, text := range lines {
		if i == maxLines {
			out.WriteString("\n" + bar + "(" + count(len(lines)-i, "more line") + ")")
			break
		}
		if i > 0 {
			out.WriteString("\n" + bar)
		}
		out.WriteString(cut(strings.TrimRight(shown(text), " "), maxColumn))
	}
	return out.String()
}

// cut shortens a text to n runes.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// SafeName shows a name with its tag, if it has one. Plain names stand as they
// are; others are quoted, so that a name can hold neither a colon that ends
// it early nor a sentence of ours.
func SafeName(name, tag string) string {
	name = client.Named(cut(SafeLine(name), maxName))
	if tag != "" {
		return name + "#" + tag
	}
	return name
}
