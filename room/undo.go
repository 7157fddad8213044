package room

import (
	"errors"
	"slices"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/mls"
)

// doubts takes note that somebody speaks in another epoch, and says whether
// this device must doubt that its own one is that of the others: after an undo
// that they may have refused, or when it came in from outside and nobody of
// its epoch has spoken since, or not for three such entries.
func (r *Room) doubts() bool {
	if r.st.state != StateMember && r.st.state != StateWaiting {
		return false
	}
	r.st.strange = min(r.st.strange+1, maxStrange)
	if r.st.unsettled != 0 || r.st.outside && (!r.st.known || r.st.strange == maxStrange) {
		r.st.suspect = true
	}
	return r.st.suspect
}

// hear takes note that somebody speaks in this device's epoch. It settles an
// undo that this device could not judge, unless that one could not either:
// newcomers, and those who have said that they were locked out as well. Two
// such devices would only take each other's word.
func (r *Room) hear(s seat) {
	if s.user == r.self.User() {
		return
	}
	r.st.strange = 0
	if r.st.unsettled != 0 {
		// counters were forgotten with the undo, and begin anew for newcomers only
		if _, newcomer := r.counters[s.joinID]; newcomer || r.lockedOut(s) {
			return
		}
		r.forgetNacks(r.st.unsettled)
		r.st.unsettled = 0
	}
	r.st.suspect = false
}

// lockedOut says whether a device has said that it could not apply what was
// undone.
func (r *Room) lockedOut(s seat) bool { return r.said(s, identity.StatementNack, r.st.unsettled) }

// said says whether a statement of a device is noted that speaks of a place at
// or after from.
func (r *Room) said(s seat, kind identity.StatementKind, from uint64) bool {
	for _, n := range r.noted {
		if st := n.statement; st != nil && st.Kind == kind && st.Seq >= from && st.Device == s.device && st.JoinID == s.joinID {
			return true
		}
	}
	return false
}

// confesses says whether this device has yet to say that it follows an undo
// that it cannot judge.
func (r *Room) confesses() bool {
	if r.st.unsettled == 0 {
		return false
	}
	own, err := r.own()
	return err == nil && !r.lockedOut(own)
}

// inDoubt says whether this device may be in a branch that the others have
// given up: somebody speaks in another epoch, and nobody has confirmed this
// device yet, or it has come in from outside; or it follows an undo that may be
// void. Whoever is in doubt lets nobody in again: it could lead them astray.
func (r *Room) inDoubt() bool {
	if r.st.state == StateWaiting && r.st.strange > 0 {
		return true // the change that brought it in may have been taken back
	}
	return r.st.suspect && r.st.unsettled == 0 || r.mayBeVoid()
}

// mayBeVoid says whether the undo that this device follows may count for
// nobody else: there is somebody left who has not been heard about it.
func (r *Room) mayBeVoid() bool {
	return r.st.unsettled != 0 && slices.ContainsFunc(r.who.seats, func(s seat) bool {
		return s.user != r.self.User() && !r.lockedOut(s) && !r.said(s, identity.StatementRejoin, 0)
	})
}

// misjoined gives up the group that this device has joined by mistake.
func (r *Room) misjoined(res *Result) {
	res.Verdict, res.Changed, res.Undone, res.Alarms = VerdictUnknown, true, r.st.joinSeq, nil
	res.Resend = r.ownFrom(res.Undone)
	r.dropFlights()
	r.dropPending()
	r.dropBase()
	r.forgetMine()
	r.forgetCounters()
	r.clearOwn()
	for key := range r.noted {
		r.unnote(key)
	}
	for _, rec := range r.group.Records() {
		r.put("m/"+string(rec.Key), nil)
	}
	r.group.Wipe()
	r.group = nil
	r.st.state, r.st.stale = StateJoining, true
}

// freeze locks this device out: others may be able to apply the change, and
// what they say from now on is beyond it.
func (r *Room) freeze(e *Entry, info *mls.CommitInfo, res *Result) error {
	author, err := r.authorOf(info)
	if err != nil {
		return err
	}
	if r.base != nil && r.st.target.author != author.user {
		r.dropBase()
	}
	if r.base == nil {
		r.st.target = target{e.Seq, author.user}
	}
	r.remember(e.Seq, r.st.place.chain, author.user)
	r.st.state, r.st.frozenSeq, r.st.frozenHash = StateFrozen, e.Seq, r.st.place.chain
	r.st.nacked = false
	res.Verdict, res.Changed = VerdictFrozen, true
	return nil
}

// undoBase is the group in which an undo is judged: before the change, or the
// run of changes by one author, that is to be taken back.
func (r *Room) undoBase() *mls.Group {
	if r.base != nil {
		return r.base
	}
	if r.st.state == StateFrozen {
		return r.group
	}
	return nil
}

