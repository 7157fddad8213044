package malice

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/securelink-chat/securelink/client"
)

// by says who does something: a name, and codes with blanks between them.
type by map[string]string

// manipulation is one thing that a server may do, and what comes of it.
type manipulation struct {
	name    string
	fault   int // of FAULTS
	story   *story
	lie     func(w *world)
	raises  by             // alarms: exactly these, by nobody else; nil: harmless
	refuses by             // problems that somebody's wish ends with
	misses  string         // who does not get all that was said
	instead string         // what they see in its place, for the document
	check   func(w *world) // what else must hold
}

func table() []manipulation {
	return slices.Concat(logCases, changeCases, noticeCases, memberCases, keyCases, linkCases, loginCases, otherCases)
}

func TestMain(m *testing.M) {
	flag.Parse()
	// Stories mostly wait: for the next one there is time meanwhile.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// TestHonestServer tells each story without a lie: the control.
func TestHonestServer(t *testing.T) {
	told := map[*story]bool{}
	for _, m := range table() {
		if told[m.story] {
			continue
		}
		told[m.story] = true
		t.Run(m.story.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			m.story.tell(w)
			w.judge()
		})
	}
}

func TestLyingServer(t *testing.T) {
	for _, m := range table() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, m.lie)
			w.case_ = m
			m.story.tell(w)
			w.judge()
			if m.check != nil {
				m.check(w)
			}
			if w.server.count() == 0 {
				t.Error("the server has not lied")
			}
		})
	}
}

// judge holds what came of a story against what should.
func (w *world) judge() {
	w.t.Helper()
	if !w.turned {
		w.t.Fatal("the story has no turn")
	}
	for _, p := range w.people {
		w.alarmed(p)
		p.Mu.Lock()
		raised, refused := codes(p.raised), codes(p.refused)
		p.Mu.Unlock()
		if raised != sorted(w.case_.raises[p.name]) {
			w.t.Errorf("%s raises %q, want %q; last events: %s", p.name, raised, w.case_.raises[p.name], p.Tail())
		}
		if refused != sorted(w.case_.refuses[p.name]) {
			w.t.Errorf("%s is refused %q, want %q", p.name, refused, w.case_.refuses[p.name])
		}
		for room, said := range w.said {
			if known := slices.ContainsFunc(p.must(client.Request{Op: client.OpRooms}).Rooms, func(r client.Room) bool { return r.ID == room }); known {
				w.nothingNew(p, p.texts(room), said)
			}
		}
	}
}

// alarmed waits until somebody has raised what the manipulation is to raise.
func (w *world) alarmed(p *person) {
	w.t.Helper()
	for want := range strings.FieldsSeq(w.case_.raises[p.name]) {
		p.until("alarm "+want, func() bool { return p.raised[want] })
	}
}

// heard waits until a text has reached somebody; or the alarms have, where the
// text may not.
func (w *world) heard(p *person, text string) {
	w.t.Helper()
	if !w.hurts(p) {
		p.hears(w.main, text)
	}
	w.alarmed(p)
}

func sorted(list string) string {
	all := strings.Fields(list)
	slices.Sort(all)
	return strings.Join(all, " ")
}

// nothingNew: what somebody sees was said, once and in this order.
func (w *world) nothingNew(p *person, sees, said []string) {
	w.t.Helper()
	rest := said
	for _, text := range sees {
		i := slices.Index(rest, text)
		if i < 0 {
			w.t.Errorf("%s sees %q where %q was said", p.name, sees, said)
			return
		}
		rest = rest[i+1:]
	}
}

// hurts says whether somebody is expected not to get all that was said.
func (w *world) hurts(p *person) bool { return slices.Contains(strings.Fields(w.case_.misses), p.name) }

// unharmed are those of whom nothing was lost.
func (w *world) unharmed(people []*person) []*person {
	return slices.DeleteFunc(slices.Clone(people), w.hurts)
}

// ends waits until the last word has reached those who come to no harm. They
// were in the room from the beginning, and see all that was said.
func (w *world) ends(people ...*person) {
	w.t.Helper()
	w.together(w.main, w.unharmed(people)...)
	for _, p := range w.unharmed(people) {
		if got := p.texts(w.main); !slices.Equal(got, w.said[w.main]) {
			w.t.Errorf("%s sees %q of %q", p.name, got, w.said[w.main])
		}
	}
}

var update = flag.Bool("update", false, "write the table into doc/threat-model.md")

// TestDocument: the threat model's table says what the tests do.
func TestDocument(t *testing.T) {
	const name, begin, end = "../../doc/threat-model.md", "<!-- table of test/malice -->\n", "<!-- end of the table -->\n"
	doc, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := bytes.Cut(doc, []byte(begin))
	_, tail, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", name)
	}
	var b strings.Builder
	b.Write(head)
	b.WriteString(begin + "| a server that | while | leads to |\n|---|---|---|\n")
	for _, m := range table() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", m.name, m.story.name, m.outcome())
	}
	b.WriteString(end)
	b.Write(tail)
	if b.String() == string(doc) {
		return
	}
	if !*update {
		t.Fatalf("%s does not have the table of today: go test ./test/malice -run TestDocument -update", name)
	}
	if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// outcome says what follows from a manipulation, for the document.
func (m manipulation) outcome() string {
	var all []string
	for _, who := range slices.Sorted(maps.Keys(m.raises)) {
		for code := range strings.FieldsSeq(sorted(m.raises[who])) {
			all = append(all, fmt.Sprintf("`%s` (%s)", code, who))
		}
	}
	for _, who := range slices.Sorted(maps.Keys(m.refuses)) {
		all = append(all, fmt.Sprintf("%s is told: %s", who, m.refuses[who]))
	}
	if m.instead != "" {
		all = append(all, m.instead)
	}
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, ", ")
}
