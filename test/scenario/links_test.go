package scenario

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/gateway"
)

// makes has somebody make a link to the room they are in, and returns it.
func makes(p *process, command string) string {
	p.t.Helper()
	before := strings.Count(p.text(), "Whoever has this link")
	p.types(command)
	p.printsMore("Whoever has this link", before)
	all := regexp.MustCompile(`(?m)^  (securelink:\S+)$`).FindAllStringSubmatch(p.text(), -1)
	return all[len(all)-1][1]
}

// A friend types `securelink chat LINK` and nothing else: asks, waits, is let
// in, and what was typed in the meantime is said inside.
func TestAskingByLink(t *testing.T) {
	w := newWorld(t)
	alice := w.joins("Alice")
	alice.types("/new Club")
	alice.expect(`^You are in Club`)
	link := makes(alice, "/link ask uses 1")
	follow := func(name, link string) *process {
		return start(t, name, w.home(name), "chat", link, "--name", name)
	}
	// Somebody who has seen a part of it gets nowhere, and leaves no trace.
	guess := follow("Mallory", link[:len(link)-4]+"AAAA")
	if code := guess.ends(); code == 0 {
		t.Errorf("a wrong link ended with code 0:\n%s", guess.text())
	}

	bob := follow("Bob", link)
	bob.types("is anybody there?")
	bob.expect(`^You have asked to come in\. An admin of the room has to let you in`)
	alice.expect(`^Bob asks to come into this room, by link 1\. Type /approve Bob or /decline Bob`)
	if strings.Contains(bob.text(), "Club") {
		t.Error("the name of the room was told at the door")
	}
	alice.types("/requests")
	number := alice.expect(`^  Bob, by link 1, since .*\n    safety number ([0-9 ]{71})$`)[1]
	alice.types("/approve Bob")
	bob.expect(`^You are in Club \(2 people\)`)
	alice.expect(`^Bob: is anybody there\?`)
	alice.types("welcome")
	bob.expect(`^Alice: welcome`)
	bob.types("/verify Alice")
	bob.expect(`^Safety number with Alice:`)
	shown := bob.expect(`with Alice:\n  ([0-9 ]+)\n  ([0-9 ]+)\n  ([0-9 ]+)$`)
	if got := strings.Join(shown[1:], " "); got != number {
		t.Errorf("at the door Alice saw the safety number %s, inside Bob sees %s", number, got)
	}
	if strings.ContainsAny(bob.text(), "█\x1b") {
		t.Error("a pipe was given a QR code")
	}
	carol := follow("Carol", link)
	carol.expect(`^The server knows of no such thing`)
	if code := carol.ends(); code != 7 {
		t.Errorf("a link that is used up ended with code %d", code)
	}
	if strings.Contains(alice.text(), "Mallory") || strings.Contains(alice.text(), "Carol") {
		t.Errorf("Alice was told of people with a dead link:\n%s", alice.text())
	}

	// Two more: one is turned away, under the other the link ends.
	second := makes(alice, "/link ask")
	dave := follow("Dave", second)
	alice.expect(`^Dave asks to come into this room, by link 2`)
	alice.types("/decline Dave")
	dave.expect(`^You were not let in\.`)
	if code := dave.ends(); code != 7 {
		t.Errorf("who was turned away ended with code %d", code)
	}
	erin := follow("Erin", second)
	alice.expect(`^Erin asks to come into this room`)
	alice.types("/unlink 2")
	alice.expect(`^That link is dead`)
	erin.expect(`^The link that you asked by has ended`)
	if code := erin.ends(); code != 7 {
		t.Errorf("who waited by a link that ended, ended with code %d", code)
	}

	// Nobody is there to answer: the wish waits, and so does who has it.
	third := makes(alice, "/link ask days 2")
	alice.quits()
	frank := follow("Frank", third)
	frank.expect(`^You have asked to come in`)
	frank.cmd.Process.Kill()
	<-frank.done
	alice = w.chat("Alice", "--room", "Club")
	alice.expect(`^Frank asks to come into`)
	alice.types("/approve Frank")
	alice.expect(`^Frank has joined the chat \(added by You\)|^Frank has joined the chat`)
	frank = follow("Frank", third)
	frank.expect(`^You are in Club \(3 people\)`)
	frank.types("thanks")
	bob.expect(`^Frank: thanks`)
	for _, p := range []*process{alice, bob, frank} {
		p.quits()
	}
}

