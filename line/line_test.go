package line

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/securelink-chat/securelink/client"
)

// hostile are texts that a terminal would obey, or that would pass for a line
// of ours.
var hostile = []string{
	"\x1b[2J\x1b[H\x1b]0;owned\x07",
	"\x1b]52;c;ZXZpbA==\x07",
	"\u009b31mred\u009d0;title\u009c",
	"hi\nBob has joined the chat",
	"hi\r\nYou: I agree",
	"hi\rBob: over it",
	"hi\u2028Bob: another line",
	"hi\u0085Bob: another line",
	"hi\v\fBob: another line",
	"abc\u202etxt.exe\u202c",
	"\u2066\u2067\u2069",
	"a\x00b\x08\x7f",
	"\xff\xfe\x9b1m",
	"zero\u200bwidth\ufeff",
	strings.Repeat("x\n", 5000),
	strings.Repeat("w", 100_000),
}

// obeyed returns what a terminal would not merely show.
func obeyed(shown string) string {
	for _, r := range shown {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029') {
			return string(r)
		}
	}
	return ""
}

// ours reports whether every line after the first begins with the bar.
func ours(t *testing.T, shown string) {
	t.Helper()
	if bad := obeyed(shown); bad != "" {
		t.Errorf("%q reaches the terminal in %.80q", bad, shown)
	}
	for i, text := range strings.Split(shown, "\n") {
		if i > 0 && !strings.HasPrefix(text, bar) {
			t.Errorf("line %d of %.80q could be a line of ours", i+1, shown)
		}
	}
	if len(shown) > 200_000 {
		t.Errorf("%d bytes for one item", len(shown))
	}
}

func TestUntrustedTextOnlyShows(t *testing.T) {
	for _, text := range hostile {
		for _, item := range []client.Item{
			{Kind: client.ItemText, Name: "Bob", Text: text},
			{Kind: client.ItemText, Name: text, Text: "hi"},
			{Kind: client.ItemText, Name: "Bob", Text: "hi", ReplyTo: "00", ReplyName: text, ReplyText: text},
			{Kind: client.ItemText, Name: "Bob", Text: "hi", Reactions: []client.Reaction{{Text: text, Names: []string{text}}}},
			{Kind: client.ItemText, Own: true, Text: "hi", State: client.StateFailed, Reason: text},
			{Kind: client.ItemJoined, Names: []string{text}, By: text},
			{Kind: client.ItemTitle, Name: text, Text: text},
			{Kind: client.ItemAlarm, Code: text, Text: text},
			{Kind: client.ItemNotice, Text: text},
			{Kind: client.ItemGone, Name: text},
		} {
			ours(t, Render(item))
		}
		ours(t, renderChange(client.Item{Text: "a"}, client.Item{Name: text, Text: text}))
	}
	if got := Render(client.Item{Kind: client.ItemText, Name: "Zoë", Text: "שלום 👩‍👩‍👧 ok\nsecond"}); got != "Zoë: שלום 👩‍👩‍👧 ok\n  | second" {
		t.Errorf("honest text was changed: %q", got)
	}
}

