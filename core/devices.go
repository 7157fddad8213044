package core

import (
	"context"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/wire"
)

func deviceTopic(id wire.DeviceID) Topic {
	t := Topic{Kind: TopicDevice}
	copy(t.ID[:], id[:])
	return t
}

// tell publishes an event for a device.
func (s *Server) tell(device wire.DeviceID, ev wire.Event) {
	raw, err := wire.AppendEvent(nil, ev)
	if err != nil {
		s.log.Error("event does not encode", "err", err)
		return
	}
	s.bus.Publish(deviceTopic(device), Message{Data: raw})
}

// tellUser publishes an event for the enrolled devices of a user, but one.
func (s *Server) tellUser(ctx context.Context, user wire.UserID, except wire.DeviceID, ev wire.Event) {
	devices, err := s.store.Devices(ctx, user)
	if err != nil {
		s.log.Error("devices of a user", "err", err)
		return
	}
	for _, d := range devices {
		if d.State == wire.DeviceEnrolled && d.ID != except {
			s.tell(d.ID, ev)
		}
	}
}

// doEnrol puts a device in line, or finds it there.
func (c *conn) doEnrol(ctx context.Context, r *wire.Enrol) (any, error) {
	if c.loggedIn() || c.opened.IsZero() {
		return nil, wire.Refuse(wire.Unauthenticated)
	}
	if len(r.DeviceKey) != 32 || !identity.Class(r.Class).Valid() || r.Device.IsZero() {
		return nil, wire.Refuse(wire.Malformed)
	}
	if c.verify(identity.PublicKey(r.DeviceKey), r.Device, c.opened, r.Proof) != nil {
		return nil, c.failedProof()
	}
	defer c.s.keyed.lock(c.opened)()
	device, ok, err := c.s.store.Device(ctx, r.Device)
	if err != nil {
		return nil, err
	}
	if ok {
		return c.enrolAgain(device, r)
	}
	devices, err := c.s.store.Devices(ctx, c.opened)
	if err != nil {
		return nil, err
	}
	waiting := 0
	for _, d := range devices {
		if d.State == wire.DeviceWaiting && d.Expires > c.s.now() {
			waiting++
		}
	}
	if waiting >= c.s.limits.Get(wire.PendingDevices) {
		return nil, wire.RefuseLimit(wire.PendingDevices, time.Hour)
	}
	device = DeviceRecord{ID: r.Device, User: c.opened, State: wire.DeviceWaiting, Key: [32]byte(r.DeviceKey), Class: r.Class,
		Created: r.Created, Expires: c.s.now() + uint64(c.s.limits.Time(wire.PendingTime).Milliseconds())}
	if err := c.s.writer.commit(PutDevice{device}, c.s.audit(c.opened.String(), "device waits", device.ID.String())); err != nil {
		return nil, err
	}
	c.waitFor(device.ID)
	c.s.tellUser(ctx, c.opened, device.ID, wire.Pending{Device: deviceOf(device)})
	c.log.Info("device waits for approval", logUser(c.opened))
	return wire.EnrolOK{Expires: device.Expires}, nil
}

func (c *conn) enrolAgain(device DeviceRecord, r *wire.Enrol) (any, error) {
	switch {
	case device.User != c.opened || device.Key != [32]byte(r.DeviceKey) || device.Class != r.Class || device.Created != r.Created:
		return nil, wire.Refuse(wire.Conflict)
	case device.State == wire.DeviceRevoked:
		return nil, wire.Refuse(wire.DeviceGone)
	case device.State == wire.DeviceEnrolled:
		return wire.EnrolOK{Certificate: device.Certificate}, nil
	}
	c.waitFor(device.ID)
	return wire.EnrolOK{Expires: device.Expires}, nil
}

// waitFor lets this connection hear of the device's approval.
func (c *conn) waitFor(device wire.DeviceID) {
	if c.waiting == device {
		return
	}
	c.waiting = device
	var one []func()
	one, c.unhook = c.unhook, nil
	for _, unhook := range one {
		unhook()
	}
	c.hook(device)
}

func deviceOf(d DeviceRecord) wire.Device {
	return wire.Device{Device: d.ID, State: d.State, DeviceKey: d.Key[:], Class: d.Class, Created: d.Created,
		Certificate: d.Certificate, Label: d.Label, Seen: d.Seen}
}

func (c *conn) doListDevices(ctx context.Context, _ *wire.ListDevices) (any, error) {
	devices, err := c.s.store.Devices(ctx, c.user)
	if err != nil {
		return nil, err
	}
	out := wire.ListDevicesOK{}
	for _, d := range devices {
		if d.State != wire.DeviceWaiting || d.Expires > c.s.now() {
			out.Devices = append(out.Devices, deviceOf(d))
		}
	}
	// Revoked ones stay for ever; the newest say enough.
	if most := wire.MaxItems / 4; len(out.Devices) > most {
		out.Devices = out.Devices[len(out.Devices)-most:]
	}
	return out, nil
}

