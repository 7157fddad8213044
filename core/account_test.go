package core_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/wire"
)

var params = wire.PasswordParams{MemoryKiB: 64 << 10, Time: 3, Threads: 1}

// auth stands for what a client derives from a password.
func auth(password string) wire.Secret {
	out := make([]byte, 32)
	copy(out, password)
	return out
}

func (p *person) register(c *client, login, password string) wire.Register {
	return wire.Register{Account: p.account(c.conn.Exporter()), Login: login, Salt: [16]byte{7}, Params: params, Auth: auth(password)}
}

func (p *person) login(c *client) wire.Login {
	return wire.Login{User: p.user, Device: p.id, Proof: p.proof(c.conn.Exporter())}
}

func TestRegisterThenLoginByDevice(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		alice, other := w.person("Alice"), w.person("Other")
		c := w.connect()
		refused(c, wire.Unauthenticated, wire.ListDevices{})
		ok := must[wire.LoginOK](c, alice.register(c, "alice", "correct"))
		if ok.User != alice.user || ok.Login != "alice" || ok.Admin {
			t.Errorf("%+v", ok)
		}
		refused(c, wire.Conflict, alice.login(c)) // logged in already
		o := w.connect()
		refused(o, wire.Conflict, other.register(o, "alice", "x"))
		again := w.connect()
		must[wire.LoginOK](again, alice.login(again))
		retry := w.connect()
		must[wire.LoginOK](retry, alice.register(retry, "alice", "correct"))
		found := must[wire.User](again, wire.FindUser{Login: "alice"})
		if found.User != alice.user || len(found.Certificates) != 1 {
			t.Errorf("%+v", found)
		}
		refused(again, wire.NotFound, wire.FindUser{Login: "nobody"})
	})
}

func TestNothingIsBelievedWithoutItsSignature(t *testing.T) {
	w := start(t)
	alice, mallory := w.person("Alice"), w.person("Mallory")
	w.guest(alice)
	c := w.connect()
	wrong := map[string]wire.Login{
		"another's key":      {User: alice.user, Device: alice.id, Proof: mallory.proof(c.conn.Exporter())},
		"another link":       {User: alice.user, Device: alice.id, Proof: alice.proof([32]byte{1})},
		"another user":       {User: mallory.user, Device: alice.id, Proof: alice.proof(c.conn.Exporter())},
		"no proof":           {User: alice.user, Device: alice.id},
		"no such device":     mallory.login(c),
		"proof a byte short": {User: alice.user, Device: alice.id, Proof: alice.proof(c.conn.Exporter())[:63]},
	}
	for name, req := range wrong {
		if _, err := ask[wire.LoginOK](c, req); err == nil {
			t.Errorf("%s: logged in", name)
		} else {
			wantCode(t, err, wire.BadCredentials)
		}
	}
	// A certificate by another identity, a profile that another signed.
	acc := alice.account(c.conn.Exporter())
	acc.Certificate[len(acc.Certificate)-1] ^= 1
	refused(c, wire.BadCredentials, wire.Guest{Account: acc})
	acc = mallory.account(c.conn.Exporter())
	acc.Profile = alice.account(c.conn.Exporter()).Profile
	refused(c, wire.Malformed, wire.Guest{Account: acc})
	// Mallory's user with alice's device id.
	thief := *mallory
	thief.id = alice.id
	refused(c, wire.Conflict, wire.Guest{Account: thief.account(c.conn.Exporter())})
	must[wire.LoginOK](c, alice.login(c))
}

