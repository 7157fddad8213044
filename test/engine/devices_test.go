package engine

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/securelink-chat/securelink/client"
	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/wire"
)

// asks logs a new device in and returns the code that it shows.
func (s *server) asks(device, login, password string) (*person, string) {
	s.t.Helper()
	p := s.person(device)
	p.must(client.Request{Op: client.OpLogin, Login: login, Password: password})
	return p, p.code()
}

// code is the code that a device shows while it waits.
func (p *person) code() (code string) {
	p.t.Helper()
	p.until("code", func() bool {
		for _, ev := range p.Events {
			if ev.Kind == client.EvCode && ev.Code != "" {
				code = ev.Code
			}
		}
		return code != ""
	})
	return code
}

// second brings a second device of somebody as far as the account.
func (s *server) second(first *person, device string) *person {
	s.t.Helper()
	p, code := s.asks(device, strings.ToLower(first.name), "correct horse "+first.name)
	first.must(client.Request{Op: client.OpApprove, Text: code})
	return p
}

// warned waits for an alarm.
func (p *person) warned(code string) (alarm client.Alarm) {
	p.t.Helper()
	p.until("alarm "+code, func() bool {
		for _, ev := range p.Events {
			if ev.Kind == client.EvAlarm && ev.Alarm.Code == code {
				alarm = *ev.Alarm
				return true
			}
		}
		return false
	})
	return alarm
}

// devicesIn is how many devices of a user a person sees in a room.
func (p *person) devicesIn(room, name string) int {
	p.t.Helper()
	for _, m := range p.must(client.Request{Op: client.OpMembers, Room: room}).Members {
		if m.Name == name {
			return m.Devices
		}
	}
	return 0
}

// lines counts the lines of a room's timeline that hold a text.
func (p *person) lines(room, text string) int {
	p.t.Helper()
	n := 0
	for _, item := range p.must(client.Request{Op: client.OpHistory, Room: room, Limit: 200}).Items {
		if strings.Contains(item.Text, text) {
			n++
		}
	}
	return n
}

// lies changes what the server keeps behind everybody's back.
func (s *server) lies(changes ...core.Change) {
	s.t.Helper()
	s.halt()
	if err := s.store.Commit(context.Background(), changes); err != nil {
		s.t.Fatal(err)
	}
	s.start()
}

// A new device is let in while nobody of its user's rooms is online. It says
// what it waits for; the first member who comes brings it in, though the
// device that approved it is away, and it reads what follows.
func TestAnyMemberBringsDeviceIn(t *testing.T) {
	s := newServer(t)
	alice, bob, room := s.pair()
	alice.say(room, "before")
	bob.hears(room, "before")
	bob.stop()
	phone, code := s.asks("Alice's phone", "alice", "correct horse Alice")
	phone.stop()
	alice.must(client.Request{Op: client.OpApprove, Text: code})
	alice.stop()

	phone.run(s)
	phone.inRoom(room, "word on what it waits for", func(r client.Room) bool {
		return r.State == client.RoomJoining && strings.Contains(r.Blocked, "waits until somebody")
	})
	bob.run(s)
	phone.inRoom(room, "place in the room", func(r client.Room) bool { return r.State == client.RoomMember && r.Title == "Family" })
	bob.say(room, "after")
	phone.hears(room, "after")
	phone.say(room, "from the phone")
	bob.hears(room, "from the phone")
	if got := phone.texts(room); slices.Contains(got, "Alice: before") {
		t.Errorf("the new device reads what was said before it came: %q", got)
	}
	if n := bob.lines(room, "has a new device"); n != 1 {
		t.Errorf("%d lines tell of the new device", n)
	}
	alice.run(s)
	alice.hears(room, "from the phone")
}

