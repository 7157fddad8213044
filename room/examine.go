package room

import (
	"errors"
	"slices"

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
	r.st.state, r.st.reason = StateBroken, identity.ReasonLost
	r.trimOwn()
}

// strangeTwin: an entry of this device's leaf that this state did not make.
func (r *Room) strangeTwin(res *Result) {
	res.refuse("made with this device's keys, but not by this state")
	if r.st.state == StateBroken {
		return
	}
	me := r.self
	r.st.state, r.st.reason, res.Changed = StateBroken, identity.ReasonRollback, true
	r.dropPending()
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
		r.st.stale = r.st.stale || header.Epoch == r.offeredEpoch
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

func subjectOf(s seat) Subject {
	return Subject{s.user, s.device, s.credential.Profile.Name, s.credential.Certificate.Class}
}

// nameOf is the newest name that a member has signed.
func (r *Room) nameOf(user identity.UserID) string {
	name, version := "", uint64(0)
	for _, s := range r.who.seats {
		if p := s.credential.Profile; s.user == user && (name == "" || p.Version > version) {
			name, version = p.Name, p.Version
		}
	}
	return name
}

// change is a valid commit: the groups before and after, who made it and on
// what grounds.
type change struct {
	from, next *mls.Group
	author     seat
	attest     *attest
	removesMe  bool
	stay       identity.JoinID // of this device, where it was removed and came in again
}

func (r *Room) applyStaged(e *Entry, from *mls.Group, staged *mls.Staged, res *Result) error {
	info := staged.Info()
	author, err := r.authorOf(info)
	if err != nil {
		return err
	}
	a, err := decodeAttest(info.AuthenticatedData)
	if err != nil {
		return err
	}
	next, err := staged.Apply()
	if err != nil {
		return err
	}
	c := change{from: from, next: next, author: author, attest: a, removesMe: info.SelfRemoved}
	if c.removesMe {
		c.stay = r.comesAgain(info, author)
	}
	return r.apply(e, c, res)
}

// apply makes the group after a valid commit the current one.
func (r *Room) apply(e *Entry, c change, res *Result) error {
	from, next, author, a := c.from, c.next, c.author, c.attest
	res.Verdict, res.Changed = VerdictApplied, true
	r.st.publishDue = false
	if r.who.stays(author) { // and has not come by this very commit
		r.st.known = r.st.known || author.user != r.self.User() && r.st.state == StateMember
		r.hear(author)
	}
	undone := a.undo
	if undone {
		r.takeBack(e, from, res)
	}
	if c.removesMe {
		return r.leaveBehind(c, res)
	}
	oldRules, oldWho := r.rules, r.who
	if undone {
		if err := r.adopt(from); err != nil {
			return err
		}
		oldRules, oldWho = r.rules, r.who
	}
	r.forgetMine()
	if tag, err := tagOf(from); err == nil {
		r.keepTag(from.Epoch(), tag)
	}
	r.putGroup(next.Diff(r.group))
	before := r.group
	if err := r.adopt(next); err != nil {
		return err
	}
	r.keepBase(e, from, author.user, undone, oldWho)
	if before != r.base {
		before.Wipe()
	}
	r.storeBase()
	r.remember(e.Seq, r.st.place.chain, author.user)
	r.tell(author, a, oldRules, oldWho, res)
	r.settleStatements()
	return nil
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
	follows := r.st.state == StateMember && r.st.unsettled == 0 && !r.st.suspect
	res.alarm(AlarmRemoved, identity.UserID{}, identity.DeviceID{}, "This device gets nothing more from this room.")
	res.Alarms[0].Seq = r.st.place.seq
	if !follows {
		r.st.state, res.Removed, res.Changed = StateRemoved, true, true
	}
	res.Records = r.flush()
	return res
}

// comesAgain is the stay by which a commit that removes this device brings it
// in again: at its own request, by an external commit in its name, or for a
// request that another state of it has made. Zero if the device is just removed.
func (r *Room) comesAgain(info *mls.CommitInfo, author seat) identity.JoinID {
	if author.device == r.self.Device() && author.user == r.self.User() {
		return author.joinID
	}
	for _, m := range info.Added {
		if s, err := seatOf(r.self.Root, m.Leaf); err == nil && s.device == r.self.Device() && s.user == r.self.User() {
			return s.joinID
		}
	}
	return identity.JoinID{}
}

// leaveBehind: the commit removes this device.
func (r *Room) leaveBehind(c change, res *Result) error {
	author := c.author
	if c.stay != (identity.JoinID{}) {
		if r.asked != nil {
			if s, err := seatOf(r.self.Root, r.asked.KeyPackage.Leaf()); err == nil && s.joinID == c.stay {
				// the Welcome of the same commit brings it back
				res.Verdict = VerdictUnknown
				r.st.state = StateBroken
				return nil
			}
		}
		r.st.stay = c.stay
		r.strangeTwin(res)
		return nil
	}
	if r.st.state != StateLeaving {
		res.alarm(AlarmRemoved, author.user, author.device, "You were removed from this room.")
	}
	me := seat{user: r.self.User(), device: r.self.Device(), credential: r.self.Credential}
	out := Item{Kind: ItemRemoved, User: author.user, Device: author.device, Name: author.credential.Profile.Name, Subjects: []Subject{subjectOf(me)}}
	switch {
	case slices.ContainsFunc(c.attest.statements, func(st *identity.Statement) bool { return st.Kind == identity.StatementLeave && st.User == me.user }):
		out = Item{Kind: ItemLeft, User: me.user, Device: me.device, Name: me.credential.Profile.Name, Own: true, Subjects: out.Subjects}
	case slices.ContainsFunc(c.attest.notices, func(n *identity.Notice) bool { return n.Kind == identity.NoticeRetired && n.Device == me.device }):
		out.Kind, res.Alarms = ItemRetired, nil // it was away for long, and may come back
	}
	r.st.state = StateRemoved
	res.Items = append(res.Items, out)
	res.Left = []identity.UserID{r.self.User()}
	return nil
}
