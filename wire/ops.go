package wire

// Op names what a request asks for. Numbers are never reused.
type Op uint16

// The requests. Marks: "any" is answered before login, "key" needs an
// idempotency key, because it changes something that a retry must not change
// twice. What changes something and has no key may be repeated freely.
const (
	OpHello         Op = 1 // any  Hello -> HelloOK
	OpLogin         Op = 2 // any  Login -> LoginOK
	OpGuest         Op = 3 // any  Guest -> LoginOK
	OpRegister      Op = 4 // any  Register -> LoginOK
	OpPasswordSalt  Op = 5 // any  PasswordSalt -> PasswordSaltOK
	OpPasswordLogin Op = 6 // any  PasswordLogin -> PasswordLoginOK
	OpEnrol         Op = 7 // any  Enrol -> EnrolOK, after PasswordLogin on the same connection
	OpPing          Op = 8 // any  Ping -> Empty
	OpLogout        Op = 9 //      Logout -> Empty

	OpSetPassword Op = 10 // SetPassword -> Empty
	OpSetProfile  Op = 11 // SetProfile -> Empty
	OpClaimAdmin  Op = 12 // ClaimAdmin -> ClaimAdminOK

	OpUploadKeyPackages Op = 20 // key  UploadKeyPackages -> KeyPackageCount
	OpCountKeyPackages  Op = 21 //      CountKeyPackages -> KeyPackageCount
	OpClaimKeyPackages  Op = 22 // key  ClaimKeyPackages -> ClaimKeyPackagesOK

	OpFindUser Op = 30 // FindUser -> User
	OpGetUser  Op = 31 // GetUser -> User

	OpListDevices   Op = 40 // ListDevices -> ListDevicesOK
	OpApproveDevice Op = 41 // ApproveDevice -> Empty
	OpDenyDevice    Op = 42 // DenyDevice -> Empty
	OpRenameDevice  Op = 43 // RenameDevice -> Empty
	OpRevokeDevice  Op = 44 // RevokeDevice -> Empty

	OpCreateRoom Op = 50 // CreateRoom -> RoomState
	OpListRooms  Op = 51 // ListRooms -> ListRoomsOK
	OpWatch      Op = 52 // Watch -> WatchOK
	OpUnwatch    Op = 53 // Unwatch -> Empty
	OpSync       Op = 54 // Sync -> SyncOK
	OpAppend     Op = 55 // key  Append -> AppendOK
	OpRoute      Op = 56 // RouteChange -> Empty
	OpMembers    Op = 57 // Members -> MembersOK
	OpRefill     Op = 58 // Refill -> RefillOK

	OpListWelcomes Op = 60 // ListWelcomes -> ListWelcomesOK
	OpAckWelcomes  Op = 61 // AckWelcomes -> Empty

	OpPutGroupInfo Op = 70 // PutGroupInfo -> Empty
	OpGetGroupInfo Op = 71 // GetGroupInfo -> GroupInfo

	OpPutBlob Op = 80 // PutBlob -> PutBlobOK
	OpGetBlob Op = 81 // GetBlob -> GetBlobOK

	OpTurn        Op = 90 // Turn -> TurnOK
	OpReleaseTurn Op = 91 // ReleaseTurn -> Empty
	OpSignal      Op = 92 // Signal -> Empty
	OpPresence    Op = 93 // Presence -> PresenceOK

	OpCreateLink Op = 100 // CreateLink -> Empty
	OpListLinks  Op = 101 // ListLinks -> ListLinksOK
	OpRevokeLink Op = 102 // RevokeLink -> Empty
	OpFetchLink  Op = 103 // FetchLink -> FetchLinkOK
	OpKnock      Op = 104 // Knock -> Empty
	OpListKnocks Op = 105 // ListKnocks -> ListKnocksOK
	OpDropKnock  Op = 106 // DropKnock -> Empty

	OpListRetired Op = 110 // ListRetired -> ListRetiredOK
)

// Empty is the body of a response that says no more than yes.
type Empty struct{}
