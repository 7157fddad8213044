package main

import (
	"crypto/rand"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/loadgen"
	"github.com/securelink-chat/securelink/wire"
)

// benchPerson is a guest with one device.
type benchPerson struct {
	name   string
	key    *identity.Key
	device *identity.DeviceKey
	id     wire.DeviceID
	made   uint64
}

func newBenchPerson(name string) (loadgen.Person, error) {
	p := &benchPerson{name: name, key: identity.NewKey(), device: identity.NewDeviceKey(), made: uint64(time.Now().Unix())}
	_, err := rand.Read(p.id[:])
	return p, err
}

// Account implements [loadgen.Person].
func (p *benchPerson) Account(root, exporter [32]byte) (wire.Account, error) {
	profile, err := p.key.SignProfile(root, p.name, 1)
	if err != nil {
		return wire.Account{}, err
	}
	cert := p.key.Certify(root, identity.DeviceID(p.id), p.device.Public(), identity.ClassNative, p.made)
	return wire.Account{Certificate: cert.Encode(), Profile: profile.Encode(), Proof: p.Proof(root, exporter)}, nil
}

// Proof implements [loadgen.Person].
func (p *benchPerson) Proof(root, exporter [32]byte) []byte {
	sig := p.device.SignLogin(root, exporter, identity.DeviceID(p.id), p.key.User(root))
	return sig[:]
}

// Route implements [loadgen.Person].
func (p *benchPerson) Route(root [32]byte) wire.Route {
	return wire.Route{User: wire.UserID(p.key.User(root)), Device: p.id}
}
