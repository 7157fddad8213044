package room

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/securelink-chat/securelink/identity"
)

// EntryKind says what an entry of the log is.
type EntryKind uint8

// The kinds of entries. A handshake's payload starts with one byte: 1 and an
// MLS message, or 2 and a statement.
const (
	EntryHandshake EntryKind = 1
	EntryMessage   EntryKind = 2
	EntryNotice    EntryKind = 3 // the server's delegate speaks; does not move the handshake mark
)

const (
	payloadCommit    = 1
	payloadStatement = 2
)

// Entry is one entry of a room's log as the core delivers it.
type Entry struct {
	Seq, Time uint64 // Time in Unix milliseconds, by the core's clock
	Kind      EntryKind
	Payload   []byte
	Body      []byte
	BodyGone  *Hash // the body was deleted, this is its hash
}

// LogStart is the chain before the first entry of a room.
func LogStart(group identity.GroupID) Hash {
	return sha256.Sum256(append([]byte("SecureLink/1 log\x00"), group[:]...))
}

func (e *Entry) bodyHash() Hash {
	if e.BodyGone != nil && len(e.Body) == 0 {
		return *e.BodyGone
	}
	return sha256.Sum256(e.Body)
}

// Next is the chain after the entry: SHA-256("SecureLink/1 entry" 00 | before |
// u64 seq | u64 time | u8 kind | SHA-256(payload) | SHA-256(body)).
func (e *Entry) Next(before Hash) Hash {
	in := make([]byte, 0, 19+32+17+64)
	in = append(in, "SecureLink/1 entry\x00"...)
	in = append(in, before[:]...)
	in = binary.BigEndian.AppendUint64(in, e.Seq)
	in = binary.BigEndian.AppendUint64(in, e.Time)
	in = append(in, byte(e.Kind))
	payload, body := sha256.Sum256(e.Payload), e.bodyHash()
	in = append(append(in, payload[:]...), body[:]...)
	return sha256.Sum256(in)
}

// Verdict is what became of an entry.
type Verdict uint8

// The verdicts.
const (
	VerdictApplied Verdict = 1 // a change or message that counts
	VerdictRefused Verdict = 2 // it does not count, for anybody
	VerdictNoted   Verdict = 3 // a valid statement or notice: somebody carries it out
	VerdictFrozen  Verdict = 4 // it may count, but cannot be applied with this device's keys
	VerdictUnknown Verdict = 5 // not for this device to judge: before its time, or while it is locked out
)

func (v Verdict) String() string {
	return [...]string{"none", "applied", "refused", "noted", "frozen", "unknown"}[v]
}

// Result is what follows from an entry. Records must be stored, together with
// whatever the caller makes of Items, before anything else happens.
type Result struct {
	Verdict Verdict
	Why     string // of a refusal; for logs, holds nothing of anybody's text
	Items   []Item
	Alarms  []Alarm
	Records []Record

	IsOwn   bool      // an entry of this device came back
	Own     MessageID // and this is what it was built as
	Rebuild bool      // a handshake: what was built and has not come back is void and is to be built again, under the same id
	Resend  []MessageID
	Undone  uint64 // not 0: what entries from here up to this one showed is void

	Resync      bool // the position was set back:
	ResyncAfter uint64
	Used        []byte // reference of the key package that a Welcome used up
	Removed     bool   // this device is out
	Changed     bool   // Info or State answer differently now
	Added, Left []identity.UserID
}

// AlarmCode is a typed alarm.
type AlarmCode string

// The alarms. None of them starts anything by itself.
const (
	AlarmGap             AlarmCode = "gap"              // entries of a sender are missing
	AlarmFork            AlarmCode = "fork"             // others see another history
	AlarmReplay          AlarmCode = "replay"           // an old message came again
	AlarmReorder         AlarmCode = "reorder"          // an entry is not where it was sent to
	AlarmRollback        AlarmCode = "rollback"         // this device, or the server, went back in time
	AlarmGhostDevice     AlarmCode = "ghost-device"     // a device gets entries, or was to be added, that nobody certified
	AlarmIdentityChanged AlarmCode = "identity-changed" // a known person comes with another identity key
	AlarmRemoved         AlarmCode = "removed"          // this device was removed
	AlarmStarved         AlarmCode = "starved"          // this device loses every race
	AlarmClone           AlarmCode = "clone"            // another device uses this one's keys
)

// Alarm says that something is not as it should be.
type Alarm struct {
	Code   AlarmCode
	Seq    uint64
	User   identity.UserID   // whom it is about, if anyone
	Device identity.DeviceID // which device
	Text   string            // one sentence of ours
}

// ItemKind says what a line of the timeline is.
type ItemKind uint8

// The lines that rooms write themselves. User did it, Subjects are whom it is about.
const (
	ItemCreated    ItemKind = 32 + iota
	ItemJoined              // by an open door or a link
	ItemAdded               // by User
	ItemLeft                // of their own will
	ItemRemoved             // by User
	ItemRetired             // a guest that is gone
	ItemDevice              // a new device of somebody who is in the room
	ItemRevoked             // a device that its user disowned
	ItemTitle               // Text
	ItemTopic               // Text
	ItemRole                // Role
	ItemOwner               // Subjects[0] owns the room now
	ItemBanned              //
	ItemUnbanned            //
	ItemMode                //
	ItemLink                // a join link was made
	ItemUnlink              // and ended
	ItemRenamed             // Text is the name before
	ItemRejoined            // Subjects came back with new keys
	ItemHealed              // Subjects[0] made a change that the others could not apply; User let them in again
	ItemUndone              // User took back a change of Subjects[0], who is removed by it
	ItemWithheld            // a message whose body the server does not give
	ItemUnreadable          // a message that its sender or the server has damaged
	ItemRefreshed           // User gave a device new keys
)

// Subject is somebody that a line is about.
type Subject struct {
	User   identity.UserID
	Device identity.DeviceID
	Name   string
	Class  identity.Class
}

// Item is a line of the timeline: a message, or what happened in the room.
// Names and texts are what people wrote: they are to be escaped for the medium.
type Item struct {
	Seq, Time  uint64 // Time never goes back within a room
	Kind       ItemKind
	ID         MessageID
	User       identity.UserID
	Device     identity.DeviceID
	Name       string // as signed by User at that time
	Text       string
	Mentions   []identity.UserID
	Target     MessageID
	Hash       Hash // of this message, for those that name it
	TargetHash Hash
	Subjects   []Subject
	Role       Role
	Mode       Mode
	Own        bool // by this device
	Admin      bool // User was admin or owner when it was sent
	Unchecked  bool // the sender's view is too old to be compared with this device's
}
