package malice

import (
	"slices"
	"time"

	"github.com/securelink-chat/securelink/client"
	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/mls"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// packages is a lie about the key packages that Alice gets for an invitation.
func packages(edit func(w *world, a *wire.ClaimKeyPackagesOK) fate) func(*world) {
	return func(w *world) {
		w.server.add(answers("Alice", func(_ *tap, _ *wire.ClaimKeyPackages, a *wire.ClaimKeyPackagesOK) fate { return edit(w, a) }))
	}
}

// somebody makes a user and a device that only the server knows.
func somebody(w *world) room.Self {
	root, key, device := w.server.keys.Root, identity.NewKey(), identity.NewDeviceKey()
	profile, err := key.SignProfile(root, "Dora", 1)
	must(err)
	var id identity.DeviceID
	copy(id[:], "a ghost's device")
	certificate := key.Certify(root, id, device.Public(), identity.ClassNative, uint64(time.Now().Unix()))
	return room.Self{Root: root, Key: device, Credential: identity.Credential{Certificate: certificate, Profile: profile}}
}

// self is what somebody's device knows itself by: whoever has copied its disk
// can sign as it does. Here it stands for what the device signed long ago.
func (p *person) self() room.Self {
	pairs, err := p.storage.Load(p.w.t.Context(), client.Range{Prefix: []byte("account"), Limit: 1})
	must(err)
	var fields []wire.RawEntry // the record is an array
	must(wire.Decode(pairs[0].Value, &fields))
	var seed wire.Hash
	var certificate []byte
	must(wire.Decode(fields[5], &seed))
	must(wire.Decode(fields[8], &certificate))
	var profile []byte
	must(wire.Decode(fields[9], &profile))
	self := room.Self{Root: p.w.server.keys.Root, Key: identity.DeviceKeyFromSeed(seed)}
	self.Credential.Certificate, err = identity.DecodeCertificate(certificate)
	must(err)
	self.Credential.Profile, err = identity.DecodeProfile(profile)
	must(err)
	return self
}

// packageOf makes a key package as a device would that is called self.
func packageOf(self room.Self, now time.Time) wire.KeyPackage {
	p, err := room.NewKeyPackage(self, false, now)
	must(err)
	return wire.KeyPackage{Device: wire.DeviceID(self.Device()), Data: p.KeyPackage.Bytes()}
}

// credentialOf takes a credential out of a key package.
func credentialOf(data []byte) identity.Credential {
	p, err := mls.ParseKeyPackage(data)
	must(err)
	c, err := identity.DecodeCredential(p.Leaf().Credential().Identity)
	must(err)
	return c
}

// oneDevice: everybody in the room has one device there, and it is his own.
func oneDevice(w *world) {
	for _, p := range w.people {
		for _, m := range p.must(client.Request{Op: client.OpMembers, Room: w.main}).Members {
			if m.Devices != 1 {
				w.t.Errorf("for %s, %s has %d devices in the room", p.name, m.Name, m.Devices)
			}
		}
	}
}

// users is a lie about whom Alice finds under a login name.
func users(edit func(w *world, u *wire.User) fate) func(*world) {
	return func(w *world) {
		w.server.add(answers("Alice", func(_ *tap, _ *wire.FindUser, u *wire.User) fate { return edit(w, u) }))
	}
}

// record is what the store says of somebody.
func (w *world) record(name string) wire.User {
	rec, ok, err := w.server.core.FindUser(w.t.Context(), name)
	must(err)
	if !ok {
		panic("malice: nobody is called " + name)
	}
	u := wire.User{User: rec.ID, Login: rec.Login, Profile: rec.Profile}
	devices, err := w.server.core.Devices(w.t.Context(), rec.ID)
	must(err)
	for _, d := range devices {
		u.Certificates = append(u.Certificates, d.Certificate)
	}
	return u
}

var keyCases = []manipulation{
	{
		name: "hands out the key package of a user of its own", fault: 25, story: invites, misses: "Dora", refuses: by{"Alice": "untrusted"}, check: outside("Dora"),
		lie: packages(func(w *world, a *wire.ClaimKeyPackagesOK) fate {
			a.Packages = []wire.KeyPackage{packageOf(somebody(w), time.Now())}
			return edited
		}),
	}, {
		name: "adds a device with a forged certificate to a user's", fault: 25, story: invites, check: oneDevice,
		lie: packages(func(w *world, a *wire.ClaimKeyPackagesOK) fate {
			ghost := somebody(w)
			ghost.Credential.Certificate.Identity = credentialOf(a.Packages[0].Data).Certificate.Identity
			a.Packages = append(a.Packages, packageOf(ghost, time.Now()))
			return edited
		}),
	}, {
		name: "adds a device with a copied certificate to a user's", fault: 25, story: invites, check: oneDevice,
		lie: packages(func(w *world, a *wire.ClaimKeyPackagesOK) fate {
			ghost := somebody(w)
			ghost.Credential = credentialOf(a.Packages[0].Data)
			a.Packages = append(a.Packages, packageOf(ghost, time.Now()))
			return edited
		}),
	}, {
		name: "hands out a key package that has expired", fault: 42, story: invites, misses: "Dora", refuses: by{"Alice": "gone"}, check: outside("Dora"),
		lie: packages(func(w *world, a *wire.ClaimKeyPackagesOK) fate {
			a.Packages = []wire.KeyPackage{packageOf(w.named("Dora").self(), time.Now().Add(-300*24*time.Hour))}
			return edited
		}),
	}, {
		name: "hands out a key package for another suite", fault: 42, story: invites, misses: "Dora", refuses: by{"Alice": "refused"}, check: outside("Dora"),
		lie: packages(func(w *world, a *wire.ClaimKeyPackagesOK) fate {
			self := w.named("Dora").self()
			self.Suite = mls.X25519AES128
			a.Packages = []wire.KeyPackage{packageOf(self, time.Now())}
			return edited
		}),
	}, {
		name: "hands out random bytes for a key package", fault: 42, story: invites, misses: "Dora", refuses: by{"Alice": "gone"}, check: outside("Dora"),
		lie: packages(func(_ *world, a *wire.ClaimKeyPackagesOK) fate {
			a.Packages[0].Data = slices.Repeat([]byte{0, 1, 2, 3}, 300)
			return edited
		}),
	}, {
		name: "hands out the same key package twice at once", fault: 42, story: invites, check: oneDevice,
		lie: packages(func(_ *world, a *wire.ClaimKeyPackagesOK) fate {
			a.Packages = append(a.Packages, a.Packages[0])
			return edited
		}),
	}, {
		name: "hands out the same key package for two rooms", fault: 42, story: invitesTwice, misses: "Dora", instead: "Dora does not come into the second one",
		check: func(w *world) { w.outside("Dora", w.other) },
		lie: func(w *world) {
			var first []wire.KeyPackage
			packages(func(_ *world, a *wire.ClaimKeyPackagesOK) fate {
				if first == nil {
					first = a.Packages
					return pass
				}
				a.Packages = first
				return edited
			})(w)
		},
	}, {
		name: "shows another identity under a known login name", fault: 27, story: knowsBob, refuses: by{"Alice": "untrusted"}, raises: by{"Alice": "identity-changed"},
		lie: users(func(w *world, u *wire.User) fate { *u = w.record("mallory"); u.Login = "bob"; return edited }),
	}, {
		name: "shows another's certificates for a user", fault: 26, story: knowsBob, refuses: by{"Alice": "untrusted"},
		lie: users(func(w *world, u *wire.User) fate { u.Certificates = w.record("mallory").Certificates; return edited }),
	}, {
		name: "shows a certificate that nobody has signed", fault: 26, story: knowsBob, refuses: by{"Alice": "untrusted"},
		lie: users(func(_ *world, u *wire.User) fate {
			certificate := slices.Clone(u.Certificates[0])
			certificate[len(certificate)-1] ^= 1
			u.Certificates = append(u.Certificates, certificate)
			return edited
		}),
	}, {
		name: "shows another name for a user", fault: 26, story: knowsBob,
		lie: users(func(w *world, u *wire.User) fate { u.Profile = w.record("mallory").Profile; return edited }),
		check: func(w *world) {
			for _, m := range w.named("Alice").must(client.Request{Op: client.OpMembers, Room: w.other}).Members {
				if m.Name != "Alice" && m.Name != "Bob" {
					w.t.Errorf("Alice sees somebody called %q", m.Name)
				}
			}
		},
	},
}