// ownDevice finds a device of this user; of others it says that there is none.
func (c *conn) ownDevice(ctx context.Context, id wire.DeviceID) (DeviceRecord, error) {
	device, ok, err := c.s.store.Device(ctx, id)
	if err != nil {
		return device, err
	}
	if !ok || device.User != c.user || device.State == wire.DeviceWaiting && device.Expires <= c.s.now() {
		return device, wire.Refuse(wire.NotFound)
	}
	return device, nil
}

func (c *conn) doApproveDevice(ctx context.Context, r *wire.ApproveDevice) (any, error) {
	cert, err := identity.DecodeCertificate(r.Certificate)
	if err != nil {
		return nil, wire.Refuse(wire.Malformed)
	}
	if cert.Verify(c.s.cfg.Keys.Root) != nil || wire.UserID(cert.User(c.s.cfg.Keys.Root)) != c.user {
		return nil, wire.Refuse(wire.NotFound)
	}
	defer c.s.keyed.lock(c.user)()
	device, err := c.ownDevice(ctx, wire.DeviceID(cert.Device))
	if err != nil {
		return nil, err
	}
	if device.State == wire.DeviceEnrolled && device.Key == cert.DeviceKey {
		return wire.Empty{}, nil
	}
	if device.State != wire.DeviceWaiting || device.Key != cert.DeviceKey || device.Class != uint8(cert.Class) || device.Created != cert.Created {
		return nil, wire.Refuse(wire.Conflict)
	}
	if err := c.roomForDevice(ctx, c.user); err != nil {
		return nil, err
	}
	enrolled := enrolledDevice(c.user, cert, r.Certificate)
	if err := c.s.writer.commit(PutDevice{enrolled}, c.s.audit(c.user.String(), "device approved", enrolled.ID.String())); err != nil {
		return nil, err
	}
	c.log.Info("device approved")
	c.s.tell(enrolled.ID, wire.Enrolled{Certificate: r.Certificate})
	c.s.tellUser(ctx, c.user, enrolled.ID, wire.Pending{Device: deviceOf(enrolled)})
	return wire.Empty{}, nil
}

func (c *conn) doDenyDevice(ctx context.Context, r *wire.DenyDevice) (any, error) {
	defer c.s.keyed.lock(c.user)()
	device, err := c.ownDevice(ctx, r.Device)
	if err != nil {
		return nil, err
	}
	if device.State != wire.DeviceWaiting {
		return nil, wire.Refuse(wire.Conflict)
	}
	if err := c.s.writer.commit(DropDevice{Device: r.Device}, c.s.audit(c.user.String(), "device denied", r.Device.String())); err != nil {
		return nil, err
	}
	c.s.tell(r.Device, wire.Enrolled{})
	return wire.Empty{}, nil
}

func (c *conn) doRenameDevice(ctx context.Context, r *wire.RenameDevice) (any, error) {
	if len(r.Label) > c.s.limits.Get(wire.LabelBytes) {
		return nil, wire.RefuseSize(wire.LabelBytes)
	}
	if !utf8.ValidString(r.Label) {
		return nil, wire.Refuse(wire.Malformed)
	}
	defer c.s.keyed.lock(c.user)()
	device, err := c.ownDevice(ctx, r.Device)
	if err != nil {
		return nil, err
	}
	device.Label = r.Label
	return wire.Empty{}, c.s.writer.commit(PutDevice{device})
}

// doRevokeDevice ends a device on the identity key's word, or on its own.
func (c *conn) doRevokeDevice(ctx context.Context, r *wire.RevokeDevice) (any, error) {
	device, err := c.ownDevice(ctx, r.Device)
	if err != nil {
		return nil, err
	}
	if device.State == wire.DeviceRevoked {
		return wire.Empty{}, nil
	}
	user, ok, err := c.s.store.User(ctx, c.user)
	if err != nil || !ok {
		return nil, errors.Join(err, wire.Refuse(wire.Internal))
	}
	if r.Device != c.device || len(r.Signature) != 0 {
		if len(r.Signature) != len(identity.Signature{}) || identity.VerifyRevocation(c.s.cfg.Keys.Root, user.Identity,
			identity.DeviceID(r.Device), r.At, identity.Signature(r.Signature)) != nil {
			return nil, wire.Refuse(wire.BadCredentials)
		}
	}
	if err := c.s.dropDevice(r.Device, r.At, r.Signature); err != nil {
		return nil, err
	}
	c.log.Info("device revoked")
	c.s.tellUser(ctx, c.user, r.Device, wire.Revoked{Device: r.Device, At: r.At, Signature: r.Signature})
	return wire.Empty{}, nil
}

// dropDevice ends a device for ever: its key packages go, its connections are
// cut. Its place in rooms is for their members to end.
func (s *Server) dropDevice(id wire.DeviceID, at uint64, signature []byte) error {
	device, ok, err := s.store.Device(s.ctx, id)
	if err != nil || !ok {
		return errors.Join(err, wire.Refuse(wire.NotFound))
	}
	device.State, device.RevokedAt, device.Revocation = wire.DeviceRevoked, at, signature
	if err := s.writer.commit(PutDevice{device}, DropPackages{Device: id}, s.audit(device.User.String(), "device revoked", id.String())); err != nil {
		return err
	}
	for _, c := range s.devices.of(id) {
		c.cut(wire.Cut{Code: wire.DeviceGone})
	}
	return nil
}
