package client

import (
	"context"
	"testing"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// alone is a chat with a room of one person, in an engine that does not run.
func alone(t *testing.T) *chat {
	t.Helper()
	e, err := New(Config{Storage: NewMemory(), Dialer: noDialer{}})
	if err != nil {
		t.Fatal(err)
	}
	e.ctx = context.Background()
	root, key, device := identity.PublicKey{1}, identity.NewKey(), identity.NewDeviceKey()
	profile, err := key.SignProfile(root, "Alice", 1)
	if err != nil {
		t.Fatal(err)
	}
	self := room.Self{Root: root, Key: device, Credential: identity.Credential{
		Certificate: key.Certify(root, identity.DeviceID{1}, device.Public(), identity.ClassNative, 1), Profile: profile,
	}}
	c := e.newChat(wire.RoomID{7})
	if c.state, _, err = room.Create(self, room.Spec{Group: identity.GroupID(c.id), Mode: room.ModeInvite, Title: "t"}); err != nil {
		t.Fatal(err)
	}
	c.rec.Members = 2
	return c
}

// What somebody says to have read counts only for the log that this device has
// been shown, and only once it has read so far itself.
func TestReceiptsAreOfOneLog(t *testing.T) {
	c := alone(t)
	bob := wire.UserID{2}
	position, chain := c.state.Position()
	other := chain
	other[0] ^= 1
	for _, said := range []standing{
		{here: true, got: position, chain: other, read: position},
		{here: true, got: position + 1, chain: chain, read: position + 1},
	} {
		c.heardLocked(bob, wire.DeviceID{2}, said)
		if got, read, here := c.reachLocked(); got != 0 || read != 0 || here != 1 {
			t.Errorf("after %+v: got up to %d, read up to %d, %d here", said, got, read, here)
		}
	}
	c.heardLocked(bob, wire.DeviceID{2}, standing{here: true, got: position, chain: chain, read: position})
	if got, read, _ := c.reachLocked(); got>>8 != position || read>>8 != position {
		t.Errorf("an honest receipt: got up to %d, read up to %d, at %d", got, read, position)
	}
	// It cannot be taken back, and what is said of oneself does not count.
	c.heardLocked(bob, wire.DeviceID{2}, standing{})
	if _, read, here := c.reachLocked(); read>>8 != position || here != 0 {
		t.Errorf("after Bob went: read up to %d, %d here", read, here)
	}
}

func TestStandingHasOneForm(t *testing.T) {
	good := standing{here: true, got: 7, chain: room.Hash{1}, read: 6}
	if back, ok := decodeStanding(good.encode()); !ok || back != good {
		t.Errorf("%+v comes back as %+v", good, back)
	}
	ahead := good
	ahead.read = 8
	for name, b := range map[string][]byte{"read beyond what was got": ahead.encode(), "longer": append(good.encode(), 0), "shorter": good.encode()[1:], "empty": nil} {
		if _, ok := decodeStanding(b); ok {
			t.Errorf("%s: taken", name)
		}
	}
}

// Signals are on in small rooms, off in large ones, and as the user says.
func TestSignalsSetting(t *testing.T) {
	c := alone(t)
	for _, step := range []struct {
		members   int
		all, room uint8
		want      bool
	}{
		{2, signalsAuto, signalsAuto, true},
		{signalsMost, signalsAuto, signalsAuto, true},
		{signalsMost + 1, signalsAuto, signalsAuto, false},
		{signalsMost + 1, signalsOn, signalsAuto, true},
		{2, signalsOff, signalsAuto, false},
		{2, signalsOff, signalsOn, true},
		{signalsMost + 1, signalsAuto, signalsOn, true},
		{2, signalsOn, signalsOff, false},
	} {
		c.rec.Members, c.e.signalling, c.mates.kept.Setting = step.members, step.all, step.room
		if got := c.signalsLocked(); got != step.want {
			t.Errorf("%+v: %v", step, got)
		}
	}
	c.heardLocked(wire.UserID{2}, wire.DeviceID{2}, standing{here: true})
	if _, _, here := c.reachLocked(); here != 0 {
		t.Error("presence is shown where signals are off")
	}
}

type noDialer struct{ Dialer }

// Nobody is told of writing in a room where nothing can be sent.
func TestNoTypingWhereNothingCanBeSent(t *testing.T) {
	c := alone(t)
	for _, away := range []string{"this device waits", ""} {
		c.healing.away = away
		if err := c.typing(true); err != nil {
			t.Fatal(err)
		}
		if told := c.mates.typed.on; told != (away == "") {
			t.Errorf("blocked %q: told of writing: %v", away, told)
		}
	}
}