func TestSecondDeviceWaitsForApproval(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		alice := w.person("Alice")
		first := w.connect()
		must[wire.LoginOK](first, alice.register(first, "alice", "correct"))
		laptop := alice.second()
		c := w.connect()
		salt := must[wire.PasswordSaltOK](c, wire.PasswordSalt{Login: "alice"})
		if salt.Salt != [16]byte{7} || salt.Params != params {
			t.Errorf("%+v", salt)
		}
		enrol := wire.Enrol{Device: laptop.id, DeviceKey: key32(laptop.device.Public()), Class: 1, Created: laptop.created, Proof: laptop.proof(c.conn.Exporter())}
		refused(c, wire.Unauthenticated, enrol)
		refused(c, wire.BadCredentials, wire.PasswordLogin{Login: "alice", Auth: auth("wrong")})
		opened := must[wire.PasswordLoginOK](c, wire.PasswordLogin{Login: "alice", Auth: auth("correct")})
		if opened.User != alice.user || identity.PublicKey(opened.Identity) != alice.key.Public() {
			t.Errorf("%+v", opened)
		}
		if got := must[wire.EnrolOK](c, enrol); got.Certificate != nil || got.Expires == 0 {
			t.Errorf("%+v", got)
		}
		if pending := event[wire.Pending](first, wire.EventPending).Device; pending.Device != laptop.id || pending.State != wire.DeviceWaiting {
			t.Errorf("%+v", pending)
		}
		refused(c, wire.Waiting, wire.ListRooms{})
		refused(c, wire.Waiting, laptop.login(c))
		// The first device signs what the second showed, and nothing else.
		wrong := *laptop
		wrong.device = identity.NewDeviceKey()
		refused(first, wire.Conflict, wire.ApproveDevice{Certificate: wrong.certificate()})
		refused(first, wire.NotFound, wire.ApproveDevice{Certificate: w.person("Mallory").certificate()})
		must[wire.Empty](first, wire.ApproveDevice{Certificate: laptop.certificate()})
		must[wire.Empty](first, wire.ApproveDevice{Certificate: laptop.certificate()}) // a retry
		if got := event[wire.Enrolled](c, wire.EventEnrolled); string(got.Certificate) != string(laptop.certificate()) {
			t.Errorf("%+v", got)
		}
		must[wire.LoginOK](c, laptop.login(c))
		if devices := must[wire.ListDevicesOK](c, wire.ListDevices{}).Devices; len(devices) != 2 {
			t.Errorf("%d devices", len(devices))
		}
		must[wire.Empty](c, wire.RenameDevice{Device: laptop.id, Label: "Laptop"})

		// The identity key ends it; another key cannot.
		other := identity.NewKey().SignRevocation(w.root.Public(), identity.DeviceID(laptop.id), 5)
		refused(first, wire.BadCredentials, wire.RevokeDevice{Device: laptop.id, At: 5, Signature: other[:]})
		refused(first, wire.BadCredentials, wire.RevokeDevice{Device: laptop.id, At: 5})
		sig := alice.key.SignRevocation(w.root.Public(), identity.DeviceID(laptop.id), 5)
		must[wire.Empty](first, wire.RevokeDevice{Device: laptop.id, At: 5, Signature: sig[:]})
		if cut := event[wire.Cut](c, wire.EventCut); cut.Code != wire.DeviceGone {
			t.Errorf("%+v", cut)
		}
		<-c.done
		again := w.connect()
		refused(again, wire.DeviceGone, laptop.login(again))
		refused(again, wire.DeviceGone, wire.Guest{Account: laptop.account(again.conn.Exporter())})
		if found := must[wire.User](first, wire.GetUser{User: alice.user}); len(found.Certificates) != 1 {
			t.Errorf("%d devices in force", len(found.Certificates))
		}
	})
}

func key32(k identity.PublicKey) []byte { return k[:] }

func TestDeniedDeviceIsTold(t *testing.T) {
	w := start(t)
	alice := w.person("Alice")
	first := w.connect()
	must[wire.LoginOK](first, alice.register(first, "alice", "correct"))
	thief := alice.second()
	c := w.connect()
	must[wire.PasswordLoginOK](c, wire.PasswordLogin{Login: "alice", Auth: auth("correct")})
	must[wire.EnrolOK](c, wire.Enrol{Device: thief.id, DeviceKey: key32(thief.device.Public()), Class: 1, Created: 1, Proof: thief.proof(c.conn.Exporter())})
	must[wire.Empty](first, wire.DenyDevice{Device: thief.id})
	if got := event[wire.Enrolled](c, wire.EventEnrolled); got.Certificate != nil {
		t.Errorf("%+v", got)
	}
	refused(c, wire.BadCredentials, thief.login(c))
}

