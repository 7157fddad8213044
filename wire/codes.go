package wire

import (
	"fmt"
	"time"
)

// Code says how a request ended. The list is closed: a client that meets
// another number treats it as Internal. Numbers are never reused.
type Code uint16

// The codes. What is absent and what is forbidden are both NotFound, so that
// nobody learns which rooms, users or links exist by asking.
const (
	OK              Code = 0
	Malformed       Code = 1  // not in the format, or a field out of its bounds
	UnknownOp       Code = 2  // no such request in this version
	BadVersion      Code = 3  // the core does not speak this version
	Unauthenticated Code = 4  // log in first
	NotFound        Code = 5  // absent, or not for this device
	Conflict        Code = 6  // taken: a login name, a room id with other content
	Stale           Code = 7  // a newer handshake: Refusal.Seq; sync, then retry
	TooLarge        Code = 8  // above Refusal.Limit
	Limited         Code = 9  // too often or too many: Refusal.Limit, Refusal.Retry
	Busy            Code = 10 // the core is overloaded, or other members wait for their turn: Refusal.Retry
	Internal        Code = 11 // a fault of the core; it is logged there
	BadCredentials  Code = 12 // wrong name or password, wrong or spent token, wrong proof: one answer
	NotRegistering  Code = 13 // the server does not take this registration
	Waiting         Code = 14 // the device waits for approval
	DeviceGone      Code = 15 // the device was revoked
	Banned          Code = 16 // by the operator
	Closing         Code = 17 // the core is going down: Refusal.Retry
	Replaced        Code = 18 // the device connected again elsewhere
	Gone            Code = 19 // the entries asked for are no longer kept
)

// Hint tells a client what a refusal asks of it.
type Hint uint8

// The hints.
const (
	HintNever     Hint = iota // the same request will be refused again
	HintLater                 // the same bytes again after Refusal.Retry
	HintSync                  // sync the room, then build the request anew
	HintLogin                 // log in again
	HintReconnect             // on a new connection, after Refusal.Retry
	HintUpdate                // the program is too old
)

var codeTable = [...]struct {
	name string
	hint Hint
}{
	OK:              {"ok", HintNever},
	Malformed:       {"malformed", HintNever},
	UnknownOp:       {"unknown-op", HintUpdate},
	BadVersion:      {"bad-version", HintUpdate},
	Unauthenticated: {"unauthenticated", HintLogin},
	NotFound:        {"not-found", HintNever},
	Conflict:        {"conflict", HintNever},
	Stale:           {"stale", HintSync},
	TooLarge:        {"too-large", HintNever},
	Limited:         {"limited", HintLater},
	Busy:            {"busy", HintLater},
	Internal:        {"internal", HintLater},
	BadCredentials:  {"bad-credentials", HintNever},
	NotRegistering:  {"not-registering", HintNever},
	Waiting:         {"waiting", HintLater},
	DeviceGone:      {"revoked", HintNever},
	Banned:          {"banned", HintNever},
	Closing:         {"closing", HintReconnect},
	Replaced:        {"replaced", HintReconnect},
	Gone:            {"gone", HintNever},
}

// Codes lists every code, for tables and tests.
func Codes() []Code {
	out := make([]Code, len(codeTable))
	for i := range out {
		out[i] = Code(i)
	}
	return out
}

// String is the code's stable name.
func (c Code) String() string {
	if int(c) < len(codeTable) {
		return codeTable[c].name
	}
	return Internal.String()
}

// Hint is what the code asks of the client.
func (c Code) Hint() Hint {
	if int(c) < len(codeTable) {
		return codeTable[c].hint
	}
	return HintLater
}

// Refusal is the body of a response whose code is not OK.
type Refusal struct {
	Limit Limit  `cbor:"1,keyasint,omitempty"` // which one, for Limited and TooLarge
	Retry uint64 `cbor:"2,keyasint,omitempty"` // ms until the same may succeed
	Seq   uint64 `cbor:"3,keyasint,omitempty"` // Stale: the newest handshake
}

// Error is a refusal as a Go error.
type Error struct {
	Code    Code
	Refusal Refusal
}

// Refuse makes an error of a code alone.
func Refuse(c Code) *Error { return &Error{Code: c} }

// RefuseLimit makes the error of a limit that was met.
func RefuseLimit(l Limit, retry time.Duration) *Error {
	return &Error{Code: Limited, Refusal: Refusal{Limit: l, Retry: uint64(max(retry, 0) / time.Millisecond)}}
}

// RefuseSize makes the error of something that is above a limit.
func RefuseSize(l Limit) *Error { return &Error{Code: TooLarge, Refusal: Refusal{Limit: l}} }

// RefuseRetry makes an error that asks to come back.
func RefuseRetry(c Code, retry time.Duration) *Error {
	return &Error{Code: c, Refusal: Refusal{Retry: uint64(max(retry, 0) / time.Millisecond)}}
}

func (e *Error) Error() string {
	switch {
	case e.Refusal.Limit != 0 && e.Refusal.Retry != 0:
		return fmt.Sprintf("%s: limit %s, again in %s", e.Code, e.Refusal.Limit, e.RetryAfter())
	case e.Refusal.Limit != 0:
		return fmt.Sprintf("%s: limit %s", e.Code, e.Refusal.Limit)
	case e.Refusal.Retry != 0:
		return fmt.Sprintf("%s: again in %s", e.Code, e.RetryAfter())
	}
	return e.Code.String()
}

// RetryAfter is how long to wait before the same may succeed; zero: at once,
// or never (see Hint).
func (e *Error) RetryAfter() time.Duration {
	return time.Duration(min(e.Refusal.Retry, 1<<40)) * time.Millisecond
}

// Is matches errors of the same code.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Code == e.Code && other.Refusal == Refusal{}
}

// DecodeRefusal makes the error of a response whose code is not OK.
func (it *Item) DecodeRefusal() error {
	var why Refusal
	if err := it.DecodeBody(&why); err != nil {
		return err
	}
	return &Error{Code: it.Code, Refusal: why}
}
