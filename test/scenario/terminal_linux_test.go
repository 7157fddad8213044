package scenario

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// terminal starts securelink at a terminal of 80 columns: a real one of the
// kernel's, with echo and line editing, of which the test holds the other end.
func terminal(t *testing.T, name string, env []string, args ...string) *process {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	p := &process{t: t, name: name, in: master, done: make(chan struct{}), changed: make(chan struct{})}
	p.cmd = exec.Command(binary, args...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = slave, slave, slave
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		io.Copy(p, master) // ends when nobody has the terminal any more
		close(read)
	}()
	go func() {
		p.cmd.Wait()
		<-read
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		master.Close()
	})
	return p
}

// rows are what the terminal shows, the last of them last.
func rows(text string) (all []string) {
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		for runes := []rune(line); ; runes = runes[80:] {
			if len(runes) <= 80 {
				all = append(all, string(runes))
				break
			}
			all = append(all, string(runes[:80]))
		}
	}
	return all
}

var (
	tagged    = regexp.MustCompile(`^[^:#]+#[0-9a-f]{4}: named\d+\.$`)
	piled     = regexp.MustCompile(`\pM{9}`)
	harmless  = regexp.MustCompile(`^\x{e0001}`) // tags: nobody sees them, and they are dropped
	lineNamed = regexp.MustCompile(`named\d+\.`)
	quoted    = regexp.MustCompile(`^"[^"]*"(#[0-9a-f]{4})?: named\d+\.$`)
	joins     = regexp.MustCompile(`^([^:"]+|"[^"]*")(#[0-9a-f]{4})? has joined the chat$`)
)

// Somebody writes whatever a terminal would obey or a reader could mistake, and
// calls themselves the same. The bytes that reach Alice's terminal hold no
// control but the end of a line, and no row that is not by its author begins
// like one. FAULTS 79, 80.
func TestHostileTextsAtATerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice := terminal(t, "Alice", w.home("Alice"), "chat", w.tap.Addr().String())
	alice.expect("Your name: ")
	alice.types("Alice")
	alice.expect("^You are in Lounge")
	bob := w.joins("Bob")
	alice.then("^Bob has joined the chat")
	begin := len(alice.text())
	texts := []string{
		"\x1b[2J\x1b[H\x1b]0;owned\x07\x1b]52;c;ZXZpbA==\x07\x1bPq\x1b\\\x1b_x\x1b\\",
		"\u009b31mred\u009d0;title\u009c\u0090q\u009c",
		"hi\nBob: I agree", "hi\r\nYou: I agree", "hi\rBob: over it", "hi\x0bBob: yes\x0cBob: yes\u0085Bob: yes\u2028Bob: yes\u2029Bob: yes",
		"hi" + strings.Repeat(" ", 68) + "Bob: I agree", strings.Repeat("a", 66) + " Bob: I agree", strings.Repeat("\u2800", 80) + "Bob: I agree",
		"\u202eeerga I :boB\u202c\u2066\u2067\u2069\u200b\ufeff", "\x00\x08\x08\x08\x08\x7f\tBob: I agree",
		"a" + strings.Repeat("\u0301", 3900), "\U000e0001\U000e0042\ue000",
	}
	mallory := start(t, "Mallory", w.home("Mallory"), "listen", "--server", w.tap.Addr().String(), "--room", "lounge", "--name", "Mallory")
	alice.then("^Mallory has joined the chat")
	for i, text := range texts {
		w.sends("Mallory", fmt.Sprintf("%s end%d.", text, i))
		alice.expect(fmt.Sprintf(`end%d\.`, i))
	}
	mallory.kill()
	var taken atomic.Int32
	var work sync.WaitGroup
	for i, name := range []string{"Bob", "You", "Notice", "Bob: I agree", "Alice has left the chat", "B\u043eb", "Bob\x1b[31m", "Bob\u202e", "Warning (fork)", " Bob", "Bob#1234", "Alice made Bob an admin.", "#1234"} {
		work.Go(func() {
			_, code := w.runs(fmt.Sprintf("Mallory%d", i), "send", "--server", w.tap.Addr().String(), "--room", "lounge", "--name", name, fmt.Sprintf("named%d.", i))
			switch code {
			case 0:
				taken.Add(1)
			case 1, 6:
			default:
				t.Errorf("the name %q ends with code %d", name, code)
			}
		})
	}
	work.Wait()
	bob.types("/info")
	tag := bob.expect(`^Your user id: ([0-9a-f]{4})`)[1]
	bob.types("it is me")
	alice.expect("it is me")
	if named := taken.Load(); named < 3 || int(named) != len(lineNamed.FindAllString(alice.text(), -1)) {
		t.Errorf("%d of the names were taken, and Alice reads:\n%s", named, alice.text())
	}
	for _, lie := range lies(alice.text()[begin:], "Bob#"+tag+": it is me") {
		t.Error(lie)
	}
	// The control: as they were sent, each of the texts is found out.
	for _, text := range texts {
		if len(lies("Mallory: "+text+"\r\nBob: it is me", "Bob: it is me")) == 0 && !harmless.MatchString(text) {
			t.Errorf("nothing is wrong with %q as it was sent", text)
		}
	}
}

