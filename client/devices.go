package client

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// fill writes random bytes.
func fill(b []byte) { rand.Read(b) }

// deviceEvent takes what the server tells of this account's devices.
func (e *Engine) deviceEvent(item wire.Item) error {
	if item.Event == wire.EventEnrolled {
		var ev wire.Enrolled
		if err := item.DecodeBody(&ev); err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
		e.later(func(ctx context.Context, _ *session) error { return e.enrolled(ctx, ev.Certificate) })
		return nil
	}
	e.later(e.checkDevices)
	return nil
}

// knownDevice is what the user of this device was told of another one.
type knownDevice struct {
	_      struct{} `cbor:",toarray"`
	Device wire.DeviceID
	State  uint8 // wire.DeviceState
}

// checkDevices holds the server's list of this account's devices against what
// this device knows, and says what is new: a device that waits, one that was
// let in, one that was taken out, and one that nobody has let in.
func (e *Engine) checkDevices(ctx context.Context, s *session) error {
	e.checking.Lock()
	defer e.checking.Unlock()
	e.mu.Lock()
	a := e.account
	e.mu.Unlock()
	if a.Login == "" || len(a.Certificate) == 0 {
		return nil // one device is all there is
	}
	var listed wire.ListDevicesOK
	if err := s.call(ctx, wire.Key{}, wire.ListDevices{}, &listed); err != nil {
		return err
	}
	var before []knownDevice
	known, err := get(ctx, e.cfg.Storage, []byte(keyDevices), &before)
	if err != nil {
		return err
	}
	was := map[wire.DeviceID]wire.DeviceState{}
	for _, d := range before {
		was[d.Device] = wire.DeviceState(d.State)
	}
	var alarms []Alarm
	now := make([]knownDevice, 0, len(listed.Devices))
	for _, d := range listed.Devices {
		if d.State == wire.DeviceEnrolled && !a.certified(d) {
			alarms = append(alarms, ghostDevice(d))
			continue
		}
		now = append(now, knownDevice{Device: d.Device, State: uint8(d.State)})
		if d.Device != a.Device && was[d.Device] != d.State && (known || d.State == wire.DeviceWaiting) {
			alarms = append(alarms, e.deviceAlarm(&a, d))
		}
	}
	if err := e.save(ctx, put([]byte(keyDevices), now)); err != nil {
		return err
	}
	for _, alarm := range alarms {
		e.out.tell(Event{Kind: EvAlarm, Alarm: &alarm})
	}
	return nil
}

// certified reports whether the identity key of this account has let a device
// in that the server lists as let in.
func (a *account) certified(d wire.Device) bool {
	certificate, err := identity.DecodeCertificate(d.Certificate)
	return err == nil && certificate.Verify(a.Root) == nil && certificate.Identity == a.IdentityKey && certificate.Device == identity.DeviceID(d.Device)
}

func ghostDevice(d wire.Device) Alarm {
	return Alarm{Code: "ghost-device", Text: "The server lists a device of yours that you have not let in (" + d.Device.String()[:8] + "). It cannot read anything.",
		Hint: "Ask who runs the server; do not approve it."}
}

// deviceAlarm says what became of another device of this account.
func (e *Engine) deviceAlarm(a *account, d wire.Device) Alarm {
	what := identity.Class(d.Class).String() + " " + d.Device.String()[:8]
	if d.Label != "" {
		what = d.Label + ", " + what
	}
	switch d.State {
	case wire.DeviceEnrolled:
		return Alarm{Code: "device-added", Text: "A new device of yours was let in (" + what + ").", Hint: "If it is not yours, take it out with /device revoke, and change your password."}
	case wire.DeviceRevoked:
		return Alarm{Code: "device-revoked", Text: "One of your devices was taken out of the account (" + what + ")."}
	}
	code := "none"
	if len(d.DeviceKey) == 32 {
		code = codeOf(a, d).String()
	}
	return Alarm{Code: "device-waiting", Text: "A device that knows your password waits to be let in.",
		Hint: "If it is yours and shows the code " + code + ", approve it. If it is not, change your password."}
}

// devices lists the devices of the own account.
func (e *Engine) devices(ctx context.Context) ([]Device, error) {
	listed, err := e.listDevices(ctx)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	a := e.account
	e.mu.Unlock()
	var all []Device
	for _, d := range listed {
		view := Device{
			ID: d.Device.String(), Name: d.Label, Class: identity.Class(d.Class).String(), Own: d.Device == a.Device,
			Waiting: d.State == wire.DeviceWaiting, Revoked: d.State == wire.DeviceRevoked,
			Added: int64(d.Created) * 1000, Seen: int64(d.Seen),
		}
		if view.Waiting && len(d.DeviceKey) == 32 {
			view.Code = codeOf(&a, d).String()
		}
		all = append(all, view)
	}
	return all, nil
}

func codeOf(a *account, d wire.Device) identity.Code {
	return identity.EnrolmentCode(a.Root, identity.UserID(a.user()), identity.DeviceID(d.Device), identity.PublicKey(d.DeviceKey), identity.Class(d.Class))
}

func (e *Engine) listDevices(ctx context.Context) ([]wire.Device, error) {
	s, err := e.online(ctx)
	if err != nil {
		return nil, err
	}
	var listed wire.ListDevicesOK
	err = s.call(ctx, wire.Key{}, wire.ListDevices{}, &listed)
	return listed.Devices, err
}

