package client

// What a user interface and the engine say to each other. It is plain data:
// strings, numbers, booleans and slices of flat structures, so that a worker
// or a socket can carry it. Ids are lower-case hexadecimal, times are Unix
// milliseconds. Names and texts come from other people and are not to be
// trusted: an interface makes them safe for its medium.

// What a [Request] asks for.
const (
	OpGuest    = "guest"    // make an identity and a guest's account: Name
	OpRegister = "register" // an account with a password: Login, Password, Name
	OpLogin    = "login"    // this device for an existing account: Login, Password
	OpConnect  = "connect"  // try now instead of waiting for the next attempt; On: after a logout, sign in again
	OpLogout   = "logout"   // forget the session; On: erase keys and history
	OpProfile  = "profile"  // change the own name: Name
	OpInfo     = "info"     // Info
	OpClaim    = "claim"    // Link: become the server's administrator and the Lounge's owner

	OpRooms   = "rooms"   // Rooms
	OpCreate  = "create"  // Text = title, Mode: Room
	OpJoin    = "join"    // Room, or Link, or Text = "lounge": Room
	OpAccept  = "accept"  // Room
	OpDecline = "decline" // Room
	OpInvite  = "invite"  // Room, User
	OpRemove  = "remove"  // Room, User
	OpBan     = "ban"     // Room, User
	OpUnban   = "unban"   // Room, User
	OpBans    = "bans"    // Room: Members, who may not come in
	OpRole    = "role"    // Room, User, Role
	OpLeave   = "leave"   // Room
	OpTitle   = "title"   // Room, Text, Topic; On: no topic any more
	OpLink    = "link"    // Room, Mode, Limit, After: Link
	OpUnlink  = "unlink"  // Room, Link = id
	OpLinks   = "links"   // Room: Links
	OpDirect  = "direct"  // User: Room
	OpMembers = "members" // Room: Members

	OpRequests = "requests" // Room: Knocks, who wait to be let in
	OpAdmit    = "admit"    // Room, User: let them in
	OpRefuse   = "refuse"   // Room, User: turn them away

	OpSend    = "send"    // Room, Text, Message = what it answers, Key, Mentions (none: whom the text names as @Name): Item
	OpEdit    = "edit"    // Room, Message, Text
	OpDelete  = "delete"  // Room, Message
	OpReact   = "react"   // Room, Message, Text = emoji, On
	OpRetry   = "retry"   // Room, Message: a failed one again
	OpDiscard = "discard" // Room, Message: a waiting or failed one never
	OpHistory = "history" // Room, Before or After, Limit: Items
	OpSearch  = "search"  // Text, Room, Limit: Items
	OpRead    = "read"    // Room, After = the newest cursor that was seen
	OpTyping  = "typing"  // Room, On
	OpSignals = "signals" // Room (none: all that have no setting of their own), Mode
	OpSealed  = "sealed"  // Room, Message: Sealed

	OpVerify  = "verify"  // User: Safety; On: mark as verified
	OpTrust   = "trust"   // User: accept a changed identity; or Room: go on as a restored server's members do
	OpDevices = "devices" // Devices
	OpApprove = "approve" // Text = code
	OpRename  = "rename"  // Device, Name
	OpRevoke  = "revoke"  // Device
)

// Request asks the engine for something. Which fields count depends on Op.
type Request struct {
	ID       uint64 // chosen by the asker and echoed in the reply; 0: no reply
	Op       string
	Room     string
	User     string // user id; to invite, a login name will do
	Device   string
	Message  string
	Text     string
	Topic    string
	Name     string
	Login    string
	Password string
	Link     string
	Mode     string
	Role     string
	Before   uint64
	After    uint64
	Limit    int
	On       bool
	Key      string // OpSend: the message's id, when the asker wants to choose it
	Mentions []string
}

// What an [Event] tells.
const (
	EvReply      = "reply"
	EvConnection = "connection"
	EvAccount    = "account"
	EvRoom       = "room"      // Room is new or has changed
	EvRoomGone   = "room-gone" // Room.ID is no longer there
	EvItem       = "item"      // Item is new, or replaces the one of that id
	EvAlarm      = "alarm"
	EvCode       = "code" // Code is to be shown until it is approved; "" = done
	EvTyping     = "typing"
	EvKnock      = "knock" // somebody asks to be let in: Knock
	EvProgress   = "progress"
	EvLagged     = "lagged" // events were dropped: ask for rooms and history again
)

