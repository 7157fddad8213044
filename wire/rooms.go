package wire

// RoomKind is a service setting: who may route devices into the room. What
// members may do is not the core's to decide.
type RoomKind uint8

// The kinds of room.
const (
	RoomInvite RoomKind = 1 // members add; strangers only with a join link
	RoomOpen   RoomKind = 2 // anyone logged in may read the log and add its own device
	RoomDirect RoomKind = 3 // two users, id by DirectRoom
)

// CreateRoom founds a room with the device that asks as its only member.
// Repeating it with the same bytes is harmless. The Lounge exists without a
// group; the first CreateRoom for it founds it, later ones are Conflict.
type CreateRoom struct {
	Room       RoomID   `cbor:"1,keyasint"`
	Kind       RoomKind `cbor:"2,keyasint"`
	Peer       *UserID  `cbor:"3,keyasint,omitempty"` // direct: the other user
	Generation uint32   `cbor:"4,keyasint,omitempty"` // direct
	GroupInfo  []byte   `cbor:"5,keyasint,omitempty"` // open rooms: needed
	Tree       *Part    `cbor:"6,keyasint,omitempty"`
}

// Part is bytes that are either here or, above the limit InlineBytes, a blob
// that was put into the room before.
type Part struct {
	Data []byte `cbor:"1,keyasint,omitempty"`
	Blob *Hash  `cbor:"2,keyasint,omitempty"`
}

// RoomState is what the core knows of a room.
type RoomState struct {
	Room         RoomID   `cbor:"1,keyasint"`
	Kind         RoomKind `cbor:"2,keyasint"`
	Founded      bool     `cbor:"3,keyasint,omitempty"` // false: the Lounge before anyone entered
	Seq          uint64   `cbor:"4,keyasint"`           // newest entry; 0 = none
	Handshake    uint64   `cbor:"5,keyasint"`           // newest handshake entry; 0 = none
	Chain        Hash     `cbor:"6,keyasint"`           // mark after Seq
	Routed       bool     `cbor:"7,keyasint,omitempty"` // this device gets the entries
	From         uint64   `cbor:"8,keyasint,omitempty"` // first entry that this device may read
	Until        uint64   `cbor:"9,keyasint,omitempty"` // last one, after it was removed
	GroupInfoSeq *uint64  `cbor:"10,keyasint,omitempty"`
	Peer         *UserID  `cbor:"11,keyasint,omitempty"` // direct: the other user
	Name         string   `cbor:"12,keyasint,omitempty"` // public name of an open room, set by the operator
	Restored     *uint64  `cbor:"13,keyasint,omitempty"` // newest entry that a restored backup had, while nothing new has followed it
}

// ListRooms asks for the rooms of this device, in pages.
type ListRooms struct {
	After *RoomID `cbor:"1,keyasint,omitempty"`
	Open  bool    `cbor:"2,keyasint,omitempty"` // instead: the open rooms of the server
}

// ListRoomsOK is one page.
type ListRoomsOK struct {
	Rooms []RoomState `cbor:"1,keyasint"`
	More  bool        `cbor:"2,keyasint,omitempty"`
}

// Watch turns the push of entries on. Every entry above the Seq in the answer
// will be pushed in order (or the connection cut); what lies before it is for
// Sync. With no rooms: all where this device is routed, and those to which it
// is added while the connection lives.
type Watch struct {
	Rooms    []RoomID `cbor:"1,keyasint,omitempty"`
	Presence bool     `cbor:"2,keyasint,omitempty"` // presence events of these rooms too
}

// WatchOK has the state of each room in the request (or of all routed ones);
// a room that is not there to see is left out.
type WatchOK struct {
	Rooms   []RoomState `cbor:"1,keyasint"`
	Outside []RoomID    `cbor:"2,keyasint,omitempty"` // all rooms were asked for: those of the user where this device is not routed
}

// Unwatch turns the push off: of the rooms named, or of all.
type Unwatch struct {
	Rooms []RoomID `cbor:"1,keyasint,omitempty"`
}

