package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// account is who this profile is: the zero value is nobody yet. It holds
// secrets and is written before anything of it is shown to the server.
type account struct {
	_            struct{}            `cbor:",toarray"`
	State        string              // one of the Account… states; "" = none
	Root         [32]byte            // the server's root key, under which all of it is signed
	Identity     []byte              // seed of the identity key; empty on a second device
	IdentityKey  [32]byte            // its public half
	Device       wire.DeviceID       //
	DeviceSeed   [32]byte            // of the device's signature key
	Class        uint8               //
	Created      uint64              // unix seconds, part of the certificate
	Certificate  []byte              // empty while the device waits for approval
	Profile      []byte              // signed name
	Login        string              // empty for a guest
	Confirmed    bool                // the server has it
	Password     wire.PasswordParams // used for this account before
	Token        []byte              // shown when registration is by invitation
	ProfileStale bool                // the server has an older profile
}

func (a *account) user() wire.UserID {
	return wire.UserID(identity.UserOf(a.Root, a.IdentityKey))
}

func (a *account) deviceKey() *identity.DeviceKey { return identity.DeviceKeyFromSeed(a.DeviceSeed) }

// self is what the rooms' state machines know this device by.
func (a *account) self() (room.Self, error) {
	certificate, err := identity.DecodeCertificate(a.Certificate)
	if err != nil {
		return room.Self{}, err
	}
	profile, err := identity.DecodeProfile(a.Profile)
	if err != nil {
		return room.Self{}, err
	}
	return room.Self{
		Root: a.Root, Key: a.deviceKey(),
		Credential: identity.Credential{Certificate: certificate, Profile: profile},
	}, nil
}

func (a *account) name() string {
	profile, err := identity.DecodeProfile(a.Profile)
	if err != nil {
		return ""
	}
	return profile.Name
}

// accountView is what the interface sees of the account.
func (e *Engine) accountView() Account {
	a := &e.account
	if a.State == "" {
		return Account{State: AccountNone}
	}
	user := a.user()
	return Account{State: a.State, User: user.String(), Device: a.Device.String(), Name: a.name(), Login: a.Login}
}

// setAccount keeps a changed account and tells the interface.
func (e *Engine) setAccount(ctx context.Context, a account) error {
	if err := e.save(ctx, put([]byte(keyAccount), a)); err != nil {
		return err
	}
	e.mu.Lock()
	e.account = a
	view := e.accountView()
	e.mu.Unlock()
	e.out.tell(Event{Kind: EvAccount, Account: &view})
	return nil
}

var (
	errHaveAccount = &Problem{Code: ProblemUsage, Text: "This profile has an account already.", Hint: "Log out first, or use another profile."}
	errNoAccount   = &Problem{Code: ProblemNoAccount, Text: "There is no account yet.", Hint: "Choose a name first."}
	errNotOwner    = &Problem{Code: ProblemRefused, Text: "Only the device that made the account can do this."}
)

// newAccount makes keys for a new user of the server at the other end.
func (e *Engine) newAccount(s *session, name string) (account, error) {
	root := identity.PublicKey(s.conn.PeerRoot())
	key, device := identity.NewKey(), identity.NewDeviceKey()
	defer key.Wipe()
	profile, err := key.SignProfile(root, name, 1)
	if err != nil {
		return account{}, err
	}
	a := account{
		State: AccountGuest, Root: root, IdentityKey: key.Public(), DeviceSeed: device.Seed(),
		Class: uint8(e.cfg.Class), Created: uint64(time.Now().Unix()), Profile: profile.Encode(),
	}
	seed := key.Seed()
	a.Identity = seed[:]
	rand.Read(a.Device[:])
	certificate := key.Certify(root, identity.DeviceID(a.Device), device.Public(), e.cfg.Class, a.Created)
	a.Certificate = certificate.Encode()
	return a, nil
}

// proof shows, on this connection only, that the device's key is here.
func (a *account) proof(s *session) []byte {
	key := a.deviceKey()
	defer key.Wipe()
	signature := key.SignLogin(a.Root, s.conn.Exporter(), identity.DeviceID(a.Device), identity.UserID(a.user()))
	return signature[:]
}

