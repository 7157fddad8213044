package line

import "strings"

// A terminal breaks a line that is too long for it, and what then stands at the
// beginning of a row was chosen by whoever wrote the line: with enough padding
// it looks like somebody else's line. So lines are broken here, where each row
// after the first gets the bar.

const narrow = 20 // columns under which nothing is broken: there is no terminal so small

// columns is how wide a rune is at most. Where terminals differ it says the
// larger number: a row that is broken early does no harm.
func columns(r rune) int {
	if r < 0x1100 {
		return 1
	}
	return 2
}

// wrap breaks the lines of a text that was made safe to fit a terminal of width
// columns; 0 means that nobody knows the width.
func wrap(text string, width int) string {
	if width < narrow {
		return text
	}
	var out strings.Builder
	for i, text := range strings.Split(text, "\n") {
		if i > 0 {
			out.WriteByte('\n')
		}
		wrapLine(&out, text, width-1) // a full row makes some terminals start another
	}
	return out.String()
}

func wrapLine(out *strings.Builder, text string, width int) {
	at := 0 // columns of the row so far
	row := func() {
		out.WriteString("\n" + bar)
		at = len(bar)
	}
	for text != "" {
		word := text
		if i := strings.IndexByte(text[1:], ' '); i >= 0 {
			word = text[:i+1] // with the space before it
		}
		text = text[len(word):]
		wide := 0
		for _, r := range word {
			wide += columns(r)
		}
		switch {
		case at+wide <= width:
			out.WriteString(word)
			at += wide
		case address(word):
			// An address stays whole, so that it can be copied: what the terminal
			// puts at the beginning of a row holds no space, and nothing follows it.
			out.WriteString(word)
			if text != "" {
				row()
			}
		default:
			if wide <= width-len(bar) && at > 0 {
				row()
				word = strings.TrimPrefix(word, " ")
			}
			for _, r := range word {
				if at+columns(r) > width {
					row()
				}
				out.WriteRune(r)
				at += columns(r)
			}
		}
	}
}

// address reports whether a word is one that people copy.
func address(word string) bool {
	word = strings.TrimPrefix(word, " ")
	if !strings.HasPrefix(word, "https://") && !strings.HasPrefix(word, "http://") && !strings.HasPrefix(word, "securelink:") {
		return false
	}
	return strings.Trim(word, printable) == ""
}

const printable = "!#$%&'()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]_abcdefghijklmnopqrstuvwxyz~"
