package scenario

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// Three people talk; an attacker who reads database, logs and wire finds none
// of the thousand random strings that they said.
func TestAttackerFindsNothing(t *testing.T) {
	const each = 334
	w := newWorld(t)
	people := []*process{w.joins("Alice"), w.joins("Bob"), w.joins("Carol")}
	var said []string
	for i := range each {
		for _, p := range people {
			text := rand.Text()
			said = append(said, text)
			p.types(text)
			if i == each-1 {
				p.expect("^You: " + text)
			}
		}
	}
	for _, p := range people {
		for _, text := range said[len(said)-3:] {
			p.expect(text + "$")
		}
		heard := p.text()
		for _, text := range said {
			if !strings.Contains(heard, ": "+text) {
				t.Fatalf("%s did not hear %s", p.name, text)
			}
		}
		p.quits()
	}
	w.mu.Lock()
	seen := bytes.Clone(w.seen.Bytes())
	w.mu.Unlock()
	for where, haystack := range map[string][]byte{"kept or logged by the server": w.held(), "on the wire": seen} {
		t.Logf("%d bytes %s", len(haystack), where)
		if text := hunt(haystack, said); text != "" {
			t.Errorf("%s is %s", text, where)
		}
	}
	// The search does find what is there, in each form.
	for _, text := range []string{said[7], hex.EncodeToString([]byte(said[7])), base64.StdEncoding.EncodeToString([]byte("x" + said[7]))} {
		if hunt([]byte("some bytes "+text+" more bytes"), said) != said[7] {
			t.Errorf("the search does not find %q", text)
		}
	}
	if !bytes.Contains(w.held(), []byte("Alice")) {
		t.Error("not even the name that the server knows was found")
	}
}

// hunt looks for texts in plain, hexadecimal and base64 form, and returns one
// that it found. It looks up every eight bytes of the haystack among the
// beginnings of all forms.
func hunt(haystack []byte, texts []string) string {
	begins := map[[8]byte][]string{}
	whose := map[string]string{}
	add := func(form, text string) {
		begin := [8]byte([]byte(form))
		begins[begin] = append(begins[begin], form)
		whose[form] = text
	}
	for _, text := range texts {
		plain := hex.EncodeToString([]byte(text))
		add(text, text)
		add(plain, text)
		add(strings.ToUpper(plain), text)
		// Where a text lies within what was encoded changes its base64; what
		// stands for whole groups of its own is the same for each of three.
		for skip := range 3 {
			inner := []byte(text)[(3-skip)%3:]
			add(base64.StdEncoding.EncodeToString(inner[:len(inner)/3*3]), text)
		}
	}
	for i := 0; i+8 <= len(haystack); i++ {
		for _, form := range begins[[8]byte(haystack[i:])] {
			if bytes.HasPrefix(haystack[i:], []byte(form)) {
				return whose[form]
			}
		}
	}
	return ""
}

// The server restarts in mid-conversation; what is said in between arrives,
// once and in order.
func TestServerRestart(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins("Alice"), w.joins("Bob")
	alice.types("before")
	bob.expect("^Alice: before")
	w.server.cmd.Process.Signal(syscall.SIGTERM)
	if code := w.server.ends(); code != 0 {
		t.Errorf("the server ended with code %d", code)
	}
	alice.types("in between")
	w.serve()
	alice.types("after")
	bob.expect("^Alice: after")
	if want := "Alice: before\nAlice: in between\nAlice: after\n"; strings.Count(bob.text(), "Alice: ") != 3 {
		t.Errorf("bob read:\n%s\nwant %s", bob.text(), want)
	}
	bob.types("still here")
	alice.expect("^Bob: still here")
	alice.quits()
	bob.quits()
}

// A second server on the same data is refused, and says why.
func TestOneServerAFolder(t *testing.T) {
	w := newWorld(t)
	p := start(t, "second server", nil, "serve", "--listen", "127.0.0.1:0", "--web", "", "--data", w.folder+"/server")
	p.expect("runs on the data folder")
	if code := p.ends(); code == 0 {
		t.Error("a second server ran on the same folder")
	}
}

// Who was removed keeps everything, and can read nothing of what follows.
func TestRemovedReadsNothing(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins("Alice"), w.joins("Bob")
	bob.types("/info")
	id := bob.expect(`^Your user id: ([0-9a-f]{64})`)[1]
	alice.types("/new Family")
	alice.expect("^You are in Family")
	alice.types("/invite " + id)
	bob.expect("^Alice invites you to Family")
	bob.types("/accept Family")
	bob.expect("^You are in Family")
	alice.types("welcome")
	bob.expect("^Alice: welcome")
	alice.types("/remove Bob")
	bob.expect("^Bob was removed from the chat by Alice")
	alice.types("now that he is gone")
	alice.expect("^You: now that he is gone")
	bob.types("/join lounge")
	bob.types("what do they say?")
	bob.expect("^You: what do they say")
	out, code := w.runs("Bob", "send", "--server", w.tap.Addr().String(), "--room", "Family", "--json", "let me in")
	if code != 7 {
		t.Errorf("writing to a room that one was removed from ended with code %d: %s", code, out)
	}
	bob.quits()
	if strings.Contains(bob.text(), "now that he is gone") {
		t.Error("bob read what was said after his removal")
	}
	again := w.chat("Bob")
	again.expect("^You are in Lounge")
	again.types("/search gone")
	again.expect("^0 messages found")
	again.quits()
	alice.quits()
}

// Scripts: what is sent beside a running listener of the same profile comes
// out of it as an object a line, and a cursor goes on where it stopped.
func TestScripts(t *testing.T) {
	w := newWorld(t)
	address := w.tap.Addr().String()
	if _, code := w.runs("Ann", "send", "--server", address, "--room", "lounge", "too early"); code != 6 {
		t.Errorf("sending without an account ended with code %d, want 6", code)
	}
	if _, code := w.runs("Ann", "send", "--server", address, "--room", "lounge", "--name", "Ann", "hello"); code != 0 {
		t.Fatalf("the first message ended with code %d", code)
	}
	listener := start(t, "listener", w.home("Ann"), "listen", "--server", address, "--room", "lounge", "--json", "--since", "c1.1")
	var cursors []string
	for i := range 3 {
		out, code := w.runs("Ann", "send", "--server", address, "--room", "Lounge", "--json", fmt.Sprintf("build %d ok", i))
		var sent struct{ Schema, ID, Cursor, State string }
		if err := json.Unmarshal([]byte(out), &sent); err != nil || code != 0 || sent.State != "sent" || sent.Schema == "" {
			t.Fatalf("send ended with code %d: %s, %v", code, out, err)
		}
		cursors = append(cursors, sent.Cursor)
		listener.expect(fmt.Sprintf("build %d ok", i))
	}
	listener.cmd.Process.Signal(syscall.SIGTERM)
	if code := listener.ends(); code != 0 {
		t.Errorf("listen ended with code %d", code)
	}
	resumed := start(t, "resumed", w.home("Ann"), "listen", "--server", address, "--room", "Lounge", "--json", "--since", cursors[1])
	resumed.expect("build 2 ok")
	if text := resumed.text(); strings.Contains(text, "build 1 ok") {
		t.Errorf("the cursor did not hold:\n%s", text)
	}
	for _, line := range lines(resumed.text()) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil || object["schema"] == nil || object["cursor"] == nil {
			t.Errorf("a line of listen is %q", line)
		}
	}
}
