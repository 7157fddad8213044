package wire

import "encoding/binary"

// Version is the version of this language.
const Version = 1

// Hello opens a session: the first request on a connection.
type Hello struct {
	Version uint   `cbor:"1,keyasint"`
	Agent   string `cbor:"2,keyasint,omitempty"` // program and version, for the log; at most 64 bytes
}

// HelloOK says where the client is.
type HelloOK struct {
	Version      uint         `cbor:"1,keyasint"`
	Time         uint64       `cbor:"2,keyasint"` // the core's clock, ms since 1970
	Server       string       `cbor:"3,keyasint"` // name of the server, for people
	Lounge       RoomID       `cbor:"4,keyasint"`
	Registration Registration `cbor:"5,keyasint"`
	Limits       []LimitValue `cbor:"6,keyasint"` // every limit in force
	Delegation   []byte       `cbor:"7,keyasint"` // the delegate key, signed by the root (identity.Delegation)
	Incarnation  uint64       `cbor:"8,keyasint,omitempty"`
	Restored     []byte       `cbor:"9,keyasint,omitempty"` // the delegate's signature over IncarnationSigned
}

// incarnationLabel begins what the delegate signs about a restore.
const incarnationLabel = "SecureLink/1 incarnation\x00"

// IncarnationSigned is what the delegate key signs: that the logs of this
// server were restored from a backup n times, so that rooms may end earlier
// than a client has seen them (alarm log-reset). A server whose logs step back
// without a higher number is not believed.
//
//	"SecureLink/1 incarnation" 00 | root_pk[32] | u64 n
func IncarnationSigned(root [32]byte, n uint64) []byte {
	b := append([]byte(incarnationLabel), root[:]...)
	return binary.BigEndian.AppendUint64(b, n)
}

// LimitValue is one line of the limits table.
type LimitValue struct {
	_     struct{} `cbor:",toarray"`
	Limit Limit
	Value uint64
}

// Registration says who may make an account.
type Registration uint8

// The registration modes.
const (
	RegistrationOpen   Registration = 1 // anyone; guests too
	RegistrationInvite Registration = 2 // with a token, also for guests (a valid join link is one)
	RegistrationClosed Registration = 3
)

// Account is what every way to make an account sends about the user and the
// device at hand. Nothing of it is believed before Certificate and Proof are
// checked.
type Account struct {
	Certificate []byte `cbor:"1,keyasint"` // identity.Certificate: identity key, device id and key, class, created
	Profile     []byte `cbor:"2,keyasint"` // identity.Profile, signed by the identity key
	Proof       []byte `cbor:"3,keyasint"` // the device's signature over the link's exporter (identity.SignLogin)
}

// Login proves an enrolled device. It needs no password.
type Login struct {
	User   UserID   `cbor:"1,keyasint"`
	Device DeviceID `cbor:"2,keyasint"`
	Proof  []byte   `cbor:"3,keyasint"`
}

// LoginOK is the session's standing from now on.
type LoginOK struct {
	User         UserID `cbor:"1,keyasint"`
	Login        string `cbor:"2,keyasint,omitempty"` // empty for a guest
	Admin        bool   `cbor:"3,keyasint,omitempty"`
	KeyPackages  uint   `cbor:"4,keyasint"` // one-time ones left; upload when below the limit KeyPackagesLow
	LastResort   bool   `cbor:"5,keyasint"` // false: upload a (new) last resort
	Welcomes     uint   `cbor:"6,keyasint"` // waiting in the inbox
	PendingCount uint   `cbor:"7,keyasint"` // devices of this user that wait for approval
}

// Guest makes an account without a password, or finds the one that this
// identity key has already, and logs its device in.
type Guest struct {
	Account Account `cbor:"1,keyasint"`
	Token   *Token  `cbor:"2,keyasint,omitempty"` // where registration is by invitation
	Link    *Link   `cbor:"3,keyasint,omitempty"` // or a join link
}

// Link proves that the client holds a join link; looking spends nothing.
type Link struct {
	ID    LinkID `cbor:"1,keyasint"`
	Token Token  `cbor:"2,keyasint"`
}

// Register makes an account with a login name, and logs its device in.
type Register struct {
	Account Account        `cbor:"1,keyasint"`
	Login   string         `cbor:"2,keyasint"` // canonical (identity.CanonicalLogin)
	Salt    [16]byte       `cbor:"3,keyasint"`
	Params  PasswordParams `cbor:"4,keyasint"`
	Auth    Secret         `cbor:"5,keyasint"` // 32 bytes, derived from the password by the client
	Token   *Token         `cbor:"6,keyasint,omitempty"`
}

