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
	"syscall"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/client"
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
// what they wrote and were told is sent; it is held against the bytes of the
// server's log, against what all three saw as it came, and against what their
// devices hold in the end: no acknowledged message is lost, doubled or
// reordered.
func TestCrashOfServer(t *testing.T) {
	crashes := soak(20)
	w := newWorld(t, "new-connections=1000000", "connections-per-address=10000")
	w.witness()
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
	everybody := map[string]*process{"Reader": reader}
	for name, p := range writers {
		p.expect(fmt.Sprintf(`^You: n%d\.$`, typed[name]))
		everybody[name] = p
	}
	for whose, p := range everybody {
		for name, n := range typed {
			if name == whose {
				name = "You"
			}
			p.expect(fmt.Sprintf(`^%s: n%d\.$`, name, n))
			ascending(t, "what "+whose+" saw", p.text(), name, n)
		}
		if text := p.text(); strings.Contains(text, "Warning") {
			t.Errorf("a crash raised an alarm:\n%s", text)
		}
		p.quits()
	}
	for whose := range everybody {
		held := w.timeline(whose)
		for name, n := range typed {
			ascending(t, "the device of "+whose, held, name, n)
		}
	}
	w.halt()
	log := strings.Join(w.audit("Witness", nil).texts, "\n")
	for name, n := range typed {
		ascending(t, "the server's log", log, name, n)
		t.Logf("%s: %d messages over %d crashes", name, n, crashes)
	}
	w.usedOnce("Witness", typed["Alice"]+typed["Bob"], "Witness")
}

// ascending wants the lines n1 to n of one person, once each and in order.
func ascending(t *testing.T, where, text, name string, n int) {
	t.Helper()
	got := said(text, name+": n")
	for i := range max(n, len(got)) {
		if i >= len(got) || i >= n || got[i] != i+1 {
			t.Fatalf("%s wrote %d messages; after %d of them %s holds %v", name, n, i, where, got[min(i, len(got)):min(i+3, len(got))])
		}
	}
}

// timeline reads all messages that somebody's device holds of the Lounge, as
// lines; nothing else may run on the profile.
func (w *world) timeline(name string) string {
	w.t.Helper()
	p := start(w.t, name+"'s device", w.home(name), "listen", "--server", w.tap.Addr().String(), "--room", "Lounge", "--json", "--since", "c1.1")
	mark := "end of " + name + "'s timeline"
	if _, code := w.runs(name, "send", "--server", w.tap.Addr().String(), "--room", "Lounge", mark); code != 0 {
		w.t.Fatalf("send beside listen ended with code %d", code)
	}
	p.expect(mark)
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.ends()
	var out strings.Builder
	for _, line := range lines(p.text()) {
		var item struct{ Type, Name, Text string }
		if err := json.Unmarshal([]byte(line), &item); err != nil {
			w.t.Fatalf("%q: %v", line, err)
		}
		if item.Type == client.ItemText {
			fmt.Fprintf(&out, "%s: %s\n", item.Name, item.Text)
		}
	}
	return out.String()
}

// A client is killed at random moments: one that sends a single message, and
// one that has several under way. What was asked for with a key of its own, or
// was shown as sent, is in the room once and in order; nothing is doubled; the
// others raise no alarm; and the bytes of the server's log show no place in the
// ratchets that was used twice.
func TestCrashOfClient(t *testing.T) {
	crashes := soak(12)
	w := newWorld(t, "new-connections=1000000", "connections-per-address=10000")
	w.witness()
	reader := w.joins("Reader")
	var whole time.Duration
	for _, text := range []string{"first", "second"} {
		began := time.Now()
		if _, code := w.runs("Sender", "send", "--server", w.tap.Addr().String(), "--room", "lounge", "--name", "Sender", text); code != 0 {
			t.Fatalf("the %s message ended with code %d", text, code)
		}
		whole = time.Since(began)
		reader.expect("^Sender: " + text)
	}
	w.copies("Sender", "Old state of the sender")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	sent := w.killSenders(crashes, whole, rng)
	shown := w.killTalkers(crashes, rng)
	reader.expect(`^Sender: the end`)
	if got := said(reader.text(), "Sender: m"); !slices.Equal(got, sent) {
		t.Errorf("of single messages the reader has %v", got)
	}
	got := said(reader.text(), "Sender: c")
	for i, n := range got[1:] {
		if n <= got[i] {
			t.Errorf("after message %d the reader has message %d", got[i], n)
		}
	}
	for _, n := range shown {
		if !slices.Contains(got, n) {
			t.Errorf("message %d was shown as sent, and the reader does not have it", n)
		}
	}
	t.Logf("%d messages of a killed talk were shown as sent, %d arrived", len(shown), len(got))
	if text := reader.text(); strings.Contains(text, "Warning") {
		t.Errorf("a crash raised an alarm:\n%s", text)
	}
	reader.quits()
	w.halt()
	w.usedOnce("Witness", len(sent)+len(got), "Old state of the sender")
}

// killSenders kills processes that send one message each. Whoever is not sure
// asks again with the same key.
func (w *world) killSenders(crashes int, whole time.Duration, rng *rand.Rand) (sent []int) {
	w.t.Helper()
	killed := 0
	for i := range crashes {
		id := fmt.Sprintf("%032x", i+1)
		args := []string{"send", "--server", w.tap.Addr().String(), "--room", "Lounge", "--json", "--key", id, fmt.Sprintf("m%d.", i)}
		p := start(w.t, "sender", w.home("Sender"), args...)
		select {
		case <-p.done:
		case <-time.After(time.Duration(rng.Int64N(int64(whole) * 3 / 2))):
			killed++
		}
		p.kill()
		out, code := w.runs("Sender", args...)
		var answer struct{ State, ID string }
		if err := json.Unmarshal([]byte(out), &answer); err != nil || code != 0 || answer.State != "sent" || answer.ID != id {
			w.t.Fatalf("message %d: code %d, %s, %v", i, code, out, err)
		}
		sent = append(sent, i)
	}
	w.t.Logf("%d of %d senders were killed before their end", killed, crashes)
	if killed == 0 {
		w.t.Error("no sender was killed: there was nothing to see")
	}
	if left, err := filepath.Glob(filepath.Join(w.profile("Sender"), "send.sock")); err != nil || len(left) > 0 {
		w.t.Errorf("a socket is left behind: %v, %v", left, err)
	}
	return sent
}

// killTalkers kills a talk that has ten messages to send, again and again, and
// returns those that were shown as sent before.
func (w *world) killTalkers(crashes int, rng *rand.Rand) (shown []int) {
	w.t.Helper()
	const burst = 10
	for i := range crashes {
		p := w.joins("Sender")
		for n := range burst {
			p.types(fmt.Sprintf("c%d.", i*burst+n))
		}
		p.expect(fmt.Sprintf(`^You: c%d\.`, i*burst+rng.IntN(burst)))
		p.kill()
		shown = append(shown, said(p.text(), "You: c")...)
	}
	p := w.joins("Sender")
	p.types("the end")
	p.expect("^You: the end")
	p.quits()
	slices.Sort(shown)
	return slices.Compact(shown)
}

// said lists the numbers of the lines that begin so and end with a dot.
func said(text, begin string) (numbers []int) {
	for _, line := range lines(text) {
		rest, ok := strings.CutPrefix(line, begin)
		if !ok {
			continue
		}
		if n, err := strconv.Atoi(strings.TrimSuffix(rest, ".")); err == nil {
			numbers = append(numbers, n)
		}
	}
	return numbers
}
