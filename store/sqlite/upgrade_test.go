package sqlite_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/store/sqlite"
	"github.com/securelink-chat/securelink/wire"
)

// What testdata/schema-1.sql holds: a store as the program of schema 1 wrote it,
// with a row in every table.
var (
	frozenUser = core.UserRecord{ID: wire.UserID{1}, Identity: [32]byte{2}, Profile: []byte("profile"), Login: "alice", Salt: [16]byte{3},
		Params: wire.PasswordParams{MemoryKiB: 65536, Time: 3, Threads: 1}, Salt2: [16]byte{4}, Verifier: [32]byte{5}, Failures: 1, FailedAt: 6, Admin: true, Created: 7, Seen: 8}
	frozenDevice = core.DeviceRecord{ID: wire.DeviceID{1}, User: wire.UserID{1}, State: wire.DeviceEnrolled, Key: [32]byte{2}, Class: 1, Created: 3,
		Certificate: []byte("certificate"), Label: "Läptop", Seen: 4}
	frozenWaiting = core.DeviceRecord{ID: wire.DeviceID{2}, User: wire.UserID{1}, State: wire.DeviceWaiting, Key: [32]byte{3}, Class: 2, Label: "phone", Expires: 9e12}
	frozenRoom    = core.RoomRecord{ID: wire.RoomID{1}, Kind: wire.RoomInvite, Founded: true, Name: "Kitchen", Generation: 2, Founder: wire.DeviceID{1}, Created: 3}
	frozenRoute   = core.RouteRecord{Room: wire.RoomID{1}, User: wire.UserID{1}, Device: wire.DeviceID{1}, From: 1}
	frozenInfo    = core.GroupInfoRecord{Room: wire.RoomID{1}, Link: wire.LinkID{1}, Seq: 2, GroupInfo: []byte("info"), Tree: []byte("tree")}
	frozenWelcome = wire.Welcome{ID: 5, Room: wire.RoomID{1}, Seq: 1, From: wire.Route{User: wire.UserID{1}, Device: wire.DeviceID{1}}, Data: []byte("welcome")}
	frozenLink    = core.LinkRecord{ID: wire.LinkID{1}, Room: wire.RoomID{1}, TokenHash: wire.Hash{2}, By: wire.Route{User: wire.UserID{1}, Device: wire.DeviceID{1}},
		Created: 3, Expires: 4, Uses: 5, Used: 1, Approval: true}
	frozenKnock = core.KnockRecord{KnockEvent: wire.KnockEvent{Room: wire.RoomID{1}, Route: wire.Route{User: wire.UserID{1}, Device: wire.DeviceID{2}}, Link: wire.LinkID{1}, Time: 2, Data: []byte("knock")}}
	frozenBlob  = core.BlobRecord{Room: wire.RoomID{1}, Hash: wire.Hash{1}, Size: 5, Device: wire.DeviceID{1}, Complete: true, Until: 9e12}
	frozenTick  = core.TicketRecord{Hash: wire.Hash{1}, PSK: [32]byte{2}, Online: [32]byte{3}, Expires: 9e12}
	frozenToken = core.TokenRecord{Hash: wire.Hash{1}, Kind: core.TokenRegister, Uses: 2, Expires: 9e12, Note: "for Bob", Created: 3}
	frozenBan   = core.BanRecord{What: "192.0.2.0/24", Reason: "flood", Created: 1, Expires: 9e12}
	frozenAudit = core.AuditRecord{ID: 1, Time: 1, Who: "uid 0", Act: "ban", Subject: "192.0.2.0/24"}
	frozenReply = core.AnswerRecord{User: wire.UserID{1}, Key: wire.Key{1}, Op: wire.OpAppend, Body: []byte("answer"), Time: 3600_000}
	frozenLast  = core.LastResortRecord{Device: wire.DeviceID{1}, Data: []byte("last")}
	frozenPack  = core.PackageRecord{Device: wire.DeviceID{1}, Hash: sha256.Sum256([]byte("package")), Data: []byte("package")}
)