func TestNamesThatNobodyHasAnswerLikeOthers(t *testing.T) {
	w := start(t, limit(wire.LoginFailures, 1000))
	alice := w.person("Alice")
	c := w.connect()
	must[wire.LoginOK](c, alice.register(c, "alice", "correct"))
	o := w.connect()
	one := must[wire.PasswordSaltOK](o, wire.PasswordSalt{Login: "nobody"})
	if again := must[wire.PasswordSaltOK](o, wire.PasswordSalt{Login: "nobody"}); again != one {
		t.Error("the salt of a name that nobody has changes")
	}
	if other := must[wire.PasswordSaltOK](o, wire.PasswordSalt{Login: "nobodyelse"}); other.Salt == one.Salt {
		t.Error("all names that nobody has share a salt")
	}
	if one.Params != params {
		t.Error("the parameters give it away")
	}
	w.restart()
	o = w.connect()
	if again := must[wire.PasswordSaltOK](o, wire.PasswordSalt{Login: "nobody"}); again != one {
		t.Error("the salt of a name that nobody has changes with a restart")
	}
	known := refused(o, wire.BadCredentials, wire.PasswordLogin{Login: "alice", Auth: auth("wrong")})
	unknown := refused(o, wire.BadCredentials, wire.PasswordLogin{Login: "nobody", Auth: auth("wrong")})
	if *known != *unknown {
		t.Errorf("%+v, %+v", known, unknown)
	}
}

func TestWrongPasswordsAreDelayedAndNeverLockADeviceOut(t *testing.T) {
	for _, name := range []string{"alice", "nobody"} {
		t.Run(name, func(t *testing.T) {
			w := start(t, limit(wire.LoginFailures, 3), limit(wire.LoginDelay, 3600*1000), limit(wire.LoginsPerAddress, 100000))
			alice := w.person("Alice")
			c := w.connect()
			must[wire.LoginOK](c, alice.register(c, "alice", "correct"))
			o := w.connect()
			for range 3 {
				refused(o, wire.BadCredentials, wire.PasswordLogin{Login: name, Auth: auth("wrong")})
			}
			why := refused(o, wire.Limited, wire.PasswordLogin{Login: name, Auth: auth("correct")})
			if why.Refusal.Limit != wire.LoginFailures || why.RetryAfter() < 59*time.Minute {
				t.Errorf("%v", why)
			}
			if name != "alice" {
				return
			}
			w.restart() // the count outlives it
			o = w.connect()
			refused(o, wire.Limited, wire.PasswordLogin{Login: name, Auth: auth("correct")})
			must[wire.LoginOK](o, alice.login(o))
			// And a device can set a new password.
			must[wire.Empty](o, wire.SetPassword{Login: "alice", Salt: [16]byte{1}, Params: params, Auth: auth("new"), Old: auth("correct")})
			n := w.connect()
			must[wire.PasswordLoginOK](n, wire.PasswordLogin{Login: "alice", Auth: auth("new")})
		})
	}
}

func TestPasswordCeiling(t *testing.T) {
	w := start(t, limit(wire.LoginFailures, 1000), limit(wire.PasswordCeiling, 4))
	alice := w.person("Alice")
	c := w.connect()
	must[wire.LoginOK](c, alice.register(c, "alice", "correct"))
	o := w.connect()
	for range 4 {
		refused(o, wire.BadCredentials, wire.PasswordLogin{Login: "alice", Auth: auth("wrong")})
	}
	if why := refused(o, wire.Limited, wire.PasswordLogin{Login: "alice", Auth: auth("correct")}); why.Refusal.Limit != wire.PasswordCeiling {
		t.Errorf("%v", why)
	}
	must[wire.LoginOK](o, alice.login(o))
}

