package core

import (
	"context"
	"errors"

	"github.com/securelink-chat/securelink/wire"
)

// ErrNewerSchema means that a newer program wrote the store.
var ErrNewerSchema = errors.New("core: the store was written by a newer version")

// Store keeps what outlives the process. Reads see everything that was
// committed before they began. Methods are called from many goroutines;
// Commit from one at a time. Slices that go in or out are not changed by either
// side afterwards. The core is the only writer: it keeps the heads of rooms in
// memory between commits.
//
// The suite in store/storetest says the rest.
type Store interface {
	Committer
	AccountStore
	KeyPackageStore
	RoomStore
	LinkStore
	BlobStore
	ServiceStore
	Close() error
}

// Committer makes changes durable.
type Committer interface {
	// Commit does all of the changes, in order, or none, and returns when they
	// would survive the loss of power.
	Commit(ctx context.Context, changes []Change) error
	// Collect deletes what is out of date at now (ms): answers, unfinished and
	// unused blobs, waiting devices, welcomes, tickets, tokens. It may take more
	// than one call.
	Collect(ctx context.Context, now uint64) error
}

// AccountStore finds users and devices.
type AccountStore interface {
	User(ctx context.Context, id wire.UserID) (UserRecord, bool, error)
	UserByLogin(ctx context.Context, login string) (UserRecord, bool, error)
	// Users lists users after one, in the order of their ids.
	Users(ctx context.Context, after wire.UserID, limit int) ([]UserRecord, error)
	Device(ctx context.Context, id wire.DeviceID) (DeviceRecord, bool, error)
	// Devices lists all devices of a user, in any state.
	Devices(ctx context.Context, user wire.UserID) ([]DeviceRecord, error)
	// Standing counts what a device is told of when it logs in, at now (ms).
	Standing(ctx context.Context, device wire.DeviceID, user wire.UserID, now uint64) (Standing, error)
}

// KeyPackageStore finds key packages.
type KeyPackageStore interface {
	// OneTimePackages lists a device's, oldest first.
	OneTimePackages(ctx context.Context, device wire.DeviceID, limit int) ([]PackageRecord, error)
	CountOneTime(ctx context.Context, device wire.DeviceID) (int, error)
	LastResort(ctx context.Context, device wire.DeviceID) (LastResortRecord, bool, error)
}

// RoomStore finds rooms, their logs and who gets them.
type RoomStore interface {
	Room(ctx context.Context, id wire.RoomID) (RoomRecord, Head, bool, error)
	// Routes lists the devices routed now.
	Routes(ctx context.Context, room wire.RoomID) ([]RouteRecord, error)
	// Outside lists devices in force that have key packages and are not routed
	// in a room where another device of their user is, in the order of ids.
	Outside(ctx context.Context, room wire.RoomID, limit int) ([]wire.Route, error)
	// Route finds a device's place in a room, also after it was taken out.
	Route(ctx context.Context, room wire.RoomID, device wire.DeviceID) (RouteRecord, bool, error)
	// RoomsOf lists the rooms of a device in the order of their ids: those where
	// it is routed, and those it was taken out of.
	RoomsOf(ctx context.Context, device wire.DeviceID, after wire.RoomID, limit int) ([]RouteRecord, error)
	// CountRooms counts those where it is routed.
	CountRooms(ctx context.Context, device wire.DeviceID) (int, error)
	OpenRooms(ctx context.Context, after wire.RoomID, limit int) ([]RoomRecord, error)
	// Entries returns the encoded entries after a seq and up to another, at most
	// limit of them and at least one if there is one; it stops early once they
	// are more than size bytes.
	Entries(ctx context.Context, room wire.RoomID, after, upTo uint64, limit, size int) ([]wire.RawEntry, error)
	GroupInfo(ctx context.Context, room wire.RoomID, link wire.LinkID) (GroupInfoRecord, bool, error)
	// Welcomes lists a device's inbox after an id, in the order of ids.
	Welcomes(ctx context.Context, device wire.DeviceID, after uint64, limit, size int) ([]wire.Welcome, error)
	CountWelcomes(ctx context.Context, device wire.DeviceID) (int, error)
	// LastWelcome is the highest id of a welcome that was ever given.
	LastWelcome(ctx context.Context) (uint64, error)
	// Unseen lists routes of an open room whose user is a guest not seen since
	// before (ms).
	Unseen(ctx context.Context, room wire.RoomID, before uint64, limit int) ([]RouteRecord, error)
}

// LinkStore finds join links and who knocked.
type LinkStore interface {
	Link(ctx context.Context, id wire.LinkID) (LinkRecord, bool, error)
	Links(ctx context.Context, room wire.RoomID) ([]LinkRecord, error)
	Knocks(ctx context.Context, room wire.RoomID) ([]KnockRecord, error)
}