// PasswordParams are Argon2id's.
type PasswordParams struct {
	MemoryKiB uint32 `cbor:"1,keyasint"`
	Time      uint32 `cbor:"2,keyasint"`
	Threads   uint8  `cbor:"3,keyasint"`
}

// PasswordSalt asks with what a password is to be hashed. A name that nobody
// has is answered alike, always with the same salt.
type PasswordSalt struct {
	Login string `cbor:"1,keyasint"`
}

// PasswordSaltOK is what the client hashes with, unless it is weaker than what
// the client knows of this account (alarm kdf-downgrade).
type PasswordSaltOK struct {
	Salt   [16]byte       `cbor:"1,keyasint"`
	Params PasswordParams `cbor:"2,keyasint"`
}

// PasswordLogin opens the account for one device that is not enrolled yet: it
// may only Enrol afterwards, on the same connection.
type PasswordLogin struct {
	Login string `cbor:"1,keyasint"`
	Auth  Secret `cbor:"2,keyasint"`
}

// PasswordLoginOK tells the new device whose it would be.
type PasswordLoginOK struct {
	User     UserID `cbor:"1,keyasint"`
	Identity []byte `cbor:"2,keyasint"` // the identity's public key, 32 bytes
	Profile  []byte `cbor:"3,keyasint"`
}

// Enrol puts the device in line for approval. Asking again with the same
// device is how it waits across connections. The code that both devices show
// is computed by them, not here (identity.EnrolmentCode).
type Enrol struct {
	Device    DeviceID `cbor:"1,keyasint"`
	DeviceKey []byte   `cbor:"2,keyasint"` // 32 bytes
	Class     uint8    `cbor:"3,keyasint"`
	Created   uint64   `cbor:"4,keyasint"` // unix seconds; part of what is certified
	Proof     []byte   `cbor:"5,keyasint"` // as in Login, by this device
}

// EnrolOK has the certificate when the device is approved already; it then
// logs in with Login. Otherwise an [Enrolled] event brings it.
type EnrolOK struct {
	Certificate []byte `cbor:"1,keyasint,omitempty"`
	Expires     uint64 `cbor:"2,keyasint,omitempty"` // ms: when an unanswered request is dropped
}

// Ping keeps a connection that has nothing to say.
type Ping struct{}

// Logout ends the session. With Forget the device itself is dropped from the
// account: its key packages are deleted and it cannot log in again.
type Logout struct {
	Forget bool `cbor:"1,keyasint,omitempty"`
}

// SetPassword gives a guest a login name and password, or changes the password
// (Login is then the account's, and Old is needed).
type SetPassword struct {
	Login  string         `cbor:"1,keyasint"`
	Salt   [16]byte       `cbor:"2,keyasint"`
	Params PasswordParams `cbor:"3,keyasint"`
	Auth   Secret         `cbor:"4,keyasint"`
	Old    Secret         `cbor:"5,keyasint,omitempty"`
}

// SetProfile replaces the user's signed profile by one of a higher version.
type SetProfile struct {
	Profile []byte `cbor:"1,keyasint"`
}

// ClaimAdmin spends the administrator's link.
type ClaimAdmin struct {
	Token Token `cbor:"1,keyasint"`
}

// ClaimAdminOK carries the delegate's statement that makes the user the
// Lounge's owner, once a member commits it.
type ClaimAdminOK struct {
	Notice []byte `cbor:"1,keyasint"` // identity.Notice, kind owner
}

func (Hello) Op() Op         { return OpHello }
func (Login) Op() Op         { return OpLogin }
func (Guest) Op() Op         { return OpGuest }
func (Register) Op() Op      { return OpRegister }
func (PasswordSalt) Op() Op  { return OpPasswordSalt }
func (PasswordLogin) Op() Op { return OpPasswordLogin }
func (Enrol) Op() Op         { return OpEnrol }
func (Ping) Op() Op          { return OpPing }
func (Logout) Op() Op        { return OpLogout }
func (SetPassword) Op() Op   { return OpSetPassword }
func (SetProfile) Op() Op    { return OpSetProfile }
func (ClaimAdmin) Op() Op    { return OpClaimAdmin }
