package room

import (
	"crypto/rand"
	"errors"
	"slices"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/mls"
)

// Message seals a message for everybody who is in the room at this place of the
// log. Any number may be under way; they are in the log in the order in which
// they were built, or not at all.
func (r *Room) Message(d Draft) (*Append, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	if err := r.canSend(); err != nil {
		return nil, err
	}
	if r.st.state == StateWaiting && d.Kind != ItemAck {
		return nil, ErrWaiting
	}
	if r.waiting() {
		return nil, ErrBarrier
	}
	env := &envelope{kind: d.Kind, id: d.ID, target: d.Target, targetHash: d.TargetHash, viewSeq: r.st.place.seq, view: r.st.place.chain}
	rand.Read(env.key[:])
	body := sealBody(env.key, r.id, &d)
	env.boxHash = sum(body)
	env.counter = r.st.counter + uint64(len(r.flights)) + 1
	tag, err := tagOf(r.group)
	if err != nil {
		return nil, err
	}
	plain := env.encode()
	defer clear(plain)
	payload, err := r.group.Encrypt(plain, tag[:])
	if err != nil {
		return nil, err
	}
	r.addFlight(flight{env.counter, sum(payload), d, env.hash()})
	r.putChanges()
	a := &Append{Kind: EntryMessage, Examined: r.st.place.mark, ID: d.ID, Payload: payload, Body: body}
	a.Records = r.flush()
	return a, nil
}

// message examines a message.
func (r *Room) message(e *Entry, res *Result) error {
	if r.st.state == StateJoining {
		res.Verdict = VerdictUnknown
		return nil
	}
	if at := slices.IndexFunc(r.flights, func(f flight) bool { return f.hash == sum(e.Payload) }); at >= 0 {
		r.ownMessage(e, at, res)
		return nil
	}
	if r.mine[sum(e.Payload)] {
		res.refuse("an own message that is in the log already, or was given up")
		res.alarm(AlarmReplay, r.self.User(), r.self.Device(), "The server delivered an own message again. It was refused.")
		return nil
	}
	header, err := mls.Peek(e.Payload)
	if err != nil || string(header.GroupID) != string(r.id[:]) {
		res.refuse("not a message of this room")
		return nil
	}
	tag, err := tagOf(r.group)
	if err != nil {
		return err
	}
	if header.Epoch != r.group.Epoch() || string(header.AuthenticatedData) != string(tag[:]) {
		r.otherEpoch(header, res)
		return nil
	}
	received, err := r.group.Decrypt(e.Payload)
	if err != nil {
		return r.undecryptable(err, res)
	}
	r.putChanges()
	sender, ok := r.who.at(received.Sender.Leaf)
	if !ok {
		res.refuse("a message from nobody")
		return nil
	}
	env, err := decodeEnvelope(received.Data)
	if err != nil {
		res.refuse("malformed message")
		return nil
	}
	r.accept(e, sender, env, res)
	return nil
}

// otherEpoch is a message of an epoch that this device is not in.
func (r *Room) otherEpoch(header mls.Header, res *Result) {
	if r.doubts() || r.st.state == StateFrozen || r.st.unsettled != 0 {
		res.Verdict = VerdictUnknown
		return
	}
	if header.Epoch < r.group.Epoch() {
		tag, known := r.epochTags[header.Epoch]
		res.refuse("a message of an epoch that is over")
		if known && string(tag[:]) == string(header.AuthenticatedData) {
			res.alarm(AlarmReplay, identity.UserID{}, identity.DeviceID{}, "The server delivered an old message again, or one too late. It was refused.")
		}
		return
	}
	res.refuse("a message of another branch")
	res.alarm(AlarmFork, identity.UserID{}, identity.DeviceID{}, "Somebody in this room sees another history than this device. The server may show different things to different people.")
}

