package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/config"
	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/store/sqlite"
	"github.com/securelink-chat/securelink/wire"
)

// serverData makes a data folder as a server leaves it.
func serverData(t *testing.T) string {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	r, err := openCore(t.Context(), coreConfig{Data: data, Name: "x", Limits: wire.DefaultLimits()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	if _, err := gatewaySecret(&cfg, data, true); err != nil {
		t.Fatal(err)
	}
	return data
}

// A backup under load holds what had been acknowledged when it began, whole and
// in order, and nothing that was not written.
func TestBackupUnderLoad(t *testing.T) {
	data := serverData(t)
	store, err := sqlite.Open(t.Context(), filepath.Join(data, coreFile))
	if err != nil {
		t.Fatal(err)
	}
	room := wire.RoomID{1}
	if err := store.Commit(t.Context(), []core.Change{core.PutRoom{RoomRecord: core.RoomRecord{ID: room, Kind: wire.RoomOpen, Name: "load"}}}); err != nil {
		t.Fatal(err)
	}
	var acknowledged atomic.Uint64
	stop := make(chan struct{})
	enough := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() {
		begun := sync.OnceFunc(func() { close(enough) })
		defer begun()
		head := wire.LogStart(room)
		for seq := uint64(1); ; seq++ {
			select {
			case <-stop:
				return
			default:
			}
			e := wire.Entry{Seq: seq, Time: seq, Kind: wire.EntryMessage, Payload: bytes.Repeat([]byte{byte(seq)}, 700), Body: []byte("sealed")}
			head = e.Next(head)
			raw, err := wire.Encode(e)
			if err != nil {
				t.Error(err)
				return
			}
			if err := store.Commit(context.Background(), []core.Change{core.PutEntry{Room: room, Seq: seq, Kind: e.Kind, Time: e.Time, Chain: head, Data: raw}}); err != nil {
				t.Error(err)
				return
			}
			acknowledged.Store(seq)
			if seq == 50 {
				begun()
			}
		}
	})
	<-enough
	before := acknowledged.Load()
	path, m, err := createBackup(t.Context(), data, filepath.Join(t.TempDir(), "backups"), time.Now())
	after := acknowledged.Load() + 1 // one may have been under way
	close(stop)
	load.Wait()
	if err := errors.Join(err, store.Close()); err != nil {
		t.Fatal(err)
	}
	if n := uint64(m.Store.Entries); n < before || n > after {
		t.Errorf("the backup has %d entries; %d were acknowledged before it, %d after", n, before, after)
	}
	restored := filepath.Join(t.TempDir(), "restored")
	if _, err := restoreBackup(t.Context(), path, restored); err != nil {
		t.Fatal(err)
	}
	checkRestored(t, data, restored, room, int(m.Store.Entries))
}

// checkRestored starts a server on what was restored and reads it back.
func checkRestored(t *testing.T, data, restored string, room wire.RoomID, entries int) {
	t.Helper()
	r, err := openCore(t.Context(), coreConfig{Data: restored, Name: "x", Limits: wire.DefaultLimits()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, head, ok, err := r.Store.Room(t.Context(), room)
	if err != nil || !ok || head.Seq != uint64(entries) {
		t.Errorf("the restored room ends at %d, want %d (%v)", head.Seq, entries, err)
	}
	if n, err := r.Store.Incarnation(t.Context()); n == 0 || err != nil {
		t.Errorf("the restored logs are of incarnation %d (%v): clients would take the step back for a lie", n, err)
	}
	for _, name := range []string{rootFile, secretFile} {
		was, err := os.ReadFile(filepath.Join(data, name))
		is, err2 := os.ReadFile(filepath.Join(restored, name))
		if err := errors.Join(err, err2); err != nil || !bytes.Equal(was, is) {
			t.Errorf("%s is not the same (%v)", name, err)
		}
	}
	was, err := os.ReadFile(filepath.Join(data, onlineFile))
	is, err2 := os.ReadFile(filepath.Join(restored, onlineFile))
	if err := errors.Join(err, err2); err != nil || bytes.Equal(was, is) {
		t.Errorf("the restored server has the old online key (%v)", err)
	}
}

// Whatever is changed in a backup, verify finds it.
func TestDamagedBackupsAreFound(t *testing.T) {
	data := serverData(t)
	path, _, err := createBackup(t.Context(), data, t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verifyBackup(t.Context(), path); err != nil {
		t.Fatalf("untouched: %v", err)
	}
	edit := func(name string, change func([]byte) []byte) func(t *testing.T, folder string) {
		return func(t *testing.T, folder string) {
			b, err := os.ReadFile(filepath.Join(folder, name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, name), change(b), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	for name, damage := range map[string]func(*testing.T, string){
		"database": edit(coreFile, flip),
		"root key": edit(rootFile, flip),
		"cut":      edit(coreFile, func(b []byte) []byte { return b[:len(b)-4096] }),
		"no key":   func(t *testing.T, f string) { os.Remove(filepath.Join(f, rootFile)) },
		"manifest": edit(manifestFile, func(b []byte) []byte { return bytes.Replace(b, []byte(`"rooms": 1`), []byte(`"rooms": 2`), 1) }),
		"path":     edit(manifestFile, func(b []byte) []byte { return bytes.Replace(b, []byte(`"root.key"`), []byte(`"../x"`), 1) }),
		"format":   edit(manifestFile, func(b []byte) []byte { return bytes.Replace(b, []byte(`"format": 1`), []byte(`"format": 9`), 1) }),
		"no JSON":  edit(manifestFile, func(b []byte) []byte { return b[1:] }),
	} {
		t.Run(name, func(t *testing.T) {
			bad := filepath.Join(t.TempDir(), "bad")
			if err := os.CopyFS(bad, os.DirFS(path)); err != nil {
				t.Fatal(err)
			}
			damage(t, bad)
			if _, err := verifyBackup(t.Context(), bad); err == nil {
				t.Error("the damage was not found")
			}
			target := filepath.Join(t.TempDir(), "target")
			if _, err := restoreBackup(t.Context(), bad, target); err == nil {
				t.Error("it was restored")
			}
			if _, err := os.Stat(target); err == nil {
				t.Error("a folder was made for it")
			}
		})
	}
}

func TestBackupCommands(t *testing.T) {
	data, into := serverData(t), filepath.Join(t.TempDir(), "backups")
	var out bytes.Buffer
	command := func(args ...string) error {
		out.Reset()
		root := newRoot()
		root.SetOut(&out)
		root.SetErr(io.Discard)
		root.SetArgs(args)
		return root.ExecuteContext(t.Context())
	}
	if err := command("backup", "create", into, "--data", data, "--json"); err != nil {
		t.Fatal(err)
	}
	var made struct {
		Path   string
		Backup manifest
	}
	if err := json.Unmarshal(out.Bytes(), &made); err != nil || made.Backup.Store.Rooms != 1 {
		t.Fatalf("%v: %s", err, out.String())
	}
	if path, _, ok := lastBackup(into); !ok || path != made.Path {
		t.Errorf("the last backup is said to be %q", path)
	}
	if err := command("backup", "verify", made.Path); err != nil || !strings.HasPrefix(out.String(), "Good: ") {
		t.Errorf("verify: %v, %s", err, out.String())
	}
	if err := command("restore", made.Path, "--data", data); err == nil {
		t.Error("a folder with data in it was overwritten")
	}
	if err := command("restore", made.Path, "--data", filepath.Join(t.TempDir(), "new")); err != nil || !strings.HasPrefix(out.String(), "Restored: ") {
		t.Errorf("restore: %v, %s", err, out.String())
	}
	if err := command("backup", "create", "-", "--data", data); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for archive := tar.NewReader(&out); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names[h.Name] = true
	}
	if !names[coreFile] || !names[rootFile] || !names[manifestFile] || names[onlineFile] {
		t.Errorf("the archive has %v", names)
	}
	for name, mode := range map[string]os.FileMode{"": 0o700, coreFile: 0o600, rootFile: 0o600, manifestFile: 0o600} {
		if info, err := os.Stat(filepath.Join(made.Path, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(data, ".backup-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