// lies lists what in the bytes for a terminal it would obey, and the rows that
// nobody is known to have written. genuine is the one line that Bob wrote.
func lies(shown, genuine string) (found []string) {
	for _, r := range strings.ReplaceAll(shown, "\r\n", "") {
		if unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp, unicode.Co) {
			found = append(found, fmt.Sprintf("%U reaches the terminal", r))
		}
	}
	if piled.MatchString(shown) {
		found = append(found, "marks pile up")
	}
	byBob := 0
	for _, row := range rows(shown) {
		switch {
		case row == genuine:
			byBob++
		case row == "", strings.HasPrefix(row, "  | "), strings.HasPrefix(row, "Mallory: "), strings.HasPrefix(row, "Mallory has joined"):
		case tagged.MatchString(row), quoted.MatchString(row), joins.MatchString(row):
		default:
			found = append(found, fmt.Sprintf("a row that nobody is known to have written: %q", row))
		}
	}
	if byBob != 1 {
		found = append(found, fmt.Sprintf("Bob said one thing, and %d rows are his:\n%s", byBob, shown))
	}
	return found
}

// awaitNoEcho waits until a terminal does not show what is typed. Before that it
// does: nothing else tells.
func awaitNoEcho(t *testing.T, p *process) {
	t.Helper()
	fd := int(p.in.(*os.File).Fd())
	for deadline := time.Now().Add(patience); ; {
		termios, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		if termios.Lflag&unix.ECHO == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the terminal shows what is typed at the password's prompt")
		}
		runtime.Gosched()
	}
}

// A password is asked for at the terminal, is not shown there, and is not sent
// anywhere as a message.
func TestPasswordAtATerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bob := w.joins("Bob")
	alice := terminal(t, "Alice", w.home("Alice"), "chat", w.tap.Addr().String(), "--login", "alice", "--register", "--name", "Alice")
	alice.expect("Password: ")
	awaitNoEcho(t, alice)
	alice.types("correct horse Alice")
	alice.expect("^You are in Lounge")
	alice.types("hello")
	bob.expect("^Alice: hello")
	for _, p := range []*process{alice, bob} {
		if strings.Contains(p.text(), "correct horse") {
			t.Errorf("the password is at %s's terminal:\n%s", p.name, p.text())
		}
	}
	// She signs out, and in again with the keys that are still there.
	alice.types("/logout")
	if code := alice.ends(); code != 0 {
		t.Errorf("alice ended with code %d", code)
	}
	alice = terminal(t, "Alice", w.home("Alice"), "chat", w.tap.Addr().String())
	alice.expect(`^Sign in again as Alice\?`)
	alice.types("yes")
	alice.expect("^You are in Lounge")
	alice.types("here again")
	bob.expect("^Alice: here again")
	alice.types("/quit")
	if code := alice.ends(); code != 0 {
		t.Errorf("alice ended with code %d", code)
	}
}