func (r *Room) undecryptable(err error, res *Result) error {
	switch {
	case errors.Is(err, mls.ErrTwin):
		r.strangeTwin(res)
	case errors.Is(err, mls.ErrKeyUsed):
		res.refuse("a message that came before")
		res.alarm(AlarmReplay, identity.UserID{}, identity.DeviceID{}, "The server delivered a message again. It was refused.")
	case errors.Is(err, mls.ErrUsage), errors.Is(err, mls.ErrClosed), errors.Is(err, mls.ErrState):
		return err
	default:
		res.refuse(err.Error())
	}
	return nil
}

// ownMessage: what this device sent is in the log, at this place.
func (r *Room) ownMessage(e *Entry, at int, res *Result) {
	f := r.flights[at]
	for _, earlier := range r.flights[:at+1] {
		r.put(flightKey(earlier.counter), nil)
	}
	r.flights = r.flights[at+1:]
	r.st.counter = max(r.st.counter, f.counter)
	r.st.ackDue = false
	r.st.losses, r.st.firstLoss = 0, 0
	res.Verdict, res.IsOwn, res.Own = VerdictApplied, true, f.draft.ID
	if r.base != nil || !r.st.known || r.st.unsettled != 0 || r.st.state == StateBroken {
		r.addOwn(seen{e.Seq, f.draft.ID, r.self.User()})
	}
	if s, double := r.seen[f.draft.ID]; double && s.user == r.self.User() {
		return
	}
	r.see(seen{e.Seq, f.draft.ID, r.self.User()})
	if f.draft.Kind == ItemAck {
		return
	}
	me := seat{user: r.self.User(), device: r.self.Device(), credential: r.self.Credential}
	item := r.item(me, &f.draft)
	item.Hash, item.Own = f.envelope, true
	res.Items = append(res.Items, item)
}

func (r *Room) item(sender seat, d *Draft) Item {
	return Item{
		Kind: d.Kind, ID: d.ID, User: sender.user, Device: sender.device, Name: sender.credential.Profile.Name, Text: d.Text,
		Mentions: d.Mentions, Target: d.Target, TargetHash: d.TargetHash, Admin: r.rules.role(sender.user) >= RoleAdmin,
	}
}

// accept holds a decrypted message against what is known of its sender.
func (r *Room) accept(e *Entry, sender seat, env *envelope, res *Result) {
	if env.viewSeq >= e.Seq || env.viewSeq < r.st.place.mark {
		res.refuse("a message that was written for another place in the log")
		res.alarm(AlarmReorder, sender.user, sender.device, "A message is not where its sender put it: the server has moved it. It was refused.")
		return
	}
	last, counted := r.counters[sender.joinID]
	switch {
	case counted && env.counter <= last:
		res.refuse("a message that its sender has sent before")
		res.alarm(AlarmReplay, sender.user, sender.device, "A message was sent a second time. It was refused.")
		return
	case counted && env.counter > last+1:
		res.alarm(AlarmGap, sender.user, sender.device, "Messages are missing: the server has lost them, or holds them back.")
	}
	r.hear(sender)
	r.setCounter(sender.joinID, env.counter)
	unchecked := r.checkView(sender, env, res)
	res.Verdict = VerdictApplied
	r.confirm(sender, !counted)
	if s, double := r.seen[env.id]; double { // nothing to show; not refused, since who joined in between does not know the first one
		res.Why = "sent again"
		if s.user != sender.user {
			res.alarm(AlarmReplay, sender.user, sender.device, "A message was copied from somebody else. It is not shown.")
		}
		return
	}
	r.see(seen{e.Seq, env.id, sender.user})
	d, err := env.openBody(r.id, e.Body)
	item := Item{Kind: ItemUnreadable, ID: env.id, User: sender.user, Device: sender.device, Name: sender.credential.Profile.Name}
	switch {
	case err == nil && d.Kind == ItemAck:
		return
	case err == nil:
		item = r.item(sender, d)
	case e.BodyGone != nil && len(e.Body) == 0 && *e.BodyGone == env.boxHash:
		item.Kind = ItemWithheld
	}
	item.Hash, item.Unchecked = env.hash(), unchecked
	res.Items = append(res.Items, item)
}

