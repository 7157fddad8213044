package scenario

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// soak is how many crashes a story has: the few of every test, or as many as
// SECURELINK_SOAK says.
func soak(few int) int {
	if n, err := strconv.Atoi(os.Getenv("SECURELINK_SOAK")); err == nil {
		return n
	}
	return few
}

// The server is killed again and again while two write. A ledger outside says
// that no acknowledged message was lost, doubled or reordered.
func TestCrashOfServer(t *testing.T) {
	crashes := soak(20)
	w := newWorld(t, "new-connections=1000000", "connections-per-address=10000")
	writers := map[string]*process{"Alice": w.joins("Alice"), "Bob": w.joins("Bob")}
	reader := w.joins("Reader")
	reader.types("I read")
	for _, p := range writers {
		p.expect("^Reader: I read")
	}
	var ledger sync.Mutex
	typed := map[string]int{}
	stop := make(chan struct{})
	var work sync.WaitGroup
	for name, p := range writers {
		work.Go(func() {
			for n := 1; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(15 * time.Millisecond):
				}
				p.types(fmt.Sprintf("n%d.", n))
				ledger.Lock()
				typed[name] = n
				ledger.Unlock()
			}
		})
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range crashes {
		time.Sleep(time.Duration(50+rng.IntN(250)) * time.Millisecond) // load, for a random while
		w.server.kill()
		w.serve()
	}
	close(stop)
	work.Wait()
	for name, p := range writers {
		p.expect(fmt.Sprintf(`^You: n%d\.$`, typed[name]))
	}
	for name, n := range typed {
		reader.expect(fmt.Sprintf(`^%s: n%d\.$`, name, n))
		want, got := 1, 0
		for _, line := range lines(reader.text()) {
			rest, ok := strings.CutPrefix(line, name+": n")
			if !ok {
				continue
			}
			if rest != fmt.Sprintf("%d.", want) {
				t.Fatalf("after %d messages of %s the reader has %q, want n%d", got, name, line, want)
			}
			want, got = want+1, got+1
		}
		if got != n {
			t.Errorf("%s wrote %d messages, the reader has %d", name, n, got)
		}
		t.Logf("%s: %d messages over %d crashes", name, n, crashes)
	}
	if text := reader.text(); strings.Contains(text, "Warning") {
		t.Errorf("a crash raised an alarm:\n%s", text)
	}
}

// A client is killed at random moments while it sends. Every message that was
// asked for with a key of its own is in the room once: none is lost, none is
// doubled, and the others raise no alarm, which a ratchet position used twice
// would.
func TestCrashOfClient(t *testing.T) {
	crashes := soak(12)
	w := newWorld(t, "new-connections=1000000", "connections-per-address=10000")
	address := w.tap.Addr().String()
	reader := w.joins("Reader")
	if _, code := w.runs("Sender", "send", "--server", address, "--room", "lounge", "--name", "Sender", "first"); code != 0 {
		t.Fatalf("the first message ended with code %d", code)
	}
	reader.expect("^Sender: first")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	killed := 0
	for i := range crashes {
		id := fmt.Sprintf("%032x", i+1)
		args := []string{"send", "--server", address, "--room", "Lounge", "--json", "--key", id, fmt.Sprintf("m%d.", i)}
		p := start(t, "sender", w.home("Sender"), args...)
		select {
		case <-p.done:
		case <-time.After(time.Duration(rng.IntN(400)) * time.Millisecond):
			killed++
		}
		p.kill()
		// Whoever is not sure asks again, with the same key.
		out, code := w.runs("Sender", args...)
		var sent struct{ State, ID string }
		if err := json.Unmarshal([]byte(out), &sent); err != nil || code != 0 || sent.State != "sent" || sent.ID != id {
			t.Fatalf("message %d: code %d, %s, %v", i, code, out, err)
		}
	}
	t.Logf("%d of %d senders were killed before their end", killed, crashes)
	reader.expect(fmt.Sprintf(`^Sender: m%d\.$`, crashes-1))
	var got []string
	for _, line := range lines(reader.text()) {
		if rest, ok := strings.CutPrefix(line, "Sender: m"); ok {
			got = append(got, rest)
		}
	}
	var want []string
	for i := range crashes {
		want = append(want, fmt.Sprintf("%d.", i))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the reader has %q", got)
	}
	if text := reader.text(); strings.Contains(text, "Warning") {
		t.Errorf("a crash raised an alarm:\n%s", text)
	}
	if left, err := filepath.Glob(filepath.Join(w.folder, "home-Sender", "servers", "*", "default", "send.sock")); err != nil || len(left) > 0 {
		t.Errorf("a socket is left behind: %v, %v", left, err)
	}
}
