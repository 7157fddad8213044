package core_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/store/sqlite"
	"github.com/securelink-chat/securelink/wire"
)

// A restored server takes back what its backup lacked: from members only, in
// order, with the old times, until something new has followed. Then log, chain
// and routing list are what they were.
func TestMembersGiveBackWhatABackupLacks(t *testing.T) {
	folder := t.TempDir()
	open := func(name string) *sqlite.Store {
		s, err := sqlite.Open(t.Context(), filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	w := start(t, func(cfg *core.Config) { cfg.Store = open("core.db") }, limit(wire.RestoreTime, 60_000))
	alice, bob, carol, mallory := w.person("Alice"), w.person("Bob"), w.person("Carol"), w.person("Mallory")
	a, b := w.guest(alice), w.guest(bob)
	w.guest(carol)
	w.guest(mallory)
	room := group(t, []*client{a, b}, []*person{alice, bob})
	head := must[wire.SyncOK](a, wire.Sync{Room: room}).Handshake
	must[wire.AppendOK](a, text(room, head, "in the backup"))
	refused(a, wire.Conflict, wire.Refill{Room: room}) // nobody has restored anything
	had := must[wire.SyncOK](a, wire.Sync{Room: room}).Seq
	copied := filepath.Join(folder, "restored.db")
	if err := os.WriteFile(copied, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := sqlite.Copy(t.Context(), filepath.Join(folder, "core.db"), copied); err != nil {
		t.Fatal(err)
	}
	must[wire.AppendOK](b, text(room, head, "lost"))
	changed := must[wire.AppendOK](a, commit(room, head, []*person{carol}, []*person{bob}))
	last := must[wire.AppendOK](a, text(room, changed.Seq, "lost too"))
	lost := must[wire.SyncOK](a, wire.Sync{Room: room, After: had}).Entries
	if len(lost) != 3 {
		t.Fatalf("%d entries came after the backup", len(lost))
	}

	if err := w.server.Close(); err != nil {
		t.Fatal(err)
	}
	restored := open("restored.db")
	if err := core.Restored(t.Context(), restored, time.Now()); err != nil {
		t.Fatal(err)
	}
	w.store, w.cfg.Store = restored, restored
	w.restart()
	a, b, c, m := w.guest(alice), w.guest(bob), w.guest(carol), w.guest(mallory)
	must[wire.WatchOK](c, wire.Watch{})
	state := must[wire.WatchOK](a, wire.Watch{Rooms: []wire.RoomID{room}}).Rooms[0]
	if state.Seq != had || state.Restored == nil || *state.Restored != had {
		t.Fatalf("the restored room ends at %d (%v), want %d", state.Seq, state.Restored, had)
	}
	refused(b, wire.Busy, text(room, head, "too early"))
	refused(m, wire.NotFound, wire.Refill{Room: room, Entries: lost})
	refused(a, wire.Stale, wire.Refill{Room: room, Entries: lost[1:]})
	refused(a, wire.Malformed, wire.Refill{Room: room, Entries: []wire.RawEntry{altered(t, lost[0], func(e *wire.Entry) { e.Time += 1 << 40 })}})
	refused(a, wire.Malformed, wire.Refill{Room: room, Entries: []wire.RawEntry{altered(t, lost[0], func(e *wire.Entry) { e.Kind = 9 })}})
	refused(a, wire.Malformed, wire.Refill{Room: room, Entries: []wire.RawEntry{altered(t, lost[0], func(e *wire.Entry) { e.Added = []wire.Route{mallory.route()} })}})

	if got := must[wire.RefillOK](a, wire.Refill{Room: room, Entries: lost[:2]}); got.Seq != changed.Seq {
		t.Errorf("the log ends at %d after two entries, want %d", got.Seq, changed.Seq)
	}
	if got := must[wire.RefillOK](a, wire.Refill{Room: room, Entries: lost}); got.Seq != last.Seq { // the first two are there
		t.Errorf("the log ends at %d, want %d", got.Seq, last.Seq)
	}
	state = must[wire.WatchOK](a, wire.Watch{Rooms: []wire.RoomID{room}}).Rooms[0]
	if state.Chain != last.Chain || state.Handshake != changed.Seq {
		t.Errorf("chain %x and mark %d, want %x and %d", state.Chain, state.Handshake, last.Chain, changed.Seq)
	}
	again := must[wire.SyncOK](a, wire.Sync{Room: room, After: had}).Entries
	if !slices.EqualFunc(again, lost, func(x, y wire.RawEntry) bool { return string(x) == string(y) }) {
		t.Error("the entries are not the same bytes")
	}
	if e := c.entry(); e.Seq != changed.Seq {
		t.Errorf("carol, who is in again, is pushed %d first, want %d", e.Seq, changed.Seq)
	}
	refused(b, wire.NotFound, text(room, changed.Seq, "he was removed"))

	w.cfg.Limits = ptr(w.cfg.Limits.With(wire.RestoreTime, 1))
	w.restart()
	a = w.guest(alice)
	// Times of before and after the restore differ by up to a second.
	<-time.After(time.Until(time.Unix(int64(restoredAt(t, w)), 0)))
	seq := must[wire.AppendOK](a, text(room, changed.Seq, "new")).Seq
	refused(a, wire.Conflict, wire.Refill{Room: room, Entries: lost})
	if got := must[wire.SyncOK](a, wire.Sync{Room: room}).Seq; got != seq {
		t.Errorf("the log ends at %d, want %d", got, seq)
	}
}

// restoredAt is the number of the store's newest restore.
func restoredAt(t *testing.T, w *world) uint64 {
	t.Helper()
	n, err := w.store.Incarnation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func ptr[T any](v T) *T { return &v }

// altered is an entry with something changed.
func altered(t *testing.T, raw wire.RawEntry, change func(*wire.Entry)) wire.RawEntry {
	t.Helper()
	entry, err := raw.Decode()
	if err != nil {
		t.Fatal(err)
	}
	change(&entry)
	out, err := wire.Encode(&entry)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
