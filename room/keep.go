package room

import (
	"encoding/binary"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/internal/pack"
	"github.com/securelink-chat/securelink/mls"
)

func (r *Room) put(key string, value []byte) { r.dirty[key] = value }

func slot(prefix byte, n uint64) string {
	return string(binary.BigEndian.AppendUint16([]byte{prefix, '/'}, uint16(n)))
}

func (r *Room) remember(seq uint64, hash Hash, author identity.UserID) {
	delete(r.ring, seq-ringSize)
	r.ring[seq] = mark{seq, hash, author}
	var w pack.Writer
	w.U64(seq)
	w.Fixed(hash[:])
	w.Fixed(author[:])
	r.put(slot('h', seq%ringSize), w.B)
}

func (r *Room) see(s seen) {
	at := s.seq % seenSize
	if old, ok := r.seenAt[at]; ok {
		delete(r.seen, old)
	}
	r.seen[s.id], r.seenAt[at] = s, s.id
	r.put(slot('i', at), encodeSeen(s))
}

func encodeSeen(s seen) []byte {
	var w pack.Writer
	w.U64(s.seq)
	w.Fixed(s.id[:])
	w.Fixed(s.user[:])
	return w.B
}

func decodeSeen(b []byte) (s seen, err error) {
	r := pack.Read(b)
	s.seq = r.U64()
	r.Fixed(s.id[:])
	r.Fixed(s.user[:])
	return s, r.Done()
}

func (r *Room) setCounter(id identity.JoinID, n uint64) {
	r.counters[id] = n
	r.put("c/"+string(id[:]), binary.BigEndian.AppendUint64(nil, n))
}

func (r *Room) dropCounter(id identity.JoinID) {
	if _, ok := r.counters[id]; ok {
		delete(r.counters, id)
		r.put("c/"+string(id[:]), nil)
	}
}

// forgetCounters starts counting anew where this device has missed messages
// that it can know of.
func (r *Room) forgetCounters() {
	for id := range r.counters {
		r.dropCounter(id)
	}
}

func (r *Room) note(hash Hash, n noted) {
	r.noted[hash] = n
	var w pack.Writer
	w.U64(n.seq)
	w.Bool(n.notice != nil)
	if n.notice != nil {
		w.Bytes(n.notice.Encode())
	} else {
		w.Bytes(n.statement.Encode())
	}
	r.put("t/"+string(hash[:]), w.B)
}

func (r *Room) unnote(hash Hash) {
	delete(r.noted, hash)
	r.put("t/"+string(hash[:]), nil)
}

func flightKey(counter uint64) string {
	return "f/" + string(binary.BigEndian.AppendUint64(nil, counter))
}

func (r *Room) addFlight(f flight) {
	r.flights = append(r.flights, f)
	var w pack.Writer
	w.U64(f.counter)
	w.Fixed(f.hash[:])
	f.draft.encode(&w)
	w.Fixed(f.envelope[:])
	r.put(flightKey(f.counter), w.B)
	r.mine[f.hash] = true
	r.put("y/"+string(f.hash[:]), []byte{1})
}

// keepTag remembers the tag of an epoch that is over.
func (r *Room) keepTag(epoch uint64, tag [16]byte) {
	delete(r.epochTags, epoch-tagRing)
	r.epochTags[epoch] = tag
	var w pack.Writer
	w.U64(epoch)
	w.Fixed(tag[:])
	r.put(slot('e', epoch%tagRing), w.B)
}

// forgetMine drops the list of own payloads, at the end of their epoch.
func (r *Room) forgetMine() {
	for hash := range r.mine {
		r.put("y/"+string(hash[:]), nil)
	}
	clear(r.mine)
}

func (r *Room) dropFlights() {
	for _, f := range r.flights {
		r.put(flightKey(f.counter), nil)
	}
	r.flights = nil
}

func (r *Room) addOwn(s seen) {
	r.ownSince = append(r.ownSince, s)
	r.put("o/"+string(binary.BigEndian.AppendUint64(nil, s.seq)), encodeSeen(s))
}

// trimOwn forgets the own messages that nothing can make void any more.
func (r *Room) trimOwn() {
	if r.st.unsettled == 0 {
		r.clearOwn()
	}
}

func (r *Room) clearOwn() {
	for _, s := range r.ownSince {
		r.put("o/"+string(binary.BigEndian.AppendUint64(nil, s.seq)), nil)
	}
	r.ownSince = nil
}

func (r *Room) setAsked(kp *mls.PrivateKeyPackage) {
	r.asked = kp
	if kp == nil {
		r.put("k", nil)
		return
	}
	r.put("k", kp.Marshal())
}

func (r *Room) setPending(p *mls.Pending, id MessageID) {
	r.pending, r.pendingID = p, id
	if p == nil {
		r.put("p", nil)
		return
	}
	var w pack.Writer
	r.pendingHash = sum(p.Message())
	w.Fixed(id[:])
	w.Fixed(r.pendingHash[:])
	w.Bool(r.pendingPath)
	w.Bytes(r.pendingInfo)
	w.Bool(r.offered != nil)
	if r.offered != nil {
		w.Fixed(r.offered[:])
	}
	w.Bytes(p.Save())
	r.put("p", w.B)
}

// dropPending forgets an own commit that did not come to count.
func (r *Room) dropPending() {
	if r.pending != nil {
		r.pending.Drop()
		r.setPending(nil, MessageID{})
	}
}

func (r *Room) putGroup(records []mls.Record) {
	for _, rec := range records {
		r.put("m/"+string(rec.Key), rec.Value)
	}
}

// putChanges stores what changed in the group within its epoch. A record that
// the way back does not name was not there in base, and is not to be taken for
// one of base's.
func (r *Room) putChanges() {
	changes := r.group.Changes()
	r.putGroup(changes)
	if r.base == nil {
		return
	}
	for _, rec := range changes {
		if key := "w/" + string(rec.Key); !r.wayback[key] {
			r.put(key, []byte{0})
			r.wayback[key] = true
		}
	}
}

// storeBase keeps the way from the current group back to base, and nothing of
// an older way.
func (r *Room) storeBase() {
	for key := range r.wayback {
		r.put(key, nil)
	}
	clear(r.wayback)
	if r.base == nil || r.group == nil {
		return
	}
	for _, rec := range r.base.Diff(r.group) {
		key := "w/" + string(rec.Key)
		value := []byte{0}
		if rec.Value != nil {
			value = append([]byte{1}, rec.Value...)
		}
		r.put(key, value)
		r.wayback[key] = true
	}
}

// flush gives what changed since the last flush.
func (r *Room) flush() []Record {
	r.put("s", r.st.encode(r.id))
	out := make([]Record, 0, len(r.dirty))
	for key, value := range r.dirty {
		out = append(out, Record{[]byte(key), value})
	}
	clear(r.dirty)
	return out
}
