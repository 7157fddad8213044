package room

import (
	"errors"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/mls"
)

// Examine takes the next entry of the log. live is false while the device
// catches up with what happened before it connected: it tells a state that was
// rolled back from one that somebody else uses at the same time. The errors
// are ErrGap and ErrOld, which change nothing, and faults of this device; what
// others do wrong is a verdict.
func (r *Room) Examine(e Entry, live bool) (*Result, error) {
	if r.st.state == StateRemoved {
		return nil, ErrRemoved
	}
	if e.Seq <= r.st.place.seq {
		return nil, ErrOld
	}
	if e.Seq != r.st.place.seq+1 {
		return nil, ErrGap
	}
	res := &Result{Verdict: VerdictRefused}
	before := r.st
	r.live = live
	r.st.place.seq, r.st.place.chain = e.Seq, e.Next(r.st.place.chain)
	r.st.time = max(r.st.time, e.Time)
	r.remember(e.Seq, r.st.place.chain, identity.UserID{})
	var err error
	switch e.Kind {
	case EntryMessage:
		err = r.message(&e, res)
	case EntryNotice:
		r.notice(&e, res)
	case EntryHandshake:
		r.follows, r.st.place.mark = r.st.place.mark, e.Seq
		res.Rebuild = true
		err = r.handshake(&e, res)
		r.dropFlights()
		r.dropPending()
	default:
		res.Why = "an unknown kind of entry"
	}
	if err != nil {
		return nil, err
	}
	if r.st.state == StateBroken { // what its state cannot follow is not for it to judge
		if res.Verdict != VerdictApplied {
			res.Verdict = VerdictUnknown
		}
		if before.state == StateBroken {
			res.Alarms = nil
		}
	}
	res.Changed = res.Changed || before.state != r.st.state
	if r.st.state == StateRemoved && before.state != StateRemoved {
		res.Removed = true
	}
	for i := range res.Items {
		res.Items[i].Seq, res.Items[i].Time = e.Seq, r.st.time
	}
	for i := range res.Alarms {
		res.Alarms[i].Seq = e.Seq
	}
	res.Records = r.flush()
	return res, nil
}

func (res *Result) refuse(why string) { res.Verdict, res.Why = VerdictRefused, why }

func (res *Result) alarm(code AlarmCode, user identity.UserID, device identity.DeviceID, text string) {
	res.Alarms = append(res.Alarms, Alarm{Code: code, User: user, Device: device, Text: text})
}

// handshake examines a commit or a statement.
func (r *Room) handshake(e *Entry, res *Result) error {
	if len(e.Payload) < 2 || len(e.Payload) > maxPayloadBytes {
		res.refuse("malformed handshake")
		return nil
	}
	body := e.Payload[1:]
	switch e.Payload[0] {
	case payloadStatement:
		r.statement(e, body, res)
		return nil
	case payloadCommit:
		return r.commit(e, body, res)
	}
	res.refuse("unknown handshake")
	return nil
}

func (r *Room) commit(e *Entry, message []byte, res *Result) error {
	header, a, err := r.peek(message)
	if err == nil && a.after != r.follows {
		err = errors.New("room: a commit that was made for another place in the log")
	}
	if err != nil {
		res.refuse(err.Error())
		r.maybePublish(res)
		return nil
	}
	if r.st.state == StateJoining {
		return r.arrive(e, message, header, res)
	}
	epoch := r.group.Epoch()
	switch {
	case r.st.state == StateFrozen:
		return r.thaw(e, message, header, res)
	case r.pending != nil && sum(message) == r.pendingHash:
		return r.ownCommit(e, r.group, res)
	case header.Epoch == epoch:
		return r.follow(e, message, res)
	case r.base != nil && header.Epoch == r.base.Epoch():
		return r.tryUndo(e, message, res)
	}
	res.refuse("a commit of another epoch")
	r.maybePublish(res)
	r.doubts()
	return nil
}

