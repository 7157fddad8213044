package main

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/securelink-chat/securelink/config"
	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/store/sqlite"
)

// oldData makes a data folder as the program of schema 1 left it.
func oldData(t *testing.T) string {
	t.Helper()
	data := serverData(t)
	path := filepath.Join(data, coreFile)
	dump, err := os.ReadFile("../../store/sqlite/testdata/schema-1.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := touchPrivate(path); err != nil {
		t.Fatal(err)
	}
	onDatabase(t, path, string(dump))
	return data
}

func onDatabase(t *testing.T, path, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err == nil {
		_, err = db.Exec(query)
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Before a database gets a newer schema there is a backup of it, which can be
// gone back to; and it is made once.
func TestUpgradeMakesABackupFirst(t *testing.T) {
	data := oldData(t)
	var log bytes.Buffer
	for start := range 2 {
		r, err := openCore(t.Context(), coreIn(data), slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(r.Ready(t.Context()), r.Close()); err != nil {
			t.Errorf("start %d: %v", start+1, err)
		}
	}
	var made []string
	for path := range backups(filepath.Join(data, upgradeFolder)) {
		made = append(made, path)
	}
	if len(made) != 1 {
		t.Fatalf("backups: %v, want one", made)
	}
	if !strings.Contains(log.String(), made[0]) {
		t.Errorf("the log does not say where the backup is:\n%s", log.String())
	}
	m, err := verifyBackup(t.Context(), made[0])
	if err != nil || m.Store.Schema != 1 || m.Store.Entries != 12 {
		t.Errorf("the backup holds %+v, %v; want what was there before", m.Store, err)
	}
	if has, newest, err := sqlite.Schema(t.Context(), filepath.Join(data, coreFile)); err != nil || has != newest || has == 1 {
		t.Errorf("schema %d of %d after the upgrade, %v", has, newest, err)
	}
	// The way back.
	restored := filepath.Join(t.TempDir(), "restored")
	if _, err := restoreBackup(t.Context(), made[0], restored); err != nil {
		t.Fatal(err)
	}
	r := openIn(t, restored)
	if err := errors.Join(r.Ready(t.Context()), r.Close()); err != nil {
		t.Error(err)
	}
}

// Where no backup can be made, nothing is upgraded.
func TestNoUpgradeWithoutABackup(t *testing.T) {
	data := oldData(t)
	cfg := coreIn(data)
	cfg.Backups = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(cfg.Backups, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := openCore(t.Context(), cfg, slog.New(slog.DiscardHandler)); err == nil {
		_ = r.Close()
		t.Fatal("the server starts")
	} else if !strings.Contains(fmt.Sprint(err), "no upgrade without a backup") {
		t.Errorf("it says %v", err)
	}
	if has, _, err := sqlite.Schema(t.Context(), filepath.Join(data, coreFile)); has != 1 || err != nil {
		t.Errorf("schema %d, %v: it was touched", has, err)
	}
}

// An older program refuses a newer schema, and says the way back: the backup of
// before the upgrade, if there is one that it can read.
func TestNewerSchemaIsRefusedWithTheWayBack(t *testing.T) {
	data := oldData(t)
	if err := openIn(t, data).Close(); err != nil {
		t.Fatal(err)
	}
	onDatabase(t, filepath.Join(data, coreFile), "PRAGMA user_version = 1000")
	path, _, ok := lastBackup(filepath.Join(data, upgradeFolder))
	if !ok {
		t.Fatal("no backup")
	}
	hintOf := func() string {
		t.Helper()
		r, err := openCore(t.Context(), coreIn(data), slog.New(slog.DiscardHandler))
		if err == nil {
			_ = r.Close()
			t.Fatal("the server starts")
		}
		if !errors.Is(err, core.ErrNewerSchema) {
			t.Errorf("it says %v", err)
		}
		f, ok := errors.AsType[*failure](err)
		if !ok {
			t.Fatal("no hint")
		}
		return f.hint
	}
	if hint := hintOf(); !strings.Contains(hint, "securelink restore "+path) {
		t.Errorf("the hint does not name the backup %s: %s", path, hint)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if hint := hintOf(); !strings.Contains(hint, "securelink restore BACKUP") {
		t.Errorf("without a backup the hint is %s", hint)
	}
	cfg := config.Default()
	cfg.Server.Data = data
	for _, f := range examine(t.Context(), &cfg, data) {
		if f.What == "database" && (f.Verdict != bad || !strings.Contains(f.Remedy, "newer version")) {
			t.Errorf("the doctor says %+v", f)
		}
	}
}
