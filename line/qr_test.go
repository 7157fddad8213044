package line

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"rsc.io/qr"

	"github.com/securelink-chat/securelink/client"
)

// The drawing holds exactly the code's modules, with the margin around them.
func TestQRIsDrawnWhole(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 8) + "01" // as long as a safety code
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	side := code.Size + 2*quiet
	if drawQR(text, side-1) != "" {
		t.Error("it is drawn on a terminal that is too narrow")
	}
	rows := strings.Split(drawQR(text, side), "\n")
	if len(rows) != (side+1)/2 || side > 80 {
		t.Fatalf("%d rows for %d modules", len(rows), side)
	}
	for i, row := range rows {
		plain := strings.TrimSuffix(strings.TrimPrefix(row, "\x1b[30;47m"), "\x1b[0m")
		if utf8.RuneCountInString(plain) != side || strings.Contains(plain, "\x1b") {
			t.Fatalf("row %d is %q", i, row)
		}
		for x, r := range []rune(plain) {
			for half, shown := range []bool{r == '█' || r == '▀', r == '█' || r == '▄'} {
				mx, my := x-quiet, 2*i+half-quiet
				inside := mx >= 0 && my >= 0 && mx < code.Size && my < code.Size
				if shown != (inside && code.Black(mx, my)) {
					t.Fatalf("module %d,%d is drawn wrongly", mx, my)
				}
			}
		}
	}
}

// A pipe gets no code, and no escape sequence.
func TestQRIsForTerminals(t *testing.T) {
	wide := func() int { return 200 }
	for _, o := range []struct {
		terminal bool
		columns  func() int
		want     bool
	}{{true, wide, true}, {false, wide, false}, {true, nil, false}, {true, func() int { return 40 }, false}} {
		var out bytes.Buffer
		talk := &talk{Options: Options{Out: &out, Terminal: o.terminal, Width: o.columns}}
		talk.safety(client.Member{Name: "Bob"}, &client.Safety{Number: "00000 11111", QR: strings.Repeat("ab", 65)})
		if got := strings.Contains(out.String(), "█"); got != o.want {
			t.Errorf("terminal %v: drawn %v", o.terminal, got)
		}
		if !o.want && strings.Contains(out.String(), "\x1b") {
			t.Errorf("an escape sequence in %q", out.String())
		}
	}
}