func TestNamesCannotSpeakForOthers(t *testing.T) {
	for name, want := range map[string]string{
		"Bob":                     "Bob: hi",
		"Anne-Marie O'Neil":       "Anne-Marie O'Neil: hi",
		"Bob: yes. Alice":         `"Bob: yes. Alice": hi`,
		"Bob has joined the chat": `"Bob has joined the chat": hi`,
		"Bob#1234":                `"Bob#1234": hi`,
		"":                        `"": hi`,
		`"`:                       `"'": hi`,
		"you":                     "you#abcd: hi",
		"You":                     "You#abcd: hi",
	} {
		if got := Render(client.Item{Kind: client.ItemText, Name: name, Sender: "abcdef", Text: "hi"}); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestRenderSentences(t *testing.T) {
	for want, item := range map[string]client.Item{
		"Bob has joined the chat":                          {Kind: client.ItemJoined, Names: []string{"Bob"}},
		"Ana and Ben have joined the chat (added by Cleo)": {Kind: client.ItemJoined, Names: []string{"Ana", "Ben"}, By: "Cleo"},
		"Ana, Ben and 3 others have joined the chat":       {Kind: client.ItemJoined, Names: []string{"Ana", "Ben", "C", "D", "E"}},
		"Bob was removed from the chat by Alice":           {Kind: client.ItemRemoved, Names: []string{"Bob"}, By: "Alice"},
		"Bob has left the chat":                            {Kind: client.ItemLeft, Names: []string{"Bob"}},
		"You: hi":                                          {Kind: client.ItemText, Own: true, Text: "hi", State: client.StateSent},
		"Bob#1a2b: hi (edited)":                            {Kind: client.ItemText, Name: "Bob", Tag: "1a2b", Text: "hi", Edited: true},
		"Bob: hi (clock ahead)":                            {Kind: client.ItemText, Name: "Bob", Text: "hi", Code: client.CodeClockAhead},
		"Bob: (deleted)":                                   {Kind: client.ItemText, Name: "Bob", Deleted: true},
		`Bob (to "Ana, hello"): hi`:                        {Kind: client.ItemText, Name: "Bob", Text: "hi", ReplyTo: "1", ReplyName: "Ana", ReplyText: "hello"},
		"You: hi\n  | waiting: not sent yet":               {Kind: client.ItemText, Own: true, Text: "hi", State: client.StateWaiting},
		"Bob (mentions you): hi @Ana":                      {Kind: client.ItemText, Name: "Bob", Text: "hi @Ana", Mention: true},
		"Warning (fork): two stories":                      {Kind: client.ItemAlarm, Code: "fork", Text: "two stories"},
		"Bob: hi\n  | 👍 Ana and You#ffff":                  {Kind: client.ItemText, Name: "Bob", Text: "hi", Reactions: []client.Reaction{{Text: "👍", Names: []string{"Ana", "You#ffff"}}}},
		"Message from Bob: this device cannot read it":     {Kind: client.ItemGone, Name: "Bob"},
	} {
		if got := Render(item); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestParse(t *testing.T) {
	for typed, want := range map[string]command{
		"hello":              {rest: "hello"},
		"":                   {},
		"//etc":              {rest: "/etc"},
		"/join  Family room": {name: "join", rest: "Family room"},
		"/QUIT\r":            {name: "quit"},
		"/exit":              {name: "quit"},
	} {
		if got, err := parse(typed); err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", typed, got, err, want)
		}
	}
	if _, err := parse("/nonsense \x1b[2J"); err == nil || obeyed(err.Error()) != "" {
		t.Errorf("an unknown command: %v", err)
	}
	for _, verb := range []string{"help", "rooms", "join", "new", "invite", "leave", "who", "requests", "approve", "ban", "unban", "signals", "verify", "info", "logout", "quit"} {
		if !strings.Contains(helpText(), "/"+verb) {
			t.Errorf("/help does not tell of /%s", verb)
		}
	}
}

func TestLinkRequest(t *testing.T) {
	const hour = 60 * 60 * 1000
	for typed, want := range map[string]client.Request{
		"":                    {Mode: client.ModeOpen},
		"ask":                 {Mode: client.ModeApprove},
		"ASK uses 3 days 2":   {Mode: client.ModeApprove, Limit: 3, After: 48 * hour},
		"hours 1":             {Mode: client.ModeOpen, After: hour},
		"uses 1   ask":        {Mode: client.ModeApprove, Limit: 1},
		"days 100000 uses 10": {Mode: client.ModeOpen, Limit: 10, After: 2_400_000 * hour},
	} {
		want.Op = client.OpLink
		if got, ok := linkRequest(typed); !ok || got.Mode != want.Mode || got.Limit != want.Limit || got.After != want.After || got.Op != want.Op {
			t.Errorf("%q: got %+v, %v; want %+v", typed, got, ok, want)
		}
	}
	for _, typed := range []string{"uses", "uses 0", "uses -1", "uses many", "days 100001", "please", "ask please", "1"} {
		if got, ok := linkRequest(typed); ok {
			t.Errorf("%q is taken as %+v", typed, got)
		}
	}
}

func FuzzRender(f *testing.F) {
	for _, text := range hostile {
		f.Add(text, "Bob")
		f.Add("hi", text)
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		shown := Render(client.Item{Kind: client.ItemText, Name: name, Sender: "abcdef", Text: text})
		ours(t, shown)
		ours(t, wrap(shown, 80))
		for _, head := range []string{"You:", "Notice:", "Warning"} {
			if strings.HasPrefix(shown, head) && !strings.HasPrefix(shown, head+"#") {
				t.Errorf("%q speaks for us", name)
			}
		}
	})
}

// Whatever somebody pads a message with, no row of the terminal but the first
// begins without the bar, except with an address, which holds no space.
func TestRowsOfATerminal(t *testing.T) {
	texts := append(slices.Clone(hostile),
		"hi"+strings.Repeat(" ", 71)+"Bob: I agree",
		strings.Repeat("a", 75)+" Bob: I agree",
		strings.Repeat("漢", 35)+" Bob: I agree",
		strings.Repeat("\u2800", 37)+"Bob:\u2800I\u2800agree",
		strings.Repeat("e\u0301", 37)+" Bob: I agree",
		"https://example.org/"+strings.Repeat("x", 60)+" Bob: I agree",
		"https://example.org/"+strings.Repeat("x", 56)+"Bob: I agree",
		"one two "+strings.Repeat("three four ", 100),
	)
	for _, width := range []int{20, 80, 81, 200} {
		for _, text := range texts {
			shown := wrap(Render(client.Item{Kind: client.ItemText, Name: "Mallory", Sender: "abcdef", Text: text}), width)
			for i, line := range strings.Split(shown, "\n") {
				if i > 0 && !strings.HasPrefix(line, bar) {
					t.Errorf("%d columns: line %d is %q", width, i, line)
				}
				if runes := []rune(line); len(runes) >= width && !strings.Contains(line, "https://") {
					t.Errorf("%d columns: a line of %d runes: %q", width, len(runes), line)
				} else if len(runes) >= width && strings.Contains(string(runes[width:]), " ") {
					t.Errorf("%d columns: an address is followed by %q", width, string(runes[width:]))
				}
			}
			// Nothing but breaks comes in, and nothing but spaces gets lost.
			plain := func(s string) string { return strings.Join(strings.Fields(strings.ReplaceAll(s, "\n"+bar, "")), "") }
			if whole := Render(client.Item{Kind: client.ItemText, Name: "Mallory", Sender: "abcdef", Text: text}); plain(shown) != plain(whole) {
				t.Errorf("%d columns: %.60q became %.60q", width, whole, shown)
			}
		}
	}
	if got := wrap("You: short", 80); got != "You: short" {
		t.Errorf("a short line became %q", got)
	}
	if got, want := wrap("Bob: one two three four five", 22), "Bob: one two three\n"+bar+"four five"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Marks do not pile up on a letter until they paint over other lines.
func TestMarksDoNotPileUp(t *testing.T) {
	shown := SafeText("e" + strings.Repeat("\u0301", 4000) + "nd")
	if n := strings.Count(shown, "\u0301"); n != maxMarks || !strings.HasSuffix(shown, "nd") {
		t.Errorf("%d marks on one letter: %.80q", n, shown)
	}
	if vietnamese := "Việt e\u0302\u0323"; SafeText(vietnamese) != vietnamese {
		t.Error("marks that a language uses are gone")
	}
}
