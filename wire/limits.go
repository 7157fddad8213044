package wire

import (
	"fmt"
	"strconv"
	"time"
)

// Limit names one number in force. Numbers are never reused: refusals name them.
type Limit uint16

// The limits.
const (
	_ Limit = iota
	// Before login.
	ConnectionsPerAddress
	ConnectionsPerPrefix
	NewConnections
	ConnectionsTotal
	LoginTime
	LoginBytes
	LoginsPerAddress
	LoginFailures
	LoginDelay
	PasswordCeiling
	AccountsPerAddress
	// A session.
	FrameBytes
	RequestsInFlight
	RequestRate
	IdleTime
	WriteTime
	SendQueueBytes
	SendQueueItems
	ConnectionsPerDevice
	// A device's budgets.
	MessageBurst
	MessageRate
	HandshakeBurst
	HandshakeRate
	SignalBurst
	SignalRate
	LookupsPerHour
	ClaimsPerHour
	ClaimsPerTarget
	BlobRate
	// Accounts.
	DevicesPerUser
	PendingDevices
	PendingTime
	LoginNameBytes
	LabelBytes
	ProfileBytes
	KeyPackageBytes
	KeyPackagesPerDevice
	KeyPackagesLowMark
	RoomsPerDevice
	RoomsCreatedPerDay
	WelcomesPerDevice
	WelcomeTime
	IdempotencyTime
	// A room.
	RoutesPerRoom
	JoinersPerEntry
	InlineBytes
	BodyBytes
	SyncBytes
	WelcomeBytes
	SignalBytes
	ChunkBytes
	BlobBytes
	BlobBytesPerDevice
	BlobTime
	TurnTime
	TurnQueue
	StarvedRefusals
	StarvedTime
	PresenceDevices
	LinksPerRoom
	KnocksPerRoom
	KnockBytes
	RetireAfter
	RestoreTime

	limitsEnd
)

// LimitInfo describes one limit.
type LimitInfo struct {
	Limit   Limit
	Name    string
	Unit    string // count, bytes, ms, per-s, per-min, per-10min, per-hour, per-day
	Default uint64
	About   string
}

