package room

import (
	"time"

	"github.com/securelink-chat/securelink/identity"
)

// statement examines a device's signed word. A valid one is noted until
// somebody has carried it out.
func (r *Room) statement(e *Entry, body []byte, res *Result) {
	joining := r.st.state == StateJoining
	if joining && r.group != nil {
		r.notThere(res)
		return
	}
	if r.who == nil {
		res.Verdict = VerdictUnknown
		return
	}
	st, err := identity.DecodeStatement(body)
	if err != nil {
		res.refuse("malformed statement")
		return
	}
	if r.ownRequest(st) {
		stay, mine := r.askedFor(st)
		if !mine { // nobody's answer could be opened here
			if st.Seq >= r.st.staySeq { // not one from before, once more
				r.st.stay, r.st.staySeq = stay, st.Seq
			}
			r.strangeTwin(res)
			return
		}
		r.st.asks = min(r.st.asks+1, 254)
	}
	why := r.checkStatement(st, e)
	res.Verdict = VerdictNoted
	if joining || r.st.state == StateFrozen { // who is in the room now is beyond this device
		res.Verdict = VerdictUnknown
	} else if why != "" {
		res.refuse(why)
	}
	if why != "" {
		return
	}
	if st.Kind != identity.StatementNack || r.counts(st.Seq) || r.st.state == StateFrozen || r.st.unsettled != 0 {
		r.note(sum(body), noted{seq: e.Seq, statement: st})
	}
	mine := st.User == r.self.User()
	switch {
	case joining: // what ends there is not the stay that this device is about to begin
	case st.Kind == identity.StatementLeave && mine,
		st.Kind == identity.StatementRevoke && mine && st.Device == r.self.Device():
		r.st.state = StateLeaving
	case st.Kind == identity.StatementNack && st.Device == r.self.Device():
		r.st.nacked = r.st.nacked || st.Seq == r.st.frozenSeq
		res.Changed = true
	}
	if st.Device == r.self.Device() && mine && st.Kind != identity.StatementRevoke {
		res.IsOwn = true
	}
}

// ownRequest says whether a statement asks, with this device's signature and
// for its present stay, to let it in again.
func (r *Room) ownRequest(st *identity.Statement) bool {
	own, err := r.own()
	if err != nil || !asks(st) || r.st.state == StateJoining {
		return false
	}
	if r.st.stay != (identity.JoinID{}) && st.JoinID == r.st.stay {
		own.joinID = r.st.stay
	}
	return verifyStatement(r.self.Root, r.id, st, own) == nil
}

// askedFor is the stay that an own request asks for, and whether this state has
// made the request.
func (r *Room) askedFor(st *identity.Statement) (stay identity.JoinID, mine bool) {
	if r.asked != nil && string(r.asked.KeyPackage.Bytes()) == string(st.KeyPackage) {
		return stay, true
	}
	if kp, _, err := readKeyPackage(r.self.Root, st.KeyPackage); err == nil {
		stay = r.stayOf(kp)
	}
	return stay, false
}

// checkStatement says why a statement does not count, or nothing.
func (r *Room) checkStatement(st *identity.Statement, e *Entry) string {
	if st.Group != r.id {
		return "a statement of another room"
	}
	if st.Kind == identity.StatementRevoke {
		for _, s := range r.who.seats {
			if s.user == st.User {
				if st.Verify(r.self.Root, identity.PublicKey{}, s.credential.Certificate.Identity) != nil {
					return "a revocation that its user did not sign"
				}
				if r.rules.revoked(st.User, st.Device) {
					return "revoked before"
				}
				return ""
			}
		}
		return "a revocation by somebody who is not in the room"
	}
	s, ok := r.who.seat(st.User, st.Device)
	if !ok || verifyStatement(r.self.Root, r.id, st, s) != nil {
		return "a statement that no member signed"
	}
	if st.Kind == identity.StatementLeave {
		return ""
	}
	kp, c, err := readKeyPackage(r.self.Root, st.KeyPackage)
	if err != nil || c.Certificate != s.credential.Certificate || r.group != nil && kp.Suite() != r.group.Suite() || kp.LastResort() {
		return "a key package that does not fit"
	}
	if kp.CheckLifetime(time.UnixMilli(int64(e.Time))) != nil {
		return "a key package that is not valid now"
	}
	if again, err := seatOf(r.self.Root, kp.Leaf()); err != nil || again.joinID == s.joinID {
		return "a key package that was used before"
	}
	if hash, known := r.hashAt(st.Seq); st.Kind == identity.StatementNack && (st.Seq >= e.Seq || known && hash != st.Entry) {
		return "a nack of an entry that is not there"
	}
	return ""
}