// Event is what the engine tells. Fields that Kind does not use are zero.
type Event struct {
	Kind     string
	Reply    uint64
	Problem  *Problem
	Conn     *Conn
	Account  *Account
	Rooms    []Room
	Room     *Room
	Item     *Item
	Items    []Item
	Members  []Member
	Alarm    *Alarm
	Code     string
	Typing   *Typing
	Knock    *Knock
	Knocks   []Knock
	Progress *Progress
	Safety   *Safety
	Devices  []Device
	Links    []Link
	Link     string
	Info     *Info
	Sealed   *Sealed
}

// Codes of a [Problem] that the engine makes itself; the others are the
// server's, of wire's closed list.
const (
	ProblemUsage     = "usage"
	ProblemOffline   = "offline"
	ProblemNoRoom    = "no-room"
	ProblemNotMember = "not-member"
	ProblemNoAccount = "no-account"
	ProblemUntrusted = "untrusted"
	ProblemGone      = "gone"
	ProblemRefused   = "refused" // the room's rules say no
	ProblemInternal  = "internal"
)

// Problem says why a request was not done, in words for a person.
type Problem struct {
	Code    string
	Text    string
	Hint    string
	RetryMS int64
}

// Error makes a Problem an error.
func (p *Problem) Error() string { return p.Text }

// States of [Conn].
const (
	ConnConnecting   = "connecting"
	ConnConnected    = "connected"
	ConnReconnecting = "reconnecting"
	ConnOffline      = "offline"
	ConnSignedOut    = "signed-out"
	ConnUpdateNeeded = "update-needed"
	ConnUntrusted    = "untrusted"
)

// Conn is the state of the connection to the server.
type Conn struct {
	State       string
	Reason      string
	RetryMS     int64
	Waiting     int  // messages in the outbox
	FirstUse    bool // the server's key was taken on trust just now
	Fingerprint string
}

// States of [Account].
const (
	AccountNone       = "none"
	AccountGuest      = "guest"
	AccountRegistered = "registered"
	AccountWaiting    = "waiting" // for another device's approval
	AccountRevoked    = "revoked"
	AccountSignedOut  = "signed-out"
)

// Account is who this profile is.
type Account struct {
	State  string
	User   string
	Device string
	Name   string
	Login  string
}

// States of [Room].
const (
	RoomJoining = "joining"
	RoomInvited = "invited"
	RoomMember  = "member"
	RoomFrozen  = "frozen"  // this device fell off and waits to be let in again
	RoomWaiting = "waiting" // in the room, not yet acknowledged by another member
	RoomRemoved = "removed"
	RoomLeft    = "left"
	RoomAsking  = "asking"  // by a link whose admins have to approve; they were asked
	RoomRefused = "refused" // asked, and was not let in
)

// BlockedOutside is why nothing can be sent in a room of this user's that the
// device is not in yet.
const BlockedOutside = "This device waits until somebody in the room is online and lets it in."

// Modes of [Room], and of [Link]: one that opens, and one by which people ask to
// be let in.
const (
	ModeOpen   = "open"
	ModeInvite = "invite"
	ModeLink   = "link"
	ModeDirect = "direct"

	ModeApprove = "approve"
)

// Roles of a [Member].
const (
	RoleOwner  = "owner"
	RoleAdmin  = "admin"
	RoleMember = "member"
)

// Room is one room as a list of rooms shows it.
type Room struct {
	ID        string
	Title     string
	Topic     string
	Mode      string
	State     string
	Role      string
	Peer      string // the other user of a direct chat
	Preview   string // the newest message
	Members   int
	Unread    int
	Mentions  int
	Last      int64  // time of the newest message
	Cursor    uint64 // newest item
	Read      uint64 // newest item that was read
	Blocked   string // why sending waits; "" = it does not
	InvitedBy string
	Asking    int // people who wait to be let in, for admins

	Signals     bool   // writing, presence and what was read are told and shown here
	SignalsMode string // the room's own setting
	Present     int    // other people who say that they are there
	Delivered   uint64 // somebody else has got all up to this cursor
	Seen        uint64 // and has read it
}

