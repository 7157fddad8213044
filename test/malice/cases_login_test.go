package malice

import (
	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/wire"
)

const phone = "Alice's phone"

// salt is a lie about what a password is to be derived with.
func salt(edit func(a *wire.PasswordSaltOK)) func(*world) {
	return func(w *world) {
		w.server.add(answers(phone, func(_ *tap, _ *wire.PasswordSalt, a *wire.PasswordSaltOK) fate { edit(a); return edited }))
	}
}

// silent: nothing that was derived from the password has left the device.
func silent(w *world) {
	if n := w.server.requested(phone, wire.OpPasswordLogin); n != 0 {
		w.t.Errorf("the password's proof has left %d times", n)
	}
}

var loginCases = []manipulation{
	{
		name: "asks for a password derived with 8 MiB", fault: 22, story: newDevice, misses: phone, raises: by{phone: "kdf-downgrade"}, check: silent,
		lie: salt(func(a *wire.PasswordSaltOK) { a.Params.MemoryKiB = 8 << 10 }),
	}, {
		name: "asks for a password derived in one pass", fault: 22, story: newDevice, misses: phone, raises: by{phone: "kdf-downgrade"}, check: silent,
		lie: salt(func(a *wire.PasswordSaltOK) { a.Params.Time = 1 }),
	}, {
		name: "asks for a password derived with 8 GiB", fault: 22, story: newDevice, misses: phone, raises: by{phone: "kdf-downgrade"}, check: silent,
		lie: salt(func(a *wire.PasswordSaltOK) { a.Params.MemoryKiB = 8 << 20 }),
	}, {
		name: "gives the salt of another account", fault: 22, story: newDevice, misses: phone, refuses: by{phone: "bad-credentials"},
		lie: salt(func(a *wire.PasswordSaltOK) { a.Salt = [16]byte{1, 2, 3} }),
	}, {
		name: "logs a device in to another account", fault: 67, story: newDevice, misses: phone, refuses: by{"Alice": "untrusted"},
		lie: func(w *world) {
			mallory := w.record("mallory")
			key := identityOf(mallory.Certificates[0])
			w.server.add(answers(phone, func(_ *tap, _ *wire.PasswordLogin, a *wire.PasswordLoginOK) fate {
				a.User, a.Identity, a.Profile = mallory.User, key[:], mallory.Profile
				return edited
			}), requests(phone, func(*tap, *wire.Enrol) fate { return fate{touched: true, answer: wire.EnrolOK{}} }))
		},
	}, {
		name: "shows another device in the place of the one that waits", fault: 67, story: newDevice, misses: phone, refuses: by{"Alice": "untrusted"},
		lie: func(w *world) {
			ghost := identity.NewDeviceKey().Public()
			w.server.add(answers("Alice", func(_ *tap, _ *wire.ListDevices, a *wire.ListDevicesOK) fate {
				f := pass
				for i := range a.Devices {
					if a.Devices[i].State == wire.DeviceWaiting {
						a.Devices[i].DeviceKey, f = ghost[:], edited
					}
				}
				return f
			}))
		},
	}, {
		name: "brings a device the certificate of another", fault: 26, story: newDevice,
		lie: func(w *world) {
			w.server.add(requests(phone, func(t *tap, _ *wire.Enrol) fate {
				for _, name := range []string{"alice", "mallory"} {
					t.say(wire.Enrolled{Certificate: w.record(name).Certificates[0]})
				}
				return fate{touched: true}
			}))
		},
	},
}

func identityOf(certificate []byte) identity.PublicKey {
	c, err := identity.DecodeCertificate(certificate)
	must(err)
	return c.Identity
}
