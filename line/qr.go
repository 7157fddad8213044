package line

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// quiet is the empty margin that a scanner needs around a code, in modules.
const quiet = 4

// drawQR draws a QR code with two modules to a character, black on white
// whatever the terminal's own colours are. "" where it does not fit.
func drawQR(text string, width int) string {
	code, err := qr.Encode(text, qr.L)
	if err != nil || code.Size+2*quiet > width {
		return ""
	}
	black := func(x, y int) bool {
		return x >= 0 && y >= 0 && x < code.Size && y < code.Size && code.Black(x, y)
	}
	var out strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		out.WriteString("\x1b[30;47m")
		for x := -quiet; x < code.Size+quiet; x++ {
			switch upper, lower := black(x, y), black(x, y+1); {
			case upper && lower:
				out.WriteRune('█')
			case upper:
				out.WriteRune('▀')
			case lower:
				out.WriteRune('▄')
			default:
				out.WriteRune(' ')
			}
		}
		out.WriteString("\x1b[0m\n")
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// showQR draws a code where a person sits at a terminal that is wide enough for
// it, and says what it is for.
func (t *talk) showQR(text, why string) {
	if !t.Terminal || t.Width == nil {
		return
	}
	if drawn := drawQR(text, t.Width()); drawn != "" {
		fmt.Fprintln(t.Out, drawn)
		t.say("%s", why)
	}
}
