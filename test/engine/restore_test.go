//go:build !js

package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/client"
	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/store/sqlite"
	"github.com/securelink-chat/securelink/wire"
)

// disk is a server on SQLite that can be set back to a backup of itself.
type disk struct {
	*server
	folder string
	db     *sqlite.Store
}

func newDisk(t testing.TB, hold time.Duration) *disk {
	t.Helper()
	limits := wire.DefaultLimits().With(wire.MessageBurst, 100_000).With(wire.MessageRate, 100_000).
		With(wire.RestoreTime, uint64(hold.Milliseconds()))
	d := &disk{folder: t.TempDir()}
	t.Cleanup(func() { d.db.Close() })
	d.open(t)
	d.server = newServerOn(t, d.db, limits)
	return d
}

func (d *disk) open(t testing.TB) {
	t.Helper()
	db, err := sqlite.Open(context.Background(), filepath.Join(d.folder, "core.db"))
	if err != nil {
		t.Fatal(err)
	}
	d.db = db
}

// backup copies the running server's store.
func (d *disk) backup() string {
	d.t.Helper()
	into := filepath.Join(d.t.TempDir(), "backup.db")
	if err := os.WriteFile(into, nil, 0o600); err != nil {
		d.t.Fatal(err)
	}
	if err := sqlite.Copy(context.Background(), filepath.Join(d.folder, "core.db"), into); err != nil {
		d.t.Fatal(err)
	}
	return into
}

// setBack puts a backup in the place of the store; signed says whether as the
// restore command does, or silently. The server does not run afterwards.
func (d *disk) setBack(backup string, signed bool) {
	d.t.Helper()
	d.halt()
	if err := d.db.Close(); err != nil {
		d.t.Fatal(err)
	}
	d.folder = d.t.TempDir()
	raw, err := os.ReadFile(backup)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.folder, "core.db"), raw, 0o600); err != nil {
		d.t.Fatal(err)
	}
	d.open(d.t)
	d.store = d.db
	if signed {
		if err := core.Restored(context.Background(), d.db, time.Now()); err != nil {
			d.t.Fatal(err)
		}
	}
}

// end is the newest entry of a room at the server.
func (d *disk) end(room string) uint64 {
	d.t.Helper()
	_, head, _, err := d.store.Room(context.Background(), wire.RoomID(idOf(d.t, room)))
	if err != nil {
		d.t.Fatal(err)
	}
	return head.Seq
}

// alarms counts the alarms of a code in a room's timeline.
func (p *person) alarms(room, code string) (texts []string) {
	p.t.Helper()
	for _, item := range p.must(client.Request{Op: client.OpHistory, Room: room, Limit: 200}).Items {
		if item.Kind == client.ItemAlarm && item.Code == code {
			texts = append(texts, item.Text)
		}
	}
	return texts
}

