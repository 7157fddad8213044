// Package room holds the rules of a room: an MLS group (RFC 9420) over a log
// that a blind server orders. It says who may do what, which entry of the log
// counts and which does not, how a message is sealed and what it proves, and
// how devices that were locked out come back.
//
// A [Room] is the state of one device in one room, and a pure state machine:
// it is given the entries of the log one after the other and answers with
// what to show, what to store and what to send. It does no I/O, keeps no
// clock and starts no goroutine, so that terminal, browser and bots share it
// and a model can drive it through any schedule.
//
// Validity is a function of the log alone. Every member who can read an entry
// comes to the same verdict about it, because the rules use nothing but the
// group's state at that place: no clocks, no settings, no lookups.
// doc/rooms.md specifies rules, statements, extensions and links.
package room

import (
	"errors"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/mls"
)

// Constants of rules version 1. They are the specification: another value is
// another version.
const (
	RulesVersion    = 1
	MaxDevices      = 8    // of one user in one room
	MaxLeaves       = 1000 // of one room
	DefaultLeaves   = 250
	MaxAdds         = 50 // in one commit
	MaxLinks        = 16
	MaxBans         = 1000
	MaxRevoked      = 2000
	MaxTitle        = 200  // bytes
	MaxTopic        = 1000 // bytes
	MaxText         = 8000 // bytes of one message
	MaxMentions     = 50
	maxEvidence     = 128 // statements and notices in one commit
	maxRulesBytes   = 1 << 18
	maxAttestBytes  = 2 << 20
	maxGroupInfo    = 4 << 20
	maxTree         = 32 << 20
	maxPayloadBytes = 32 << 20
)

// Tuning: may differ from client to client without harm.
const (
	ringSize     = 1024 // entries whose chain hash is remembered
	seenSize     = 2048 // message ids that are remembered
	maxStrange   = 3    // entries of other epochs that raise doubts
	tagRing      = 64   // epochs whose tags are remembered
	undoAfter    = 60 * time.Second
	maxAsks      = 16             // requests to re-join that nobody has answered
	maxAskWait   = 12 * time.Hour // between two of them
	starvedAfter = 10 * time.Minute
	starvedCount = 10
	refreshEvery = 1000 // own messages
	publishers   = 5    // members who publish after a refused commit, one after the other
	refreshTime  = 7 * 24 * time.Hour
)

// Extension types, from the range for private use (RFC 9420 section 17.3).
const (
	extRules  mls.ExtensionType = 0xF5A1 // GroupContext: the room's rules
	extJoinID mls.ExtensionType = 0xF5A2 // leaf: 16 random bytes
	extPlace  mls.ExtensionType = 0xF5A3 // GroupInfo: place in the log, and the tree's key
)

var (
	// ErrGap means that the entry does not follow: what lies between comes first.
	ErrGap = errors.New("room: an entry before this one is missing")
	// ErrOld means that the entry was examined before.
	ErrOld = errors.New("room: entry was examined before")
	// ErrBarrier means that somebody is to be removed before the next message: Commit first.
	ErrBarrier = errors.New("room: a statement must be carried out before the next message")
	// ErrFrozen means that a change of the room cannot be applied on this device.
	ErrFrozen = errors.New("room: this device is locked out by a change that it cannot apply")
	// ErrWaiting means that nobody has confirmed this device's entry yet.
	ErrWaiting = errors.New("room: waiting until another member confirms this device")
	// ErrJoining means that the commit which brings this device in is not in the log yet.
	ErrJoining = errors.New("room: this device is still joining")
	// ErrRemoved means that this device is no member, or has said that it leaves.
	ErrRemoved = errors.New("room: this device is not in the room")
	// ErrBroken means that the state of this device was rolled back or copied; it must re-join.
	ErrBroken = errors.New("room: this device's state was rolled back or copied")
	// ErrUnsettled means that nobody can be brought in: this device follows an undo
	// that it cannot judge, and somebody who can has not spoken yet.
	ErrUnsettled = errors.New("room: a change was taken back, and not everybody was heard about it yet")
	// ErrNothing means that there is nothing left to commit.
	ErrNothing = errors.New("room: nothing to do")
	// ErrNotAllowed means that the rules forbid what was asked.
	ErrNotAllowed = errors.New("room: not allowed")
	// ErrUnwanted means a Welcome that this device did not ask for.
	ErrUnwanted = errors.New("room: unwanted welcome")
	// ErrEarly means a Welcome whose place in the log was not reached yet: sync, then try again.
	ErrEarly = errors.New("room: entries before this welcome were not examined yet")
	// ErrOffer means that what a stranger joins by does not open or does not verify.
	ErrOffer = errors.New("room: the offer to join does not verify")
	// ErrStale means an offer that somebody has committed after: fetch a new one.
	ErrStale = errors.New("room: the offer to join is out of date")
	// ErrState means damaged records.
	ErrState = errors.New("room: damaged state")
	// ErrUsage is a caller's mistake.
	ErrUsage = errors.New("room: wrong use")
	// ErrTooLong means a text, title or list over its bound.
	ErrTooLong = errors.New("room: too long")
)

// MessageID names a message; random, chosen by its author, kept through every
// retry.
type MessageID [16]byte

// Hash is a SHA-256 value.
type Hash = [32]byte

// Record is a piece of a room's state for an ordered key-value store, under a
// prefix of the caller's. A nil Value deletes. Records are secret.
type Record struct{ Key, Value []byte }

// Self is this device: who it is and the key that it signs with.
type Self struct {
	Root       identity.PublicKey
	Key        *identity.DeviceKey
	Credential identity.Credential
	Suite      mls.Suite // 0 means mls.DefaultSuite; used where this device creates
}

// User is whose device this is.
func (s Self) User() identity.UserID { return s.Credential.User(s.Root) }

// Device is this device's id.
func (s Self) Device() identity.DeviceID { return s.Credential.Certificate.Device }

func (s Self) suite() mls.Suite {
	if s.Suite == 0 {
		return mls.DefaultSuite
	}
	return s.Suite
}

func (s Self) signer(suite mls.Suite) (*mls.SigningKey, error) {
	seed := s.Key.Seed()
	defer clear(seed[:])
	return mls.ParseSigningKey(suite, seed[:])
}
