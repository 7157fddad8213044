package scenario

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/securelink-chat/securelink/client"
	profiles "github.com/securelink-chat/securelink/clientstore/sqlite"
	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/store/sqlite"
	"github.com/securelink-chat/securelink/wire"
)

// A ledger of the places in the ratchets that a log has used, read from the
// bytes: the server's database, and the profile of a witness. A witness is a
// member that comes in, is stopped, and stays stopped until the story is over;
// from its state on disk the ledger goes through all that followed. No client
// that took part is asked.

// ledger is what one walk through the logs found.
type ledger struct {
	used   map[usedSpot][32]byte // by which payload
	twice  []string
	rooms  int
	logged map[wire.RoomID]uint64 // newest entry
	texts  []string               // what the witness reads there
}

type usedSpot struct {
	room wire.RoomID
	room.Spot
}

func (l *ledger) take(id wire.RoomID, r *room.Room, e room.Entry) error {
	spot, ok, err := r.Spot(e)
	if err != nil || !ok {
		return err
	}
	at, payload := usedSpot{id, spot}, sha256.Sum256(e.Payload)
	if _, double := l.used[at]; double {
		l.twice = append(l.twice, fmt.Sprintf("room %s, entry %d: epoch %d, leaf %d, generation %d (handshake: %t)",
			id, e.Seq, spot.Epoch, spot.Leaf, spot.Generation, spot.Handshake))
	}
	l.used[at] = payload
	return nil
}

// witness comes into the Lounge and is stopped there.
func (w *world) witness() {
	w.t.Helper()
	w.joins("Witness").quits()
}

// halt stops the server, so that its database can be read.
func (w *world) halt() {
	w.t.Helper()
	w.server.cmd.Process.Signal(syscall.SIGTERM)
	if code := w.server.ends(); code != 0 {
		w.t.Errorf("the server ended with code %d:\n%s", code, w.server.text())
	}
}

// profile is somebody's folder; nothing may run on it.
func (w *world) profile(name string) string {
	w.t.Helper()
	found, err := filepath.Glob(filepath.Join(w.folder, "home-"+name, "servers", "*", "default"))
	if err != nil || len(found) != 1 {
		w.t.Fatalf("%s has the profiles %v, %v", name, found, err)
	}
	return found[0]
}

// copies makes a second copy of somebody's profile, as another machine's.
func (w *world) copies(from, to string) {
	w.t.Helper()
	os.Remove(filepath.Join(w.profile(from), "send.sock")) // of a process that was killed
	if err := os.RemoveAll(filepath.Join(w.folder, "home-"+to)); err != nil {
		w.t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(w.folder, "home-"+to), os.DirFS(filepath.Join(w.folder, "home-"+from))); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Chmod(w.profile(to), 0o700); err != nil {
		w.t.Fatal(err)
	}
}

// states reads the rooms that a stopped profile is in.
func (w *world) states(name string) map[wire.RoomID]*room.Room {
	w.t.Helper()
	_, rooms := w.device(name)
	return rooms
}

