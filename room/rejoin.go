package room

import (
	"fmt"
	"slices"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/mls"
)

// Nack says that the change which froze this device fails for its keys, and
// asks to be let in again by a fresh key package. A device that follows an undo
// of the change says so all the same: if the undo came too late, those for whom
// the change stands let it in.
func (r *Room) Nack(now time.Time) (*Append, error) {
	st := &identity.Statement{Kind: identity.StatementNack, Seq: r.st.frozenSeq, Entry: r.st.frozenHash}
	switch {
	case r.confesses():
		st.Seq = r.st.unsettled
		st.Entry, _ = r.hashAt(st.Seq)
	case r.st.state != StateFrozen:
		return nil, ErrUsage
	}
	var err error
	if st.KeyPackage, err = r.freshPackage(now); err != nil {
		return nil, err
	}
	return r.say(st, r.signAsDevice)
}

// AskRejoin asks the others to give this device new keys: after a rollback or
// clone (the reason is known then), or for one of identity's reasons. A copy
// that finds that another state of the device has asked before cannot know
// whether that was granted: it asks in turn for either stay.
func (r *Room) AskRejoin(reason uint8, now time.Time) (*Append, error) {
	if r.st.state == StateRemoved || r.st.state == StateJoining {
		return nil, ErrRemoved
	}
	switch {
	case r.st.state == StateBroken && r.st.reason != 0:
		reason = r.st.reason
	case reason == 0:
		reason = identity.ReasonLost
	}
	if r.st.asks > 0 && r.st.asks%2 == 0 {
		r.giveUpAsked()
	}
	kp, err := r.freshPackage(now)
	if err != nil {
		return nil, err
	}
	st := &identity.Statement{Kind: identity.StatementRejoin, Seq: r.st.place.seq, Reason: reason, KeyPackage: kp}
	if r.st.stay != (identity.JoinID{}) && r.st.asks%2 == 1 {
		st.JoinID = r.st.stay
	}
	return r.say(st, r.signAsDevice)
}

// giveUpAsked takes another key package for the next request. The last one may
// have been used where this device could not follow, and its stay be the one
// that the others see.
func (r *Room) giveUpAsked() {
	if r.asked != nil {
		r.st.stay = r.stayOf(r.asked.KeyPackage)
		r.setAsked(nil)
	}
}

// stayOf is the stay that a key package begins; zero if it is none of a room's.
func (r *Room) stayOf(kp *mls.KeyPackage) identity.JoinID {
	s, err := seatOf(r.self.Root, kp.Leaf())
	if err != nil {
		return identity.JoinID{}
	}
	return s.joinID
}

// freshPackage is the key package of the request that is under way, or a new
// one: a request that lost a race asks again with the same.
func (r *Room) freshPackage(now time.Time) ([]byte, error) {
	if r.asked != nil && r.asked.KeyPackage.CheckLifetime(now) == nil {
		return r.asked.KeyPackage.Bytes(), nil
	}
	self := r.self
	self.Suite = r.group.Suite()
	kp, err := NewKeyPackage(self, false, now)
	if err != nil {
		return nil, err
	}
	r.setAsked(kp)
	return kp.KeyPackage.Bytes(), nil
}

// Undo takes the change that froze this device back by removing its author, in
// the epoch before the change. It is for when nobody has helped for a minute.
func (r *Room) Undo(now time.Time) (*Append, error) {
	if r.st.state != StateFrozen {
		return nil, ErrUsage
	}
	base := r.undoBase()
	rules, err := rulesOf(base.View())
	if err != nil {
		return nil, err
	}
	who, err := rosterOf(r.self.Root, base.View())
	if err != nil {
		return nil, err
	}
	me, ok := who.seat(r.self.User(), r.self.Device())
	author := r.st.target.author
	if !ok || author == me.user || !who.has(author) || rules.role(me.user) < rules.role(author) {
		return nil, ErrNotAllowed
	}
	shadow := *r // the plan is made in the room as it was
	shadow.group, shadow.rules, shadow.who = base, rules, who
	p := shadow.plan()
	p.removeUser(author)
	p.finish()
	st := &identity.Statement{Kind: identity.StatementNack, Group: r.id, User: me.user, Device: me.device, JoinID: me.joinID,
		Seq: r.st.frozenSeq, Entry: r.st.frozenHash}
	if st.KeyPackage, err = r.freshPackage(now); err != nil {
		return nil, err
	}
	r.signAsDevice(st)
	p.attest = attest{undo: true, after: r.st.place.mark, statements: []*identity.Statement{st}}
	if p.attest.tag, err = tagOf(base); err != nil {
		return nil, err
	}
	keep := r.judging
	r.judging, r.undoing = rules, true
	defer func() { r.judging, r.undoing = keep, false }()
	proposals := p.proposals()
	p.room = r
	return r.commitWith(base, p, proposals)
}

