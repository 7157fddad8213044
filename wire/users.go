package wire

// UploadKeyPackages adds one-time packages for the device that asks, and
// replaces its last resort if one is given. The core does not look inside.
type UploadKeyPackages struct {
	OneTime    [][]byte `cbor:"1,keyasint,omitempty"`
	LastResort []byte   `cbor:"2,keyasint,omitempty"`
}

// CountKeyPackages asks how many are left.
type CountKeyPackages struct{}

// KeyPackageCount is what the directory holds for the device that asks.
type KeyPackageCount struct {
	OneTime    uint `cbor:"1,keyasint"`
	LastResort bool `cbor:"2,keyasint"` // one is there and was not handed out yet
}

// ClaimKeyPackages takes one package of each named device of a user, of all of
// them if none is named. One-time packages go first and are handed out once;
// then the last resort, again and again, until it is replaced.
type ClaimKeyPackages struct {
	User    UserID     `cbor:"1,keyasint"`
	Devices []DeviceID `cbor:"2,keyasint,omitempty"`
}

// ClaimKeyPackagesOK has a package for each device that had one.
type ClaimKeyPackagesOK struct {
	Packages []KeyPackage `cbor:"1,keyasint"`
}

// KeyPackage is one device's.
type KeyPackage struct {
	Device     DeviceID `cbor:"1,keyasint"`
	Data       []byte   `cbor:"2,keyasint"`
	LastResort bool     `cbor:"3,keyasint,omitempty"`
}

// FindUser looks a user up by the whole login name.
type FindUser struct {
	Login string `cbor:"1,keyasint"`
}

// GetUser looks a user up by id.
type GetUser struct {
	User UserID `cbor:"1,keyasint"`
}

// User is what the core says of a user; the client checks that the keys make
// the id, and believes names by signature only.
type User struct {
	User         UserID   `cbor:"1,keyasint"`
	Login        string   `cbor:"2,keyasint,omitempty"`
	Profile      []byte   `cbor:"3,keyasint"`
	Certificates [][]byte `cbor:"4,keyasint"` // of the devices in force
}

// ListDevices asks for the devices of the own user.
type ListDevices struct{}

// ListDevicesOK has enrolled, waiting and revoked devices.
type ListDevicesOK struct {
	Devices []Device `cbor:"1,keyasint"`
}

// Device is a device of the own user.
type Device struct {
	Device      DeviceID    `cbor:"1,keyasint"`
	State       DeviceState `cbor:"2,keyasint"`
	DeviceKey   []byte      `cbor:"3,keyasint"`
	Class       uint8       `cbor:"4,keyasint"`
	Created     uint64      `cbor:"5,keyasint"`           // unix seconds, as certified
	Certificate []byte      `cbor:"6,keyasint,omitempty"` // not while it waits
	Label       string      `cbor:"7,keyasint,omitempty"`
	Seen        uint64      `cbor:"8,keyasint,omitempty"` // ms, to the hour
}

// DeviceState says how far a device is.
type DeviceState uint8

// The states of a device.
const (
	DeviceWaiting  DeviceState = 1
	DeviceEnrolled DeviceState = 2
	DeviceRevoked  DeviceState = 3
)

// ApproveDevice lets a waiting device in, by its certificate.
type ApproveDevice struct {
	Certificate []byte `cbor:"1,keyasint"`
}

// DenyDevice drops a waiting device.
type DenyDevice struct {
	Device DeviceID `cbor:"1,keyasint"`
}

// RenameDevice sets what the owner calls a device: at most 64 bytes.
type RenameDevice struct {
	Device DeviceID `cbor:"1,keyasint"`
	Label  string   `cbor:"2,keyasint"`
}

// RevokeDevice ends a device for ever: it is cut off, its key packages go, and
// it cannot log in again. Its removal from rooms is the members' commits.
type RevokeDevice struct {
	Device    DeviceID `cbor:"1,keyasint"`
	At        uint64   `cbor:"2,keyasint"` // unix seconds, part of what is signed
	Signature []byte   `cbor:"3,keyasint"` // by the identity key (identity.SignRevocation); empty: the device revokes itself
}

func (UploadKeyPackages) Op() Op { return OpUploadKeyPackages }
func (CountKeyPackages) Op() Op  { return OpCountKeyPackages }
func (ClaimKeyPackages) Op() Op  { return OpClaimKeyPackages }
func (FindUser) Op() Op          { return OpFindUser }
func (GetUser) Op() Op           { return OpGetUser }
func (ListDevices) Op() Op       { return OpListDevices }
func (ApproveDevice) Op() Op     { return OpApproveDevice }
func (DenyDevice) Op() Op        { return OpDenyDevice }
func (RenameDevice) Op() Op      { return OpRenameDevice }
func (RevokeDevice) Op() Op      { return OpRevokeDevice }