// A crowd is told of a new device at once: one of them brings it in, and its
// key packages are not claimed by all.
func TestCrowdBringsDeviceInOnce(t *testing.T) {
	const crowd = 49
	s := newServer(t)
	people, lounge, _ := s.crowd(crowd)
	alice := s.register("Alice")
	alice.must(client.Request{Op: client.OpJoin, Room: lounge})
	phone, code := s.asks("Alice's phone", "alice", "correct horse Alice")
	phone.stop()
	alice.must(client.Request{Op: client.OpApprove, Text: code})
	alice.stop()
	phone.run(s)
	phone.inRoom(lounge, "place in the Lounge", func(r client.Room) bool { return r.State == client.RoomMember })
	for _, p := range people {
		p.inRoom(lounge, "crowd", func(r client.Room) bool { return r.Members == crowd+1 })
	}
	phone.say(lounge, "all here?")
	for _, p := range people {
		p.hears(lounge, "all here?")
		if n := p.devicesIn(lounge, "Alice"); n != 2 {
			t.Errorf("%s sees %d devices of Alice", p.name, n)
		}
	}
	id := wire.DeviceID(idOf(t, phone.account().Device))
	left, err := s.store.CountOneTime(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	if claimed := 20 - left; claimed < 1 || claimed > 4 {
		t.Errorf("%d members claimed %d key packages for one place", crowd, claimed)
	} else {
		t.Logf("%d members claimed %d key packages for one place", crowd, claimed)
	}
}

func idOf(t testing.TB, text string) [16]byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 16 {
		t.Fatalf("no id: %q", text)
	}
	return [16]byte(raw)
}