// device reads who a stopped profile is, and its rooms.
func (w *world) device(name string) (room.Self, map[wire.RoomID]*room.Room) {
	w.t.Helper()
	storage, err := profiles.Open(w.t.Context(), filepath.Join(w.profile(name), "profile.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer storage.Close()
	load := func(prefix string) []client.Pair {
		pairs, err := storage.Load(w.t.Context(), client.Range{Prefix: []byte(prefix)})
		if err != nil {
			w.t.Fatal(err)
		}
		return pairs
	}
	self, err := selfOf(load("account")[0].Value)
	if err != nil {
		w.t.Fatal(err)
	}
	records := map[wire.RoomID][]room.Record{}
	for _, p := range load("state/") {
		id := wire.RoomID(p.Key[6:22])
		records[id] = append(records[id], room.Record{Key: p.Key[22:], Value: p.Value})
	}
	rooms := map[wire.RoomID]*room.Room{}
	for id, r := range records {
		if rooms[id], err = room.Load(self, r); err != nil {
			w.t.Fatalf("%s in %s: %v", name, id, err)
		}
	}
	if len(rooms) == 0 {
		w.t.Fatalf("%s is in no room", name)
	}
	return self, rooms
}

// selfOf reads a device's keys from its profile's account: root key, seed of
// the device, certificate and signed name are the second, sixth, ninth and
// tenth field.
func selfOf(account []byte) (self room.Self, err error) {
	var fields []cbor.RawMessage
	if err := cbor.Unmarshal(account, &fields); err != nil {
		return self, err
	}
	if len(fields) < 10 {
		return self, fmt.Errorf("an account of %d fields", len(fields))
	}
	var seed [32]byte
	var certificate, profile []byte
	for at, into := range map[int]any{1: (*[32]byte)(&self.Root), 5: &seed, 8: &certificate, 9: &profile} {
		if err := cbor.Unmarshal(fields[at], into); err != nil {
			return self, fmt.Errorf("field %d: %w", at, err)
		}
	}
	self.Key = identity.DeviceKeyFromSeed(seed)
	if self.Credential.Certificate, err = identity.DecodeCertificate(certificate); err != nil {
		return self, err
	}
	self.Credential.Profile, err = identity.DecodeProfile(profile)
	return self, err
}

// headOf is how far somebody's stopped profile is in its one room.
func (w *world) headOf(name string) (seq uint64) {
	w.t.Helper()
	for _, r := range w.states(name) {
		seq, _ = r.Position()
	}
	return seq
}

// logOf reads a room's whole log from the database of the stopped server.
func (w *world) logOf(id wire.RoomID) (log []room.Entry) {
	w.t.Helper()
	ctx := w.t.Context()
	store, err := sqlite.Open(ctx, filepath.Join(w.folder, "server", "core.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer store.Close()
	for {
		after := uint64(len(log))
		raw, err := store.Entries(ctx, id, after, 1<<40-1, 1000, 64<<20)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(raw) == 0 {
			return log
		}
		for _, data := range raw {
			e, err := data.Decode()
			if after++; err != nil || e.Seq != after {
				w.t.Fatalf("in the place of entry %d is %d: %v", after, e.Seq, err)
			}
			for i := 0; e.PayloadBlob != nil; i++ {
				chunk, ok, err := store.Chunk(ctx, id, *e.PayloadBlob, i)
				if err != nil {
					w.t.Fatal(err)
				}
				if !ok {
					break
				}
				e.Payload = append(e.Payload, chunk...)
			}
			log = append(log, room.Entry{Seq: e.Seq, Time: e.Time, Kind: room.EntryKind(e.Kind), Payload: e.Payload, Body: e.Body, BodyGone: (*[32]byte)(e.BodyGone)})
		}
	}
}

// audit goes through the logs of all rooms that a witness is in. Forged entries
// are put into their place of the ledger, not of the log.
func (w *world) audit(witness string, forged map[wire.RoomID][]room.Entry) *ledger {
	w.t.Helper()
	rooms := w.states(witness)
	l := &ledger{used: map[usedSpot][32]byte{}, rooms: len(rooms), logged: map[wire.RoomID]uint64{}}
	for id, r := range rooms {
		from, _ := r.Position()
		take := func(e room.Entry) {
			if err := l.take(id, r, e); err != nil {
				w.t.Fatalf("entry %d of room %s: %v", e.Seq, id, err)
			}
		}
		for _, e := range w.logOf(id)[from:] {
			for _, f := range forged[id] {
				if f.Seq == e.Seq {
					take(f)
				}
			}
			take(e)
			result, err := r.Examine(e, false)
			if err != nil {
				w.t.Fatalf("entry %d of room %s: %v", e.Seq, id, err)
			}
			if r.State() == room.StateBroken || r.State() == room.StateFrozen {
				w.t.Fatalf("the witness cannot follow entry %d of room %s: %s", e.Seq, id, result.Why)
			}
			l.logged[id] = e.Seq
			for _, item := range result.Items {
				if item.Kind == room.ItemText {
					l.texts = append(l.texts, item.Name+": "+item.Text)
				}
			}
		}
	}
	return l
}

// forced makes a stopped profile write into a room as often as is asked, each
// time from the same state on disk: what a client does that forgets its place.
func (w *world) forced(name string, id wire.RoomID, times int) []room.Entry {
	w.t.Helper()
	var out []room.Entry
	for range times {
		r := w.states(name)[id]
		d := room.Draft{Kind: room.ItemText, Text: "from an old state"}
		rand.Read(d.ID[:])
		a, err := r.Message(d)
		if err != nil {
			w.t.Fatalf("%s cannot be made to write: %v", name, err)
		}
		position, _ := r.Position()
		out = append(out, room.Entry{Seq: position + 1, Kind: room.EntryMessage, Payload: a.Payload, Body: a.Body})
	}
	return out
}

// usedOnce wants at least that many places in the ledger, none of them twice,
// and that the ledger does see a state that was used twice.
func (w *world) usedOnce(witness string, atLeast int, forger string) {
	w.t.Helper()
	l := w.audit(witness, nil)
	if len(l.used) < atLeast {
		w.t.Errorf("the ledger has %d places in the ratchets, want at least %d", len(l.used), atLeast)
	}
	for _, place := range l.twice {
		w.t.Errorf("a place in the ratchets was used twice: %s", place)
	}
	w.t.Logf("%d ciphertexts in %d rooms, each under a key of its own", len(l.used), l.rooms)
	forged := map[wire.RoomID][]room.Entry{}
	for id, r := range w.states(forger) {
		if position, _ := r.Position(); position < l.logged[id] {
			forged[id] = w.forced(forger, id, 2)
		}
	}
	if control := w.audit(witness, forged); len(forged) == 0 || len(control.twice) < len(forged) {
		w.t.Errorf("of %d states that were used twice the ledger sees %d", len(forged), len(control.twice))
	}
}

// TestLedgerReadsAProfile: what the ledger knows of a profile's layout is true.
func TestLedgerReadsAProfile(t *testing.T) {
	w := newWorld(t)
	p := w.joins("Reader")
	p.types("/info")
	device := p.expect(`^This device: ([0-9a-f]{32})`)[1]
	p.quits()
	const member = room.StateMember
	self, rooms := w.device("Reader")
	id := self.Device()
	for room, r := range rooms {
		if got := hex.EncodeToString(id[:]); got != device || r.State() != member {
			t.Errorf("in room %s the profile is device %s in state %d, want %s", room, got, r.State(), device)
		}
	}
}
