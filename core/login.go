package core

import (
	"context"
	"errors"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/wire"
)

func (c *conn) doHello(_ context.Context, r *wire.Hello) (any, error) {
	if r.Version != wire.Version {
		return nil, wire.Refuse(wire.BadVersion)
	}
	if len(r.Agent) > 64 {
		return nil, wire.Refuse(wire.Malformed)
	}
	c.hello = true
	return wire.HelloOK{Version: wire.Version, Time: c.s.now(), Server: c.s.cfg.Name, Lounge: c.s.lounge,
		Registration: wire.Registration(c.s.registration.Load()), Limits: c.s.limits.Values(), Delegation: c.s.delegation(),
		Incarnation: c.s.incarnation, Restored: c.s.restored}, nil
}

func (s *Server) delegation() []byte {
	d := s.cfg.Keys.Delegation
	return append(d.Delegate[:], d.Signature[:]...)
}

func (c *conn) doPing(context.Context, *wire.Ping) (any, error) { return wire.Empty{}, nil }

// doLogin takes an enrolled device's proof. Nobody's wrong guesses can stand in
// its way: attempts are counted only when a proof fails.
func (c *conn) doLogin(ctx context.Context, r *wire.Login) (any, error) {
	if c.loggedIn() {
		return nil, wire.Refuse(wire.Conflict)
	}
	device, ok, err := c.s.store.Device(ctx, r.Device)
	if err != nil {
		return nil, err
	}
	if !ok || device.User != r.User || c.verify(device.Key, r.Device, r.User, r.Proof) != nil {
		return nil, c.failedProof()
	}
	switch device.State {
	case wire.DeviceWaiting:
		return nil, wire.Refuse(wire.Waiting)
	case wire.DeviceRevoked:
		return nil, wire.Refuse(wire.DeviceGone)
	}
	user, ok, err := c.s.store.User(ctx, r.User)
	if err != nil || !ok {
		return nil, errors.Join(err, wire.Refuse(wire.Internal))
	}
	return c.enter(ctx, user, device)
}

// verify checks a proof over this connection's link.
func (c *conn) verify(key identity.PublicKey, device wire.DeviceID, user wire.UserID, proof []byte) error {
	if len(proof) != len(identity.Signature{}) {
		return identity.ErrSignature
	}
	return identity.VerifyLogin(c.s.cfg.Keys.Root, c.link.Exporter(), identity.DeviceID(device), identity.UserID(user), key,
		identity.Signature(proof))
}

func (c *conn) failedProof() error {
	if err := c.s.gate.login(c.link.RemoteAddr().Addr()); err != nil {
		return err
	}
	c.log.Warn("login failed", "how", "proof")
	return wire.Refuse(wire.BadCredentials)
}

// enter makes the session the device's.
func (c *conn) enter(ctx context.Context, user UserRecord, device DeviceRecord) (any, error) {
	if user.Banned {
		return nil, wire.Refuse(wire.Banned)
	}
	state, replaced := c.s.devices.enter(c, device.ID, c.s.limits.Get(wire.ConnectionsPerDevice))
	c.user, c.device, c.state, c.waiting = user.ID, device.ID, state, wire.DeviceID{}
	if replaced != nil {
		replaced.cut(wire.Cut{Code: wire.Replaced})
	}
	c.log = c.log.With(logUser(user.ID), logDevice(device.ID))
	c.s.count.logins.Add(1)
	c.log.Info("login", "guest", user.Login == "")
	c.hook(device.ID)
	c.touch()
	has, err := c.s.store.Standing(ctx, device.ID, user.ID, c.s.now())
	if err != nil {
		return nil, err
	}
	return wire.LoginOK{User: user.ID, Login: user.Login, Admin: user.Admin, KeyPackages: uint(has.OneTime), LastResort: has.LastResort,
		Welcomes: uint(has.Welcomes), PendingCount: uint(has.Waiting)}, nil
}

// hook takes the events for a device from the bus to this connection.
func (c *conn) hook(device wire.DeviceID) {
	c.unhook = append(c.unhook, c.s.bus.Subscribe(deviceTopic(device), func(m Message) { c.out.push(m.Data) }))
}

// touch notes that the device was here, to the hour.
func (c *conn) touch() {
	const hour = 3600 * 1000
	seen := c.s.now() / hour * hour
	c.state.mu.Lock()
	known := c.state.seen == seen
	c.state.seen = seen
	c.state.mu.Unlock()
	if known {
		return
	}
	// Nobody waits for this one, and a failed commit is in the log already.
	_ = c.s.writer.submitLazily(job{changes: []Change{TouchDevice{Device: c.device, User: c.user, Seen: seen}}, done: func(error) {}})
}