// Settings of signals. Auto is the setting of all rooms, or else what the size
// of the room says: on up to twenty people.
const (
	SignalsAuto = "auto"
	SignalsOn   = "on"
	SignalsOff  = "off"
)

// Kinds of [Item].
const (
	ItemText     = "text"
	ItemJoined   = "joined"
	ItemLeft     = "left"
	ItemRemoved  = "removed"
	ItemCreated  = "created"
	ItemTitle    = "title"
	ItemRole     = "role"
	ItemDevice   = "device"
	ItemIdentity = "identity"
	ItemAlarm    = "alarm"
	ItemNotice   = "notice"
	ItemGone     = "gone" // there was a message that this device cannot read
)

// States of an own [Item].
const (
	StateWaiting = "waiting" // in the outbox
	StateSent    = "sent"    // durable at the server
	StateFailed  = "failed"  // will not be sent unless asked to again
)

// CodeClockAhead is the code of a text that came with a time in the future. Its
// Time is when this device got it.
const CodeClockAhead = "clock-ahead"

// Item is one line of a room's timeline. Items are ordered by Cursor; those
// with Cursor 0 are not in the log yet and come after all others.
type Item struct {
	Room      string
	ID        string
	Cursor    uint64
	Kind      string
	Sender    string
	Name      string
	Tag       string // tells people of one name apart; "" when there is no need
	Own       bool
	Text      string
	Time      int64
	State     string
	Reason    string
	ReplyTo   string
	ReplyName string
	ReplyText string
	Edited    bool
	Deleted   bool
	Mention   bool
	Reactions []Reaction
	Names     []string
	By        string
	Code      string
}

// Reaction is one emoji and who chose it.
type Reaction struct {
	Text  string
	Names []string
	Own   bool
}

// Member is one user in a room, with all devices.
type Member struct {
	User     string
	Name     string
	Tag      string
	Role     string
	Own      bool
	Verified bool
	Changed  bool // came with another identity than before
	Devices  int

	Present   bool   // says to be there
	Delivered uint64 // has got all up to this cursor
	Read      uint64 // and has read it
}

// Alarm is something that an honest server and honest members do not cause.
type Alarm struct {
	Room string
	Code string
	Text string
	Hint string
	Seq  uint64
}

// Typing says that somebody writes, or has stopped.
type Typing struct {
	Room string
	User string
	Name string
	On   bool
}

// Knock is somebody who wants to be let into a room, by a link that needs the
// approval of an admin. Whose name it is, the asker has signed.
type Knock struct {
	Room   string
	User   string
	Name   string
	Tag    string
	Safety string // the safety number with them, as in [Safety]
	Link   string // id of the link that they have, as in [Link]
	Time   int64
}

// Progress tells how far something is that takes more than a second.
type Progress struct {
	What  string
	Done  int
	Total int
}

// Safety is what two people compare.
type Safety struct {
	User     string
	Name     string
	Number   string // twelve groups of five digits
	QR       string // what a QR code carries
	Verified bool
}

// Device is one device of the own account.
type Device struct {
	ID      string
	Name    string
	Class   string
	Code    string // enrolment code of a device that waits
	Own     bool
	Waiting bool
	Revoked bool
	Added   int64
	Seen    int64
}

// Link is a join link of a room.
type Link struct {
	ID      string
	Link    string // "" on a device that did not make it
	Mode    string
	Uses    int
	MaxUses int
	Expires int64
}

// Info is what the engine knows of itself and its server.
type Info struct {
	Server      string
	Fingerprint string
	User        string
	Device      string
	Version     string
	Suite       string
	Link        string // of the secure link
	Signals     string // the setting of the signals of all rooms
	Connected   bool
}

// Sealed is one message as the server holds it, beside what it says.
type Sealed struct {
	Room      string
	ID        string
	Seq       uint64
	Time      int64
	Kind      string
	Suite     string
	Epoch     uint64
	Sender    string
	Device    string
	Payload   []byte // the MLS message
	Body      []byte // iv | ciphertext | tag
	Previous  string // hash chain before the entry
	Hash      string // and after it
	Text      string
	PlainSize int
}
