package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/wire"
)

const askApproval = 5 * time.Second // a device that waits asks again

// login opens an existing account for this device, which then waits until
// another device of the account approves its code.
func (e *Engine) login(ctx context.Context, r Request) error {
	login, err := identity.CanonicalLogin(r.Login)
	if err != nil {
		return err
	}
	e.mu.Lock()
	current := e.account
	e.mu.Unlock()
	if current.State != "" && current.State != AccountWaiting {
		return errHaveAccount
	}
	s, err := e.awaitSession(ctx, false)
	if err != nil {
		return err
	}
	var salt wire.PasswordSaltOK
	if err := s.call(ctx, wire.Key{}, wire.PasswordSalt{Login: login}, &salt); err != nil {
		return err
	}
	params := identity.PasswordParams(salt.Params)
	if err := params.Check(identity.PasswordParams(current.Password)); err != nil {
		return err
	}
	root := identity.PublicKey(s.conn.PeerRoot())
	done := e.progress("Checking the password")
	auth, err := identity.PasswordAuthWith(e.argon(ctx), r.Password, identity.PasswordSalt(root, login, salt.Salt), params)
	done()
	if err != nil {
		return err
	}
	defer clear(auth[:])
	var whose wire.PasswordLoginOK
	if err := s.call(ctx, wire.Key{}, wire.PasswordLogin{Login: login, Auth: auth[:]}, &whose); err != nil {
		return err
	}
	a := current
	if a.State == "" {
		device := identity.NewDeviceKey()
		a = account{DeviceSeed: device.Seed(), Class: uint8(e.cfg.Class), Created: uint64(time.Now().Unix())}
		rand.Read(a.Device[:])
	}
	if err := a.adopt(root, whose); err != nil {
		return err
	}
	a.State, a.Login, a.Password = AccountWaiting, login, salt.Params
	if err := e.setAccount(ctx, a); err != nil {
		return err
	}
	return e.enrol(ctx, s, a)
}

// adopt takes over whose account it is, if the server's word holds together.
func (a *account) adopt(root identity.PublicKey, whose wire.PasswordLoginOK) error {
	if len(whose.Identity) != 32 {
		return errProtocol
	}
	key := identity.PublicKey(whose.Identity)
	if identity.UserOf(root, key) != identity.UserID(whose.User) {
		return errProtocol
	}
	profile, err := identity.DecodeProfile(whose.Profile)
	if err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	if err := profile.Verify(root, key); err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	a.Root, a.IdentityKey, a.Profile = root, key, whose.Profile
	return nil
}

// code is what both devices show while this one waits.
func (a *account) code() string {
	key := a.deviceKey()
	return identity.EnrolmentCode(a.Root, identity.UserID(a.user()), identity.DeviceID(a.Device), key.Public(), identity.Class(a.Class)).String()
}

// enrol puts this device in line for approval, on a connection on which the
// password was shown.
func (e *Engine) enrol(ctx context.Context, s *session, a account) error {
	var answer wire.EnrolOK
	key := a.deviceKey()
	public := key.Public()
	err := s.call(ctx, wire.Key{}, wire.Enrol{
		Device: a.Device, DeviceKey: public[:], Class: a.Class, Created: a.Created, Proof: a.proof(s),
	}, &answer)
	if err != nil {
		return err
	}
	if len(answer.Certificate) > 0 {
		return e.enrolled(ctx, answer.Certificate)
	}
	e.out.tell(Event{Kind: EvCode, Code: a.code()})
	return nil
}

// enrolled takes the certificate that another device made for this one.
func (e *Engine) enrolled(ctx context.Context, raw []byte) error {
	e.mu.Lock()
	a, s := e.account, e.session
	e.mu.Unlock()
	if a.State != AccountWaiting || s == nil {
		return nil
	}
	if len(raw) == 0 {
		e.out.tell(Event{Kind: EvCode})
		return e.setAccount(ctx, account{})
	}
	if err := a.admit(raw); err != nil {
		return err
	}
	if err := e.setAccount(ctx, a); err != nil {
		return err
	}
	e.out.tell(Event{Kind: EvCode})
	return e.signIn(ctx, s, a)
}

