package sqlite_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/securelink-chat/securelink/client"
	"github.com/securelink-chat/securelink/client/storagetest"
	"github.com/securelink-chat/securelink/clientstore/sqlite"
)

func open(t *testing.T, file string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStorage(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) client.Storage {
		return open(t, filepath.Join(t.TempDir(), "100% of #1?", "profile.db"))
	})
}

func TestWhatWasAppliedIsThereAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p", "profile.db")
	s := open(t, file)
	if err := s.Apply(t.Context(), []client.Put{{Key: []byte("k"), Value: []byte("v")}}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	pairs, err := open(t, file).Load(t.Context(), client.Range{})
	if err != nil || len(pairs) != 1 || string(pairs[0].Value) != "v" {
		t.Fatalf("after opening it again: %v, %v", pairs, err)
	}
	for _, name := range []string{file, file + "-wal"} {
		info, err := os.Stat(name)
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be read by others: %v", filepath.Base(name), info.Mode())
		}
	}
}

func TestNewerFileIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "profile.db")
	open(t, file).Close()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`PRAGMA user_version = 99`); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if _, err := sqlite.Open(t.Context(), file); !errors.Is(err, sqlite.ErrNewer) {
		t.Fatalf("a newer file: %v", err)
	}
}