// A backup is made under chat; more is said, somebody is removed, and the
// server is restored (FAULTS 86). What it lost the members give back: nothing
// that was acknowledged is missing anywhere, nothing is doubled, who was
// removed stays out, who was away catches up, and everybody is warned with the
// number.
func TestRestoredServerGetsBackWhatItLost(t *testing.T) {
	d := newDisk(t, 8*time.Second)
	alice, bob, carol, dave := d.register("Alice"), d.register("Bob"), d.register("Carol"), d.register("Dave")
	room := alice.must(client.Request{Op: client.OpCreate, Text: "Family"}).Room.ID
	for _, p := range []*person{bob, carol, dave} {
		alice.bring(room, p)
	}
	alice.say(room, "all here")
	dave.hears(room, "all here")
	dave.stop()
	for i := range 20 {
		alice.say(room, fmt.Sprintf("early %d", i))
		bob.say(room, fmt.Sprintf("bob early %d", i))
	}
	backup := d.backup() // somewhere in the middle of it
	for i := range 20 {
		alice.say(room, fmt.Sprintf("late %d", i))
		bob.say(room, fmt.Sprintf("bob late %d", i))
	}
	alice.must(client.Request{Op: client.OpTitle, Room: room, Text: "Relatives"})
	alice.must(client.Request{Op: client.OpRemove, Room: room, User: carol.account().User})
	carol.inRoom(room, "end", func(r client.Room) bool { return r.State == client.RoomRemoved })
	fresh := bob.must(client.Request{Op: client.OpCreate, Text: "Made since"}).Room.ID
	bob.bring(fresh, alice)
	alice.say(fresh, "a new room")
	bob.hears(fresh, "a new room")
	erin := d.register("Erin") // her account is lost with the rest
	alice.bring(room, erin)
	alice.say(room, "last")
	bob.hears(room, "last")
	erin.hears(room, "last")
	alice.hears(room, "last")
	before := alice.texts(room)
	known := d.end(room)

	d.setBack(backup, true)
	had := d.end(room)
	if had >= known {
		t.Fatalf("the backup has %d of %d entries: nothing was lost", had, known)
	}
	alice.say(room, "while it was away")
	d.start()
	dave.run(d.server)
	bob.say(room, "after")
	for _, p := range []*person{alice, bob, dave, erin} {
		p.hears(room, "after")
		p.hears(room, "while it was away")
	}
	erin.say(room, "still with you")
	for _, p := range []*person{alice, bob, dave, erin} {
		p.hears(room, "still with you")
	}
	bob.say(fresh, "is here again")
	alice.hears(fresh, "is here again")
	alice.say(fresh, "with all of us")
	bob.hears(fresh, "with all of us")
	want := alice.texts(room)
	if len(want) != len(before)+3 || !slices.Equal(want[:len(before)], before) {
		t.Errorf("alice read %d messages before, and now %d:\n%q", len(before), len(want), want)
	}
	for _, p := range []*person{bob, dave} {
		if got := p.texts(room); !slices.Equal(got[len(got)-len(want):], want) {
			t.Errorf("%s reads\n%q\nand alice\n%q", p.name, got, want)
		}
	}
	lost := fmt.Sprintf("%d entries of this room were lost there", known-had)
	for _, p := range []*person{alice, bob} {
		if got := p.alarms(room, "log-reset"); len(got) != 1 || !strings.Contains(got[0], lost) {
			t.Errorf("%s was warned %q, not that %s", p.name, got, lost)
		}
	}
	for _, p := range []*person{alice, bob, dave, erin} {
		for _, code := range []string{"rollback", "fork", "replay", "gap", "reorder", "clone", "ghost-device"} {
			if got := p.alarms(room, code); len(got) != 0 {
				t.Errorf("%s was warned of %s: %q", p.name, code, got)
			}
		}
	}
	if got := carol.texts(room); slices.Contains(got, "Bob: after") || slices.Contains(got, "Alice: last") {
		t.Errorf("carol, who was removed, reads on: %q", got)
	}
	if end := d.end(room); end < known+2 {
		t.Errorf("the log ends at %d, and ended at %d before", end, known)
	}
}

// A log that steps back without the server's signature is believed by nobody:
// it is a rollback, and nothing is given back.
func TestSilentStepBackIsARollback(t *testing.T) {
	d := newDisk(t, time.Millisecond)
	alice := d.register("Alice")
	room := alice.must(client.Request{Op: client.OpCreate, Text: "Notes"}).Room.ID
	alice.say(room, "before")
	alice.hears(room, "before")
	backup := d.backup()
	alice.say(room, "after")
	alice.hears(room, "after")
	d.setBack(backup, false)
	d.start()
	alice.warned("rollback")
	if got := alice.alarms(room, "log-reset"); len(got) != 0 {
		t.Errorf("a silent step back was taken for a restore: %q", got)
	}
	if got := alice.texts(room); !slices.Equal(got, []string{"Alice: before", "Alice: after"}) {
		t.Errorf("alice reads %q", got)
	}
}

