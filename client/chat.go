package client

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

const (
	inboxMost = 512 // pushed entries that wait to be examined; more are fetched anew
	maxAsked  = 5   // times that a list of devices which is behind is asked for again
	never     = time.Duration(1<<63 - 1)
	idleRetry = 5 * time.Second // after a refusal that says nothing of when
)

// How a device means to get into a room that it is not in.
const (
	enterNot     = 0 // wait for a Welcome
	enterOpen    = 1 // by external commit; found it if nobody has
	enterLink    = 2 // by a join link
	enterFounder = 3 // it was made here and the server has not confirmed it
	enterMember  = 4 // wait for a Welcome: another device of this user is in it
	enterAsked   = 5 // by a join link whose admins have to approve; they were asked
)

// chatRecord is what is kept of a room beside its state machine.
type chatRecord struct {
	_         struct{} `cbor:",toarray"`
	Kind      uint8    // wire.RoomKind
	Entering  uint8
	Secret    []byte // of the join link to enter by
	Inviter   wire.UserID
	Invited   bool // added by somebody and not accepted yet
	InvitedBy string
	Out       uint8 // outRemoved or outLeft: no longer in it
	Leaving   bool  // the user wants to be out
	Title     string
	Topic     string
	Mode      string
	Role      string
	Members   int
	Peer      wire.UserID
	Last      int64
	Cursor    uint64
	Read      uint64
	Unread    int
	Mentions  int
	Preview   string
	Starved   bool
	NextOut   uint64
	Founder   bool          // this device made the room
	Restored  uint64        // newest restore of the server that the room was reconciled with
	Shifts    []shift       // of the timeline against the log
	Warned    []wire.UserID // members who came in somebody's place
	Stranded  bool          // the log goes on without changes that this device has seen
}

const (
	outRemoved   = 1
	outLeft      = 2
	outRefused   = 3 // asked to come in, and turned away
	outLinkEnded = 4 // asked to come in by a link that has ended since
)

// chat is one room: its state machine, its timeline and its outbox. One
// goroutine, run, speaks with the server for it. mu guards what is below it
// and is not held while anybody waits for the server.
type chat struct {
	e    *Engine
	id   wire.RoomID
	wake chan struct{} // something is to be done; room for one

	mu      sync.Mutex
	rec     chatRecord
	state   *room.Room    // nil: not in it
	changed chan struct{} // closed and replaced when rec or state change
	trouble error         // why it could not be entered
	alarms  int           // of CheckHead, since the start

	// What comes.
	inbox    []wire.Entry // pushed and not examined, in order
	behind   bool         // the log has more than inbox
	met      *session     // whose Watch covers this room
	welcomes []wire.Welcome

	// What this device does in the room.
	out      []*outgoing // in the order in which they were written
	intents  []*intention
	commit   commitState
	due      map[room.TodoKind]time.Time
	retireAt time.Time              // when to look for guests that are gone
	disowned map[wire.DeviceID]bool // own devices whose revocation was written here, on this connection
	linked   []knownLink            // the room's links, as the server last had them

	// What the files of these subjects keep.
	routing   routing
	stale     stale
	newcomers newcomers
	trusting  trusting
	healing   healing
	door      door
	mates     company
}

func (e *Engine) newChat(id wire.RoomID) *chat {
	return &chat{
		e: e, id: id, wake: make(chan struct{}, 1),
		due: map[room.TodoKind]time.Time{}, changed: make(chan struct{}), mates: newCompany(),
	}
}

// chat returns the room of that id, and makes it if need be.
func (e *Engine) chat(id wire.RoomID) *chat {
	e.mu.Lock()
	c, found := e.rooms[id]
	if !found {
		c = e.newChat(id)
		e.rooms[id] = c
	}
	e.mu.Unlock()
	if !found {
		e.begin(func() { c.run(e.ctx) })
	}
	return c
}

// known returns the room that an interface names.
func (e *Engine) known(text string) (*chat, error) {
	id, err := parseID[wire.RoomID](text)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.rooms[id]; c != nil {
		return c, nil
	}
	return nil, &Problem{Code: ProblemNoRoom, Text: "You are not in that room.", Hint: "/rooms lists yours."}
}

func (e *Engine) chats() []*chat {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []*chat
	for _, c := range e.rooms {
		all = append(all, c)
	}
	return all
}