// BlobStore finds blobs.
type BlobStore interface {
	Blob(ctx context.Context, room wire.RoomID, hash wire.Hash) (BlobRecord, bool, error)
	Chunk(ctx context.Context, room wire.RoomID, hash wire.Hash, index int) ([]byte, bool, error)
	// Chunks lists the numbers of the chunks that are there.
	Chunks(ctx context.Context, room wire.RoomID, hash wire.Hash) ([]int, error)
	// UnfinishedBytes sums the sizes of a device's unfinished blobs.
	UnfinishedBytes(ctx context.Context, device wire.DeviceID) (int64, error)
}

// ServiceStore finds what the service itself keeps.
type ServiceStore interface {
	Answer(ctx context.Context, user wire.UserID, key wire.Key) (AnswerRecord, bool, error)
	// AnswerKeys calls fn for every key that is remembered.
	AnswerKeys(ctx context.Context, fn func(wire.Key)) error
	Ticket(ctx context.Context, hash wire.Hash) (TicketRecord, bool, error)
	Token(ctx context.Context, hash wire.Hash) (TokenRecord, bool, error)
	Tokens(ctx context.Context) ([]TokenRecord, error)
	Bans(ctx context.Context) ([]BanRecord, error)
	// Incarnation counts how often the store was restored from a backup.
	Incarnation(ctx context.Context) (uint64, error)
	// AuditLog lists audit records after an id, oldest first.
	AuditLog(ctx context.Context, after uint64, limit int) ([]AuditRecord, error)
}

// Head is where a room's log ends. The zero head has the chain [wire.LogStart].
type Head struct {
	Seq       uint64
	Handshake uint64
	Time      uint64 // ms
	Chain     wire.Hash
}

// UserRecord is an account. A guest has no login.
type UserRecord struct {
	ID       wire.UserID
	Identity [32]byte
	Profile  []byte
	Login    string
	Salt     [16]byte // for the client
	Params   wire.PasswordParams
	Salt2    [16]byte // for the verifier
	Verifier [32]byte
	Failures uint32 // wrong passwords in a row
	FailedAt uint64 // ms
	Admin    bool
	Banned   bool
	Created  uint64 // ms
	Seen     uint64 // ms, to the hour
}

// DeviceRecord is a device, waiting, enrolled or revoked. It is never deleted
// once enrolled, so that its id is never used again.
type DeviceRecord struct {
	ID          wire.DeviceID
	User        wire.UserID
	State       wire.DeviceState
	Key         [32]byte
	Class       uint8
	Created     uint64 // unix seconds, as certified
	Certificate []byte
	Label       string
	Seen        uint64 // ms, to the hour
	Expires     uint64 // ms: when a waiting one is dropped
	RevokedAt   uint64 // unix seconds
	Revocation  []byte // signature
}

// Standing is what there is for a device when it logs in: one read of the store,
// since thousands may come back at once.
type Standing struct {
	OneTime    int  // key packages
	LastResort bool // there, and not handed out
	Welcomes   int
	Waiting    int // devices of the user that wait for approval
}

// PackageRecord is a one-time key package.
type PackageRecord struct {
	Device wire.DeviceID
	Hash   wire.Hash // of Data
	Data   []byte
}

// LastResortRecord is a device's last resort.
type LastResortRecord struct {
	Device wire.DeviceID
	Data   []byte
	Used   bool // handed out: to be replaced
}

// RoomRecord is what does not change with every entry.
type RoomRecord struct {
	ID         wire.RoomID
	Kind       wire.RoomKind
	Founded    bool
	Name       string
	Users      [2]wire.UserID // direct
	Generation uint32
	Founder    wire.DeviceID
	Created    uint64 // ms
}

// RouteRecord is a device's place in a room.
type RouteRecord struct {
	Room   wire.RoomID
	User   wire.UserID
	Device wire.DeviceID
	From   uint64 // first entry it may read
	Until  uint64 // last one; 0 while it is routed
	OutAt  uint64 // ms: when it was taken out
}

// GroupInfoRecord is what strangers join by; of a link if Link is not zero.
type GroupInfoRecord struct {
	Room      wire.RoomID
	Link      wire.LinkID
	Seq       uint64
	GroupInfo []byte
	Tree      []byte
	TreeBlob  *wire.Hash
}

// LinkRecord is a join link.
type LinkRecord struct {
	ID        wire.LinkID
	Room      wire.RoomID
	TokenHash wire.Hash
	By        wire.Route
	Created   uint64
	Expires   uint64
	Uses      uint32
	Used      uint32
	Approval  bool
}