// Somebody who missed what was lost is the first to come, and the room goes on
// without it. Who knows more goes back over its messages and sends its own
// again: everybody ends with the same.
func TestRoomGoesOnBeforeLostMessagesComeBack(t *testing.T) {
	d := newDisk(t, time.Millisecond)
	alice, bob, room := d.pair()
	alice.say(room, "before")
	bob.hears(room, "before")
	bob.stop()
	backup := d.backup()
	alice.say(room, "lost one")
	alice.say(room, "lost two")
	alice.hears(room, "lost two")
	alice.stop()
	d.setBack(backup, true)
	d.start()
	bob.run(d.server)
	bob.say(room, "first")
	bob.hears(room, "first")
	alice.run(d.server)
	bob.hears(room, "lost two")
	alice.hears(room, "first")
	alice.say(room, "after")
	bob.hears(room, "after")
	alice.hears(room, "after")
	want := []string{"Alice: before", "Bob: first", "Alice: lost one", "Alice: lost two", "Alice: after"}
	for _, p := range []*person{alice, bob} {
		if got := p.texts(room); !slices.Equal(got, want) {
			t.Errorf("%s reads %q, want %q", p.name, got, want)
		}
		for _, code := range []string{"rollback", "fork", "replay", "gap", "reorder"} {
			if got := p.alarms(room, code); len(got) != 0 {
				t.Errorf("%s was warned of %s: %q", p.name, code, got)
			}
		}
	}
	if got := alice.alarms(room, "log-reset"); len(got) != 1 || !strings.Contains(got[0], "2 entries") {
		t.Errorf("alice was warned: %q", got)
	}
}

// The room goes on without a change of the group: a device that has seen it
// does not follow by itself, because the server could bring back so whom the
// members have removed. With its user's word it asks to be let in again.
func TestNobodyFollowsALogBackOverARemoval(t *testing.T) {
	d := newDisk(t, time.Millisecond)
	alice, bob, carol := d.register("Alice"), d.register("Bob"), d.register("Carol")
	room := alice.must(client.Request{Op: client.OpCreate, Text: "Family"}).Room.ID
	alice.bring(room, bob)
	alice.bring(room, carol)
	alice.say(room, "before")
	bob.hears(room, "before")
	carol.hears(room, "before")
	carol.stop()
	backup := d.backup()
	alice.must(client.Request{Op: client.OpRemove, Room: room, User: carol.account().User})
	alice.say(room, "without carol")
	bob.hears(room, "without carol")
	alice.stop()
	bob.stop()
	d.setBack(backup, true)
	d.start()
	carol.run(d.server) // who was removed is back, by the server's grace
	carol.say(room, "here I am")
	carol.hears(room, "here I am")
	alice.run(d.server)
	alice.inRoom(room, "stop", func(r client.Room) bool {
		return r.State == client.RoomFrozen && strings.Contains(r.Blocked, "/trust room")
	})
	alice.say(room, "not for carol")
	if got := alice.alarms(room, "log-reset"); len(got) != 1 || !strings.Contains(got[0], "could be back") {
		t.Errorf("alice was warned: %q", got)
	}
	bob.run(d.server)
	bob.inRoom(room, "stop", func(r client.Room) bool { return r.State == client.RoomFrozen })
	carol.say(room, "anybody?")
	carol.hears(room, "anybody?")
	if got := carol.texts(room); slices.Contains(got, "Alice: not for carol") {
		t.Fatalf("carol reads %q", got)
	}
	bob.must(client.Request{Op: client.OpTrust, Room: room})
	bob.inRoom(room, "place in the room", func(r client.Room) bool { return r.State == client.RoomMember })
	bob.say(room, "I chose to")
	carol.hears(room, "I chose to")
	if got := carol.texts(room); slices.Contains(got, "Alice: not for carol") {
		t.Errorf("carol reads %q", got)
	}
}
