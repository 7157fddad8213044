package wire

// EventType names an event. Numbers are never reused.
type EventType uint16

// The events.
const (
	EventEntry       EventType = 1  // EntryEvent
	EventWelcome     EventType = 2  // WelcomeEvent
	EventTurn        EventType = 3  // TurnEvent
	EventKeyPackages EventType = 4  // KeyPackagesLow
	EventSignal      EventType = 5  // SignalEvent
	EventPresence    EventType = 6  // PresenceEvent
	EventRoom        EventType = 7  // RoomEvent
	EventCut         EventType = 8  // Cut
	EventPending     EventType = 9  // Pending
	EventEnrolled    EventType = 10 // Enrolled
	EventRevoked     EventType = 11 // Revoked
	EventKnock       EventType = 12 // KnockEvent
	EventOutside     EventType = 13 // OutsideEvent
	EventKnockGone   EventType = 14 // KnockGone
)

// EntryEvent is a new entry of a watched room, in the order of the log.
type EntryEvent struct {
	Room  RoomID   `cbor:"1,keyasint"`
	Entry RawEntry `cbor:"2,keyasint"`
}

// WelcomeEvent is a new piece in this device's inbox.
type WelcomeEvent struct {
	Welcome Welcome `cbor:"1,keyasint"`
}

// TurnEvent grants the turn that was asked for.
type TurnEvent struct {
	Room   RoomID `cbor:"1,keyasint"`
	Millis uint64 `cbor:"2,keyasint"`
}

// KeyPackagesLow asks for more.
type KeyPackagesLow struct {
	OneTime    uint `cbor:"1,keyasint"`
	LastResort bool `cbor:"2,keyasint"` // false: it was handed out, replace it
}

// SignalEvent is another device's signal.
type SignalEvent struct {
	Room   RoomID   `cbor:"1,keyasint"`
	Device DeviceID `cbor:"2,keyasint"`
	Data   []byte   `cbor:"3,keyasint"`
}

// PresenceEvent says that a device began or ceased to watch a room.
type PresenceEvent struct {
	Room   RoomID `cbor:"1,keyasint"`
	Route  Route  `cbor:"2,keyasint"`
	Online bool   `cbor:"3,keyasint"`
}

// RoomEvent says that this device's place in a room changed: it was routed
// (Routed, From) or taken out (Until).
type RoomEvent struct {
	State RoomState `cbor:"1,keyasint"`
}

// Cut is the last event before the core closes the connection.
type Cut struct {
	Code  Code   `cbor:"1,keyasint"` // Limited, Busy, Closing, DeviceGone, Banned, Unauthenticated, Malformed, Replaced
	Limit Limit  `cbor:"2,keyasint,omitempty"`
	Retry uint64 `cbor:"3,keyasint,omitempty"` // ms to wait before the next connection; spread it
}

// Pending says that a device of this user waits for approval, or was approved.
type Pending struct {
	Device Device `cbor:"1,keyasint"`
}

// Enrolled brings the waiting device its certificate; it may Login now. An
// empty one: denied.
type Enrolled struct {
	Certificate []byte `cbor:"1,keyasint,omitempty"`
}

// Revoked says that a device of this user was revoked.
type Revoked struct {
	Device    DeviceID `cbor:"1,keyasint"`
	At        uint64   `cbor:"2,keyasint"`
	Signature []byte   `cbor:"3,keyasint,omitempty"`
}

// KnockEvent is somebody who asks to be let in by an approval link.
type KnockEvent struct {
	Room  RoomID `cbor:"1,keyasint"`
	Link  LinkID `cbor:"2,keyasint"`
	Route Route  `cbor:"3,keyasint"`
	Time  uint64 `cbor:"4,keyasint"`
	Data  []byte `cbor:"5,keyasint,omitempty"`
}

// OutsideEvent says that a member's device is new and not in the room yet.
// Whether it may come in is for its certificate to say.
type OutsideEvent struct {
	Room  RoomID `cbor:"1,keyasint"`
	Route Route  `cbor:"2,keyasint"`
}

// KnockGone says that somebody does not wait at a room's door any more: let in,
// turned away, gone, or the link has ended. The one who waited is told as well,
// and learns by FetchLink which of them it was.
type KnockGone struct {
	Room   RoomID   `cbor:"1,keyasint"`
	Device DeviceID `cbor:"2,keyasint"`
}

func (EntryEvent) EventType() EventType     { return EventEntry }
func (WelcomeEvent) EventType() EventType   { return EventWelcome }
func (TurnEvent) EventType() EventType      { return EventTurn }
func (KeyPackagesLow) EventType() EventType { return EventKeyPackages }
func (SignalEvent) EventType() EventType    { return EventSignal }
func (PresenceEvent) EventType() EventType  { return EventPresence }
func (RoomEvent) EventType() EventType      { return EventRoom }
func (Cut) EventType() EventType            { return EventCut }
func (Pending) EventType() EventType        { return EventPending }
func (Enrolled) EventType() EventType       { return EventEnrolled }
func (Revoked) EventType() EventType        { return EventRevoked }
func (KnockEvent) EventType() EventType     { return EventKnock }
func (OutsideEvent) EventType() EventType   { return EventOutside }
func (KnockGone) EventType() EventType      { return EventKnockGone }