// account checks what a new account says of itself.
func (c *conn) account(a *wire.Account) (cert identity.Certificate, user wire.UserID, err error) {
	cert, err = identity.DecodeCertificate(a.Certificate)
	if err != nil {
		return cert, user, wire.Refuse(wire.Malformed)
	}
	root := c.s.cfg.Keys.Root
	user = wire.UserID(cert.User(root))
	if cert.Verify(root) != nil || c.verify(cert.DeviceKey, wire.DeviceID(cert.Device), user, a.Proof) != nil {
		return cert, user, c.failedProof()
	}
	return cert, user, c.checkProfile(a.Profile, cert.Identity)
}

func (c *conn) checkProfile(raw []byte, by identity.PublicKey) error {
	if len(raw) > c.s.limits.Get(wire.ProfileBytes) {
		return wire.RefuseSize(wire.ProfileBytes)
	}
	profile, err := identity.DecodeProfile(raw)
	if err != nil || profile.Verify(c.s.cfg.Keys.Root, by) != nil {
		return wire.Refuse(wire.Malformed)
	}
	return nil
}

func (c *conn) doGuest(ctx context.Context, r *wire.Guest) (any, error) {
	if c.loggedIn() {
		return nil, wire.Refuse(wire.Conflict)
	}
	cert, user, err := c.account(&r.Account)
	if err != nil {
		return nil, err
	}
	defer c.s.keyed.lock(user)()
	if known, ok, err := c.s.store.User(ctx, user); err != nil {
		return nil, err
	} else if ok {
		return c.enterCertified(ctx, known, cert, r.Account.Certificate)
	}
	spent, err := c.mayRegister(ctx, r.Token, r.Link)
	if err != nil {
		return nil, err
	}
	rec := UserRecord{ID: user, Identity: cert.Identity, Profile: r.Account.Profile, Created: c.s.now()}
	return c.newAccount(ctx, rec, cert, r.Account.Certificate, spent)
}

func (c *conn) doRegister(ctx context.Context, r *wire.Register) (any, error) {
	if c.loggedIn() {
		return nil, wire.Refuse(wire.Conflict)
	}
	cert, user, err := c.account(&r.Account)
	if err != nil {
		return nil, err
	}
	rec := UserRecord{ID: user, Identity: cert.Identity, Profile: r.Account.Profile, Created: c.s.now()}
	if err := setPassword(&rec, r.Login, r.Salt, r.Params, r.Auth); err != nil {
		return nil, err
	}
	defer c.s.keyed.lock(user)()
	if known, ok, err := c.s.store.User(ctx, user); err != nil {
		return nil, err
	} else if ok {
		// A retry whose first answer was lost, or an account that has a name.
		if known.Login != r.Login {
			return nil, wire.Refuse(wire.Conflict)
		}
		return c.enterCertified(ctx, known, cert, r.Account.Certificate)
	}
	defer c.s.keyed.lock(r.Login)()
	if _, taken, err := c.s.store.UserByLogin(ctx, r.Login); err != nil {
		return nil, err
	} else if taken {
		return nil, wire.Refuse(wire.Conflict)
	}
	spent, err := c.mayRegister(ctx, r.Token, nil)
	if err != nil {
		return nil, err
	}
	return c.newAccount(ctx, rec, cert, r.Account.Certificate, spent)
}

// enterCertified logs in a device of a known user by its certificate alone:
// whoever holds the identity key needs no approval.
func (c *conn) enterCertified(ctx context.Context, user UserRecord, cert identity.Certificate, raw []byte) (any, error) {
	device, ok, err := c.s.store.Device(ctx, wire.DeviceID(cert.Device))
	if err != nil {
		return nil, err
	}
	switch {
	case ok && (device.User != user.ID || device.Key != cert.DeviceKey):
		return nil, wire.Refuse(wire.Conflict)
	case ok && device.State == wire.DeviceRevoked:
		return nil, wire.Refuse(wire.DeviceGone)
	case ok && device.State == wire.DeviceEnrolled:
		return c.enter(ctx, user, device)
	}
	if err := c.roomForDevice(ctx, user.ID); err != nil {
		return nil, err
	}
	device = enrolledDevice(user.ID, cert, raw)
	if err := c.s.writer.commit(PutDevice{device}); err != nil {
		return nil, err
	}
	return c.enter(ctx, user, device)
}

// roomForDevice refuses an enrolled device too many.
func (c *conn) roomForDevice(ctx context.Context, user wire.UserID) error {
	devices, err := c.s.store.Devices(ctx, user)
	if err != nil {
		return err
	}
	n := 0
	for _, d := range devices {
		if d.State == wire.DeviceEnrolled {
			n++
		}
	}
	if n >= c.s.limits.Get(wire.DevicesPerUser) {
		return wire.RefuseLimit(wire.DevicesPerUser, 0)
	}
	return nil
}