// Sync asks for the entries after a seq. Link lets a stranger who holds a join
// link see what he joins on: from the newest GroupInfo of that link on.
type Sync struct {
	Room  RoomID `cbor:"1,keyasint"`
	After uint64 `cbor:"2,keyasint"`
	Limit uint   `cbor:"3,keyasint,omitempty"` // entries; 0 = as many as fit
	Link  *Link  `cbor:"4,keyasint,omitempty"`
}

// SyncOK is one page, in order and without holes. More: ask again after the
// last of them.
type SyncOK struct {
	Entries   []RawEntry `cbor:"1,keyasint"`
	More      bool       `cbor:"2,keyasint,omitempty"`
	Seq       uint64     `cbor:"3,keyasint"` // newest that this device may read
	Handshake uint64     `cbor:"4,keyasint"`
}

// EntryKind says what an entry's payload is.
type EntryKind uint8

// The kinds of entry. Every handshake entry that the core accepted advances
// the mark that appends must have examined.
const (
	EntryHandshake EntryKind = 1 // a commit or a signed statement
	EntryMessage   EntryKind = 2
	EntryNotice    EntryKind = 3 // by the core only: a statement of the root's delegate
)

// Entry is one line of a room's log. The chain covers seq, time, kind, payload
// and body; the rest is the core's word.
type Entry struct {
	Seq         uint64    `cbor:"1,keyasint"` // 1 is the first
	Time        uint64    `cbor:"2,keyasint"` // ms, never goes back in a room
	Kind        EntryKind `cbor:"3,keyasint"`
	Payload     []byte    `cbor:"4,keyasint,omitempty"` // at most InlineBytes
	PayloadBlob *Hash     `cbor:"5,keyasint,omitempty"` // instead: the blob that is the payload
	Body        []byte    `cbor:"6,keyasint,omitempty"`
	BodyGone    *Hash     `cbor:"7,keyasint,omitempty"` // hash of a body that was deleted
	Device      DeviceID  `cbor:"8,keyasint"`           // whose connection appended it; zero for a notice
	Message     MessageID `cbor:"9,keyasint"`           // as in Append: how a device knows its own
	Added       []Route   `cbor:"10,keyasint,omitempty"`
	Removed     []Route   `cbor:"11,keyasint,omitempty"`
}

// RawEntry is an encoded [Entry].
type RawEntry []byte

// Decode reads the entry.
func (r RawEntry) Decode() (e Entry, err error) {
	err = Decode(r, &e)
	return e, err
}

// Route is a device that gets a room's entries.
type Route struct {
	User   UserID   `cbor:"1,keyasint"`
	Device DeviceID `cbor:"2,keyasint"`
}

// Append puts an entry at the end of a room's log; all of it happens or
// nothing. Refused with Stale if there is a handshake entry above Examined:
// the answer names it.
type Append struct {
	Room        RoomID    `cbor:"1,keyasint"`
	Kind        EntryKind `cbor:"2,keyasint"`
	Examined    uint64    `cbor:"3,keyasint"` // newest handshake seq that was applied or recorded as refused; 0 = none
	Message     MessageID `cbor:"4,keyasint"`
	Payload     []byte    `cbor:"5,keyasint,omitempty"`
	PayloadBlob *Hash     `cbor:"6,keyasint,omitempty"`
	Body        []byte    `cbor:"7,keyasint,omitempty"`

	// Handshake entries only:
	Add       []Route        `cbor:"8,keyasint,omitempty"`  // devices to route from this entry on
	Remove    []Route        `cbor:"9,keyasint,omitempty"`  // devices that get this entry and no later one
	Welcomes  []WelcomePiece `cbor:"10,keyasint,omitempty"` // for devices in Add (or routed already: a re-join)
	GroupInfo []byte         `cbor:"11,keyasint,omitempty"` // open rooms: of the new epoch
	Tree      *Part          `cbor:"12,keyasint,omitempty"` // open rooms: in the clear; elsewhere a box for the joiners
	Links     []LinkInfo     `cbor:"13,keyasint,omitempty"` // GroupInfo and tree under each active link's key; links left out are revoked by a Remove
	Link      *Link          `cbor:"14,keyasint,omitempty"` // an external commit by join link: spends one use
}