var limitTable = [limitsEnd]LimitInfo{
	ConnectionsPerAddress: {Name: "connections-per-address", Unit: "count", Default: 64, About: "connections at once from one IPv4 address or IPv6 /64"},
	ConnectionsPerPrefix:  {Name: "connections-per-prefix", Unit: "count", Default: 512, About: "connections at once from one IPv6 /48"},
	NewConnections:        {Name: "new-connections", Unit: "per-10min", Default: 256, About: "new connections from one IPv4 address or IPv6 /64"},
	ConnectionsTotal:      {Name: "connections-total", Unit: "count", Default: 20000, About: "connections at once"},
	LoginTime:             {Name: "login-time", Unit: "ms", Default: 30000, About: "from the end of the handshake to login"},
	LoginBytes:            {Name: "login-bytes", Unit: "bytes", Default: 65536, About: "read from a connection before login"},
	LoginsPerAddress:      {Name: "logins-per-address", Unit: "per-min", Default: 20, About: "failed proofs and all password attempts from one IPv4 address or IPv6 /64"},
	LoginFailures:         {Name: "login-failures", Unit: "count", Default: 5, About: "wrong passwords of an account before its attempts are delayed"},
	LoginDelay:            {Name: "login-delay", Unit: "ms", Default: 1000, About: "first delay after that; it doubles with every failure, up to an hour"},
	PasswordCeiling:       {Name: "password-ceiling", Unit: "count", Default: 100, About: "wrong passwords in a row after which only an enrolled device can log in"},
	AccountsPerAddress:    {Name: "accounts-per-address", Unit: "per-day", Default: 200, About: "new accounts from one IPv4 address or IPv6 /64"},

	FrameBytes:           {Name: "frame-bytes", Unit: "bytes", Default: 1 << 20, About: "one frame of the transport"},
	RequestsInFlight:     {Name: "requests-in-flight", Unit: "count", Default: 64, About: "requests of a connection without their answer"},
	RequestRate:          {Name: "request-rate", Unit: "per-s", Default: 200, About: "requests of a connection, with a burst of ten times that"},
	IdleTime:             {Name: "idle-time", Unit: "ms", Default: 120000, About: "silence of a client after which its connection is closed (a ping is enough)"},
	WriteTime:            {Name: "write-time", Unit: "ms", Default: 20000, About: "that one write to a client may take"},
	SendQueueBytes:       {Name: "send-queue-bytes", Unit: "bytes", Default: 2 << 20, About: "waiting for one client; above it the client is cut and resumes"},
	SendQueueItems:       {Name: "send-queue-items", Unit: "count", Default: 4096, About: "responses and events waiting for one client"},
	ConnectionsPerDevice: {Name: "connections-per-device", Unit: "count", Default: 2, About: "connections of one device; the oldest is replaced"},

	MessageBurst:    {Name: "message-burst", Unit: "count", Default: 60, About: "messages of a device at once"},
	MessageRate:     {Name: "message-rate", Unit: "per-s", Default: 10, About: "messages of a device"},
	HandshakeBurst:  {Name: "handshake-burst", Unit: "count", Default: 30, About: "handshake entries of a device in one room at once"},
	HandshakeRate:   {Name: "handshake-rate", Unit: "per-min", Default: 30, About: "handshake entries of a device in one room"},
	SignalBurst:     {Name: "signal-burst", Unit: "count", Default: 30, About: "signals of a device at once"},
	SignalRate:      {Name: "signal-rate", Unit: "per-s", Default: 5, About: "signals of a device"},
	LookupsPerHour:  {Name: "lookups-per-hour", Unit: "per-hour", Default: 120, About: "lookups of users by a device"},
	ClaimsPerHour:   {Name: "claims-per-hour", Unit: "per-hour", Default: 300, About: "key-package claims by a device"},
	ClaimsPerTarget: {Name: "claims-per-target", Unit: "per-hour", Default: 12, About: "key-package claims by a device from one user"},
	BlobRate:        {Name: "blob-rate", Unit: "per-s", Default: 100, About: "blob chunks of a device, with a burst of ten times that"},

	DevicesPerUser:       {Name: "devices-per-user", Unit: "count", Default: 8, About: "enrolled devices of a user"},
	PendingDevices:       {Name: "pending-devices", Unit: "count", Default: 4, About: "devices of a user that wait for approval"},
	PendingTime:          {Name: "pending-time", Unit: "ms", Default: 24 * 3600 * 1000, About: "that a device waits for approval before it is dropped"},
	LoginNameBytes:       {Name: "login-name-bytes", Unit: "bytes", Default: 32, About: "a login name"},
	LabelBytes:           {Name: "label-bytes", Unit: "bytes", Default: 64, About: "a device's label"},
	ProfileBytes:         {Name: "profile-bytes", Unit: "bytes", Default: 1024, About: "a signed profile"},
	KeyPackageBytes:      {Name: "key-package-bytes", Unit: "bytes", Default: 8192, About: "one key package"},
	KeyPackagesPerDevice: {Name: "key-packages-per-device", Unit: "count", Default: 100, About: "one-time key packages of a device"},
	KeyPackagesLowMark:   {Name: "key-packages-low", Unit: "count", Default: 10, About: "one-time key packages below which the device is asked for more"},
	RoomsPerDevice:       {Name: "rooms-per-device", Unit: "count", Default: 1000, About: "rooms of a device"},
	RoomsCreatedPerDay:   {Name: "rooms-created-per-day", Unit: "per-day", Default: 100, About: "rooms founded by a device"},
	WelcomesPerDevice:    {Name: "welcomes-per-device", Unit: "count", Default: 200, About: "welcomes in a device's inbox"},
	WelcomeTime:          {Name: "welcome-time", Unit: "ms", Default: 90 * 24 * 3600 * 1000, About: "that a welcome is kept"},
	IdempotencyTime:      {Name: "idempotency-time", Unit: "ms", Default: 24 * 3600 * 1000, About: "that the answer to a request with a key is remembered"},

	RoutesPerRoom:      {Name: "routes-per-room", Unit: "count", Default: 1000, About: "devices routed in a room"},
	JoinersPerEntry:    {Name: "joiners-per-entry", Unit: "count", Default: 50, About: "devices that one entry adds"},
	InlineBytes:        {Name: "inline-bytes", Unit: "bytes", Default: 256 << 10, About: "a payload or tree that is not a blob"},
	BodyBytes:          {Name: "body-bytes", Unit: "bytes", Default: 96 << 10, About: "the body of a message"},
	SyncBytes:          {Name: "sync-bytes", Unit: "bytes", Default: 256 << 10, About: "one page of entries or welcomes (one item may pass it)"},
	WelcomeBytes:       {Name: "welcome-bytes", Unit: "bytes", Default: 32 << 10, About: "one welcome piece"},
	SignalBytes:        {Name: "signal-bytes", Unit: "bytes", Default: 1024, About: "one signal"},
	ChunkBytes:         {Name: "chunk-bytes", Unit: "bytes", Default: 64 << 10, About: "one chunk of a blob"},
	BlobBytes:          {Name: "blob-bytes", Unit: "bytes", Default: 16 << 20, About: "one blob"},
	BlobBytesPerDevice: {Name: "blob-bytes-per-device", Unit: "bytes", Default: 64 << 20, About: "unfinished blobs of a device"},
	BlobTime:           {Name: "blob-time", Unit: "ms", Default: 24 * 3600 * 1000, About: "that an unfinished or unused blob is kept"},
	TurnTime:           {Name: "turn-time", Unit: "ms", Default: 2000, About: "that a turn to commit lasts"},
	TurnQueue:          {Name: "turn-queue", Unit: "count", Default: 256, About: "devices that wait for a turn in one room"},
	StarvedRefusals:    {Name: "starved-refusals", Unit: "count", Default: 3, About: "refusals of one message as stale before others' handshakes wait"},
	StarvedTime:        {Name: "starved-time", Unit: "ms", Default: 1000, About: "that they wait"},
	PresenceDevices:    {Name: "presence-devices", Unit: "count", Default: 100, About: "devices of a room up to which presence is told"},
	LinksPerRoom:       {Name: "links-per-room", Unit: "count", Default: 20, About: "join links of a room"},
	KnocksPerRoom:      {Name: "knocks-per-room", Unit: "count", Default: 50, About: "strangers at the door of a room"},
	KnockBytes:         {Name: "knock-bytes", Unit: "bytes", Default: 8192, About: "what one of them says (a key package fits)"},
	RetireAfter:        {Name: "retire-after", Unit: "ms", Default: 7 * 24 * 3600 * 1000, About: "that a guest may be unseen before open rooms let it go"},
	RestoreTime:        {Name: "restore-time", Unit: "ms", Default: 90 * 1000, About: "that rooms take nothing new after a restore, so that members can give back what was lost"},
}

