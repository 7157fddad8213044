package mls

import (
	"errors"
	"fmt"
)

// Classes of errors that a caller branches on. Errors are wrapped with what
// was being done; test with [errors.Is].
var (
	// ErrInvalid is the class of everything that each member of the epoch
	// judges alike, without its own private keys: RFC 9420's checks, the
	// application's rules and credentials, signatures. Every [InvalidError]
	// matches it.
	ErrInvalid = errors.New("mls: invalid message")
	// ErrPrivate says that a commit passed all public checks, but the path
	// secret meant for this member does not open or does not give the keys
	// that were published. The error is a [PrivateError].
	ErrPrivate = errors.New("mls: path secret for this member is wrong")
	// ErrMissingPSK says that this member lacks a pre-shared key that the
	// message names. The error is a [MissingPSKError].
	ErrMissingPSK = errors.New("mls: missing pre-shared key")
	// ErrOwnMessage is the answer to a message that this member sent itself.
	ErrOwnMessage = errors.New("mls: own message")
	// ErrTwin is the answer to an authentic message of this member's leaf that
	// this state cannot have sent, since it has not used the key yet: somebody
	// else has the member's keys, or this state is older than what was sent.
	ErrTwin = fmt.Errorf("%w: not by this state", ErrOwnMessage)
	// ErrWrongEpoch covers [ErrPastEpoch] and [ErrFutureEpoch].
	ErrWrongEpoch = errors.New("mls: message of another epoch")
	// ErrPastEpoch says that the message is of an epoch that is not kept.
	ErrPastEpoch = fmt.Errorf("%w: past", ErrWrongEpoch)
	// ErrFutureEpoch says that the message is of an epoch not reached yet.
	ErrFutureEpoch = fmt.Errorf("%w: future", ErrWrongEpoch)
	// ErrWrongGroup says that the message is of another group.
	ErrWrongGroup = errors.New("mls: message of another group")
	// ErrGeneration says that a message skips more generations of its
	// sender's ratchet than [MaxSkip].
	ErrGeneration = errors.New("mls: generation too far ahead")
	// ErrKeyUsed says that the key of a message was used or is out of date:
	// the message was read before.
	ErrKeyUsed = errors.New("mls: key already used")
	// ErrUnsupported says that a version, suite or type is not known here.
	ErrUnsupported = errors.New("mls: unsupported")
	// ErrState says that saved state is damaged or of another version.
	ErrState = errors.New("mls: damaged state")
	// ErrClosed says that the group can do nothing more: the member was
	// removed, the group waits for its re-initialisation, or was wiped.
	ErrClosed = errors.New("mls: group is closed")
	// ErrNoKeyPackage says that a Welcome is for none of the given keys.
	ErrNoKeyPackage = errors.New("mls: welcome is for none of the key packages")
	// ErrLifetime says that a KeyPackage is not, or no longer, in its lifetime.
	ErrLifetime = errors.New("mls: outside of its lifetime")
	// ErrUsage says that the caller asked for what cannot be.
	ErrUsage = errors.New("mls: wrong use")
)

// InvalidError names the check that refused a message. The sentinels below
// are values of it; all match [ErrInvalid].
type InvalidError struct{ Check string }

func (e *InvalidError) Error() string { return "mls: " + e.Check }

// Unwrap makes every InvalidError match [ErrInvalid].
func (e *InvalidError) Unwrap() error { return ErrInvalid }

func invalid(check string) *InvalidError { return &InvalidError{check} }

// The checks, by what they look at.
var (
	// Encoding and framing.
	ErrMalformed       = invalid("does not parse")
	ErrDecrypt         = invalid("decryption failed")
	ErrSignature       = invalid("signature does not verify")
	ErrMembershipTag   = invalid("membership tag does not verify")
	ErrConfirmationTag = invalid("confirmation tag does not verify")
	ErrUnknownSender   = invalid("sender is not in the group")
	ErrSenderType      = invalid("sender type does not fit the message")
	ErrWireFormat      = invalid("wire format does not fit the message")
	ErrPadding         = invalid("padding is not zero")

	// Leaves and key packages.
	ErrKeyPackage    = invalid("key package")
	ErrLeaf          = invalid("leaf node")
	ErrLeafSource    = invalid("leaf node source")
	ErrCapabilities  = invalid("capabilities do not cover what is used")
	ErrRequired      = invalid("required capabilities are not met")
	ErrCredential    = invalid("credential refused")
	ErrDuplicateKey  = invalid("key is already in the tree")
	ErrExtension     = invalid("extension")
	ErrVersion       = invalid("protocol version")
	ErrSuiteMismatch = invalid("cipher suite differs from the group's")

	// Trees.
	ErrTree        = invalid("ratchet tree")
	ErrTreeHash    = invalid("tree hash")
	ErrParentHash  = invalid("parent hash")
	ErrUnmerged    = invalid("unmerged leaves")
	ErrUnknownLeaf = invalid("leaf is not in the tree")

	// Proposals and commits.
	ErrProposalList    = invalid("proposal list")
	ErrUnknownProposal = invalid("commit names an unknown proposal")
	ErrProposalType    = invalid("proposal type is not supported by all members")
	ErrSelfRemove      = invalid("commit removes its own committer")
	ErrSelfUpdate      = invalid("commit holds an update by its committer")
	ErrDuplicateLeaf   = invalid("two proposals for one leaf")
	ErrPSK             = invalid("pre-shared key proposal")
	ErrReInit          = invalid("reinit")
	ErrExternal        = invalid("external commit")
	ErrPathRequired    = invalid("commit lacks a path")
	ErrPath            = invalid("update path")
	ErrRules           = invalid("refused by the application's rules")

	// Welcome and GroupInfo.
	ErrWelcome   = invalid("welcome")
	ErrGroupInfo = invalid("group info")
)

// PrivateError is [ErrPrivate] with what the refused commit would have done.
type PrivateError struct {
	Info *CommitInfo
	Err  error
}

func (e *PrivateError) Error() string { return ErrPrivate.Error() + ": " + e.Err.Error() }

// Is makes a PrivateError match [ErrPrivate] and not the class of its cause.
func (e *PrivateError) Is(target error) bool { return target == ErrPrivate }

// MissingPSKError is [ErrMissingPSK] with the key's id.
type MissingPSKError struct{ ID PSKID }

func (e *MissingPSKError) Error() string {
	return fmt.Sprintf("%v: %x", ErrMissingPSK, e.ID.ID)
}

// Is makes a MissingPSKError match [ErrMissingPSK].
func (e *MissingPSKError) Is(target error) bool { return target == ErrMissingPSK }

// Public tells whether every member of the epoch judges as err does, so that
// all of them skip the message alike.
func Public(err error) bool {
	return errors.Is(err, ErrInvalid) || errors.Is(err, ErrWrongEpoch) ||
		errors.Is(err, ErrWrongGroup) || errors.Is(err, ErrUnsupported)
}