// Rejoin takes a Welcome for a room that this device has state of: the answer
// to a nack or to a request to re-join, or a new invitation. keys are the
// device's key packages beside the one that it asked with. ErrEarly: examine
// more of the log first. ErrUnwanted: the device is well, or the Welcome does
// not continue its log; acknowledge it away.
func (r *Room) Rejoin(w Welcome, keys []*mls.PrivateKeyPackage) (*Result, error) {
	asked := r.asked
	if asked != nil {
		keys = append([]*mls.PrivateKeyPackage{asked}, keys...)
	}
	o, err := r.open(w, keys)
	if err != nil {
		return nil, err
	}
	wanted := asked != nil && string(asked.KeyPackage.Ref()) == string(o.used)
	switch r.st.state {
	case StateFrozen, StateBroken, StateRemoved, StateLeaving, StateJoining:
		wanted = true
	case StateWaiting: // by a change that the others have refused, or taken back: whoever is in already is not added once more
		wanted = wanted || r.inDoubt() && r.invitesAgain(o)
	}
	if r.st.state == StateJoining && r.group == nil && o.place.seq < r.st.place.seq {
		// This device comes in by itself, from a place where it was added already:
		// its own commit removes what the Welcome brings.
		return nil, ErrUnwanted
	}
	if !wanted && r.st.unsettled == 0 {
		return nil, ErrUnwanted
	}
	if o.place.seq > r.st.place.seq && r.st.state != StateRemoved {
		return nil, ErrEarly
	}
	if hash, known := r.hashAt(o.place.seq); known && hash != o.place.chain {
		return nil, fmt.Errorf("%w: another history", ErrUnwanted)
	}
	return r.restart(o)
}

// invitesAgain says whether a Welcome may take the place of one that nobody has
// confirmed: it continues this device's log, and whoever has signed it may add
// people by the rules that the first one has shown.
func (r *Room) invitesAgain(o *opened) bool {
	signer := o.signer.user
	_, known := r.hashAt(o.place.seq)
	return known && o.place.seq >= r.st.joinSeq &&
		(signer == r.self.User() || signer == r.st.inviter || r.rules.role(signer) >= RoleAdmin)
}

// restart replaces the group and sets the position back to the Welcome's place.
// What a device has shown since an undo that it could not judge is void. What
// it sent beside another device with its keys may be: others know an own
// message again that they have seen.
func (r *Room) restart(o *opened) (*Result, error) {
	undone := r.st.unsettled
	var resend []MessageID
	if undone != 0 || r.st.reason != 0 {
		resend = r.ownFrom(undone)
	}
	r.clearOwn()
	r.dropPending()
	r.dropFlights()
	r.setAsked(nil)
	if r.group != nil {
		for _, rec := range r.group.Records() {
			r.put("m/"+string(rec.Key), nil)
		}
	}
	r.dropBase()
	r.forgetMine()
	r.forgetCounters()
	if r.st.state == StateWaiting { // what it has noted was about a branch that is void
		for key := range r.noted {
			r.unnote(key)
		}
	}
	for at, id := range r.seenAt {
		if seq := r.seen[id].seq; seq > o.place.seq || undone != 0 && seq >= undone || slices.Contains(resend, id) {
			delete(r.seen, id)
			delete(r.seenAt, at)
			r.put(slot('i', at), nil)
		}
	}
	before := r.st
	res, err := r.enter(o)
	if err != nil {
		return nil, err
	}
	r.st.time = before.time
	r.st.known = before.known && before.state != StateRemoved && before.state != StateLeaving
	res.Resend, res.Undone = resend, undone
	res.Records = append(res.Records, r.flush()...)
	return res, nil
}

// Resync prepares to replace this device's leaf in an open room by a commit of
// its own; as after JoinExternal, Enter gives what to append.
func (r *Room) Resync(o Offer) (*Result, error) {
	if r.rules == nil || r.rules.Mode != ModeOpen {
		return nil, ErrNotAllowed
	}
	fresh := newRoom(r.self, r.id)
	if err := fresh.knock(o); err != nil {
		return nil, err
	}
	res := &Result{Resync: true, Changed: true, Undone: r.st.unsettled}
	if res.Undone != 0 {
		res.Resend = r.ownFrom(res.Undone)
	}
	for _, rec := range r.Records() {
		res.Records = append(res.Records, Record{Key: rec.Key})
	}
	ring, time, fail := r.ring, r.st.time, r.fail
	*r = *fresh
	r.fail = fail
	for seq, m := range ring {
		if seq < r.st.place.seq {
			r.remember(seq, m.hash, m.author)
		}
	}
	r.st.time = time
	res.ResyncAfter = r.st.place.seq
	res.Records = append(res.Records, r.flush()...)
	return res, nil
}

// Records gives everything that there is to store.
func (r *Room) Records() []Record {
	saved := r.dirty
	r.dirty = map[string][]byte{}
	if r.group != nil {
		r.putGroup(r.group.Records())
	}
	clear(r.wayback)
	r.storeBase()
	for seq, m := range r.ring {
		r.remember(seq, m.hash, m.author)
	}
	for at, id := range r.seenAt {
		r.put(slot('i', at), encodeSeen(r.seen[id]))
	}
	for id, n := range r.counters {
		r.setCounter(id, n)
	}
	for hash, n := range r.noted {
		r.note(hash, n)
	}
	flights, own := r.flights, r.ownSince
	r.flights, r.ownSince = nil, nil
	for _, f := range flights {
		r.addFlight(f)
	}
	for _, s := range own {
		r.addOwn(s)
	}
	for epoch, tag := range r.epochTags {
		r.keepTag(epoch, tag)
	}
	for hash := range r.mine {
		r.put("y/"+string(hash[:]), []byte{1})
	}
	if r.asked != nil {
		r.setAsked(r.asked)
	}
	if r.pending != nil {
		r.setPending(r.pending, r.pendingID)
	}
	out := r.flush()
	r.dirty = saved
	return out
}