func TestGuestTakesAName(t *testing.T) {
	w := start(t)
	alice, bob := w.person("Alice"), w.person("Bob")
	a, b := w.guest(alice), w.guest(bob)
	set := wire.SetPassword{Login: "alice", Salt: [16]byte{1}, Params: params, Auth: auth("one")}
	must[wire.Empty](a, set)
	refused(b, wire.Conflict, set)
	refused(a, wire.Malformed, set) // the old password is missing
	set.Old = auth("wrong")
	refused(a, wire.BadCredentials, set)
	weak := set
	weak.Old, weak.Params = auth("one"), wire.PasswordParams{MemoryKiB: 8, Time: 1, Threads: 1}
	refused(a, wire.Malformed, weak)
	if found := must[wire.User](b, wire.FindUser{Login: "alice"}); found.User != alice.user {
		t.Error("the name points at another")
	}
}

func TestRegistrationModes(t *testing.T) {
	ctx := context.Background()
	w := start(t, func(cfg *core.Config) { cfg.Registration = wire.RegistrationInvite })
	alice, bob, carol := w.person("Alice"), w.person("Bob"), w.person("Carol")
	c := w.connect()
	refused(c, wire.NotRegistering, wire.Guest{Account: alice.account(c.conn.Exporter())})
	token, err := w.server.NewToken(ctx, core.TokenRegister, 1, time.Hour, "for alice")
	if err != nil {
		t.Fatal(err)
	}
	wrong := core.NewToken()
	refused(c, wire.BadCredentials, wire.Guest{Account: alice.account(c.conn.Exporter()), Token: &wrong})
	must[wire.LoginOK](c, wire.Guest{Account: alice.account(c.conn.Exporter()), Token: &token})
	b := w.connect()
	refused(b, wire.BadCredentials, wire.Guest{Account: bob.account(b.conn.Exporter()), Token: &token}) // it had one use
	// A join link is an invitation.
	room := group(t, []*client{c}, []*person{alice})
	secret := identity.NewLinkSecret()
	must[wire.Empty](c, wire.CreateLink{Room: room, Link: secret.ID(), TokenHash: identity.TokenHash(secret.FetchToken()), GroupInfo: []byte("sealed")})
	link := wire.Link{ID: secret.ID(), Token: secret.FetchToken()}
	must[wire.LoginOK](b, wire.Guest{Account: bob.account(b.conn.Exporter()), Link: &link})

	w.cfg.Registration = wire.RegistrationClosed
	w.restart()
	d := w.connect()
	refused(d, wire.NotRegistering, wire.Guest{Account: carol.account(d.conn.Exporter()), Link: &link})
	must[wire.LoginOK](d, alice.login(d))
}

func TestAdministratorsLinkWorksOnce(t *testing.T) {
	ctx := context.Background()
	w := start(t)
	alice, mallory := w.person("Alice"), w.person("Mallory")
	a, m := w.guest(alice), w.guest(mallory)
	old, err := w.server.NewToken(ctx, core.TokenAdmin, 1, 0, "first")
	if err != nil {
		t.Fatal(err)
	}
	token, err := w.server.NewToken(ctx, core.TokenAdmin, 1, 0, "second")
	if err != nil {
		t.Fatal(err)
	}
	refused(m, wire.BadCredentials, wire.ClaimAdmin{Token: old}) // replaced
	got := must[wire.ClaimAdminOK](a, wire.ClaimAdmin{Token: token})
	notice, err := identity.DecodeNotice(got.Notice)
	if err != nil {
		t.Fatal(err)
	}
	if err := notice.Verify(w.root.Public()); err != nil || notice.Kind != identity.NoticeOwner || wire.UserID(notice.User) != alice.user ||
		wire.RoomID(notice.Group) != w.server.Lounge() {
		t.Errorf("%+v, %v", notice, err)
	}
	refused(m, wire.BadCredentials, wire.ClaimAdmin{Token: token})
	if has, err := w.server.HasAdmin(ctx); !has || err != nil {
		t.Errorf("%t, %v", has, err)
	}
	log, err := w.server.AuditLog(ctx, 0, 100)
	if err != nil || len(log) != 3 || log[2].Act != "admin claimed" {
		t.Errorf("%+v, %v", log, err)
	}
}