// frozenLog are the entries of the room, and where they end.
func frozenLog(t *testing.T) (puts []core.Change, head core.Head) {
	t.Helper()
	head.Chain = wire.LogStart(frozenRoom.ID)
	for i := range 12 {
		kind := wire.EntryMessage
		if i%5 == 0 {
			kind = wire.EntryHandshake
			head.Handshake = head.Seq + 1
		}
		e := wire.Entry{Seq: head.Seq + 1, Time: head.Time + 10, Kind: kind, Payload: fmt.Appendf(nil, "payload %d", i), Body: []byte("body")}
		head.Seq, head.Time, head.Chain = e.Seq, e.Time, e.Next(head.Chain)
		raw, err := wire.Encode(&e)
		if err != nil {
			t.Fatal(err)
		}
		puts = append(puts, core.PutEntry{Room: frozenRoom.ID, Seq: e.Seq, Time: e.Time, Kind: kind, Chain: head.Chain, Data: raw})
	}
	return puts, head
}

// frozenFile makes a file of schema 1.
func frozenFile(t *testing.T) string {
	t.Helper()
	dump, err := os.ReadFile("testdata/schema-1.sql")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "core.db")
	execute(t, path, string(dump))
	return path
}

// execute runs SQL on a file that nobody has open.
func execute(t *testing.T, path, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(query); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func schemaOf(t *testing.T, path string) int {
	t.Helper()
	has, _, err := sqlite.Schema(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return has
}

// Files of schema 1 are out there: the step that made them never changes. Who
// needs another schema adds a step.
func TestSchema1IsFrozen(t *testing.T) {
	for name, want := range map[string]string{
		"schema/0001.sql":       "8e079861f05f301a055f22d601d600d7a162a4b9f8d7eba4ea4b17f580a7d1cb",
		"testdata/schema-1.sql": "f40141e010f80374f90ca2bb9ccd5092f593b52fc489660a8c28db3230ede388",
	} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s has changed (SHA-256 %x)", name, sum)
		}
	}
}

// A file of schema 1 comes up to date with everything that was in it, and goes
// on from there.
func TestUpgradeFromSchema1(t *testing.T) {
	path := frozenFile(t)
	has, newest, err := sqlite.Schema(t.Context(), path)
	if err != nil || has != 1 || newest < 2 {
		t.Fatalf("schema %d, newest %d, %v: want 1 and a step to take", has, newest, err)
	}
	s := open(t, path)
	if got := schemaOf(t, path); got != newest {
		t.Errorf("schema %d after the upgrade, want %d", got, newest)
	}
	puts, head := frozenLog(t)
	for _, c := range frozenReads(t.Context(), s, puts) {
		got, err := c.read()
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v\nwant %+v", c.name, got, err, c.want)
		}
	}
	if _, end, _, err := s.Room(t.Context(), frozenRoom.ID); err != nil || end != head {
		t.Errorf("the log ends at %+v, %v; want %+v", end, err, head)
	}
	e := wire.Entry{Seq: head.Seq + 1, Time: head.Time, Kind: wire.EntryMessage, Payload: []byte("goes on")}
	raw, err := wire.Encode(&e)
	if err != nil {
		t.Fatal(err)
	}
	put := core.PutEntry{Room: frozenRoom.ID, Seq: e.Seq, Time: e.Time, Kind: e.Kind, Chain: e.Next(head.Chain), Data: raw}
	if err := s.Commit(t.Context(), []core.Change{put}); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	report, err := sqlite.Verify(t.Context(), path)
	if want := (sqlite.Report{Schema: newest, Users: 1, Devices: 2, Rooms: 1, Entries: 13}); err != nil || report != want {
		t.Errorf("verify: %+v, %v; want %+v", report, err, want)
	}
}