// poke makes run look again.
func (c *chat) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run does what there is to do, and sleeps until there is more.
func (c *chat) run(ctx context.Context) {
	timer := time.NewTimer(never)
	defer timer.Stop()
	failures := 0
	for {
		pause := never
		if s := c.e.live(); s != nil {
			var err error
			pause, err = c.step(ctx, s)
			if err != nil {
				failures++
				pause = c.after(err, failures)
			} else {
				failures = 0
			}
		}
		timer.Reset(pause)
		select {
		case <-c.wake:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

// after says when to try again what failed.
func (c *chat) after(err error, failures int) time.Duration {
	var refused *wire.Error
	switch {
	case errors.Is(err, errOffline), errors.Is(err, context.Canceled):
		return never // the next connection wakes it
	case errors.Is(err, wire.Refuse(wire.Stale)), errors.Is(err, errAgain):
		return spread(50 * time.Millisecond)
	case errors.As(err, &refused) && (refused.RetryAfter() > 0 || refused.Code.Hint() == wire.HintLater):
		return max(refused.RetryAfter(), 100*time.Millisecond) + spread(200*time.Millisecond)
	}
	c.e.log(LogWarn, "room", "room", c.id.String(), "error", err.Error())
	return idleRetry + backoff(min(failures, 6))
}

// errAgain ends a step that is to begin anew at once.
var errAgain = errors.New("client: again")

// live returns the connection if it is logged in.
func (e *Engine) live() *session {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.loggedIn {
		return nil
	}
	return e.session
}

// step does everything that can be done now, in the order that the rules
// want: what the log says first, then duties, wishes and messages. It returns
// when it wants to be called again.
func (c *chat) step(ctx context.Context, s *session) (time.Duration, error) {
	c.mu.Lock()
	if c.met != s {
		// A new connection: whatever was pushed before may have a hole after
		// it, and a turn to commit is gone.
		c.met, c.inbox, c.behind = s, nil, true
		c.newcomers, c.disowned, c.retireAt, c.routing.tries = newcomers{}, nil, time.Time{}, 0
		c.commit.reset()
	}
	c.mu.Unlock()
	if ready, err := c.reconcile(ctx, s); err != nil || !ready {
		return resetRetry, err
	}
	if err := c.takeWelcomes(ctx, s); err != nil {
		return 0, err
	}
	c.mu.Lock()
	inside, rec := c.state != nil, c.rec
	c.mu.Unlock()
	if rec.Stranded {
		return never, nil
	}
	if !inside {
		switch {
		case rec.Entering == enterNot || rec.Entering == enterMember || rec.Out != 0:
			return never, nil
		case rec.Entering == enterAsked:
			return never, c.stillAsked(ctx, s)
		}
		return c.enter(ctx, s)
	}
	if rec.Entering == enterFounder {
		if err := c.found(ctx, s); err != nil {
			return 0, err
		}
	}
	for _, do := range []func(context.Context, *session) error{c.follow, c.askAgain, c.checkRouting, c.renew, c.renewLinks, c.watchDoor} {
		if err := do(ctx, s); err != nil {
			return 0, err
		}
	}
	next := never
	for _, do := range []func(context.Context, *session) (time.Duration, error){c.disown, c.duties, c.bringIn, c.retire, c.pursue, c.meetMembers, c.flush, c.stand} {
		wait, err := do(ctx, s)
		if err != nil {
			return 0, err
		}
		next = min(next, wait)
	}
	return next, nil
}

// pushed takes an entry that the server pushes.
func (c *chat) pushed(entry wire.Entry) {
	c.mu.Lock()
	switch {
	case c.state == nil || c.behind:
		c.behind = true // it will be fetched
	case len(c.inbox) >= inboxMost:
		c.inbox, c.behind = nil, true
	default:
		c.inbox = append(c.inbox, entry)
	}
	c.mu.Unlock()
	c.poke()
}

// announced takes the server's word on the state of the room.
func (c *chat) announced(state wire.RoomState) {
	c.mu.Lock()
	c.behind = true
	c.rec.Kind = uint8(state.Kind)
	c.mu.Unlock()
	c.poke()
}

// notify wakes those who wait for a change and tells the interface. The caller
// holds mu.
func (c *chat) notifyLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
	view := c.viewLocked()
	c.e.out.tell(Event{Kind: EvRoom, Room: &view})
}

// viewLocked is what a list of rooms shows.
func (c *chat) viewLocked() Room {
	v := Room{
		ID: c.id.String(), Title: c.rec.Title, Topic: c.rec.Topic, Mode: c.rec.Mode, Role: c.rec.Role,
		Members: c.rec.Members, Unread: c.rec.Unread, Mentions: c.rec.Mentions, Last: c.rec.Last,
		Cursor: c.rec.Cursor, Read: c.rec.Read, Preview: c.rec.Preview, InvitedBy: c.rec.InvitedBy,
		Asking: c.askingLocked(), Signals: c.signalsLocked(), SignalsMode: settings[c.mates.kept.Setting],
	}
	v.Delivered, v.Seen, v.Present = c.reachLocked()
	if !c.rec.Peer.IsZero() {
		v.Peer = c.rec.Peer.String()
	}
	v.State = RoomJoining
	if c.state == nil && c.rec.Entering == enterMember {
		v.Blocked = BlockedOutside
	}
	if c.state != nil {
		switch c.state.State() {
		case room.StateWaiting:
			v.State = RoomWaiting
		case room.StateMember:
			v.State = RoomMember
		case room.StateFrozen, room.StateBroken:
			v.State = RoomFrozen
		case room.StateLeaving:
			v.State = RoomLeft
		case room.StateRemoved:
			v.State = RoomRemoved
		}
		v.Blocked = c.blocked()
	}
	switch {
	case c.healing.away != "":
		v.Blocked = c.healing.away
	case c.rec.Stranded:
		v.State = RoomFrozen
		v.Blocked = "The restored server's room goes on without changes that this device knows. Ask the others by another way who is in it; then go on with /trust room."
	case c.rec.Out == outRemoved:
		v.State, v.Blocked = RoomRemoved, "You were removed from this room."
	case c.rec.Out == outLeft || c.rec.Leaving:
		v.State, v.Blocked = RoomLeft, "You left this room."
	case c.rec.Out == outRefused:
		v.State, v.Blocked = RoomRefused, "You were not let in."
	case c.rec.Out == outLinkEnded:
		v.State, v.Blocked = RoomRefused, "The link that you asked by has ended. Ask for a new one."
	case c.rec.Entering == enterAsked && c.state == nil:
		v.State, v.Blocked = RoomAsking, "Waiting until an admin of this room lets you in."
	case c.rec.Invited && c.state != nil:
		v.State = RoomInvited
	}
	return v
}

// until waits for a condition on the room, which is asked with mu held.
func (c *chat) until(ctx context.Context, ready func() (bool, error)) error {
	for {
		c.mu.Lock()
		done, err := ready()
		changed := c.changed
		c.mu.Unlock()
		if done || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *chat) recordLocked() Put { return put(key(keyRoom, c.id[:]), c.rec) }