// reopen makes the account anew that a restored server does not know: user and
// device are keys, which are here. A login name is not; the user has to choose
// it again.
func (e *Engine) reopen(ctx context.Context, s *session, a account) error {
	named := a.Login != ""
	a.State, a.Login = AccountGuest, ""
	if err := e.finishAccount(ctx, s, a, wire.Guest{Account: a.wire(s), Token: token(a.Token)}); err != nil {
		return err
	}
	if named {
		alarm := Alarm{Code: "log-reset", Text: "The restored server does not know your login name and password any more.", Hint: "You are in with your keys. Register again to log in on other devices."}
		e.out.tell(Event{Kind: EvAlarm, Alarm: &alarm})
	}
	return nil
}

// awaitApproval asks until another device has let this one in. Only the
// connection on which the password was typed hears of it by itself.
func (e *Engine) awaitApproval(ctx context.Context, s *session, a account) {
	ticker := time.NewTicker(askApproval)
	defer ticker.Stop()
	for {
		switch err := e.approved(ctx, s, a); {
		case err == nil:
			return
		case !errors.Is(err, wire.Refuse(wire.Waiting)):
			e.log(LogInfo, "approval", "error", err.Error())
			return // turned down, taken out, or the connection is gone
		}
		select {
		case <-ticker.C:
		case <-s.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// approved logs in and fetches the certificate, if there is one by now.
func (e *Engine) approved(ctx context.Context, s *session, a account) error {
	var standing wire.LoginOK
	if err := s.call(ctx, wire.Key{}, wire.Login{User: a.user(), Device: a.Device, Proof: a.proof(s)}, &standing); err != nil {
		return err
	}
	var listed wire.ListDevicesOK
	if err := s.call(ctx, wire.Key{}, wire.ListDevices{}, &listed); err != nil {
		return err
	}
	for _, d := range listed.Devices {
		if d.Device == a.Device {
			if err := a.admit(d.Certificate); err != nil {
				return err
			}
		}
	}
	if a.State != AccountRegistered {
		return errProtocol
	}
	if err := e.setAccount(ctx, a); err != nil {
		return err
	}
	e.out.tell(Event{Kind: EvCode})
	return e.enter(ctx, s, standing)
}

// admit takes the certificate by which another device let this one in.
func (a *account) admit(raw []byte) error {
	certificate, err := identity.DecodeCertificate(raw)
	if err != nil {
		return err
	}
	key := a.deviceKey()
	defer key.Wipe()
	if err := certificate.Verify(a.Root); err != nil || certificate.Identity != a.IdentityKey ||
		certificate.Device != identity.DeviceID(a.Device) || certificate.DeviceKey != key.Public() {
		return fmt.Errorf("%w: a certificate that is not for this device", errProtocol)
	}
	a.Certificate, a.State, a.Confirmed = raw, AccountRegistered, true
	return nil
}

// signIn makes the connection that of the account a, if there was one when the
// connection came about.
func (e *Engine) signIn(ctx context.Context, s *session, a account) error {
	root := s.conn.PeerRoot()
	switch {
	case a.State == "" || a.State == AccountSignedOut || a.State == AccountRevoked:
		e.setConn(Conn{State: ConnConnected})
		return nil
	case a.Root != root:
		return errOtherServer
	case a.State == AccountWaiting:
		e.setConn(Conn{State: ConnConnected})
		e.out.tell(Event{Kind: EvCode, Code: a.code()})
		e.begin(func() { e.awaitApproval(ctx, s, a) })
		return nil
	}
	var standing wire.LoginOK
	err := s.call(ctx, wire.Key{}, wire.Login{User: a.user(), Device: a.Device, Proof: a.proof(s)}, &standing)
	if err != nil && !a.Confirmed && a.Login == "" {
		// The answer to the first request may have been lost: asking again
		// for the same identity finds what there is.
		return e.finishAccount(ctx, s, a, wire.Guest{Account: a.wire(s), Token: token(a.Token)})
	}
	if s.restored > 0 && errors.Is(err, wire.Refuse(wire.BadCredentials)) {
		return e.reopen(ctx, s, a)
	}
	if errors.Is(err, wire.Refuse(wire.DeviceGone)) {
		a.State = AccountRevoked
		return errors.Join(err, e.setAccount(ctx, a))
	}
	if err != nil {
		return err
	}
	if !a.Confirmed {
		a.Confirmed = true
		if err := e.setAccount(ctx, a); err != nil {
			return err
		}
	}
	return e.enter(ctx, s, standing)
}
