package room

import (
	"time"

	"github.com/securelink-chat/securelink/identity"
)

// DeviceInfo is a device of a member.
type DeviceInfo struct {
	Device identity.DeviceID
	Class  identity.Class
	Key    identity.PublicKey
	JoinID identity.JoinID
}

// Member is a user in a room.
type Member struct {
	User     identity.UserID
	Name     string
	Identity identity.PublicKey
	Role     Role
	Devices  []DeviceInfo
	Own      bool
}

// Info is what there is to show about a room.
type Info struct {
	Group   identity.GroupID
	Mode    Mode
	Title   string
	Topic   string
	Peer    identity.UserID // direct: the other one
	Members []Member
	Links   []LinkEntry // their secrets are secret
	Bans    []identity.UserID
	Revoked []Revoked
	Role    Role // own
	Epoch   uint64
	Inviter identity.UserID
}

// Info describes the room as of the last entry that was examined; nil while
// nothing of it is known.
func (r *Room) Info() *Info {
	if r.rules == nil || r.who == nil {
		return nil
	}
	me := r.self.User()
	info := &Info{Group: r.id, Mode: r.rules.Mode, Title: r.rules.Title, Topic: r.rules.Topic, Role: r.rules.role(me), Inviter: r.st.inviter}
	c := r.rules.clone()
	info.Links, info.Bans, info.Revoked = c.Links, c.Bans, c.Revoked
	if r.group != nil {
		info.Epoch = r.group.Epoch()
	}
	if info.Mode == ModeDirect {
		info.Peer = r.rules.Peers[0]
		if info.Peer == me {
			info.Peer = r.rules.Peers[1]
		}
	}
	for _, s := range r.oneSeatEach() {
		m := Member{User: s.user, Name: s.credential.Profile.Name, Identity: s.credential.Certificate.Identity, Role: r.rules.role(s.user), Own: s.user == me}
		for _, d := range r.who.seats {
			if d.user == s.user {
				m.Devices = append(m.Devices, DeviceInfo{d.device, d.credential.Certificate.Class, d.credential.Certificate.DeviceKey, d.joinID})
			}
		}
		info.Members = append(info.Members, m)
	}
	return info
}

// State says where this device stands.
func (r *Room) State() State { return r.st.state }

// Blocked is a sentence that says why nothing can be sent, or empty.
func (r *Room) Blocked() string {
	switch r.st.state {
	case StateJoining:
		return "Joining…"
	case StateWaiting:
		return "Waiting until somebody in the room comes online and confirms this device."
	case StateFrozen:
		return "A change of this room cannot be applied here. Waiting for somebody to let this device in again."
	case StateBroken:
		return "This device's data was copied or restored. It waits for new keys."
	case StateLeaving:
		return "Leaving…"
	case StateRemoved:
		return "You are not in this room any more."
	}
	if r.confesses() {
		return "A change of this room was taken back. Telling the others that this device could not follow it."
	}
	return ""
}

// Position is the last entry that was examined, and the chain after it.
func (r *Room) Position() (uint64, Hash) { return r.st.place.seq, r.st.place.chain }

// Mark is the newest handshake entry that was examined: what appends name.
func (r *Room) Mark() uint64 { return r.st.place.mark }

// Group is the room's id.
func (r *Room) Group() identity.GroupID { return r.id }

// EpochTag tells the current epoch from every other, those of another branch
// included; zero while joining.
func (r *Room) EpochTag() [16]byte {
	if r.group == nil {
		return [16]byte{}
	}
	tag, err := tagOf(r.group)
	if err != nil {
		return [16]byte{}
	}
	return tag
}

// TodoKind says what a device should do of its own accord.
type TodoKind uint8

// What may be due.
const (
	TodoCarry   TodoKind = 1 // Commit(nil): statements wait
	TodoNack    TodoKind = 2 // Nack
	TodoUndo    TodoKind = 3 // Undo; in open rooms Resync first
	TodoAck     TodoKind = 4 // Message of kind ItemAck: joiners wait for a word
	TodoRefresh TodoKind = 5 // Commit of IntentRefresh
	TodoRejoin  TodoKind = 6 // AskRejoin
	TodoEnter   TodoKind = 7 // Enter: the commit that brings this device in is not in the log yet
	TodoVerify  TodoKind = 9 // Verify, with a fresh offer
	TodoPublish TodoKind = 8 // Publish: the core may hold a wrong GroupInfo
)

