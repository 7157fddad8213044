package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/config"
)

// doctor runs the command and returns its findings by what was looked at.
func doctor(t *testing.T, args ...string) (map[string]finding, int) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetErr(io.Discard)
	root.SetArgs(append([]string{"doctor", "--json"}, args...))
	code := exitOK
	if err := root.ExecuteContext(t.Context()); err != nil {
		failed, ok := err.(*failure)
		if !ok || !failed.quiet {
			t.Fatalf("%v: %s", err, out.String())
		}
		code = failed.code
	}
	var answer struct{ Findings []finding }
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	found := map[string]finding{}
	for _, f := range answer.Findings {
		found[f.What] = f
		if f.Seen == "" || (f.Verdict == good) != (f.Remedy == "") {
			t.Errorf("a finding without a word, or a remedy at the wrong place: %+v", f)
		}
	}
	return found, code
}

func TestDoctorOfAServerThatIsWell(t *testing.T) {
	data, s := startServer(t)
	into := filepath.Join(t.TempDir(), "backups")
	if _, _, err := createBackup(t.Context(), data, into, time.Now()); err != nil {
		t.Fatal(err)
	}
	found, code := doctor(t, "--data", data, "--set", "backup.folder="+into, "--set", "core.listen=", "--set", "web.listen=")
	for _, what := range []string{"configuration", "clock", "data folder", "database", "server", "backup"} {
		if f := found[what]; f.Verdict != good {
			t.Errorf("%s: %+v", what, f)
		}
	}
	if code == doctorBad {
		t.Errorf("exit code %d: %+v", code, found)
	}
	s.wait()
}

// Each trouble is found, named, and comes with what to do.
func TestDoctorFindsTrouble(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	damage := func(name string) func(*testing.T, string) {
		return func(t *testing.T, data string) {
			path := filepath.Join(data, name)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := 100; i < len(b); i += 100 {
				b[i] ^= 0xff
			}
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name, what string
		want       verdict
		prepare    func(*testing.T, string)
		args       []string
	}{
		{"readable key", "data folder", bad, func(t *testing.T, data string) {
			if err := os.Chmod(filepath.Join(data, rootFile), 0o644); err != nil {
				t.Fatal(err)
			}
		}, nil},
		{"damaged database", "database", bad, damage(coreFile), nil},
		{"port of another", "port of the page", bad, nil, []string{"--set", "web.listen=" + taken.Addr().String()}},
		{"no server", "server", warning, nil, nil},
		{"no backups configured", "backup", warning, nil, nil},
		{"no backup", "backup", bad, nil, []string{"--set", "backup.folder=/nowhere"}},
		{"no certificate", "certificate", bad, nil, []string{"--set", "web.cert=/nowhere", "--set", "web.key=/nowhere"}},
		{"wrong configuration", "configuration", bad, nil, []string{"--set", "web.lisen=x:1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := serverData(t)
			if c.prepare != nil {
				c.prepare(t, data)
			}
			found, code := doctor(t, append([]string{"--data", data}, c.args...)...)
			if f := found[c.what]; f.Verdict != c.want {
				t.Errorf("%s: %+v, want %s", c.what, f, c.want)
			}
			if want := map[verdict]int{warning: doctorWarning, bad: doctorBad}[c.want]; code < want {
				t.Errorf("exit code %d, want %d at least", code, want)
			}
		})
	}
	old := filepath.Join(t.TempDir(), backupPrefix+"20200101-000000")
	if err := os.MkdirAll(old, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Backup.Folder = filepath.Dir(old)
	if f := examineBackup(&cfg, time.Now()); f.Verdict != warning {
		t.Errorf("an old backup: %+v", f)
	}
	if f := examineClock(time.Unix(0, 0)); f.Verdict == warning {
		t.Errorf("clock: %+v", f)
	}
}

func TestHealthcheck(t *testing.T) {
	s := startCommand(t, "serve", "--data", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0", "--web", "127.0.0.1:0")
	address := strings.TrimPrefix(s.line("  Page          "), "http://")
	s.line("Ready.")
	s.drain()
	if code := run(t.Context(), []string{"healthcheck", "--listen", address}); code != exitOK {
		t.Errorf("a ready server: exit code %d", code)
	}
	s.wait()
	if code := run(t.Context(), []string{"healthcheck", "--listen", address}); code != exitNetwork {
		t.Errorf("no server: exit code %d", code)
	}
}