// KnockRecord is a stranger at the door.
type KnockRecord struct{ wire.KnockEvent }

// BlobRecord is a blob; its chunks are apart.
type BlobRecord struct {
	Room     wire.RoomID
	Hash     wire.Hash
	Size     uint64
	Device   wire.DeviceID
	Complete bool
	Until    uint64 // ms: dropped then, unless a welcome or GroupInfo names it; 0 = kept
}

// AnswerRecord is the remembered answer to a request with a key.
type AnswerRecord struct {
	User wire.UserID
	Key  wire.Key
	Op   wire.Op
	Body []byte // encoded
	Time uint64 // ms
}

// TicketRecord is a link resumption ticket.
type TicketRecord struct {
	Hash    wire.Hash
	PSK     [32]byte
	Online  [32]byte
	Expires uint64 // ms
}

// TokenKind says what a token is good for.
type TokenKind uint8

// The kinds of token.
const (
	TokenAdmin    TokenKind = 1
	TokenRegister TokenKind = 2
)

// TokenRecord is a token that the operator gave out; only its hash is kept.
type TokenRecord struct {
	Hash    wire.Hash
	Kind    TokenKind
	Uses    uint32 // left
	Expires uint64 // ms; 0 = never
	Note    string
	Created uint64
}

// BanRecord bans an address range or a user.
type BanRecord struct {
	What    string // a CIDR prefix, or a user id in hex
	Reason  string
	Created uint64
	Expires uint64 // ms; 0 = never
}

// AuditRecord is one act of an administrator, or one that matters to security.
type AuditRecord struct {
	ID      uint64 // given by the store
	Time    uint64
	Who     string
	Act     string
	Subject string
}

// Change is one step of a transaction: one of the types below.
type Change any

// The changes. Put replaces what has the same key.
type (
	PutUser     struct{ UserRecord }
	PutDevice   struct{ DeviceRecord }
	DropDevice  struct{ Device wire.DeviceID } // a waiting one
	TouchDevice struct {                       // sets Seen of device and user
		Device wire.DeviceID
		User   wire.UserID
		Seen   uint64
	}
	SetFailures struct { // of a user's password
		User     wire.UserID
		Failures uint32
		At       uint64
	}
	PutPackage    struct{ PackageRecord }
	DropPackage   struct{ PackageRecord } // by Device and Hash
	DropPackages  struct{ Device wire.DeviceID }
	PutLastResort struct{ LastResortRecord }
	PutRoom       struct{ RoomRecord }
	// ClearRoom deletes a room's log, routes, GroupInfos, links and knocks.
	ClearRoom struct{ Room wire.RoomID }
	// PutEntry appends; Seq is the next of its room.
	PutEntry struct {
		Room  wire.RoomID
		Seq   uint64
		Time  uint64
		Kind  wire.EntryKind
		Chain wire.Hash
		Data  wire.RawEntry
	}
	PutRoute      struct{ RouteRecord }
	PutGroupInfo  struct{ GroupInfoRecord }
	DropGroupInfo struct {
		Room wire.RoomID
		Link wire.LinkID
	}
	PutWelcome struct {
		Device  wire.DeviceID
		Welcome wire.Welcome
		Expires uint64
	}
	DropWelcome struct {
		Device wire.DeviceID
		ID     uint64
	}
	PutLink struct{ LinkRecord }
	UseLink struct { // sets Used of a link that is still there
		Link wire.LinkID
		Used uint32
	}
	DropLink  struct{ Link wire.LinkID } // with its GroupInfo and knocks
	PutKnock  struct{ KnockRecord }      // by Room and Device
	DropKnock struct {
		Room   wire.RoomID
		Device wire.DeviceID
	}
	PutBlob  struct{ BlobRecord }
	PutChunk struct {
		Room  wire.RoomID
		Hash  wire.Hash
		Index int
		Data  []byte
	}
	KeepBlob struct { // clears Until: an entry names it
		Room wire.RoomID
		Hash wire.Hash
	}
	DropBlob struct {
		Room wire.RoomID
		Hash wire.Hash
	}
	PutAnswer  struct{ AnswerRecord }
	PutTicket  struct{ TicketRecord }
	DropTicket struct{ Hash wire.Hash }
	PutToken   struct{ TokenRecord }
	DropToken  struct{ Hash wire.Hash }
	PutBan     struct{ BanRecord }
	DropBan    struct{ What string }
	PutAudit   struct{ AuditRecord }
	// PutIncarnation never lowers the count.
	PutIncarnation struct{ N uint64 }
)
