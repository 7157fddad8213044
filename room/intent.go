package room

import (
	"fmt"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/internal/pack"
)

// IntentKind says what somebody wants of a room.
type IntentKind uint8

// The kinds of intents, with the fields that they use.
const (
	IntentAdd     IntentKind = 1  // KeyPackages: of people to bring in, or of devices of those who are in
	IntentRemove  IntentKind = 2  // User, with all devices
	IntentBan     IntentKind = 3  // User; removes as well
	IntentUnban   IntentKind = 4  // User
	IntentRole    IntentKind = 5  // User, Role; RoleOwner hands the room over
	IntentTitle   IntentKind = 6  // Text
	IntentTopic   IntentKind = 7  // Text
	IntentMode    IntentKind = 8  // Mode
	IntentLink    IntentKind = 9  // Secret (new), Approval
	IntentUnlink  IntentKind = 10 // Number
	IntentRefresh IntentKind = 11 // a new leaf for this device
	IntentProfile IntentKind = 12 // Profile: the own name as shown here
	IntentOwner   IntentKind = 13 // Notice: the server's delegate names the owner of an open room
	IntentRetire  IntentKind = 14 // Notice: the server's delegate says that a guest is gone
)

// Intent is what somebody wants, as plain data that outlives lost races and
// restarts: every attempt builds its commit from the intents again.
type Intent struct {
	Kind        IntentKind
	User        identity.UserID
	Role        Role
	Mode        Mode
	Text        string
	Number      uint32
	Approval    bool
	Secret      identity.LinkSecret
	KeyPackages [][]byte
	Notice      []byte
	Profile     identity.Profile
}

// IntentError names the intent that cannot be carried out.
type IntentError struct {
	Index int
	Err   error
}

func (e *IntentError) Error() string { return fmt.Sprintf("room: intent %d: %v", e.Index, e.Err) }

// Unwrap gives the reason.
func (e *IntentError) Unwrap() error { return e.Err }

// Encode gives the bytes by which an intent is stored.
func (i *Intent) Encode() []byte {
	var w pack.Writer
	w.U8(uint8(i.Kind))
	w.Fixed(i.User[:])
	w.U8(uint8(i.Role))
	w.U8(uint8(i.Mode))
	w.String(i.Text)
	w.U32(i.Number)
	w.Bool(i.Approval)
	w.Fixed(i.Secret[:])
	w.U32(uint32(len(i.KeyPackages)))
	for _, kp := range i.KeyPackages {
		w.Bytes(kp)
	}
	w.Bytes(i.Notice)
	w.Bytes(i.Profile.Encode())
	return w.B
}

// DecodeIntent reads a stored intent.
func DecodeIntent(b []byte) (Intent, error) {
	r := pack.Read(b)
	i := Intent{Kind: IntentKind(r.U8())}
	r.Fixed(i.User[:])
	i.Role, i.Mode = Role(r.U8()), Mode(r.U8())
	i.Text = r.String(MaxTopic)
	i.Number = r.U32()
	i.Approval = r.Bool()
	r.Fixed(i.Secret[:])
	for range r.Count(MaxAdds, 4) {
		i.KeyPackages = append(i.KeyPackages, r.Bytes(identity.MaxKeyPackage))
	}
	i.Notice = r.Bytes(maxStatement)
	profile := r.Bytes(512)
	if err := r.Done(); err != nil {
		return Intent{}, err
	}
	var err error
	i.Profile, err = identity.DecodeProfile(profile)
	return i, err
}