// AllLimits describes every limit, in the order of their numbers.
func AllLimits() []LimitInfo {
	out := make([]LimitInfo, 0, limitsEnd-1)
	for l := Limit(1); l < limitsEnd; l++ {
		info := limitTable[l]
		info.Limit = l
		out = append(out, info)
	}
	return out
}

// String is the limit's stable name.
func (l Limit) String() string {
	if l > 0 && l < limitsEnd {
		return limitTable[l].Name
	}
	return "limit-" + strconv.Itoa(int(l))
}

// ParseLimit finds a limit by its name.
func ParseLimit(name string) (Limit, error) {
	for l := Limit(1); l < limitsEnd; l++ {
		if limitTable[l].Name == name {
			return l, nil
		}
	}
	return 0, fmt.Errorf("wire: no limit is called %q", name)
}

// Limits are the numbers in force. A copy is a table of its own.
type Limits struct{ values [limitsEnd]uint64 }

// DefaultLimits are the numbers to start from.
func DefaultLimits() Limits {
	var l Limits
	for i := range l.values {
		l.values[i] = limitTable[i].Default
	}
	return l
}

// Get is the number of a limit whose unit is not ms; 0 for one that does not exist.
func (l *Limits) Get(which Limit) int {
	if which >= limitsEnd {
		return 0
	}
	return int(l.values[which])
}

// Time is the number of a limit whose unit is ms.
func (l *Limits) Time(which Limit) time.Duration {
	if which >= limitsEnd {
		return 0
	}
	return time.Duration(l.values[which]) * time.Millisecond
}

// Set changes a limit; at least 1, so that nothing is switched off by a zero.
func (l *Limits) Set(which Limit, value uint64) error {
	if which == 0 || which >= limitsEnd {
		return fmt.Errorf("wire: no limit has the number %d", which)
	}
	if value == 0 || value > 1<<40 {
		return fmt.Errorf("wire: limit %s: %d is not between 1 and 2^40", which, value)
	}
	l.values[which] = value
	return nil
}

// With is a copy with one limit changed; it panics where Set fails, for tests
// and tables.
func (l Limits) With(which Limit, value uint64) Limits {
	if err := l.Set(which, value); err != nil {
		panic(err)
	}
	return l
}

// Values lists the numbers in force as [HelloOK] carries them.
func (l *Limits) Values() []LimitValue {
	out := make([]LimitValue, 0, limitsEnd-1)
	for i := Limit(1); i < limitsEnd; i++ {
		out = append(out, LimitValue{Limit: i, Value: l.values[i]})
	}
	return out
}

// LimitsFrom reads what [HelloOK] carries; unknown ones are passed over.
func LimitsFrom(values []LimitValue) Limits {
	l := DefaultLimits()
	for _, v := range values {
		_ = l.Set(v.Limit, v.Value)
	}
	return l
}