// LinkInfo is what a join link opens, in one epoch.
type LinkInfo struct {
	Link      LinkID `cbor:"1,keyasint"`
	GroupInfo []byte `cbor:"2,keyasint"` // sealed
	Tree      *Part  `cbor:"3,keyasint,omitempty"`
}

// WelcomePiece is one joiner's.
type WelcomePiece struct {
	Device DeviceID `cbor:"1,keyasint"`
	Data   []byte   `cbor:"2,keyasint"`
}

// AppendOK says where the entry is. The same answer comes to every retry with
// the same key for 24 hours. The entry event comes to this connection as well
// if it watches the room, after this answer.
type AppendOK struct {
	Seq   uint64 `cbor:"1,keyasint"`
	Time  uint64 `cbor:"2,keyasint"`
	Chain Hash   `cbor:"3,keyasint"` // mark after this entry
}

// RouteChange mends the routing list without an entry, after the members refused a
// handshake that had changed it. A device that is not routed may only take
// itself back in within seven days after it was taken out.
type RouteChange struct {
	Room   RoomID  `cbor:"1,keyasint"`
	Add    []Route `cbor:"2,keyasint,omitempty"`
	Remove []Route `cbor:"3,keyasint,omitempty"`
}

// Refill gives back entries that a restored backup lacks, byte by byte as the
// core once delivered them: the next ones in order. It is taken while nothing
// new has followed the backup's end; then Conflict. Entries that are there
// already are passed over.
type Refill struct {
	Room    RoomID     `cbor:"1,keyasint"`
	Entries []RawEntry `cbor:"2,keyasint"`
}

// RefillOK says where the log ends now.
type RefillOK struct {
	Seq uint64 `cbor:"1,keyasint"`
}

// Members asks for the routing list of a room of this device.
type Members struct {
	Room RoomID `cbor:"1,keyasint"`
}

// MembersOK is the routing list, at most 1,000 devices, and devices of the
// users in it that are not routed: their members may add them, on their
// certificates.
type MembersOK struct {
	Routes    []Route `cbor:"1,keyasint"`
	Outside   []Route `cbor:"2,keyasint,omitempty"`
	Handshake uint64  `cbor:"3,keyasint"` // after which the list is this one: it may not be pushed yet
}

// ListWelcomes asks for the inbox of this device, oldest first.
type ListWelcomes struct {
	After uint64 `cbor:"1,keyasint,omitempty"`
}

// ListWelcomesOK is one page of the inbox.
type ListWelcomesOK struct {
	Welcomes []Welcome `cbor:"1,keyasint"`
	More     bool      `cbor:"2,keyasint,omitempty"`
}

// Welcome is one piece in a device's inbox; it stays until acknowledged, or 90 days.
type Welcome struct {
	ID   uint64 `cbor:"1,keyasint"`
	Room RoomID `cbor:"2,keyasint"`
	Seq  uint64 `cbor:"3,keyasint"` // of the entry that it came with
	From Route  `cbor:"4,keyasint"` // who appended that, by the core's word
	Data []byte `cbor:"5,keyasint"`
	Tree *Hash  `cbor:"6,keyasint,omitempty"` // blob with the (boxed) tree: GetBlob
}

// AckWelcomes deletes pieces that were used or refused.
type AckWelcomes struct {
	IDs []uint64 `cbor:"1,keyasint"`
}

// PutGroupInfo stores what strangers join by, for the epoch after handshake
// Seq, which must be the newest (else Stale). Without Link: open rooms.
type PutGroupInfo struct {
	Room      RoomID  `cbor:"1,keyasint"`
	Seq       uint64  `cbor:"2,keyasint"`
	GroupInfo []byte  `cbor:"3,keyasint"`
	Tree      *Part   `cbor:"4,keyasint,omitempty"`
	Link      *LinkID `cbor:"5,keyasint,omitempty"`
}

// GetGroupInfo asks for it; anyone logged in may, of an open room.
type GetGroupInfo struct {
	Room RoomID `cbor:"1,keyasint"`
}