// checkView compares the sender's view of the log with this device's. It says
// whether the view is too old to be compared.
func (r *Room) checkView(sender seat, env *envelope, res *Result) bool {
	hash, known := r.hashAt(env.viewSeq)
	if known && hash != env.view {
		res.alarm(AlarmFork, sender.user, sender.device, "The sender sees another history than this device. The server may show different things to different people.")
	}
	return !known
}

// confirm counts a message of another member as word that this device's entry,
// or that of the last joiners, counts for the others too. Who came after this
// device (first tells those who were there before it, when they speak for the
// first time) may have come by the same mistake.
func (r *Room) confirm(sender seat, first bool) {
	if sender.device == r.self.Device() {
		return
	}
	if !r.st.known && first && r.st.state == StateMember {
		r.st.known = true
		if r.base == nil {
			r.trimOwn()
		}
	}
	if r.st.state != StateWaiting && !r.st.ackDue {
		return
	}
	if !slices.Contains(r.st.acks, sender.user) {
		r.st.acks = append(r.st.acks, sender.user)
	}
	if !r.confirmed(sender) {
		return
	}
	r.st.ackDue, r.st.acks = false, nil
	if r.st.state == StateWaiting {
		r.st.state, r.st.known = StateMember, true
	}
}

// confirmed says whether those who have spoken are enough: an admin, another
// device of the own user, the other one of a direct chat, or two people, so
// that one expelled member who helps the server cannot pass an old room off as
// this one. In a room without admins, or with one other person, one is enough.
func (r *Room) confirmed(sender seat) bool {
	others := len(r.who.byUser) - 1
	if sender.user == r.self.User() || r.rules.role(sender.user) >= RoleAdmin || r.rules.Mode == ModeDirect {
		return true
	}
	return len(r.rules.Grants) == 0 || len(r.st.acks) >= min(2, others)
}

// Lost counts an append that was refused because another was faster. Ten in a
// row, or ten minutes of it, raise starved.
func (r *Room) Lost(now time.Time) ([]Alarm, []Record) {
	if r.st.losses == 0 {
		r.st.firstLoss = now.Unix()
	}
	r.st.losses++
	var alarms []Alarm
	if r.st.losses == starvedCount || r.st.losses > 1 && now.Sub(time.Unix(r.st.firstLoss, 0)) >= starvedAfter {
		alarms = []Alarm{{Code: AlarmStarved, Seq: r.st.place.seq, Text: "Others are always faster: what this device sends does not come through."}}
		r.st.losses, r.st.firstLoss = 1, now.Unix()
	}
	return alarms, r.flush()
}

// CheckHead holds what the core says of a room at connecting against what this
// device has examined.
func (r *Room) CheckHead(seq uint64, chain Hash) []Alarm {
	if seq < r.st.place.seq {
		return []Alarm{{Code: AlarmRollback, Seq: seq, Text: "The server has lost entries that it had confirmed before."}}
	}
	if hash, known := r.hashAt(seq); known && hash != chain {
		return []Alarm{{Code: AlarmFork, Seq: seq, Text: "The server shows another history than before."}}
	}
	return nil
}

// CheckRouting holds the core's list of devices against the room's members.
func (r *Room) CheckRouting(routes []Route) []Alarm {
	var alarms []Alarm
	if r.who == nil {
		return nil
	}
	for _, route := range routes {
		if _, ok := r.who.seat(route.User, route.Device); !ok {
			alarms = append(alarms, Alarm{Code: AlarmGhostDevice, Seq: r.st.place.seq, User: route.User, Device: route.Device,
				Text: "The server sends this room's entries to a device that is not in it. That device cannot read them."})
		}
	}
	return alarms
}