// peek reads what a commit says of itself to those who cannot open it.
func (r *Room) peek(message []byte) (mls.Header, *attest, error) {
	header, err := mls.Peek(message)
	if err != nil {
		return header, nil, err
	}
	if string(header.GroupID) != string(r.id[:]) {
		return header, nil, errors.New("room: a commit of another room")
	}
	a, err := decodeAttest(header.AuthenticatedData)
	return header, a, err
}

// maybePublish asks for a fresh GroupInfo where a refused commit may have put a
// wrong one into the core.
func (r *Room) maybePublish(res *Result) {
	if r.rules != nil && (r.rules.Mode == ModeOpen || len(r.rules.Links) > 0) {
		r.st.publishDue, res.Changed = true, true
	}
}

// ownCommit applies the commit that this device made in the epoch of from.
func (r *Room) ownCommit(e *Entry, from *mls.Group, res *Result) error {
	id, path := r.pendingID, r.pendingPath
	a, err := attestOf(r.pending.Message())
	if err != nil {
		return err
	}
	who, err := rosterOf(r.self.Root, from.View())
	if err != nil {
		return err
	}
	me, ok := who.seat(r.self.User(), r.self.Device())
	if !ok {
		return ErrState
	}
	next, err := r.pending.Apply()
	if err != nil {
		return err
	}
	r.setPending(nil, MessageID{})
	res.IsOwn, res.Own = true, id
	r.st.losses, r.st.firstLoss = 0, 0
	if path {
		r.st.leafFresh, r.st.refreshed, r.st.refreshAt = true, r.st.counter, e.Time
	}
	return r.apply(e, change{from: from, next: next, author: me, attest: a}, res)
}

// follow processes a commit of the current epoch.
func (r *Room) follow(e *Entry, message []byte, res *Result) error {
	r.judging = r.rules
	received, err := r.group.Process(message)
	r.putChanges()
	private, _ := errors.AsType[*mls.PrivateError](err)
	if err == nil && received.Commit == nil {
		res.refuse("not a commit")
		return nil
	}
	if err == nil && r.fail != nil && r.fail(e.Seq) { // tests stand in for a path that does not open
		private = &mls.PrivateError{Info: received.Commit.Info()}
		received.Commit.Drop()
		err = private
	}
	switch {
	case err == nil:
		return r.applyStaged(e, r.group, received.Commit, res)
	case private != nil:
		return r.freeze(e, private.Info, res)
	case errors.Is(err, mls.ErrTwin):
		r.strangeTwin(res)
		return nil
	case errors.Is(err, mls.ErrOwnMessage):
		r.givenUp(res)
		return nil
	case errors.Is(err, mls.ErrUsage), errors.Is(err, mls.ErrState), errors.Is(err, mls.ErrClosed):
		return err
	default: // everybody in this epoch comes to the same verdict
		res.refuse(err.Error())
		if errors.Is(err, mls.ErrCredential) {
			res.alarm(AlarmGhostDevice, identity.UserID{}, identity.DeviceID{}, "Somebody tried to add a device that its user has not certified. It was refused.")
		}
		r.maybePublish(res)
		return nil
	}
}

// authorOf is who made a change, and the seat from which.
func (r *Room) authorOf(info *mls.CommitInfo) (seat, error) {
	return seatOf(r.self.Root, info.CommitterLeaf)
}

// givenUp: an own change that this device made another one after has come into
// the log all the same. The others go along with it; this device no longer has
// what it takes, and asks to be let in again.
func (r *Room) givenUp(res *Result) {
	res.Verdict, res.Changed = VerdictUnknown, true
	r.st.state, r.st.reason, r.st.asks = StateBroken, identity.ReasonLost, 0
	r.trimOwn()
}

// strangeTwin: an entry of this device's leaf that this state did not make.
func (r *Room) strangeTwin(res *Result) {
	res.refuse("made with this device's keys, but not by this state")
	if r.st.state == StateBroken {
		return
	}
	me := r.self
	r.st.state, r.st.reason, r.st.asks, res.Changed = StateBroken, identity.ReasonRollback, 0, true
	r.dropPending()
	r.giveUpAsked() // the newer state may have asked with the same key package, and had its answer
	r.trimOwn()
	if r.live {
		r.st.reason = identity.ReasonClone
		res.alarm(AlarmClone, me.User(), me.Device(), "Another device uses the keys of this one. This one sends nothing more until it has new keys.")
		return
	}
	res.alarm(AlarmRollback, me.User(), me.Device(), "This device's data is older than what it has sent. It sends nothing until it has new keys.")
}

