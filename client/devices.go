package client

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// fill writes random bytes.
func fill(b []byte) { rand.Read(b) }

// deviceEvent takes what the server tells of this account's devices.
func (e *Engine) deviceEvent(item wire.Item) error {
	switch item.Event {
	case wire.EventPending:
		var ev wire.Pending
		if err := item.DecodeBody(&ev); err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
		e.later(func(ctx context.Context, _ *session) error {
			devices, err := e.devices(ctx)
			if err != nil {
				return err
			}
			for _, d := range devices {
				if d.Waiting {
					alarm := Alarm{Code: "device-waiting", Text: "A device that knows your password waits to be let in.",
						Hint: "If it is yours and shows the code " + d.Code + ", approve it. If it is not, change your password."}
					e.out.tell(Event{Kind: EvAlarm, Alarm: &alarm})
				}
			}
			return nil
		})
	case wire.EventEnrolled:
		var ev wire.Enrolled
		if err := item.DecodeBody(&ev); err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
		e.later(func(ctx context.Context, _ *session) error { return e.enrolled(ctx, ev.Certificate) })
	case wire.EventRevoked:
		var ev wire.Revoked
		if err := item.DecodeBody(&ev); err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
		alarm := Alarm{Code: "device-revoked", Text: "One of your devices was taken out of the account."}
		e.out.tell(Event{Kind: EvAlarm, Alarm: &alarm})
	}
	return nil
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
		if err := s.call(ctx, wire.Key{}, wire.ApproveDevice{Certificate: certificate.Encode()}, nil); err != nil {
			return err
		}
		e.begin(func() { e.bringIn(ctx, d.Device) })
		return nil
	}
	return &Problem{Code: ProblemUntrusted, Text: "No waiting device has that code.", Hint: "Look at the new device again. If the code is right and this goes on, do not trust the server."}
}

// bringIn adds a new device of the own user to the rooms that this one is in,
// as soon as it has left its key packages at the server.
func (e *Engine) bringIn(ctx context.Context, device wire.DeviceID) {
	for attempt := range 10 {
		timer := time.NewTimer(time.Second << min(attempt, 4))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		s, err := e.online(ctx)
		if err != nil {
			continue
		}
		missing := 0
		for _, c := range e.chats() {
			c.mu.Lock()
			inside := c.state != nil && !c.has(device)
			c.mu.Unlock()
			if !inside {
				continue
			}
			missing++
			packages, err := e.claim(ctx, s, e.me(), []wire.DeviceID{device})
			if err != nil {
				break
			}
			if _, err := c.intend(room.Intent{Kind: room.IntentAdd, User: identity.UserID(e.me()), KeyPackages: packages}); err != nil {
				e.log(LogWarn, "bring in", "error", err.Error())
			}
		}
		if missing == 0 {
			return
		}
	}
}

// has reports whether a device is in the room, or about to be added.
func (c *chat) has(device wire.DeviceID) bool {
	for _, m := range c.state.Info().Members {
		for _, d := range m.Devices {
			if d.Device == identity.DeviceID(device) {
				return true
			}
		}
	}
	for _, w := range c.intents {
		if w.Kind == room.IntentAdd && wire.UserID(w.User) == c.e.me() {
			return true
		}
	}
	return false
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

// revoke takes one of the own devices out: of every room, by a statement that
// the others carry out, and of the account.
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
	key := identity.KeyFromSeed([32]byte(a.Identity))
	defer key.Wipe()
	for _, c := range e.chats() {
		c.mu.Lock()
		there := c.state != nil && c.has(id)
		c.mu.Unlock()
		if !there {
			continue
		}
		err := c.state1(ctx, s, func(r *room.Room) (*room.Append, error) { return r.Revoke(key, identity.DeviceID(id)) })
		if err != nil {
			e.log(LogWarn, "revoke", "room", c.id.String(), "error", err.Error())
		}
	}
	at := uint64(time.Now().Unix())
	signature := key.SignRevocation(a.Root, identity.DeviceID(id), at)
	return s.call(ctx, wire.Key{}, wire.RevokeDevice{Device: id, At: at, Signature: signature[:]}, nil)
}