func (a *account) wire(s *session) wire.Account {
	return wire.Account{Certificate: a.Certificate, Profile: a.Profile, Proof: a.proof(s)}
}

// guest makes an account that has a name and no password.
func (e *Engine) guest(ctx context.Context, r Request) error {
	s, err := e.awaitSession(ctx, false)
	if err != nil {
		return err
	}
	a, fresh, err := e.startAccount(s, r.Name)
	if err != nil {
		return err
	}
	if fresh {
		// The keys are on disk before the server hears of them.
		if err := e.setAccount(ctx, a); err != nil {
			return err
		}
	}
	return e.finishAccount(ctx, s, a, wire.Guest{Account: a.wire(s), Token: token(a.Token)})
}

// startAccount makes an account, or takes up one that the server has not
// confirmed.
func (e *Engine) startAccount(s *session, name string) (a account, fresh bool, err error) {
	e.mu.Lock()
	a = e.account
	e.mu.Unlock()
	if a.State != "" && a.Confirmed {
		return a, false, errHaveAccount
	}
	if a.State != "" && a.name() == name {
		return a, false, nil
	}
	a, err = e.newAccount(s, name)
	return a, true, err
}

// finishAccount asks the server for the account and goes on from its answer.
func (e *Engine) finishAccount(ctx context.Context, s *session, a account, request wire.Request) error {
	var standing wire.LoginOK
	if err := s.call(ctx, wire.Key{}, request, &standing); err != nil {
		return err
	}
	a.Confirmed, a.Token = true, nil
	if err := e.setAccount(ctx, a); err != nil {
		return err
	}
	return e.enter(ctx, s, standing)
}

func token(raw []byte) *wire.Token {
	if len(raw) != 32 {
		return nil
	}
	t := wire.Token(raw)
	return &t
}

// argon computes Argon2id where the configuration says.
func (e *Engine) argon(ctx context.Context) identity.Argon {
	if e.cfg.Argon == nil {
		return nil
	}
	return func(password, salt []byte, time, memoryKiB uint32) ([]byte, error) {
		return e.cfg.Argon(ctx, password, salt, time, memoryKiB)
	}
}

// register makes an account with a login name and a password. The password
// itself never leaves this function.
func (e *Engine) register(ctx context.Context, r Request) error {
	login, err := identity.CanonicalLogin(r.Login)
	if err != nil {
		return err
	}
	if len(r.Password) < 8 {
		return &Problem{Code: ProblemUsage, Text: "The password is too short.", Hint: "Use at least 8 characters; a few words are best."}
	}
	s, err := e.awaitSession(ctx, false)
	if err != nil {
		return err
	}
	e.mu.Lock()
	current := e.account
	e.mu.Unlock()
	params := identity.DefaultPasswordParams
	var salt [16]byte
	rand.Read(salt[:])
	root := identity.PublicKey(s.conn.PeerRoot())
	done := e.progress("Protecting the password")
	auth, err := identity.PasswordAuthWith(e.argon(ctx), r.Password, identity.PasswordSalt(root, login, salt), params)
	done()
	if err != nil {
		return err
	}
	defer clear(auth[:])
	wireParams := wire.PasswordParams(params)
	if current.State == AccountGuest && current.Confirmed {
		// A guest becomes a registered user and keeps all keys and rooms.
		err := s.call(ctx, wire.Key{}, wire.SetPassword{Login: login, Salt: salt, Params: wireParams, Auth: auth[:]}, nil)
		if err != nil {
			return err
		}
		current.State, current.Login, current.Password = AccountRegistered, login, wireParams
		return e.setAccount(ctx, current)
	}
	name := r.Name
	if name == "" {
		name = r.Login
	}
	a, _, err := e.startAccount(s, name)
	if err != nil {
		return err
	}
	a.State, a.Login, a.Password = AccountRegistered, login, wireParams
	if err := e.setAccount(ctx, a); err != nil {
		return err
	}
	err = e.finishAccount(ctx, s, a, wire.Register{
		Account: a.wire(s), Login: login, Salt: salt, Params: wireParams, Auth: auth[:], Token: token(a.Token),
	})
	if errors.Is(err, wire.Refuse(wire.Conflict)) {
		return errors.Join(&Problem{Code: wire.Conflict.String(), Text: "That login name is taken.", Hint: "Choose another."}, e.setAccount(ctx, account{}))
	}
	return err
}