// arrive waits for the commit that brings this device in. A joiner by Welcome
// knows it as the first handshake after its place: every commit names the
// handshake that it follows. A joiner from outside knows its own bytes.
func (r *Room) arrive(e *Entry, message []byte, header mls.Header, res *Result) error {
	if r.group != nil {
		if header.Epoch+1 != r.group.Epoch() {
			r.notThere(res)
			return nil
		}
		return r.entered(e, false, res)
	}
	if r.pending == nil || sum(message) != r.pendingHash {
		counted := r.knocking == nil || e.Seq > r.knocking.through
		r.st.stale = r.st.stale || header.Epoch == r.offeredEpoch && counted
		res.Verdict = VerdictUnknown
		return nil
	}
	id := r.pendingID
	next, err := r.pending.Apply()
	if err != nil {
		return err
	}
	res.IsOwn, res.Own = true, id
	r.offered, r.pendingInfo, r.knocking = nil, nil, nil
	r.setPending(nil, MessageID{})
	if err := r.adopt(next); err != nil {
		return err
	}
	r.putGroup(next.Records())
	return r.entered(e, true, res)
}

// notThere: what follows the place of a Welcome is not the commit that the
// Welcome came with.
func (r *Room) notThere(res *Result) {
	r.st.state = StateRemoved
	res.refuse("the commit that was to bring this device in is not there")
}

// entered: this device is in. Outside open rooms it waits to be confirmed.
func (r *Room) entered(e *Entry, own bool, res *Result) error {
	r.st.state, r.st.joinSeq, r.st.refreshAt = StateWaiting, e.Seq, e.Time
	if r.rules.Mode == ModeOpen || r.st.known || len(r.who.byUser) == 1 {
		r.st.state = StateMember
	}
	r.st.outside = own
	res.Verdict, res.Changed = VerdictApplied, true
	author := r.st.inviter
	r.st.target = target{e.Seq, author}
	item := Item{Kind: ItemJoined, User: r.self.User(), Name: r.self.Credential.Profile.Name, Own: true}
	item.Subjects = []Subject{subjectOf(seat{user: r.self.User(), device: r.self.Device(), credential: r.self.Credential})}
	if own {
		r.st.target.author = r.self.User()
		r.st.leafFresh = true
	} else if r.st.known {
		item.Kind = ItemRejoined
	} else if author != (identity.UserID{}) && author != r.self.User() {
		item.Kind, item.User = ItemAdded, author
		item.Name, item.Own = r.nameOf(author), false
	}
	res.Added = []identity.UserID{r.self.User()}
	res.Items = append(res.Items, item)
	return nil
}

// Follows says whether this device goes along with the others, as far as it can
// know: a core that gives it nothing more of the room is then wrong, or was led
// to it by an entry that does not count.
func (r *Room) Follows() bool {
	return r.st.state == StateMember && r.st.unsettled == 0 && !r.st.suspect
}

// Unrouted tells the room that the core gives this device no more entries, all
// of which were examined. A device that could not follow the room, or that
// nobody has confirmed, learns in this way that it is not in it; for one that
// could, it is the core's doing.
func (r *Room) Unrouted() *Result {
	res := &Result{Verdict: VerdictUnknown}
	if r.st.state == StateRemoved {
		return res
	}
	follows := r.Follows()
	res.alarm(AlarmRemoved, identity.UserID{}, identity.DeviceID{}, "This device gets nothing more from this room.")
	res.Alarms[0].Seq = r.st.place.seq
	if !follows {
		r.st.state, res.Removed, res.Changed = StateRemoved, true, true
	}
	res.Records = r.flush()
	return res
}
