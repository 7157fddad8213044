package wire

// CreateLink registers a join link of a room of this device. The core keeps
// expiry and uses; whether a joiner is valid is the group's to say.
type CreateLink struct {
	Room      RoomID `cbor:"1,keyasint"`
	Link      LinkID `cbor:"2,keyasint"`
	TokenHash Hash   `cbor:"3,keyasint"`           // identity.TokenHash of the fetch token
	Uses      uint32 `cbor:"4,keyasint,omitempty"` // 0 = any number
	Expires   uint64 `cbor:"5,keyasint,omitempty"` // ms; 0 = never
	Approval  bool   `cbor:"6,keyasint,omitempty"` // strangers knock instead of joining
	Seq       uint64 `cbor:"7,keyasint"`           // newest handshake, for which Info is
	GroupInfo []byte `cbor:"8,keyasint,omitempty"` // sealed under the link's key
	Tree      *Part  `cbor:"9,keyasint,omitempty"`
}

// ListLinks asks for the links of a room of this device.
type ListLinks struct {
	Room RoomID `cbor:"1,keyasint"`
}

// ListLinksOK lists them.
type ListLinksOK struct {
	Links []LinkState `cbor:"1,keyasint"`
}

// LinkState is what the core keeps of a link.
type LinkState struct {
	Link     LinkID `cbor:"1,keyasint"`
	By       Route  `cbor:"2,keyasint"`
	Created  uint64 `cbor:"3,keyasint"`
	Expires  uint64 `cbor:"4,keyasint,omitempty"`
	Uses     uint32 `cbor:"5,keyasint,omitempty"` // allowed; 0 = any number
	Used     uint32 `cbor:"6,keyasint,omitempty"`
	Approval bool   `cbor:"7,keyasint,omitempty"`
	Seq      uint64 `cbor:"8,keyasint"` // handshake for which its GroupInfo is
}

// RevokeLink ends a link at the core at once; members end it in the group.
type RevokeLink struct {
	Room RoomID `cbor:"1,keyasint"`
	Link LinkID `cbor:"2,keyasint"`
}

// FetchLink asks for what a link opens. It spends nothing. A wrong token, an
// expired or spent link and an unknown one are one NotFound.
type FetchLink struct {
	Link Link `cbor:"1,keyasint"`
}

// FetchLinkOK is what the link's secret opens.
type FetchLinkOK struct {
	Room      RoomID `cbor:"1,keyasint"`
	Approval  bool   `cbor:"2,keyasint,omitempty"`
	Seq       uint64 `cbor:"3,keyasint"`
	Handshake uint64 `cbor:"4,keyasint"`
	GroupInfo []byte `cbor:"5,keyasint,omitempty"`
	Tree      *Part  `cbor:"6,keyasint,omitempty"`
	Knocked   bool   `cbor:"7,keyasint,omitempty"` // this device has knocked, and waits
}

// Knock asks the room behind an approval link to add this device.
type Knock struct {
	Link Link   `cbor:"1,keyasint"`
	Data []byte `cbor:"2,keyasint,omitempty"` // sealed under the link's key
}

// ListKnocks asks who waits at the door of a room of this device.
type ListKnocks struct {
	Room RoomID `cbor:"1,keyasint"`
}

// ListKnocksOK lists them, oldest first.
type ListKnocksOK struct {
	Knocks []KnockEvent `cbor:"1,keyasint"`
}

// DropKnock turns one away, or says that it was let in, which takes one use of
// its link. Whoever knocked may take it back.
type DropKnock struct {
	Room   RoomID   `cbor:"1,keyasint"`
	Device DeviceID `cbor:"2,keyasint"`
	LetIn  bool     `cbor:"3,keyasint,omitempty"`
}

// ListRetired asks which members of an open room are gone for good: guests not
// seen for the limit RetireAfter. Any member may then commit their removal, by
// the delegate's statement on the stay that he names: only members know those.
type ListRetired struct {
	Room  RoomID `cbor:"1,keyasint"`
	Stays []Stay `cbor:"2,keyasint,omitempty"`
}

// Stay is a device's time in a room.
type Stay struct {
	Device DeviceID `cbor:"1,keyasint"`
	JoinID StayID   `cbor:"2,keyasint"`
}

// ListRetiredOK has who is gone, and the delegate's statements on the stays of
// theirs that were named.
type ListRetiredOK struct {
	Notices [][]byte `cbor:"1,keyasint,omitempty"` // identity.Notice, kind retired
	Gone    []Route  `cbor:"2,keyasint,omitempty"`
}

func (CreateLink) Op() Op  { return OpCreateLink }
func (ListLinks) Op() Op   { return OpListLinks }
func (RevokeLink) Op() Op  { return OpRevokeLink }
func (FetchLink) Op() Op   { return OpFetchLink }
func (Knock) Op() Op       { return OpKnock }
func (ListKnocks) Op() Op  { return OpListKnocks }
func (DropKnock) Op() Op   { return OpDropKnock }
func (ListRetired) Op() Op { return OpListRetired }
