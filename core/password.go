package core

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/wire"
)

func setPassword(rec *UserRecord, login string, salt [16]byte, params wire.PasswordParams, auth wire.Secret) error {
	canonical, err := identity.CanonicalLogin(login)
	if err != nil || canonical != login || len(auth) != 32 {
		return wire.Refuse(wire.Malformed)
	}
	p := identity.PasswordParams{MemoryKiB: params.MemoryKiB, Time: params.Time, Threads: params.Threads}
	if p.Check(identity.PasswordParams{}) != nil {
		return wire.Refuse(wire.Malformed)
	}
	rec.Login, rec.Salt, rec.Params = login, salt, params
	_, _ = rand.Read(rec.Salt2[:]) // never fails (crypto/rand)
	rec.Verifier = identity.PasswordVerifier([32]byte(auth), rec.Salt2)
	rec.Failures, rec.FailedAt = 0, 0
	return nil
}

// doPasswordSalt answers alike for names that nobody has.
func (c *conn) doPasswordSalt(ctx context.Context, r *wire.PasswordSalt) (any, error) {
	login, err := identity.CanonicalLogin(r.Login)
	if err != nil || login != r.Login {
		return nil, wire.Refuse(wire.Malformed)
	}
	if err := c.s.gate.login(c.link.RemoteAddr().Addr()); err != nil {
		return nil, err
	}
	fake := identity.FakeSalt(c.s.cfg.Keys.Secret, login)
	d := identity.DefaultPasswordParams
	answer := wire.PasswordSaltOK{Salt: fake, Params: wire.PasswordParams{MemoryKiB: d.MemoryKiB, Time: d.Time, Threads: d.Threads}}
	user, ok, err := c.s.store.UserByLogin(ctx, login)
	if err != nil {
		return nil, err
	}
	if ok {
		answer = wire.PasswordSaltOK{Salt: user.Salt, Params: user.Params}
	}
	return answer, nil
}

// doPasswordLogin opens an account to a device that is not enrolled. A name
// that nobody has fails like a wrong password, and is delayed like one.
func (c *conn) doPasswordLogin(ctx context.Context, r *wire.PasswordLogin) (any, error) {
	login, err := identity.CanonicalLogin(r.Login)
	if c.loggedIn() || err != nil || login != r.Login || len(r.Auth) != 32 {
		return nil, wire.Refuse(wire.Malformed)
	}
	if err := c.s.gate.login(c.link.RemoteAddr().Addr()); err != nil {
		return nil, err
	}
	defer c.s.keyed.lock(login)()
	user, ok, err := c.s.store.UserByLogin(ctx, login)
	if err != nil {
		return nil, err
	}
	if err := c.s.guesses.may(login, user); err != nil {
		return nil, err
	}
	right := identity.CheckPassword(user.Verifier, [32]byte(r.Auth), user.Salt2)
	if !ok || !right {
		failures, at := c.s.guesses.failed(login, user)
		c.log.Warn("login failed", "how", "password")
		if ok {
			if err := c.s.writer.commit(SetFailures{User: user.ID, Failures: failures, At: at}); err != nil {
				return nil, err
			}
		}
		return nil, wire.Refuse(wire.BadCredentials)
	}
	if user.Banned {
		return nil, wire.Refuse(wire.Banned)
	}
	c.s.guesses.clear(login)
	if user.Failures != 0 {
		if err := c.s.writer.commit(SetFailures{User: user.ID}); err != nil {
			return nil, err
		}
	}
	c.opened = user.ID
	return wire.PasswordLoginOK{User: user.ID, Identity: user.Identity[:], Profile: user.Profile}, nil
}

// doSetPassword gives a guest a name, or changes a password that is known.
func (c *conn) doSetPassword(ctx context.Context, r *wire.SetPassword) (any, error) {
	defer c.s.keyed.lock(c.user)()
	user, ok, err := c.s.store.User(ctx, c.user)
	if err != nil || !ok {
		return nil, errors.Join(err, wire.Refuse(wire.Internal))
	}
	defer c.s.keyed.lock(r.Login)()
	if user.Login != "" {
		if r.Login != user.Login || len(r.Old) != 32 {
			return nil, wire.Refuse(wire.Malformed)
		}
		if err := c.s.gate.login(c.link.RemoteAddr().Addr()); err != nil {
			return nil, err
		}
		if !identity.CheckPassword(user.Verifier, [32]byte(r.Old), user.Salt2) {
			return nil, wire.Refuse(wire.BadCredentials)
		}
	} else if _, taken, err := c.s.store.UserByLogin(ctx, r.Login); err != nil {
		return nil, err
	} else if taken {
		return nil, wire.Refuse(wire.Conflict)
	}
	if err := setPassword(&user, r.Login, r.Salt, r.Params, r.Auth); err != nil {
		return nil, err
	}
	c.s.guesses.clear(r.Login)
	c.log.Info("password set")
	return wire.Empty{}, c.s.writer.commit(PutUser{user}, c.s.audit(c.user.String(), "password set", c.user.String()))
}

// maxDelay bounds the growing delay of a password.
const maxDelay = time.Hour