// rename changes the own display name.
func (e *Engine) rename(ctx context.Context, name string) error {
	e.mu.Lock()
	a := e.account
	e.mu.Unlock()
	if a.State == "" {
		return errNoAccount
	}
	if len(a.Identity) != 32 {
		return errNotOwner
	}
	old, err := identity.DecodeProfile(a.Profile)
	if err != nil {
		return err
	}
	key := identity.KeyFromSeed([32]byte(a.Identity))
	defer key.Wipe()
	profile, err := key.SignProfile(a.Root, name, old.Version+1)
	if err != nil {
		return err
	}
	s, err := e.online(ctx)
	if err != nil {
		return err
	}
	if err := s.call(ctx, wire.Key{}, wire.SetProfile{Profile: profile.Encode()}, nil); err != nil {
		return err
	}
	a.Profile = profile.Encode()
	if err := e.setAccount(ctx, a); err != nil {
		return err
	}
	for _, c := range e.chats() {
		c.intend(room.Intent{Kind: room.IntentProfile, Profile: profile})
	}
	return nil
}

// signBackIn takes a logout back, whose keys are still here: the next
// connection is the account's again.
func (e *Engine) signBackIn() error {
	e.mu.Lock()
	a, s := e.account, e.session
	e.mu.Unlock()
	if a.State != AccountSignedOut {
		return nil
	}
	a.State = AccountGuest
	if a.Login != "" {
		a.State = AccountRegistered
	}
	if err := e.setAccount(e.ctx, a); err != nil {
		return err
	}
	if s != nil {
		s.conn.Close() // it came about as nobody's
	}
	return nil
}

// logout ends the session; with erase it destroys keys and history here.
func (e *Engine) logout(ctx context.Context, erase bool) error {
	e.mu.Lock()
	a, s, in := e.account, e.session, e.loggedIn
	e.mu.Unlock()
	if s != nil && in {
		// An account that only this device can open goes with it.
		err := s.call(ctx, wire.Key{}, wire.Logout{Forget: erase}, nil)
		if err != nil && !errors.Is(err, errOffline) {
			return err
		}
	}
	if !erase {
		a.State = AccountSignedOut
		if err := e.setAccount(ctx, a); err != nil {
			return err
		}
		e.setConn(Conn{State: ConnSignedOut})
		if s != nil {
			s.conn.Close()
		}
		return nil
	}
	for {
		pairs, err := e.cfg.Storage.Load(ctx, Range{Limit: 1000})
		if err != nil {
			return err
		}
		if len(pairs) == 0 {
			break
		}
		var batch []Put
		for _, p := range pairs {
			batch = append(batch, drop(p.Key))
		}
		if err := e.cfg.Storage.Apply(context.WithoutCancel(ctx), batch); err != nil {
			return err
		}
	}
	e.begin(func() { e.stop(errErased) })
	return nil
}

// suiteWords says what rooms are made with.
const suiteWords = "MLS, X-Wing with AES-256-GCM and SHA-384, Ed25519; bodies AES-256-CBC with HMAC-SHA-256"

// info describes this device and its server.
func (e *Engine) info() *Info {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := &Info{
		Server: e.cfg.Server, Version: e.cfg.Version, Connected: e.session != nil && e.loggedIn,
		Fingerprint: hex.EncodeToString(e.server.Pin[:]),
		Suite:       suiteWords,
		Link:        "RSA-2048 and X-Wing, AES-256-CBC with HMAC-SHA-256",
		Signals:     settings[e.signalling],
	}
	if e.account.State != "" {
		user := e.account.user()
		i.User, i.Device = user.String(), e.account.Device.String()
	}
	return i
}
