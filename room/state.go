package room

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/internal/pack"
	"github.com/securelink-chat/securelink/mls"
)

// State says where this device stands in the room.
type State uint8

// The states.
const (
	StateJoining State = 1 // the commit that brings it in is not in the log yet
	StateWaiting State = 2 // it is in, and waits for somebody to confirm that
	StateMember  State = 3
	StateFrozen  State = 4 // a change cannot be applied with its keys
	StateBroken  State = 5 // its state was rolled back or copied: it sends nothing until it has re-joined
	StateLeaving State = 6 // it has said so, or its user has revoked it
	StateRemoved State = 7
)

// place is a position in the log.
type place struct {
	seq   uint64
	chain Hash
	mark  uint64 // newest handshake at or before seq
}

// flight is an own message that was built and has not come back.
type flight struct {
	counter  uint64
	hash     Hash // of the payload
	draft    Draft
	envelope Hash // how others name the message
}

// noted is a valid statement that nobody has carried out yet.
type noted struct {
	seq       uint64
	statement *identity.Statement
	notice    *identity.Notice
}

// status is what one small record holds.
type status struct {
	state      State
	place      place
	time       uint64 // of the newest entry, never going back
	joinSeq    uint64 // the commit that brought this device in
	counter    uint64 // own messages that are in the log
	target     target
	frozenSeq  uint64 // of the change that cannot be applied; 0 = none
	frozenHash Hash
	frozenBy   identity.UserID
	ahead      bool // frozen, and handshakes of later epochs were seen
	unsettled  bool // an undo was applied that others may have refused
	nacked     bool // the nack for frozenSeq is in the log
	reason     uint8
	inviter    identity.UserID
	ackDue     bool
	acks       []identity.UserID // who has confirmed this device, or the joiners
	losses     uint32
	firstLoss  int64  // Unix seconds
	refreshed  uint64 // counter at the newest own leaf
	refreshAt  uint64 // entry time of the newest own leaf, ms
	leafFresh  bool   // own leaf was renewed since joining
	known      bool   // this device was confirmed in this room before, and has its history
	stale      bool   // joining from outside: somebody has committed since the offer was made
	outside    bool   // it came in by a commit of its own
	suspect    bool   // nobody has spoken to it since, and somebody speaks in another epoch
	strange    uint8  // entries of other epochs since the last one that counts
	publishDue bool   // a refused commit may have left a wrong GroupInfo with the core
}

// mark is an entry of the ring of chain hashes.
type mark struct {
	seq    uint64
	hash   Hash
	author identity.UserID // of a change
}

// seen is a message id that was used.
type seen struct {
	seq  uint64
	id   MessageID
	user identity.UserID
}

// Room is the state of one device in one room. It is not safe for concurrent use.
type Room struct {
	self  Self
	id    identity.GroupID
	st    status
	group *mls.Group // nil while joining from outside
	base  *mls.Group // before the change that could be undone; nil if none can
	rules *Rules
	who   *roster

	pending     *mls.Pending // own commit that is not in the log yet
	pendingID   MessageID
	pendingHash Hash
	pendingPath bool   // it gives this device a new leaf
	pendingInfo []byte // external: the GroupInfo's rules, so that the link's key is found after a restart
	asked       *mls.PrivateKeyPackage
	offered     *identity.LinkSecret // of the link that this device joins by

	knocking     *knock // joining from outside: what there is to join by
	offeredEpoch uint64
	follows      uint64              // the mark before the entry that is examined
	epochTags    map[uint64][16]byte // of past epochs
	mine         map[Hash]bool       // payloads that this device has made in this epoch
	ring         map[uint64]mark
	counters     map[identity.JoinID]uint64
	seen         map[MessageID]seen
	seenAt       map[uint64]MessageID // by slot
	noted        map[Hash]noted
	flights      []flight
	ownSince     []seen // own messages since the target of an undo

	judging *Rules                       // whose links' keys apply while MLS works
	undoing bool                         // the group that works is base, and an undo may be judged there
	signals map[identity.DeviceID]uint64 // newest signal of each device
	dirty   map[string][]byte
	wayback map[string]bool // keys of base's difference that are stored
	fail    func(seq uint64) bool
}