// A step that does not get to its end leaves the schema before it, whole; the
// steps before stay, and a later start takes up from there.
func TestStepThatFailsLeavesTheSchemaBefore(t *testing.T) {
	path := frozenFile(t)
	_, newest, err := sqlite.Schema(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	const fails = "CREATE TABLE half (a); INSERT INTO half VALUES (1); INSERT INTO nowhere VALUES (1);"
	if s, err := sqlite.OpenWithStep(t.Context(), path, fails); err == nil {
		_ = s.Close()
		t.Fatal("a step that fails went through")
	}
	if got := schemaOf(t, path); got != newest {
		t.Errorf("schema %d after a failure, want %d", got, newest)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("SELECT * FROM half"); err == nil {
		t.Error("half of a step is there")
	}
	// The control: the same step without its fault, and then a program of before.
	s, err := sqlite.OpenWithStep(t.Context(), path, "CREATE TABLE half (a);")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := schemaOf(t, path); got != newest+1 {
		t.Errorf("schema %d after the step, want %d", got, newest+1)
	}
	if _, err := sqlite.Open(t.Context(), path); !errors.Is(err, core.ErrNewerSchema) {
		t.Errorf("a program that does not know the step opens the file: %v", err)
	}
}

func TestSchemaOfNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "core.db")
	if got := schemaOf(t, path); got != 0 {
		t.Errorf("schema %d of no file", got)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("asking made a file")
	}
}

type frozenRead struct {
	name string
	read func() (any, error)
	want any
}

func found[T any](v T, ok bool, err error) (any, error) {
	if err == nil && !ok {
		err = errors.New("not there")
	}
	return v, err
}

func listed[T any](v T, err error) (any, error) { return v, err }

// frozenReads reads a row of every table.
func frozenReads(ctx context.Context, s *sqlite.Store, puts []core.Change) []frozenRead {
	var log []wire.RawEntry
	for _, put := range puts {
		log = append(log, put.(core.PutEntry).Data)
	}
	room, device := frozenRoom.ID, frozenDevice.ID
	return []frozenRead{
		{"user", func() (any, error) { return found(s.UserByLogin(ctx, "alice")) }, frozenUser},
		{"devices", func() (any, error) { return listed(s.Devices(ctx, frozenUser.ID)) }, []core.DeviceRecord{frozenDevice, frozenWaiting}},
		{"packages", func() (any, error) { return listed(s.OneTimePackages(ctx, device, 9)) }, []core.PackageRecord{frozenPack}},
		{"last resort", func() (any, error) { return found(s.LastResort(ctx, device)) }, frozenLast},
		{"room", func() (any, error) { r, _, ok, err := s.Room(ctx, room); return found(r, ok, err) }, frozenRoom},
		{"log", func() (any, error) { return listed(s.Entries(ctx, room, 0, 99, 99, 1<<20)) }, log},
		{"routes", func() (any, error) { return listed(s.Routes(ctx, room)) }, []core.RouteRecord{frozenRoute}},
		{"group info", func() (any, error) { return found(s.GroupInfo(ctx, room, frozenInfo.Link)) }, frozenInfo},
		{"welcomes", func() (any, error) { return listed(s.Welcomes(ctx, device, 0, 9, 1<<20)) }, []wire.Welcome{frozenWelcome}},
		{"last welcome", func() (any, error) { return listed(s.LastWelcome(ctx)) }, uint64(5)},
		{"links", func() (any, error) { return listed(s.Links(ctx, room)) }, []core.LinkRecord{frozenLink}},
		{"knocks", func() (any, error) { return listed(s.Knocks(ctx, room)) }, []core.KnockRecord{frozenKnock}},
		{"blob", func() (any, error) { return found(s.Blob(ctx, room, frozenBlob.Hash)) }, frozenBlob},
		{"chunk", func() (any, error) { return found(s.Chunk(ctx, room, frozenBlob.Hash, 0)) }, []byte("chunk")},
		{"answer", func() (any, error) { return found(s.Answer(ctx, frozenUser.ID, frozenReply.Key)) }, frozenReply},
		{"ticket", func() (any, error) { return found(s.Ticket(ctx, frozenTick.Hash)) }, frozenTick},
		{"tokens", func() (any, error) { return listed(s.Tokens(ctx)) }, []core.TokenRecord{frozenToken}},
		{"bans", func() (any, error) { return listed(s.Bans(ctx)) }, []core.BanRecord{frozenBan}},
		{"audit", func() (any, error) { return listed(s.AuditLog(ctx, 0, 9)) }, []core.AuditRecord{frozenAudit}},
		{"incarnation", func() (any, error) { return listed(s.Incarnation(ctx)) }, uint64(3)},
	}
}