// GroupInfo is the newest that was stored. Entries after Seq must be examined
// before joining on it.
type GroupInfo struct {
	Seq       uint64 `cbor:"1,keyasint"`
	Handshake uint64 `cbor:"2,keyasint"` // newest handshake of the room
	GroupInfo []byte `cbor:"3,keyasint"`
	Tree      *Part  `cbor:"4,keyasint,omitempty"`
}

// PutBlob stores one chunk of a blob: 64 KiB each, the last one shorter. A blob
// is complete when all chunks are there and the hash is right; until then it
// is nobody's, and dropped after 24 hours. Chunks may be repeated.
type PutBlob struct {
	Room  RoomID `cbor:"1,keyasint"`
	Hash  Hash   `cbor:"2,keyasint"`
	Size  uint64 `cbor:"3,keyasint"`
	Index uint   `cbor:"4,keyasint"`
	Data  []byte `cbor:"5,keyasint"`
}

// PutBlobOK says what is still missing.
type PutBlobOK struct {
	Complete bool   `cbor:"1,keyasint,omitempty"`
	Missing  []uint `cbor:"2,keyasint,omitempty"` // chunk numbers, the first 64 of them
}

// GetBlob asks for one chunk of a blob of a room that this device may read.
type GetBlob struct {
	Room  RoomID `cbor:"1,keyasint"`
	Hash  Hash   `cbor:"2,keyasint"`
	Index uint   `cbor:"3,keyasint"`
	Link  *Link  `cbor:"4,keyasint,omitempty"`
}

// GetBlobOK is one chunk.
type GetBlobOK struct {
	Size uint64 `cbor:"1,keyasint"` // of the whole blob
	Data []byte `cbor:"2,keyasint"`
}

// Turn asks for the room's turn to commit: advisory, first come first served,
// given for the limit TurnTime. Not granted: a [TurnEvent] follows. The turn
// ends with the device's next handshake entry in the room.
type Turn struct {
	Room RoomID `cbor:"1,keyasint"`
	Link *Link  `cbor:"2,keyasint,omitempty"` // a stranger with a join link queues as well
}

// TurnOK says whether it is this device's turn now.
type TurnOK struct {
	Granted bool   `cbor:"1,keyasint,omitempty"`
	Millis  uint64 `cbor:"2,keyasint,omitempty"` // how long it lasts
	Ahead   uint   `cbor:"3,keyasint,omitempty"` // devices before this one
}

// ReleaseTurn gives the turn, or the place in the queue, back.
type ReleaseTurn struct {
	Room RoomID `cbor:"1,keyasint"`
}

// Signal sends bytes to the devices of a room that watch it now; nothing is kept.
type Signal struct {
	Room RoomID `cbor:"1,keyasint"`
	Data []byte `cbor:"2,keyasint"`
}

// Presence asks which devices of a room watch it now.
type Presence struct {
	Room RoomID `cbor:"1,keyasint"`
}

// PresenceOK lists them.
type PresenceOK struct {
	Online []Route `cbor:"1,keyasint"`
}

func (CreateRoom) Op() Op   { return OpCreateRoom }
func (ListRooms) Op() Op    { return OpListRooms }
func (Watch) Op() Op        { return OpWatch }
func (Unwatch) Op() Op      { return OpUnwatch }
func (Sync) Op() Op         { return OpSync }
func (Append) Op() Op       { return OpAppend }
func (RouteChange) Op() Op  { return OpRoute }
func (Members) Op() Op      { return OpMembers }
func (Refill) Op() Op       { return OpRefill }
func (ListWelcomes) Op() Op { return OpListWelcomes }
func (AckWelcomes) Op() Op  { return OpAckWelcomes }
func (PutGroupInfo) Op() Op { return OpPutGroupInfo }
func (GetGroupInfo) Op() Op { return OpGetGroupInfo }
func (PutBlob) Op() Op      { return OpPutBlob }
func (GetBlob) Op() Op      { return OpGetBlob }
func (Turn) Op() Op         { return OpTurn }
func (ReleaseTurn) Op() Op  { return OpReleaseTurn }
func (Signal) Op() Op       { return OpSignal }
func (Presence) Op() Op     { return OpPresence }