func enrolledDevice(user wire.UserID, cert identity.Certificate, raw []byte) DeviceRecord {
	return DeviceRecord{ID: wire.DeviceID(cert.Device), User: user, State: wire.DeviceEnrolled, Key: cert.DeviceKey,
		Class: uint8(cert.Class), Created: cert.Created, Certificate: raw}
}

func (c *conn) newAccount(ctx context.Context, user UserRecord, cert identity.Certificate, raw []byte, spent []Change) (any, error) {
	if _, taken, err := c.s.store.Device(ctx, wire.DeviceID(cert.Device)); err != nil {
		return nil, err
	} else if taken {
		return nil, wire.Refuse(wire.Conflict)
	}
	if err := c.s.gate.account(c.link.RemoteAddr().Addr()); err != nil {
		return nil, err
	}
	device := enrolledDevice(user.ID, cert, raw)
	changes := append(spent, PutUser{user}, PutDevice{device})
	if err := c.s.writer.commit(changes...); err != nil {
		return nil, err
	}
	c.log.Info("account made", logUser(user.ID), "guest", user.Login == "")
	return c.enter(ctx, user, device)
}

// mayRegister holds a new account against the registration mode, and returns
// what the account spends.
func (c *conn) mayRegister(ctx context.Context, token *wire.Token, link *wire.Link) ([]Change, error) {
	switch wire.Registration(c.s.registration.Load()) {
	case wire.RegistrationOpen:
		return nil, nil
	case wire.RegistrationInvite:
		if link != nil {
			if _, err := c.s.openLink(ctx, link); err == nil {
				return nil, nil
			}
		}
		if token != nil {
			change, err := c.s.spendToken(ctx, *token, TokenRegister, TokenAdmin)
			if err != nil {
				return nil, err
			}
			return change, nil
		}
	}
	return nil, wire.Refuse(wire.NotRegistering)
}

func (c *conn) doLogout(_ context.Context, r *wire.Logout) (any, error) {
	if r.Forget {
		if err := c.s.dropDevice(c.device, 0, nil); err != nil {
			return nil, err
		}
	}
	c.log.Info("logout", "forget", r.Forget)
	defer c.cut(wire.Cut{Code: wire.Unauthenticated})
	return wire.Empty{}, nil
}

func (c *conn) doSetProfile(ctx context.Context, r *wire.SetProfile) (any, error) {
	defer c.s.keyed.lock(c.user)()
	user, ok, err := c.s.store.User(ctx, c.user)
	if err != nil || !ok {
		return nil, errors.Join(err, wire.Refuse(wire.Internal))
	}
	if err := c.checkProfile(r.Profile, user.Identity); err != nil {
		return nil, err
	}
	before, err := identity.DecodeProfile(user.Profile)
	if err != nil {
		return nil, err
	}
	after, err := identity.DecodeProfile(r.Profile)
	if err != nil || after.Version <= before.Version {
		return nil, wire.Refuse(wire.Conflict)
	}
	user.Profile = r.Profile
	return wire.Empty{}, c.s.writer.commit(PutUser{user})
}

// doClaimAdmin spends the administrator's link.
func (c *conn) doClaimAdmin(ctx context.Context, r *wire.ClaimAdmin) (any, error) {
	if err := c.s.gate.login(c.link.RemoteAddr().Addr()); err != nil {
		return nil, err
	}
	defer c.s.keyed.lock(c.user)()
	spent, err := c.s.spendToken(ctx, r.Token, TokenAdmin)
	if err != nil {
		return nil, err
	}
	user, ok, err := c.s.store.User(ctx, c.user)
	if err != nil || !ok {
		return nil, errors.Join(err, wire.Refuse(wire.Internal))
	}
	user.Admin = true
	changes := append(spent, PutUser{user}, c.s.audit(c.user.String(), "admin claimed", c.user.String()))
	if err := c.s.writer.commit(changes...); err != nil {
		return nil, err
	}
	c.log.Info("administrator")
	return wire.ClaimAdminOK{Notice: c.s.notice(identity.NoticeOwner, c.s.lounge, c.user, wire.Stay{})}, nil
}

// notice is the delegate's signed word.
func (s *Server) notice(kind identity.NoticeKind, room wire.RoomID, user wire.UserID, stay wire.Stay) []byte {
	n := identity.Notice{Kind: kind, Group: identity.GroupID(room), User: identity.UserID(user), Device: identity.DeviceID(stay.Device),
		JoinID: identity.JoinID(stay.JoinID), Delegation: s.cfg.Keys.Delegation}
	identity.SignNotice(s.cfg.Keys.Root, s.cfg.Keys.Delegate, &n)
	return n.Encode()
}
