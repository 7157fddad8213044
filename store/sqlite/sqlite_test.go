package sqlite_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/store/sqlite"
	"github.com/securelink-chat/securelink/store/storetest"
	"github.com/securelink-chat/securelink/wire"
)

func open(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) core.Store { return open(t, filepath.Join(t.TempDir(), "core.db")) })
}

func TestDurable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a folder with spaces & signs?%", "core.db")
	if err := makeFolder(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	storetest.RunDurable(t, func(t *testing.T) core.Store { return open(t, path) })
}

func TestNewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "core.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("PRAGMA user_version = 1000"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), path); !errors.Is(err, core.ErrNewerSchema) {
		t.Errorf("a newer schema: %v", err)
	}
}

// TestSQLiteIsNewEnough wants the version from which on the write-ahead log
// cannot lose a commit to a race of checkpoints.
func TestSQLiteIsNewEnough(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "core.db"))
	defer s.Close()
	v, err := s.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	have := 0
	for _, part := range strings.Split(v, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			t.Fatal(err)
		}
		have = have*1000 + n
	}
	if have < 3_051_003 {
		t.Errorf("SQLite %s is older than 3.51.3", v)
	}
}

func TestBackupIsWholeWhileTheStoreIsInUse(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "core.db"))
	defer s.Close()
	room := core.RoomRecord{ID: wire.RoomID{1}, Kind: wire.RoomOpen, Name: "Lounge"}
	if err := s.Commit(t.Context(), []core.Change{core.PutRoom{RoomRecord: room}}); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "backup.db")
	if err := s.Backup(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), copied); err == nil {
		t.Error("a backup overwrote another")
	}
	b := open(t, copied)
	defer b.Close()
	if err := b.Check(t.Context()); err != nil {
		t.Error(err)
	}
	got, _, ok, err := b.Room(t.Context(), room.ID)
	if err != nil || !ok || got != room {
		t.Errorf("%+v, %t, %v", got, ok, err)
	}
}

func makeFolder(path string) error { return os.MkdirAll(path, 0o700) }
