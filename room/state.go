package room

import (
	"crypto/rand"

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
	nacked     bool   // the nack for frozenSeq is in the log
	unsettled  uint64 // from here on all is void if others refused the undo that this locked-out device followed; 0 = settled
	reason     uint8
	stay       identity.JoinID // of this device's seat, where another state of the device has asked for a new one; zero = as in the tree
	staySeq    uint64          // the place that the request speaks of
	asks       uint8           // own requests to re-join that are in the log
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
	author identity.UserID // of a change that counts
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
	live         bool                // it has just happened
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
	wayback map[string]bool       // keys of base's difference that are stored
	fail    func(seq uint64) bool // tests: which changes fail for this device's keys alone
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
	w.Bool(s.nacked)
	w.U64(s.unsettled)
	w.U8(s.reason)
	w.Fixed(s.stay[:])
	w.U64(s.staySeq)
	w.U8(s.asks)
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

func randomID() (id MessageID) {
	rand.Read(id[:])
	return id
}