func TestBannedUserIsCutAndStaysOut(t *testing.T) {
	w := start(t)
	alice := w.person("Alice")
	a := w.guest(alice)
	if err := w.server.BanUser(context.Background(), alice.user, true, "spam"); err != nil {
		t.Fatal(err)
	}
	if cut := event[wire.Cut](a, wire.EventCut); cut.Code != wire.Banned {
		t.Errorf("%+v", cut)
	}
	c := w.connect()
	refused(c, wire.Banned, alice.login(c))
	if err := w.server.BanUser(context.Background(), alice.user, false, ""); err != nil {
		t.Fatal(err)
	}
	must[wire.LoginOK](c, alice.login(c))
}

func TestThirdConnectionOfADeviceReplacesTheFirst(t *testing.T) {
	w := start(t)
	alice := w.person("Alice")
	first, second := w.guest(alice), w.guest(alice)
	third := w.guest(alice)
	if cut := event[wire.Cut](first, wire.EventCut); cut.Code != wire.Replaced {
		t.Errorf("%+v", cut)
	}
	<-first.done
	must[wire.Empty](second, wire.Ping{})
	must[wire.Empty](third, wire.Ping{})
}

func TestKeyPackagesAreHandedOutOnce(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		alice, bob := w.person("Alice"), w.person("Bob")
		a, b := w.guest(alice), w.guest(bob)
		claim := wire.ClaimKeyPackages{User: bob.user}
		refused(a, wire.NotFound, claim)
		upload := wire.UploadKeyPackages{OneTime: [][]byte{[]byte("one"), []byte("two")}, LastResort: []byte("last")}
		key := newKey()
		for range 3 { // retries add nothing
			got, err := askKey[wire.KeyPackageCount](b, key, upload)
			if err != nil || got.OneTime != 2 || !got.LastResort {
				t.Fatalf("%+v, %v", got, err)
			}
		}
		var got []string
		for range 4 {
			p := must[wire.ClaimKeyPackagesOK](a, claim).Packages
			if len(p) != 1 || p[0].Device != bob.id || p[0].LastResort != (string(p[0].Data) == "last") {
				t.Fatalf("%+v", p)
			}
			got = append(got, string(p[0].Data))
		}
		if want := []string{"one", "two", "last", "last"}; !equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		for _, want := range []wire.KeyPackagesLow{{OneTime: 1, LastResort: true}, {LastResort: true}, {}} {
			if low := event[wire.KeyPackagesLow](b, wire.EventKeyPackages); low != want {
				t.Errorf("%+v, want %+v", low, want)
			}
		}
		if n := must[wire.KeyPackageCount](b, wire.CountKeyPackages{}); n.OneTime != 0 || n.LastResort {
			t.Errorf("%+v", n)
		}
	})
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestProfileOnlyGrows(t *testing.T) {
	w := start(t)
	alice := w.person("Alice")
	a := w.guest(alice)
	set := func(name string, version uint64) wire.SetProfile {
		p, err := alice.key.SignProfile(w.root.Public(), name, version)
		if err != nil {
			t.Fatal(err)
		}
		return wire.SetProfile{Profile: p.Encode()}
	}
	must[wire.Empty](a, set("Alicia", 2))
	refused(a, wire.Conflict, set("Alice", 2))
	refused(a, wire.Conflict, set("Alice", 1))
	if got := must[wire.User](a, wire.GetUser{User: alice.user}); string(got.Profile) != string(set("Alicia", 2).Profile) {
		t.Error("the profile is another")
	}
}

func TestForgottenDeviceIsGone(t *testing.T) {
	w := start(t)
	alice := w.person("Alice")
	a := w.guest(alice)
	if _, err := ask[wire.Empty](a, wire.Logout{Forget: true}); err != nil && !errors.Is(err, errGone) {
		t.Fatal(err)
	}
	<-a.done
	c := w.connect()
	refused(c, wire.DeviceGone, alice.login(c))
}
