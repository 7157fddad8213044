package room

import (
	"fmt"

	"github.com/securelink-chat/securelink/identity"
)

// Chain is the log's chain after an entry that this device remembers: the last
// 1,024 that it has examined.
func (r *Room) Chain(seq uint64) (Hash, bool) {
	if seq == 0 {
		return LogStart(r.id), true
	}
	return r.hashAt(seq)
}

// Rewind goes back to an earlier place of the log, after the server's delegate
// has signed that what followed it is lost and nobody could give it back. It
// is refused when the group has changed since: a server that could undo a
// change could bring back whom it removed. own says how many of this device's
// messages lay behind the place; their counters are used again, with new keys.
// What others have said there stays said.
func (r *Room) Rewind(seq, own uint64) ([]Record, error) {
	hash, known := r.hashAt(seq)
	switch {
	case r.st.state != StateMember && r.st.state != StateWaiting, seq >= r.st.place.seq:
		return nil, ErrUsage
	case !known || r.st.place.mark > seq:
		return nil, fmt.Errorf("%w: the group has changed since", ErrNotAllowed)
	}
	r.unsee(seq)
	r.st.place.seq, r.st.place.chain = seq, hash
	r.st.counter -= min(own, r.st.counter)
	return r.flush(), nil
}

// GiveWay goes back over changes of the group as well, because the user says
// so: this device then asks those who have gone on to let it in again. mark is
// the newest handshake up to the place.
func (r *Room) GiveWay(seq, mark uint64) ([]Record, error) {
	hash, known := r.hashAt(seq)
	if !known || r.group == nil || seq > r.st.place.seq || r.st.state == StateRemoved || r.st.state == StateLeaving {
		return nil, ErrUsage
	}
	r.unsee(seq)
	r.dropBase()
	for key := range r.noted {
		r.unnote(key)
	}
	r.st.place = place{seq: seq, chain: hash, mark: min(mark, seq)}
	r.st.state, r.st.reason = StateBroken, identity.ReasonRollback
	return r.flush(), nil
}

// unsee forgets what was examined after a place, and what was on its way.
func (r *Room) unsee(seq uint64) {
	for at := range r.ring {
		if at > seq {
			delete(r.ring, at)
			r.put(slot('h', at%ringSize), nil)
		}
	}
	for at, id := range r.seenAt {
		if r.seen[id].seq > seq {
			delete(r.seen, id)
			delete(r.seenAt, at)
			r.put(slot('i', at), nil)
		}
	}
	kept := r.ownSince
	r.clearOwn()
	for _, s := range kept {
		if s.seq <= seq {
			r.addOwn(s)
		}
	}
	r.dropFlights()
	r.dropPending()
	r.forgetCounters()
}