// notice examines a word of the server's delegate.
func (r *Room) notice(e *Entry, res *Result) {
	if r.rules == nil {
		res.Verdict = VerdictUnknown
		return
	}
	n, err := identity.DecodeNotice(e.Payload)
	if err != nil || n.Group != r.id || r.rules.Mode != ModeOpen || n.Verify(r.self.Root) != nil {
		res.refuse("not a notice of the server's delegate")
		return
	}
	res.Verdict = VerdictNoted
	if n.Kind == identity.NoticeRetired && n.User != r.self.User() {
		r.note(sum(e.Payload), noted{seq: e.Seq, notice: n})
	}
}

// settleStatements forgets what was carried out, unless an undo could bring it
// back.
func (r *Room) settleStatements() {
	var back *roster
	if r.base != nil {
		back, _ = rosterOf(r.self.Root, r.base.View())
	}
	for key, n := range r.noted {
		open := false
		for _, who := range []*roster{r.who, back} {
			if who == nil {
				continue
			}
			if n.notice != nil {
				s, ok := who.seat(n.notice.User, n.notice.Device)
				open = open || ok && s.joinID == n.notice.JoinID
				continue
			}
			s, ok := who.seat(n.statement.User, n.statement.Device)
			open = open || ok && s.joinID == n.statement.JoinID
			open = open || n.statement.Kind == identity.StatementRevoke && who.has(n.statement.User) && !r.rules.revoked(n.statement.User, n.statement.Device)
		}
		if !open {
			r.unnote(key)
		}
	}
}

// forgetNacks drops the nacks of what was taken back.
func (r *Room) forgetNacks(from uint64) {
	for key, n := range r.noted {
		if n.statement != nil && n.statement.Kind == identity.StatementNack && n.statement.Seq >= from {
			r.unnote(key)
		}
	}
}

// waiting says whether a statement is noted that this device must carry out
// before it speaks.
func (r *Room) waiting() bool {
	for _, n := range r.noted {
		if n.statement != nil && r.due(n.statement) {
			return true
		}
	}
	return false
}

// leaves says whether this user has said that it leaves, or has disowned this
// device.
func (r *Room) leaves() bool {
	for _, n := range r.noted {
		st := n.statement
		if st == nil || st.User != r.self.User() {
			continue
		}
		if st.Kind == identity.StatementLeave || st.Kind == identity.StatementRevoke && st.Device == r.self.Device() {
			return true
		}
	}
	return false
}

// own finds the seat of this device.
func (r *Room) own() (seat, error) {
	if r.who == nil {
		return seat{}, ErrJoining
	}
	s, ok := r.who.seat(r.self.User(), r.self.Device())
	if !ok {
		return seat{}, ErrRemoved
	}
	return s, nil
}

func (r *Room) say(st *identity.Statement, sign func(*identity.Statement)) (*Append, error) {
	s, err := r.own()
	if err != nil {
		return nil, err
	}
	st.Group, st.User = r.id, s.user
	if st.Kind != identity.StatementRevoke {
		st.Device = s.device
		if st.JoinID == (identity.JoinID{}) {
			st.JoinID = s.joinID
		}
	}
	sign(st)
	a := &Append{Kind: EntryHandshake, Examined: r.st.place.mark, ID: randomID(), Payload: append([]byte{payloadStatement}, st.Encode()...)}
	a.Records = r.flush()
	return a, nil
}

func (r *Room) signAsDevice(st *identity.Statement) { r.self.Key.SignStatement(r.self.Root, st) }

// Leave says that this user leaves with all devices. Others carry it out; from
// when it is in the log, none of the user's devices sends anything more.
func (r *Room) Leave() (*Append, error) {
	if r.st.state == StateRemoved || r.st.state == StateJoining {
		return nil, ErrRemoved
	}
	return r.say(&identity.Statement{Kind: identity.StatementLeave}, r.signAsDevice)
}

// Revoke disowns a device of this user, for ever. It needs the identity key.
func (r *Room) Revoke(key *identity.Key, device identity.DeviceID) (*Append, error) {
	if r.st.state == StateRemoved || r.st.state == StateJoining {
		return nil, ErrRemoved
	}
	st := &identity.Statement{Kind: identity.StatementRevoke, Device: device}
	if s, ok := r.who.seat(r.self.User(), device); ok {
		st.JoinID = s.joinID
	}
	return r.say(st, func(st *identity.Statement) { key.SignStatement(r.self.Root, st) })
}