// Who was banned cannot come back by any link until the ban is lifted.
func TestBan(t *testing.T) {
	w := newWorld(t)
	alice := w.joins("Alice")
	alice.types("/new Club")
	alice.expect(`^You are in Club`)
	link := makes(alice, "/link")
	bob := start(t, "Bob", w.home("Bob"), "chat", link, "--name", "Bob")
	bob.expect(`^You are in Club`)
	alice.expect(`^Bob has joined the chat`)
	alice.types("/ban Bob")
	bob.expect(`^Bob was removed from the chat by Alice`)
	bob.quits()
	// The removal has replaced the link's secret.
	alice.types("/links")
	fresh := alice.expect(`(?s)Bob was removed.*  1  used 0 [^\n]*(securelink:\S+)$`)[1]
	if fresh == link {
		t.Fatal("the address that Bob knows is still the room's")
	}
	bob = start(t, "Bob", w.home("Bob"), "chat", fresh)
	bob.expect(`^You are banned from this room`)
	if code := bob.ends(); code != 7 {
		t.Errorf("who is banned ended with code %d", code)
	}
	alice.types("/unban")
	alice.expect(`^Banned from this room: Bob#`)
	alice.types("/unban Bob")
	alice.expect(`^Notice: Alice lifted the ban on Bob`)
	bob = start(t, "Bob", w.home("Bob"), "chat", fresh)
	bob.expect(`^You are in Club \(2 people\)`)
	bob.types("here again")
	alice.expect(`^Bob: here again`)
	bob.quits()
	alice.quits()
}

// A link that a browser made names the page, not the port for terminals; a
// terminal opens it all the same, and the pin in it decides whom it talks to.
func TestTerminalOpensABrowsersLink(t *testing.T) {
	folder := t.TempDir()
	home := func(name string) []string { return []string{"SECURELINK_HOME=" + filepath.Join(folder, name)} }
	if _, _, err := gateway.SelfSigned(folder, []string{"127.0.0.1"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	serve := func(name string) (terminals, page string) {
		p := start(t, name, nil, "serve", "--listen", "127.0.0.1:0", "--web", "127.0.0.1:0", "--data", filepath.Join(folder, name),
			"--cert", filepath.Join(folder, "web-cert.pem"), "--key", filepath.Join(folder, "web-key.pem"))
		p.expect(`^Ready`)
		return p.expect(`securelink chat (127\.0\.0\.1:\d+)`)[1], p.expect(`Page\s+(https://\S+)$`)[1]
	}
	terminals, page := serve("server")
	alice := start(t, "Alice", home("Alice"), "chat", terminals, "--name", "Alice")
	alice.expect(`^You are in Lounge`)
	alice.types("/new Club")
	alice.expect(`^You are in Club`)
	// What a browser makes differs in the first part alone: client.JoinLink.
	_, rest, _ := strings.Cut(makes(alice, "/link"), "/j/")
	link := page + "/j/" + rest
	bob := start(t, "Bob", home("Bob"), "chat", link, "--name", "Bob")
	bob.expect(`^You are in Club \(2 people\)`)
	bob.types("from the page's side")
	alice.expect(`^Bob: from the page's side`)
	alice.types("and back")
	bob.expect(`^Alice: and back`)
	// What he hands out leads to the page as well.
	bob.types("/info")
	bob.expect(`^Server: ` + regexp.QuoteMeta(page) + `, connected`)
	bob.quits()

	// Another server stands at a page's address: the link's pin refuses it, for
	// those who were here before and for those who were not.
	_, imposter := serve("imposter")
	for _, name := range []string{"Bob", "Carol"} {
		p := start(t, name, home(name), "chat", imposter+"/j/"+rest, "--name", name)
		p.expect(`the server's key is not the known one`)
		if code := p.ends(); code == 0 || strings.Contains(p.text(), "You are in") {
			t.Errorf("%s was led to the imposter, code %d:\n%s", name, code, p.text())
		}
	}
	// One link names this page with another server's key.
	forged := imposter + "/j/" + rest
	_, theirs, _ := strings.Cut(forged, "#")
	flipped := map[bool]string{true: "B", false: "A"}[theirs[0] == 'A'] + theirs[1:]
	p := start(t, "Bob", home("Bob"), "chat", strings.Replace(link, rest, strings.Split(rest, "#")[0]+"#"+flipped, 1))
	p.expect(`names another key`)
	if code := p.ends(); code != 4 {
		t.Errorf("a link with another key ended with code %d", code)
	}
	alice.quits()
}
