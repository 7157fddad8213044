package room

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/securelink-chat/securelink/identity"
)

// due says whether a statement still asks for something that this device can do.
func (r *Room) due(st *identity.Statement) bool {
	if st.User == r.self.User() && st.Device == r.self.Device() || st.Kind == identity.StatementLeave && st.User == r.self.User() {
		return false // nobody removes itself
	}
	if st.Kind == identity.StatementRevoke {
		return !r.rules.revoked(st.User, st.Device) && r.who.has(st.User)
	}
	s, ok := r.who.seat(st.User, st.Device)
	if !ok || s.joinID != st.JoinID {
		return false
	}
	switch st.Kind {
	case identity.StatementNack:
		return r.counts(st.Seq) && !r.inDoubt()
	case identity.StatementRejoin:
		return !r.inDoubt()
	}
	return true
}

// askedLater says whether the device of a request has asked again since: the
// last one is by the state that it has now.
func (r *Room) askedLater(first noted) bool {
	if !asks(first.statement) {
		return false
	}
	for _, n := range r.noted {
		if st := n.statement; st != nil && asks(st) && n.seq > first.seq && st.Device == first.statement.Device && st.JoinID == first.statement.JoinID && r.due(st) {
			return true
		}
	}
	return false
}

// asks says whether a statement is a request to be let in again.
func asks(st *identity.Statement) bool {
	return st.Kind == identity.StatementRejoin || st.Kind == identity.StatementNack
}

// counts says whether the change that a nack names counts in this branch.
// Those who came later do not know.
func (r *Room) counts(seq uint64) bool {
	m, known := r.ring[seq]
	return !known || m.author != (identity.UserID{}) || seq <= r.st.joinSeq || r.st.state == StateJoining
}

// carry takes up the statements and notices that wait.
func (p *plan) carry() {
	r := p.room
	keys := make([]Hash, 0, len(r.noted))
	for key := range r.noted {
		keys = append(keys, key)
	}
	later := func(key Hash) int { // what asks for a new stay comes after what ends all of them
		if st := r.noted[key].statement; st != nil && asks(st) {
			return 1
		}
		return 0
	}
	slices.SortFunc(keys, func(a, b Hash) int {
		return cmp.Or(cmp.Compare(later(a), later(b)), cmp.Compare(r.noted[a].seq, r.noted[b].seq), bytes.Compare(a[:], b[:]))
	})
	for _, key := range keys {
		n := r.noted[key]
		if len(p.attest.statements) >= maxEvidence/2 || len(p.attest.notices) >= maxEvidence/2 {
			return
		}
		if n.notice != nil {
			p.retire(n.notice)
		} else if r.due(n.statement) && !r.askedLater(n) {
			p.carryStatement(n.statement)
		}
	}
}

func (p *plan) carryStatement(st *identity.Statement) {
	r := p.room
	switch st.Kind {
	case identity.StatementLeave:
		p.removeUser(st.User)
	case identity.StatementRevoke:
		p.rules.revoke(Revoked{st.User, st.Device})
		if s, ok := r.who.seat(st.User, st.Device); ok {
			p.removes[s.device] = s
		}
	default:
		if p.removes[st.Device].user == st.User || p.rules.revoked(st.User, st.Device) || len(p.adds) >= MaxAdds {
			return // he goes anyway
		}
		kp, _, err := readKeyPackage(r.self.Root, st.KeyPackage)
		if err != nil {
			return // was checked when it was noted
		}
		s, _ := r.who.seat(st.User, st.Device)
		p.removes[s.device], p.again[s.device] = s, true
		p.adds, p.added[s.device] = append(p.adds, kp), s.user
	}
	p.attest.statements = append(p.attest.statements, st)
}

func (p *plan) retire(n *identity.Notice) {
	s, ok := p.room.who.seat(n.User, n.Device)
	if n.Kind != identity.NoticeRetired || !ok || s.joinID != n.JoinID || s.user == p.room.self.User() {
		return
	}
	if _, double := p.removes[s.device]; double {
		return
	}
	p.removes[s.device] = s
	p.attest.notices = append(p.attest.notices, n)
}
