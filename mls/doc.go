// Package mls is Messaging Layer Security (RFC 9420): groups of up to
// thousands of devices that agree on a fresh secret whenever the group
// changes, with forward secrecy and recovery after compromise, and the
// messages encrypted under it.
//
// A [Group] is one member's state in one epoch. What would change it is
// staged first: [Group.Commit] and [Group.Process] leave the group as it was
// and return a [Pending] or [Staged] value, which can be looked at and then
// applied, giving the group of the next epoch, or dropped. The application
// decides what it accepts through pure functions in [Config].
//
// The default suite is hybrid post-quantum ([XWingAES256]). The package does
// no IO, keeps no clock and leaves no goroutine behind; what has to be saved
// comes out as [Record] values, apart for what changes with an epoch and what
// changes with a message.
package mls