// thaw examines commits while frozen: only an undo can be judged.
func (r *Room) thaw(e *Entry, message []byte, header mls.Header, res *Result) error {
	base := r.undoBase()
	if header.Epoch == base.Epoch() {
		return r.tryUndo(e, message, res)
	}
	res.Verdict = VerdictUnknown
	return nil
}

// tryUndo judges a commit of the epoch before the newest change, which counts
// only if it takes that change back.
func (r *Room) tryUndo(e *Entry, message []byte, res *Result) error {
	base := r.undoBase()
	rules, err := rulesOf(base.View())
	if err != nil {
		return err
	}
	keep := r.judging
	r.judging, r.undoing = rules, true
	defer func() { r.judging, r.undoing = keep, false }()
	if r.pending != nil && sum(message) == r.pendingHash {
		return r.ownCommit(e, base, res)
	}
	a, err := attestOf(message)
	if err != nil || !a.undo {
		res.refuse("a commit of an epoch that is over")
		r.maybePublish(res)
		return nil
	}
	received, err := base.Process(message)
	if base == r.group {
		r.putChanges()
	} else {
		r.storeBase()
	}
	private, _ := errors.AsType[*mls.PrivateError](err)
	switch {
	case err == nil && received.Commit != nil:
		return r.applyStaged(e, base, received.Commit, res)
	case private != nil:
		return r.freezeAtUndo(e, base, private.Info, res)
	case errors.Is(err, mls.ErrUsage), errors.Is(err, mls.ErrState), errors.Is(err, mls.ErrClosed):
		return err
	}
	res.refuse("an undo that does not count: " + err.Error())
	r.maybePublish(res)
	return nil
}

// freezeAtUndo: the change is taken back, by a commit that this device cannot
// apply either.
func (r *Room) freezeAtUndo(e *Entry, base *mls.Group, info *mls.CommitInfo, res *Result) error {
	if base != r.group {
		r.backTo(base)
	}
	r.base = nil
	r.storeBase()
	if r.st.state == StateFrozen && r.st.unsettled == 0 {
		r.st.unsettled = r.st.target.seq
	}
	r.st.state = StateFrozen
	return r.freeze(e, info, res)
}

// backTo makes an earlier group the current one.
func (r *Room) backTo(base *mls.Group) {
	old := r.group
	r.putGroup(base.Diff(old))
	r.group = base
	r.base = nil
	old.Wipe()
}

// attestOf reads the authenticated data of a commit without verifying it.
func attestOf(message []byte) (*attest, error) {
	header, err := mls.Peek(message)
	if err != nil {
		return nil, err
	}
	return decodeAttest(header.AuthenticatedData)
}

// keepBase decides which group an undo could go back to from now on: the one
// before this change, unless its author only goes on after himself. Those whom
// he has brought in have nowhere to go back to, so they end what can be undone.
func (r *Room) keepBase(e *Entry, from *mls.Group, author identity.UserID, undone bool, before *roster) {
	if slices.ContainsFunc(r.who.seats, func(s seat) bool { return s.user != author && !before.stays(s) }) {
		r.dropBase()
		return
	}
	if !undone && r.base != nil && r.st.target.author == author {
		return
	}
	if r.base != nil && r.base != from {
		r.base.Wipe()
	}
	r.base = from
	r.st.target = target{e.Seq, author}
	r.trimOwn()
}

// dropBase gives the way back up: nothing can be undone any more.
func (r *Room) dropBase() {
	if r.base != nil && r.base != r.group {
		r.base.Wipe()
	}
	r.base = nil
	r.storeBase()
	r.trimOwn()
}

// takeBack undoes what entries since the target have done.
func (r *Room) takeBack(e *Entry, base *mls.Group, res *Result) {
	frozen := r.st.state == StateFrozen
	res.Undone = r.st.target.seq
	res.Resend = r.ownFrom(res.Undone)
	r.clearOwn()
	if frozen {
		r.st.state = StateMember
		if r.leaves() {
			r.st.state = StateLeaving
		}
		if r.st.unsettled == 0 {
			r.st.unsettled = r.st.target.seq
		}
	} else {
		r.forgetNacks(r.st.target.seq)
	}
	r.st.frozenSeq, r.st.frozenHash, r.st.nacked = 0, Hash{}, false
	r.forgetCounters()
	for seq := r.st.target.seq; seq <= e.Seq; seq++ {
		if m, ok := r.ring[seq]; ok && m.author != (identity.UserID{}) {
			r.remember(seq, m.hash, identity.UserID{}) // it counts no more
		}
		if id, ok := r.seenAt[seq%seenSize]; ok && r.seen[id].seq == seq {
			delete(r.seen, id)
			delete(r.seenAt, seq%seenSize)
			r.put(slot('i', seq%seenSize), nil)
		}
	}
	if base != r.group {
		r.backTo(base)
	}
}

// ownFrom lists the own messages from a place on.
func (r *Room) ownFrom(seq uint64) (ids []MessageID) {
	for _, s := range r.ownSince {
		if s.seq >= seq {
			ids = append(ids, s.id)
		}
	}
	return ids
}
