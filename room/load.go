package room

import (
	"fmt"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/internal/pack"
	"github.com/securelink-chat/securelink/mls"
)

func decodeStatus(b []byte) (s status, id identity.GroupID, err error) {
	r := pack.Read(b)
	if r.U8() != 1 {
		r.Fail()
	}
	r.Fixed(id[:])
	s.state = State(r.U8())
	s.place.seq = r.U64()
	r.Fixed(s.place.chain[:])
	s.place.mark = r.U64()
	s.time = r.U64()
	s.joinSeq = r.U64()
	s.counter = r.U64()
	s.target.seq = r.U64()
	r.Fixed(s.target.author[:])
	s.frozenSeq = r.U64()
	r.Fixed(s.frozenHash[:])
	s.nacked = r.Bool()
	s.unsettled = r.U64()
	s.reason = r.U8()
	r.Fixed(s.stay[:])
	s.staySeq = r.U64()
	s.asks = r.U8()
	r.Fixed(s.inviter[:])
	s.ackDue = r.Bool()
	for range int(r.U8()) {
		var u identity.UserID
		r.Fixed(u[:])
		s.acks = append(s.acks, u)
	}
	s.losses = r.U32()
	s.firstLoss = int64(r.U64())
	s.refreshed, s.refreshAt = r.U64(), r.U64()
	s.leafFresh, s.known, s.stale = r.Bool(), r.Bool(), r.Bool()
	s.outside, s.suspect, s.publishDue = r.Bool(), r.Bool(), r.Bool()
	s.strange = r.U8()
	if s.state < StateJoining || s.state > StateRemoved {
		r.Fail()
	}
	return s, id, r.Done()
}

// Load restores a room from its records, in any order.
func Load(self Self, records []Record) (*Room, error) {
	r, err := load(self, records)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	return r, nil
}

func load(self Self, records []Record) (*Room, error) {
	r := newRoom(self, identity.GroupID{})
	now, back, pending := map[string][]byte{}, map[string][]byte{}, []byte(nil)
	for _, rec := range records {
		key := string(rec.Key)
		if err := r.loadRecord(key, rec.Value, now, back, &pending); err != nil {
			return nil, fmt.Errorf("record %q: %w", key, err)
		}
	}
	if r.st.state == 0 {
		return nil, fmt.Errorf("no status record")
	}
	if len(now) > 0 {
		g, err := mls.Load(r.config(), asRecords(now))
		if err != nil {
			return nil, err
		}
		if err := r.adopt(g); err != nil {
			return nil, err
		}
		if len(back) > 0 {
			for key, value := range back {
				r.wayback["w/"+key] = true
				if value[0] == 0 {
					delete(now, key)
				} else {
					now[key] = value[1:]
				}
			}
			if r.base, err = mls.Load(r.config(), asRecords(now)); err != nil {
				return nil, err
			}
		}
	}
	if pending != nil {
		if err := r.loadPending(pending); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func asRecords(m map[string][]byte) []mls.Record {
	out := make([]mls.Record, 0, len(m))
	for key, value := range m {
		out = append(out, mls.Record{Key: []byte(key), Value: value})
	}
	return out
}

func (r *Room) loadPending(b []byte) (err error) {
	rd := pack.Read(b)
	rd.Fixed(r.pendingID[:])
	rd.Fixed(r.pendingHash[:])
	r.pendingPath = rd.Bool()
	r.pendingInfo = rd.Bytes(maxRulesBytes)
	if rd.Bool() {
		r.offered = new(identity.LinkSecret)
		rd.Fixed(r.offered[:])
	}
	saved := rd.Bytes(maxTree)
	if err := rd.Done(); err != nil {
		return err
	}
	if r.pendingInfo != nil {
		if r.rules, err = decodeRules(r.pendingInfo); err != nil {
			return err
		}
		r.judging = r.rules
		r.pending, err = mls.LoadExternal(r.config(), saved)
		return err
	}
	if r.group == nil {
		return fmt.Errorf("a pending commit without a group")
	}
	if r.pending, err = r.group.LoadPending(saved); err != nil && r.base != nil {
		r.pending, err = r.base.LoadPending(saved) // an undo
	}
	return err
}

// loadRecord reads one record; those of the groups are collected.
func (r *Room) loadRecord(key string, value []byte, now, back map[string][]byte, pending *[]byte) (err error) {
	switch key {
	case "s":
		r.st, r.id, err = decodeStatus(value)
		return err
	case "p":
		*pending = value
		return nil
	case "k":
		r.asked, err = mls.ParsePrivateKeyPackage(value)
		return err
	}
	if len(key) < 3 || key[1] != '/' {
		return pack.ErrFormat
	}
	rest := key[2:]
	switch key[0] {
	case 'm':
		now[rest] = value
		return nil
	case 'w':
		if len(value) == 0 {
			return pack.ErrFormat
		}
		back[rest] = value
		return nil
	}
	return r.loadBook(key[0], rest, value)
}

// loadBook reads a record of what the room remembers beside its groups.
func (r *Room) loadBook(kind byte, rest string, value []byte) error {
	rd := pack.Read(value)
	switch kind {
	case 'h':
		m := mark{seq: rd.U64()}
		rd.Fixed(m.hash[:])
		rd.Fixed(m.author[:])
		r.ring[m.seq] = m
	case 'i':
		s, err := decodeSeen(value)
		r.seen[s.id], r.seenAt[s.seq%seenSize] = s, s.id
		return err
	case 'c':
		var id identity.JoinID
		if len(rest) != len(id) {
			return pack.ErrFormat
		}
		copy(id[:], rest)
		r.counters[id] = rd.U64()
	case 'e':
		epoch, tag := rd.U64(), [16]byte{}
		rd.Fixed(tag[:])
		r.epochTags[epoch] = tag
	case 'f':
		f := flight{counter: rd.U64()}
		rd.Fixed(f.hash[:])
		f.draft = readDraft(rd)
		rd.Fixed(f.envelope[:])
		r.insertFlight(f)
	case 'o':
		s, err := decodeSeen(value)
		r.insertOwn(s)
		return err
	case 'y':
		var hash Hash
		if copy(hash[:], rest) != len(hash) {
			return pack.ErrFormat
		}
		r.mine[hash] = true
		return nil
	case 't':
		return r.loadNoted(rest, rd)
	default:
		return pack.ErrFormat
	}
	return rd.Done()
}

func (r *Room) insertFlight(f flight) {
	at := len(r.flights)
	for at > 0 && r.flights[at-1].counter > f.counter {
		at--
	}
	r.flights = append(r.flights[:at], append([]flight{f}, r.flights[at:]...)...)
}

func (r *Room) insertOwn(s seen) {
	at := len(r.ownSince)
	for at > 0 && r.ownSince[at-1].seq > s.seq {
		at--
	}
	r.ownSince = append(r.ownSince[:at], append([]seen{s}, r.ownSince[at:]...)...)
}

func (r *Room) loadNoted(key string, rd *pack.Reader) (err error) {
	var hash Hash
	if len(key) != len(hash) {
		return pack.ErrFormat
	}
	copy(hash[:], key)
	n := noted{seq: rd.U64()}
	isNotice := rd.Bool()
	b := rd.Bytes(maxStatement)
	if err := rd.Done(); err != nil {
		return err
	}
	if isNotice {
		n.notice, err = identity.DecodeNotice(b)
	} else {
		n.statement, err = identity.DecodeStatement(b)
	}
	r.noted[hash] = n
	return err
}