// approve lets a waiting device in: the code that it shows must be that of the
// keys that the server presents.
func (e *Engine) approve(ctx context.Context, typed string) error {
	code, err := identity.ParseCode(typed)
	if err != nil {
		return &Problem{Code: ProblemUsage, Text: "That is not a code.", Hint: "It has 16 letters and digits, as the new device shows it."}
	}
	e.mu.Lock()
	a := e.account
	e.mu.Unlock()
	if len(a.Identity) != 32 {
		return errNotOwner
	}
	listed, err := e.listDevices(ctx)
	if err != nil {
		return err
	}
	for _, d := range listed {
		if d.State != wire.DeviceWaiting || len(d.DeviceKey) != 32 || !codeOf(&a, d).Equal(code) {
			continue
		}
		key := identity.KeyFromSeed([32]byte(a.Identity))
		certificate := key.Certify(a.Root, identity.DeviceID(d.Device), identity.PublicKey(d.DeviceKey), identity.Class(d.Class), d.Created)
		key.Wipe()
		s, err := e.online(ctx)
		if err != nil {
			return err
		}
		// Whoever is online brings it into the rooms, once it has left its key
		// packages at the server.
		return s.call(ctx, wire.Key{}, wire.ApproveDevice{Certificate: certificate.Encode()}, nil)
	}
	return &Problem{Code: ProblemUntrusted, Text: "No waiting device has that code.", Hint: "Look at the new device again. If the code is right and this goes on, do not trust the server."}
}

func (e *Engine) renameDevice(ctx context.Context, r Request) error {
	id, err := parseID[wire.DeviceID](r.Device)
	if err != nil {
		return err
	}
	s, err := e.online(ctx)
	if err != nil {
		return err
	}
	return s.call(ctx, wire.Key{}, wire.RenameDevice{Device: id, Label: r.Name}, nil)
}

// revoke takes one of the own devices out: of the account, and of every room
// by a statement that the members carry out before they say anything more.
func (e *Engine) revoke(ctx context.Context, r Request) error {
	id, err := parseID[wire.DeviceID](r.Device)
	if err != nil {
		return err
	}
	e.mu.Lock()
	a := e.account
	e.mu.Unlock()
	if len(a.Identity) != 32 {
		return errNotOwner
	}
	if id == a.Device {
		return &Problem{Code: ProblemUsage, Text: "That is this device.", Hint: "To give it up, log out and erase."}
	}
	s, err := e.online(ctx)
	if err != nil {
		return err
	}
	if err := e.keepDisowned(ctx, id); err != nil {
		return err
	}
	key := identity.KeyFromSeed([32]byte(a.Identity))
	defer key.Wipe()
	at := uint64(time.Now().Unix())
	signature := key.SignRevocation(a.Root, identity.DeviceID(id), at)
	if err := s.call(ctx, wire.Key{}, wire.RevokeDevice{Device: id, At: at, Signature: signature[:]}, nil); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, c := range e.chats() {
		c.poke()
		if err := c.until(ctx, func() (bool, error) { return !c.toDisown(id), nil }); err != nil {
			return &Problem{Code: ProblemOffline, Text: "The device is out of the account, but not yet of all rooms.", Hint: "That goes on by itself while this device is connected."}
		}
	}
	return nil
}

// revoked notes that this device is no longer one of the account.
func (e *Engine) revoked(ctx context.Context) {
	e.mu.Lock()
	a := e.account
	e.mu.Unlock()
	if a.State == "" || a.State == AccountRevoked {
		return
	}
	a.State = AccountRevoked
	if err := e.setAccount(ctx, a); err != nil {
		e.log(LogError, "revoked", "error", err.Error())
	}
}

// keepDisowned remembers that a device of this user is to be in no room.
func (e *Engine) keepDisowned(ctx context.Context, id wire.DeviceID) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if slices.Contains(e.disowned, id) {
		return nil
	}
	all := append(slices.Clone(e.disowned), id)
	if err := e.save(ctx, put([]byte(keyDisowned), all)); err != nil {
		return err
	}
	e.disowned = all
	return nil
}

// toDisown reports whether the room has still to be told that a device is
// disowned. The caller holds mu.
func (c *chat) toDisown(id wire.DeviceID) bool {
	if c.state == nil || c.disowned[id] || c.rec.Leaving {
		return false
	}
	switch c.state.State() {
	case room.StateJoining, room.StateLeaving, room.StateRemoved:
		return false
	}
	info := c.state.Info()
	return info != nil && !slices.Contains(info.Revoked, room.Revoked{User: identity.UserID(c.e.me()), Device: identity.DeviceID(id)})
}

// disown writes the revocations of own devices into the room, also into one
// where such a device is not: its certificate is good for ever, and anybody
// could add it by that.
func (c *chat) disown(ctx context.Context, s *session) (time.Duration, error) {
	c.e.mu.Lock()
	all, seed := c.e.disowned, c.e.account.Identity
	c.e.mu.Unlock()
	for _, id := range all {
		c.mu.Lock()
		due := c.toDisown(id)
		c.mu.Unlock()
		if !due || len(seed) != 32 {
			continue
		}
		key := identity.KeyFromSeed([32]byte(seed))
		err := c.state1(ctx, s, func(r *room.Room) (*room.Append, error) { return r.Revoke(key, identity.DeviceID(id)) })
		key.Wipe()
		if err != nil {
			return 0, err
		}
		c.mu.Lock()
		if c.disowned == nil {
			c.disowned = map[wire.DeviceID]bool{}
		}
		c.disowned[id] = true
		c.notifyLocked()
		c.mu.Unlock()
	}
	return never, nil
}