// Todo is something to do. It is done After a while plus a random time of up
// to Jitter, unless the room does not ask for it any more by then: whoever is
// first does it for all.
type Todo struct {
	Kind          TodoKind
	After, Jitter time.Duration
}

// Todo says what this device should do now. now is compared with the times of
// entries, for the weekly new leaf only.
func (r *Room) Todo(now time.Time) []Todo {
	var out []Todo
	switch r.st.state {
	case StateJoining:
		if r.group == nil {
			out = append(out, Todo{Kind: TodoEnter})
		}
		return out
	case StateFrozen:
		if r.leaves() {
			return out
		}
		if !r.st.nacked || r.confesses() {
			return append(out, Todo{Kind: TodoNack, Jitter: 200 * time.Millisecond})
		}
		return append(out, Todo{Kind: TodoUndo, After: undoAfter, Jitter: 10 * time.Second})
	case StateBroken:
		if r.st.asks == 0 {
			return append(out, Todo{Kind: TodoRejoin, Jitter: time.Second})
		}
		return r.askAgain(out)
	case StateLeaving, StateRemoved:
		return out
	}
	if r.confesses() {
		return append(out, Todo{Kind: TodoNack, Jitter: 200 * time.Millisecond})
	}
	if r.carries() {
		out = append(out, Todo{Kind: TodoCarry, Jitter: 500 * time.Millisecond})
	}
	if r.st.ackDue && (r.st.state == StateMember || r.rules.role(r.self.User()) >= RoleAdmin) {
		out = append(out, r.ackTodo())
	}
	if r.st.suspect && r.st.unsettled != 0 {
		out = r.askAgain(out)
	}
	if r.st.suspect && r.st.outside {
		out = append(out, Todo{Kind: TodoVerify, Jitter: time.Second})
	}
	if r.st.publishDue && r.st.state == StateMember {
		if rank := r.rank(); rank < publishers {
			out = append(out, Todo{Kind: TodoPublish, After: time.Duration(rank) * 3 * time.Second, Jitter: time.Second})
		}
	}
	if r.st.state == StateMember && r.refreshDue(now) {
		out = append(out, Todo{Kind: TodoRefresh, Jitter: time.Minute})
	}
	return out
}

// askAgain adds another request to re-join, ever less often: what this device
// has asked may count for nobody, since it knows neither the branch that the
// others are in nor, for sure, which stay of it they see.
func (r *Room) askAgain(out []Todo) []Todo {
	if r.st.asks >= maxAsks {
		return out
	}
	wait := undoAfter << (max(r.st.asks, 1) - 1)
	return append(out, Todo{Kind: TodoRejoin, After: min(wait, maxAskWait), Jitter: 10 * time.Second})
}

// ackTodo lets admins speak first, whose word is enough.
func (r *Room) ackTodo() Todo {
	if r.rules.role(r.self.User()) >= RoleAdmin || r.rules.Mode == ModeDirect {
		return Todo{Kind: TodoAck, Jitter: 200 * time.Millisecond}
	}
	return Todo{Kind: TodoAck, After: 500 * time.Millisecond, Jitter: time.Second}
}

// rank says how many members go before this one when something is to be done
// by a few of them: another order after every handshake.
func (r *Room) rank() int {
	at, ok := r.who.byDevice[r.self.Device()]
	if !ok {
		return len(r.who.seats)
	}
	n := uint64(len(r.who.seats))
	return int((uint64(at) + n - r.st.place.mark%n) % n)
}

func (r *Room) refreshDue(now time.Time) bool {
	return !r.st.leafFresh || r.st.counter-r.st.refreshed >= refreshEvery ||
		r.st.refreshAt != 0 && now.Sub(time.UnixMilli(int64(r.st.refreshAt))) >= refreshTime
}

// carries says whether a commit of no intents would do something.
func (r *Room) carries() bool {
	for _, n := range r.noted {
		if n.statement != nil && r.due(n.statement) {
			return true
		}
		if n.notice != nil {
			if s, ok := r.who.seat(n.notice.User, n.notice.Device); ok && s.joinID == n.notice.JoinID {
				return true
			}
		}
	}
	return false
}