// The server lists a device that nobody has let in, with key packages of its
// own making. No member adds it, and its user is warned; a real device comes
// in by the same way.
func TestServerCannotAddGhost(t *testing.T) {
	s := newServer(t)
	alice, bob, room := s.pair()
	mallory := s.register("Mallory")
	ghost := wire.DeviceID(idOf(t, mallory.account().Device))
	record, ok, err := s.store.Device(context.Background(), ghost)
	if err != nil || !ok {
		t.Fatal(err)
	}
	mallory.stop()
	owner, _, err := s.store.UserByLogin(context.Background(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	record.User = owner.ID
	s.lies(core.PutDevice{DeviceRecord: record})
	alice.warned("ghost-device")
	bob.until("connection", func() bool {
		last := ""
		for _, ev := range bob.Events {
			if ev.Kind == client.EvConnection {
				last = ev.Conn.State
			}
		}
		return last == client.ConnConnected
	})
	phone := s.second(alice, "Alice's phone") // the control
	phone.inRoom(room, "place in the room", func(r client.Room) bool { return r.State == client.RoomMember })
	bob.say(room, "only for us")
	phone.hears(room, "only for us")
	for _, p := range []*person{alice, bob, phone} {
		if n := p.devicesIn(room, "Alice"); n != 2 {
			t.Errorf("%s sees %d devices of Alice, not 2", p.name, n)
		}
	}
}

// copied is a storage with all that another one holds now.
func copied(t testing.TB, from client.Storage) client.Storage {
	t.Helper()
	pairs, err := from.Load(context.Background(), client.Range{})
	if err != nil {
		t.Fatal(err)
	}
	to := client.NewMemory()
	for _, p := range pairs {
		if err := to.Apply(context.Background(), []client.Put{{Key: p.Key, Value: p.Value}}); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// A device is revoked while all others are away (FAULTS 44). Whoever comes next
// takes it out before saying anything; a thief with all of its keys, helped by
// the server, reads nothing from then on, and gets into no room that the user
// enters later. Every device of the user says so, once.
func TestRevokedDeviceReadsNothing(t *testing.T) {
	s := newServer(t)
	alice, bob, room := s.pair()
	phone, tablet := s.second(alice, "phone"), s.second(alice, "tablet")
	for _, p := range []*person{phone, tablet} {
		p.inRoom(room, "place in the room", func(r client.Room) bool { return r.State == client.RoomMember })
	}
	id := phone.account().Device
	alice.must(client.Request{Op: client.OpRename, Device: id, Name: "Old phone"})
	bob.say(room, "while all are in")
	for _, p := range []*person{alice, phone, tablet} {
		p.hears(room, "while all are in")
	}
	tablet.stop()
	bob.stop()
	thief := &person{t: t, name: "thief", storage: copied(t, phone.storage)}
	t.Cleanup(thief.stop)

	alice.must(client.Request{Op: client.OpRevoke, Device: id})
	alice.stop()
	phone.until("word that it was taken out", func() bool {
		for _, ev := range phone.Events {
			if ev.Kind == client.EvAccount && ev.Account.State == client.AccountRevoked {
				return true
			}
		}
		return false
	})
	bob.run(s)
	bob.say(room, "not for the phone")
	bob.hears(room, "not for the phone")
	s.removedBefore(room, id, bob)

	tablet.run(s)
	tablet.hears(room, "not for the phone") // the control: another device of hers does read it
	if alarm := tablet.warned("device-revoked"); !strings.Contains(alarm.Text, "Old phone") {
		t.Errorf("the tablet says: %s", alarm.Text)
	}
	for _, p := range []*person{bob, tablet} {
		if n := p.lines(room, "device of Alice was taken out"); n != 1 {
			t.Errorf("%s: %d lines tell of it", p.name, n)
		}
	}
	alice.run(s)
	alice.hears(room, "not for the phone")
	states := map[string]string{}
	for _, d := range alice.must(client.Request{Op: client.OpDevices}).Devices {
		states[d.Name] = fmt.Sprintf("own %t revoked %t", d.Own, d.Revoked)
	}
	if states["Old phone"] != "own false revoked true" || len(states) != 2 { // two without a name
		t.Errorf("her devices: %v", states)
	}

	later := alice.must(client.Request{Op: client.OpCreate, Text: "Later"}).Room.ID
	alice.bring(later, bob)
	record, _, err := s.store.Device(context.Background(), wire.DeviceID(idOf(t, id)))
	if err != nil {
		t.Fatal(err)
	}
	place, _, err := s.store.Route(context.Background(), wire.RoomID(idOf(t, room)), record.ID)
	if err != nil {
		t.Fatal(err)
	}
	record.State, place.Until = wire.DeviceEnrolled, 0
	s.lies(core.PutDevice{DeviceRecord: record}, core.PutRoute{RouteRecord: place})
	thief.run(s)
	thief.inRoom(room, "end", func(r client.Room) bool { return r.State == client.RoomRemoved || r.State == client.RoomLeft })
	thief.inRoom(later, "room that it waits for", func(r client.Room) bool { return r.State == client.RoomJoining })
	alice.say(later, "nor this")
	bob.hears(later, "nor this")
	for _, p := range []*person{alice, bob} {
		if n := p.devicesIn(later, "Alice"); n != 2 {
			t.Errorf("%s sees %d devices of Alice in the new room, not 2", p.name, n)
		}
	}
	pairs, err := thief.storage.Load(context.Background(), client.Range{})
	if err != nil {
		t.Fatal(err)
	}
	read := ""
	for _, p := range pairs {
		read += string(p.Value)
	}
	if !strings.Contains(read, "while all are in") {
		t.Error("the thief's copy does not even hold what was said before")
	}
	for _, text := range []string{"not for the phone", "nor this"} {
		if strings.Contains(read, text) {
			t.Errorf("the thief reads %q", text)
		}
	}
}

// removedBefore wants the removal of a device in the log before the newest
// message of somebody.
func (s *server) removedBefore(room, device string, by *person) {
	s.t.Helper()
	raw, err := s.store.Entries(context.Background(), wire.RoomID(idOf(s.t, room)), 0, 1<<20, 1<<20, 1<<30)
	if err != nil {
		s.t.Fatal(err)
	}
	var removed, message uint64
	for _, r := range raw {
		entry, err := r.Decode()
		if err != nil {
			s.t.Fatal(err)
		}
		if slices.ContainsFunc(entry.Removed, func(r wire.Route) bool { return r.Device.String() == device }) {
			removed = entry.Seq
			s.t.Logf("taken out by %s at %d", entry.Device.String()[:4], removed)
		}
		if entry.Kind == wire.EntryMessage && entry.Device.String() == by.account().Device {
			message = entry.Seq
		}
	}
	if removed == 0 || message < removed {
		s.t.Errorf("the device was taken out at %d, and the message is at %d", removed, message)
	}
}
