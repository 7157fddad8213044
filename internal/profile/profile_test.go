package profile

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestOneWriterAProfile(t *testing.T) {
	home := t.TempDir()
	first, err := Open(home, [32]byte{1}, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(home, [32]byte{1}, "alice"); !errors.Is(err, ErrBusy) {
		t.Fatalf("a second writer: %v", err)
	}
	for _, other := range []struct {
		pin  [32]byte
		name string
	}{{[32]byte{1}, "bob"}, {[32]byte{2}, "alice"}} {
		f, err := Open(home, other.pin, other.name)
		if err != nil {
			t.Fatalf("another profile is busy too: %v", err)
		}
		f.Close()
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(home, [32]byte{1}, "alice")
	if err != nil {
		t.Fatalf("after the first one ended: %v", err)
	}
	again.Close()
}

func TestRemoveErases(t *testing.T) {
	f, err := Open(t.TempDir(), [32]byte{}, "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.Database(), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.Database()); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the storage is still there: %v", err)
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"", ".", "..", ".hidden", "a/b", `a\b`, "a b", "ä", "12345678901234567890123456789012345678901"} {
		if _, err := Path("home", [32]byte{}, name); !errors.Is(err, ErrName) {
			t.Errorf("%q is taken for a name", name)
		}
	}
	if _, err := Path("home", [32]byte{}, "Alice-2.work_1"); err != nil {
		t.Error(err)
	}
}

func TestExposedProfileIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes do not say who may read here")
	}
	home := t.TempDir()
	path, _ := Path(home, [32]byte{}, "a")
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(home, [32]byte{}, "a"); !errors.Is(err, ErrOpen) {
		t.Fatalf("a profile that all can read: %v", err)
	}
}

func TestKnownServers(t *testing.T) {
	home := filepath.Join(t.TempDir(), "new")
	if _, known, err := KnownPin(home, "host:1"); known || err != nil {
		t.Fatalf("nothing is known yet: %v, %v", known, err)
	}
	for address, pin := range map[string][32]byte{"host:1": {1}, "host:2": {2}} {
		if err := RememberPin(home, address, pin); err != nil {
			t.Fatal(err)
		}
	}
	// What is known stays: nobody can slip in another key for a server.
	if err := RememberPin(home, "host:1", [32]byte{9}); err != nil {
		t.Fatal(err)
	}
	pin, known, err := KnownPin(home, "host:1")
	if err != nil || !known || pin != ([32]byte{1}) {
		t.Fatalf("host:1: %x, %v, %v", pin, known, err)
	}
	if err := os.WriteFile(filepath.Join(home, "known_servers"), []byte("host:1 zz\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := KnownPin(home, "host:1"); err == nil {
		t.Fatal("a damaged line is taken for an unknown server")
	}
}