func newRoom(self Self, id identity.GroupID) *Room {
	return &Room{
		self: self, id: id, ring: map[uint64]mark{}, counters: map[identity.JoinID]uint64{}, seen: map[MessageID]seen{},
		seenAt: map[uint64]MessageID{}, noted: map[Hash]noted{}, mine: map[Hash]bool{}, epochTags: map[uint64][16]byte{}, signals: map[identity.DeviceID]uint64{}, dirty: map[string][]byte{}, wayback: map[string]bool{},
	}
}

// config is what MLS asks the room.
func (r *Room) config() mls.Config {
	root := r.self.Root
	return mls.Config{
		Credential: func(c mls.CredentialCheck) error { return checkCredential(root, c) },
		Rules: func(c *mls.Change) error {
			j := &ruling{root: root, group: r.id, change: c, hashAt: r.hashAt}
			if r.undoing {
				j.target = &r.st.target
			}
			return j.judge()
		},
		PSK: func(id []byte) []byte {
			if len(id) != 16 {
				return nil
			}
			if r.offered != nil && r.offered.ID() == [16]byte(id) {
				psk := r.offered.PSK()
				return psk[:]
			}
			if r.judging == nil {
				return nil
			}
			if link, ok := r.judging.link([16]byte(id)); ok {
				psk := link.Secret.PSK()
				return psk[:]
			}
			return nil
		},
	}
}

func (r *Room) hashAt(seq uint64) (Hash, bool) {
	m, ok := r.ring[seq]
	return m.hash, ok
}

// ---- records

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

func (s *status) encode(id identity.GroupID) []byte {
	var w pack.Writer
	w.U8(1)
	w.Fixed(id[:])
	w.U8(uint8(s.state))
	w.U64(s.place.seq)
	w.Fixed(s.place.chain[:])
	w.U64(s.place.mark)
	w.U64(s.time)
	w.U64(s.joinSeq)
	w.U64(s.counter)
	w.U64(s.target.seq)
	w.Fixed(s.target.author[:])
	w.U64(s.frozenSeq)
	w.Fixed(s.frozenHash[:])
	w.Fixed(s.frozenBy[:])
	w.Bool(s.ahead)
	w.Bool(s.unsettled)
	w.Bool(s.nacked)
	w.U8(s.reason)
	w.Fixed(s.inviter[:])
	w.Bool(s.ackDue)
	w.U8(uint8(len(s.acks)))
	for _, u := range s.acks {
		w.Fixed(u[:])
	}
	w.U32(s.losses)
	w.U64(uint64(s.firstLoss))
	w.U64(s.refreshed)
	w.U64(s.refreshAt)
	w.Bool(s.leafFresh)
	w.Bool(s.known)
	w.Bool(s.stale)
	w.Bool(s.outside)
	w.Bool(s.suspect)
	w.Bool(s.publishDue)
	w.U8(s.strange)
	return w.B
}

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
	r.Fixed(s.frozenBy[:])
	s.ahead, s.unsettled, s.nacked = r.Bool(), r.Bool(), r.Bool()
	s.reason = r.U8()
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

// adopt takes a group as the current one and reads rules and roster out of it.
func (r *Room) adopt(g *mls.Group) error {
	rules, err := rulesOf(g.View())
	if err != nil {
		return err
	}
	who, err := rosterOf(r.self.Root, g.View())
	if err != nil {
		return err
	}
	r.group, r.rules, r.who, r.judging = g, rules, who, rules
	return nil
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

func (r *Room) loadRecord(key string, value []byte, now, back map[string][]byte, pending *[]byte) (err error) {
	if len(key) == 1 {
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
		return pack.ErrFormat
	}
	if len(key) < 3 || key[1] != '/' {
		return pack.ErrFormat
	}
	rest, rd := key[2:], pack.Read(value)
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

func randomID() (id MessageID) {
	rand.Read(id[:])
	return id
}
