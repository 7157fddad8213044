package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Scripts branch on the exit code: each is provoked once.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "accounts-per-address=1")
	address := w.tap.Addr().String()
	lounge := func(more ...string) []string {
		return append([]string{"send", "--server", address, "--room", "lounge"}, more...)
	}
	try := func(code int, why, name string, args ...string) {
		t.Helper()
		p := start(t, name, w.home(name), args...)
		if got := p.ends(); got != code {
			t.Errorf("%s: code %d, want %d\n%s", strings.Join(args, " "), got, code, p.text())
		}
		if !strings.Contains(p.text(), why) {
			t.Errorf("%s: it does not say %q:\n%s", strings.Join(args, " "), why, p.text())
		}
	}
	try(0, "", "Ann", lounge("--name", "Ann", "hello")...)
	try(1, "requires at least 1 arg", "Ann", lounge()...)
	try(1, "a name is", "Ann", lounge("--profile", "../x", "hello")...)
	try(1, "not a cursor", "Ann", "listen", "--server", address, "--room", "lounge", "--since", "yesterday")
	file := filepath.Join(w.folder, "home-File")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	try(2, "not a directory", "File", lounge("--name", "File", "hello")...)
	try(3, "no server answers at 127.0.0.1:1", "Ann", "send", "--server", "127.0.0.1:1", "hello")
	try(3, "took too long", "Ann", lounge("--timeout", "1ns", "hello")...)
	try(5, "Try again in", "Bea", lounge("--name", "Bea", "hello")...)
	try(6, "--name NAME", "Cid", lounge("hello")...)
	stranger := w.chat("Dan", "--login", "nobody")
	stranger.types("a password")
	if code := stranger.ends(); code != 6 {
		t.Errorf("a wrong password: code %d, want 6\n%s", code, stranger.text())
	}
	try(7, `no room called "attic"`, "Ann", "send", "--server", address, "--room", "attic", "hello")

	// Another server stands where the known one was.
	w.halt()
	try(3, "took too long", "Ann", lounge("--timeout", "300ms", "hello")...)
	if err := os.Rename(filepath.Join(w.folder, "server"), filepath.Join(w.folder, "first server")); err != nil {
		t.Fatal(err)
	}
	w.serve()
	try(4, "key", "Ann", lounge("hello")...)
}

// Five scripts of one profile send at once: with nobody listening they wait for
// each other, beside a listener they hand over to it. All of it is in the room,
// once.
func TestManySendAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address := w.tap.Addr().String()
	reader := w.joins("Reader")
	w.sends("Ann", "first.")
	reader.expect("first")
	all := func(round string) {
		var work sync.WaitGroup
		for i := range 5 {
			work.Go(func() { w.sends("Ann", fmt.Sprintf("%s%d.", round, i)) })
		}
		work.Wait()
		for i := range 5 {
			reader.expect(fmt.Sprintf(`^Ann: %s%d\.$`, round, i))
		}
	}
	all("alone")
	listener := start(t, "listener", w.home("Ann"), "listen", "--server", address, "--room", "lounge", "--json", "--since", "c1.1")
	all("beside")
	listener.expect(`beside`)
	w.sends("Ann", "last.")
	reader.expect("last")
	if n := strings.Count(reader.text(), "Ann: "); n != 12 {
		t.Errorf("twelve messages were sent, %d arrived:\n%s", n, reader.text())
	}
}
