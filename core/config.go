package core

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"log/slog"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/internal/metrics"
	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/wire"
)

// OnlineTime is how long an online key is certified for.
const OnlineTime = 90 * 24 * time.Hour

// Keys are the service's own. Only Online, Delegate and Secret are used while
// it runs; the root has signed the other two.
type Keys struct {
	Root       identity.PublicKey
	Online     link.Online
	Delegate   ed25519.PrivateKey
	Delegation identity.Delegation
	Secret     [32]byte // behind the salts of names that nobody has
}

// NewKeys makes what a root key and an online key that it certified need to
// serve.
func NewKeys(root link.RootKey, online link.Online) Keys {
	private := ed25519.NewKeyFromSeed(root.Seed())
	// The delegate and the secret follow from the root, so that a restart does
	// not change them and there is one file to keep.
	delegate := ed25519.NewKeyFromSeed(derive(private.Seed(), "SecureLink/1 delegate key"))
	k := Keys{Root: root.Public(), Online: online, Delegate: delegate}
	k.Delegation = identity.SignDelegation(private, identity.PublicKey(delegate.Public().(ed25519.PublicKey)))
	copy(k.Secret[:], derive(private.Seed(), "SecureLink/1 core secret"))
	return k
}

// derive makes a 32-byte key from a root seed; the label keeps them apart.
func derive(seed []byte, label string) []byte {
	in := append([]byte(label+"\x00"), seed...)
	defer clear(in)
	sum := sha256.Sum256(in)
	return sum[:]
}

// Config is what a server is made of. Limits, Registration, Name and Log have
// defaults.
type Config struct {
	Keys         Keys
	Store        Store
	Bus          Bus
	Limits       *wire.Limits // nil = wire.DefaultLimits
	Registration wire.Registration
	Name         string
	Log          *slog.Logger
	Handshakes   int               // handshakes computed at once; 0 = link's default
	Metrics      *metrics.Registry // may be nil
}

func (cfg *Config) check() error {
	if cfg.Store == nil || cfg.Bus == nil || cfg.Keys.Delegate == nil {
		return errors.New("core: store, bus and keys are needed")
	}
	if cfg.Limits == nil {
		l := wire.DefaultLimits()
		cfg.Limits = &l
	}
	if cfg.Registration == 0 {
		cfg.Registration = wire.RegistrationOpen
	}
	if cfg.Name == "" {
		cfg.Name = "SecureLink"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// LoungeID is the room that every server opens with.
func LoungeID(root identity.PublicKey) wire.RoomID {
	sum := sha256.Sum256(append([]byte("SecureLink/1 lounge\x00"), root[:]...))
	return wire.RoomID(sum[:16])
}

// NewToken draws a bearer token.
func NewToken() (t wire.Token) {
	_, _ = rand.Read(t[:]) // never fails (crypto/rand)
	return t
}
