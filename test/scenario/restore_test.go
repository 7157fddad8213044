package scenario

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// A server is backed up while people talk, dies, and is restored: what was said
// in between comes back from the people, each is warned with the number, and
// the talk goes on. Everything is there once.
func TestBackupAndRestore(t *testing.T) {
	w := newWorld(t, "restore-time=8000")
	alice, bob := w.joins("Alice"), w.joins("Bob")
	for i := range 10 {
		alice.types(fmt.Sprintf("early %d", i))
	}
	bob.expect("^Alice: early 9")
	data, backups := filepath.Join(w.folder, "server"), filepath.Join(w.folder, "backups")
	if out, code := w.runs("operator", "backup", "create", backups, "--data", data); code != 0 {
		t.Fatalf("backup: %s", out)
	}
	for i := range 10 {
		bob.types(fmt.Sprintf("late %d", i))
	}
	alice.expect("^Bob: late 9")
	alice.types("the last before the crash")
	bob.expect("^Alice: the last before the crash")
	w.server.cmd.Process.Signal(syscall.SIGKILL)
	w.server.ends()
	made, err := filepath.Glob(filepath.Join(backups, "securelink-*"))
	if err != nil || len(made) != 1 {
		t.Fatalf("backups: %v %v", made, err)
	}
	w.data = filepath.Join(w.folder, "restored")
	if out, code := w.runs("operator", "restore", made[0], "--data", w.data); code != 0 {
		t.Fatalf("restore: %s", out)
	}
	bob.types("while it was away")
	w.serve()
	alice.expect("^Bob: while it was away")
	number := regexp.MustCompile(`(\d+) entr`)
	for _, p := range []*process{alice, bob} {
		line := p.expect(`^Warning \(log-reset\): .*entr.* lost there.*`)[0]
		// At least the eleven messages; changes of the group count as well.
		if n := number.FindStringSubmatch(line); n == nil || len(n[1]) < 2 {
			t.Errorf("%s was told: %s", p.name, line)
		}
		if again := strings.Count(p.text(), "Warning (log-reset)"); again != 1 {
			t.Errorf("%s was warned %d times", p.name, again)
		}
		if strings.Contains(p.text(), "rollback") {
			t.Errorf("%s was warned of a rollback:\n%s", p.name, p.text())
		}
	}
	alice.types("we are back")
	bob.expect("^Alice: we are back")
	carol := w.joins("Carol") // what strangers enter by is of today too
	carol.types("hello")
	alice.expect("^Carol: hello")
	carol.quits()
	for _, p := range []*process{alice, bob} {
		for i := range 10 {
			for _, text := range []string{fmt.Sprintf("early %d", i), fmt.Sprintf("late %d", i)} {
				if n := len(regexp.MustCompile(`(?m)^\w+: `+text+`$`).FindAllString(p.text(), -1)); n != 1 {
					t.Errorf("%s read %q %d times", p.name, text, n)
				}
			}
		}
		p.quits()
	}
	for _, name := range []string{"Alice", "Bob"} {
		again := w.chat(name)
		again.expect("^You are in Lounge")
		again.types("/search early")
		again.expect("^10 messages found")
		again.types("/search late")
		again.expect("(?s)10 messages found.*10 messages found")
		again.quits()
	}
}
