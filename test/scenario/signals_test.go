package scenario

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Who is here, and who has read what, is one command away; off hides both ways.
func TestWhoHasRead(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins("Alice"), w.joins("Bob")
	alice.types("did you see this?")
	bob.expect(`^Alice: did you see this\?`)
	asks(alice, "/who", `^  Bob \(online\)(?s:.*)^Your message "did you see this\?" was read by Bob\.`)
	bob.types("/signals off")
	bob.expect(`^Done, for this room`)
	bob.types("/signals")
	bob.expect(`^Signals are off here \(off\)`)
	asks(alice, "/who", ` here:\n(?:  Alice.*\n  Bob\n|  Bob\n  Alice.*\n)Your message`)
	bob.types("/signals on")
	bob.expect(`(?s)for this room.*for this room`)
	asks(alice, "/who", `(?s)  Bob\n.*  Bob \(online\)`)
	bob.quits()
	alice.quits()
}

// asks types a command until its answer is as wanted: news of the others take a
// moment, and are no line of their own.
func asks(p *process, command, pattern string) {
	p.t.Helper()
	re := regexp.MustCompile(`(?m)` + pattern)
	for deadline := time.Now().Add(patience); !re.MatchString(p.text()); {
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: %s does not show %q:\n%s", p.name, command, pattern, p.text())
		}
		before := strings.Count(p.text(), " here:\n")
		p.types(command)
		p.printsMore(" here:\n", before)
	}
}

// printsMore waits until the process has printed a text more than n times.
func (p *process) printsMore(text string, n int) {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		more, changed := strings.Count(p.out.String(), text) > n, p.changed
		p.mu.Unlock()
		if more {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			p.t.Fatalf("%s did not print %q again:\n%s", p.name, text, p.text())
		}
	}
}

// A name behind an @ is a mention: whom it means sees it, and a script does.
func TestMention(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins("Alice"), w.joins("Bob")
	bob.types("here")
	alice.expect(`^Bob: here`)
	listener := start(t, "listener", w.home("Carol"), "listen", "--server", w.tap.Addr().String(), "--name", "Carol", "--json", "--since", "c1.1")
	alice.expect(`^Carol has joined the chat`)
	alice.types("ask @bob, or @Carol")
	bob.expect(`^Alice \(mentions you\): ask @bob, or @Carol`)
	alice.types("nobody @Carolyn")
	alice.types("/edit nobody @Caroline")
	bob.expect(`^Alice: nobody @Carolyn`)
	bob.expect(`^Alice \(edited "nobody @Carolyn"\): nobody @Caroline`)
	alice.types("/react 👍 2")
	alice.types("/delete")
	listener.expect(`"type":"delete"`)
	type event struct {
		Type, Text, ID, Target string
		Mention                bool
	}
	var got []event
	for _, line := range lines(listener.text()) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		got = append(got, e)
	}
	find := func(kind, text string) event {
		for _, e := range got {
			if e.Type == kind && strings.Contains(e.Text, text) {
				return e
			}
		}
		t.Errorf("the script was not told of %s %q: %+v", kind, text, got)
		return event{}
	}
	first, second := find("text", "ask @bob"), find("text", "Caroly")
	if !first.Mention || second.Mention {
		t.Errorf("Carol is mentioned in %+v and not in %+v", first, second)
	}
	for _, e := range []event{find("edit", "Caroline"), find("delete", "")} {
		if e.Target != second.ID {
			t.Errorf("%+v is not about %s", e, second.ID)
		}
	}
	if e := find("reaction", "👍"); e.Target != first.ID {
		t.Errorf("%+v is not about %s", e, first.ID)
	}
	bob.quits()
	alice.quits()
}
