package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

const maxEntering = 10 // attempts to get in, when others are always faster

// self is what the rooms know this device by.
func (e *Engine) self() (room.Self, error) {
	e.mu.Lock()
	a := e.account
	e.mu.Unlock()
	if len(a.Certificate) == 0 {
		return room.Self{}, errNoAccount
	}
	return a.self()
}

// enter gets this device into an open room, or one whose link it has. It
// begins anew as long as others change the room in the meantime.
func (c *chat) enter(ctx context.Context, s *session) (time.Duration, error) {
	progress := c.e.progress("Entering the room")
	defer progress()
	for attempt := 0; ; attempt++ {
		err := c.enterOnce(ctx, s)
		var refused *wire.Error
		switch {
		case err == nil:
			c.poke()
			return 0, nil
		case errors.Is(err, room.ErrStale) && attempt < maxEntering:
			continue
		case errors.As(err, &refused) && (refused.Code == wire.Stale || refused.Code == wire.Conflict) && attempt < maxEntering:
			continue
		case refused != nil && refused.Code.Hint() == wire.HintNever:
			c.mu.Lock()
			c.trouble, c.rec.Entering = refusal(refused), enterNot
			c.notifyLocked()
			c.mu.Unlock()
		}
		return 0, err
	}
}

func (c *chat) enterOnce(ctx context.Context, s *session) error {
	self, err := c.e.self()
	if err != nil {
		return err
	}
	c.mu.Lock()
	rec := c.rec
	c.mu.Unlock()
	if rec.Entering == enterLink {
		return c.enterByLink(ctx, s, self, rec)
	}
	var seen wire.WatchOK
	if err := s.call(ctx, wire.Key{}, wire.Watch{Rooms: []wire.RoomID{c.id}}, &seen); err != nil {
		return err
	}
	if len(seen.Rooms) != 1 || seen.Rooms[0].Room != c.id {
		return wire.Refuse(wire.NotFound)
	}
	if !seen.Rooms[0].Founded {
		return c.foundOpen(ctx, s, self)
	}
	c.awaitTurn(ctx, s, nil)
	offer, err := c.offer(ctx, s)
	if err != nil {
		return err
	}
	return c.joinExternally(ctx, s, self, offer, nil)
}

// awaitTurn waits for the turn to commit, or for long enough.
func (c *chat) awaitTurn(ctx context.Context, s *session, link *wire.Link) {
	var answer wire.TurnOK
	err := s.call(ctx, wire.Key{}, wire.Turn{Room: c.id, Link: link}, &answer)
	if err != nil || answer.Granted {
		return
	}
	timer := time.NewTimer(turnWait)
	defer timer.Stop()
	for {
		c.mu.Lock()
		granted := c.commit.granted
		c.mu.Unlock()
		if granted {
			return
		}
		select {
		case <-c.wake:
		case <-timer.C:
			return
		case <-s.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// offer fetches what strangers join an open room by.
func (c *chat) offer(ctx context.Context, s *session) (room.Offer, error) {
	var info wire.GroupInfo
	if err := s.call(ctx, wire.Key{}, wire.GetGroupInfo{Room: c.id}, &info); err != nil {
		return room.Offer{}, err
	}
	tree, err := whole(ctx, s, c.id, info.Tree, nil)
	return room.Offer{Group: identity.GroupID(c.id), GroupInfo: info.GroupInfo, Tree: tree}, err
}

// joinExternally examines what the log has after the offer, then appends the
// commit by which this device adds itself.
func (c *chat) joinExternally(ctx context.Context, s *session, self room.Self, offer room.Offer, link *wire.Link) error {
	state, _, err := room.JoinExternal(self, offer)
	if err != nil {
		return fmt.Errorf("client: enter: %w", err)
	}
	for {
		position, _ := state.Position()
		var page wire.SyncOK
		if err := s.call(ctx, wire.Key{}, wire.Sync{Room: c.id, After: position, Link: link}, &page); err != nil {
			return err
		}
		entries, err := c.decode(ctx, s, page.Entries)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if _, err := state.Examine(asEntry(entry), false); err != nil && !errors.Is(err, room.ErrOld) {
				return err
			}
		}
		if !page.More || len(entries) == 0 {
			break
		}
	}
	made, err := state.Enter()
	if err != nil {
		return fmt.Errorf("client: enter: %w", err)
	}
	if err := c.install(ctx, state, state.Records()); err != nil {
		return err
	}
	request, err := c.handshakeRequest(ctx, s, made)
	if err == nil {
		var once wire.Key
		rand.Read(once[:])
		err = s.call(ctx, once, request, nil)
	}
	var refused *wire.Error
	if errors.As(err, &refused) {
		c.mu.Lock()
		c.discardLocked(ctx)
		c.mu.Unlock()
	}
	return err
}

// install makes a state machine the room's, and keeps it.
func (c *chat) install(ctx context.Context, state *room.Room, records []room.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.installLocked(ctx, state, records)
}

func (c *chat) installLocked(ctx context.Context, state *room.Room, records []room.Record) error {
	b := c.newBatch()
	old, err := c.e.cfg.Storage.Load(ctx, Range{Prefix: key(keyState, c.id[:])})
	if err != nil {
		return err
	}
	for _, p := range old {
		b.add(drop(p.Key))
	}
	c.keepRecords(b, records)
	c.state, c.behind, c.inbox, c.trouble = state, true, nil, nil
	c.rec.Out, c.rec.Leaving = 0, false
	c.refresh(b)
	if err := b.commitLocked(ctx); err != nil {
		return err
	}
	c.notifyLocked()
	return nil
}

// discardLocked forgets a state machine that did not get in.
func (c *chat) discardLocked(ctx context.Context) {
	pairs, err := c.e.cfg.Storage.Load(ctx, Range{Prefix: key(keyState, c.id[:])})
	if err != nil {
		c.e.fail(err)
		return
	}
	var batch []Put
	for _, p := range pairs {
		batch = append(batch, drop(p.Key))
	}
	if c.e.save(ctx, batch...) == nil {
		c.state = nil
	}
}

// foundOpen makes the group of an open room that nobody has entered yet.
func (c *chat) foundOpen(ctx context.Context, s *session, self room.Self) error {
	state, made, err := room.Create(self, room.Spec{Group: identity.GroupID(c.id), Mode: room.ModeOpen, Title: c.title(s)})
	if err != nil {
		return err
	}
	tree, err := part(ctx, s, c.id, made.Tree)
	if err != nil {
		return err
	}
	if err := c.install(ctx, state, made.Records); err != nil {
		return err
	}
	err = s.call(ctx, wire.Key{}, wire.CreateRoom{Room: c.id, Kind: wire.RoomOpen, GroupInfo: made.GroupInfo, Tree: tree}, nil)
	var refused *wire.Error
	if errors.As(err, &refused) {
		c.mu.Lock()
		c.discardLocked(ctx)
		c.mu.Unlock()
		return err
	}
	if err != nil {
		return err
	}
	return c.settle(ctx)
}

func (c *chat) title(s *session) string {
	if s.hello.Lounge == c.id {
		return "Lounge"
	}
	return "Open room"
}

// settle notes that this device is in.
func (c *chat) settle(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rec.Entering = enterNot
	if err := c.e.save(ctx, c.recordLocked()); err != nil {
		return err
	}
	c.notifyLocked()
	return nil
}

// found tells the server of a room that was made here; again, if its answer
// was lost.
func (c *chat) found(ctx context.Context, s *session) error {
	c.mu.Lock()
	kind, peer := wire.RoomKind(c.rec.Kind), c.rec.Peer
	c.mu.Unlock()
	request := wire.CreateRoom{Room: c.id, Kind: kind}
	if kind == wire.RoomDirect {
		request.Peer = &peer
	}
	err := s.call(ctx, wire.Key{}, request, nil)
	var refused *wire.Error
	if errors.As(err, &refused) && refused.Code.Hint() == wire.HintNever {
		c.mu.Lock()
		if c.rec.Entering == enterFounder {
			c.trouble, c.rec.Entering = refusal(refused), enterNot
			c.discardLocked(ctx)
			c.notifyLocked()
		}
		c.mu.Unlock()
		return errAgain
	}
	if err != nil {
		return err
	}
	return c.settle(ctx)
}

// resync replaces this device's own place in an open room that it can no
// longer follow.
func (c *chat) resync(ctx context.Context, s *session) error {
	c.awaitTurn(ctx, s, nil)
	offer, err := c.offer(ctx, s)
	if err != nil {
		return err
	}
	c.mu.Lock()
	if c.state == nil {
		c.mu.Unlock()
		return nil
	}
	records, err := c.state.Resync(offer)
	if err == nil {
		b := c.newBatch()
		c.keepRecords(b, records)
		err = b.commitLocked(ctx)
	}
	c.behind = true
	c.mu.Unlock()
	return err // the commit itself is the next duty, once the log was followed
}

// verifyOffer settles a doubt by what the server shows to strangers now: a
// device that came in by an old offer comes in again.
func (c *chat) verifyOffer(ctx context.Context, s *session) error {
	c.mu.Lock()
	rec := c.rec
	c.mu.Unlock()
	offer, err := c.offer(ctx, s)
	if len(rec.Secret) == 32 {
		offer, _, err = c.linkOffer(ctx, s, identity.LinkSecret(rec.Secret), rec.Inviter)
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		return nil
	}
	position, _ := c.state.Position()
	result, err := c.state.Verify(offer)
	if err != nil {
		return err
	}
	b := c.newBatch()
	var finished []func()
	if err := c.digest(ctx, b, wire.Entry{Seq: position + 1}, result, &finished); err != nil {
		return err
	}
	if result.Resync {
		c.behind = true
	}
	if err := b.commitLocked(ctx); err != nil {
		return err
	}
	for _, f := range finished {
		f()
	}
	c.poke()
	return nil
}

// takeWelcomes joins by, or heals with, what others have left for this device.
func (c *chat) takeWelcomes(ctx context.Context, s *session) error {
	for {
		c.mu.Lock()
		if len(c.welcomes) == 0 {
			c.mu.Unlock()
			return nil
		}
		w := c.welcomes[0]
		c.mu.Unlock()
		if err := c.takeWelcome(ctx, s, w); err != nil {
			return err
		}
		if err := s.call(ctx, wire.Key{}, wire.AckWelcomes{IDs: []uint64{w.ID}}, nil); err != nil {
			return err
		}
		c.mu.Lock()
		c.welcomes = c.welcomes[1:]
		c.mu.Unlock()
	}
}

// takeWelcome returns an error only for what may go better later.
func (c *chat) takeWelcome(ctx context.Context, s *session, w wire.Welcome) error {
	self, err := c.e.self()
	if err != nil {
		return err
	}
	in := room.Welcome{Data: w.Data}
	if w.Tree != nil {
		if in.Tree, err = getBlob(ctx, s, c.id, *w.Tree, nil); err != nil {
			return err
		}
	}
	keys, err := c.e.packages(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	state := c.state
	// A room that was made here and that the server does not know yet gives
	// way: in a direct chat the other one was faster.
	fresh := state == nil || c.rec.Entering == enterFounder
	c.mu.Unlock()
	var result *room.Result
	if !fresh {
		c.mu.Lock()
		result, err = c.state.Rejoin(in, keys)
		c.mu.Unlock()
	} else {
		state, result, err = room.JoinWelcome(self, in, keys)
	}
	if errors.Is(err, room.ErrEarly) {
		return c.early(ctx, s, w)
	}
	if err != nil {
		if !errors.Is(err, room.ErrUnwanted) {
			c.e.log(LogWarn, "welcome", "room", c.id.String(), "error", err.Error())
		}
		return nil
	}
	return c.welcomed(ctx, state, w, result, fresh)
}

// early follows the log first, for a Welcome whose place was not reached yet.
func (c *chat) early(ctx context.Context, s *session, w wire.Welcome) error {
	if err := c.follow(ctx, s); err != nil {
		return err
	}
	c.mu.Lock()
	position := uint64(0)
	if c.state != nil {
		position, _ = c.state.Position()
	}
	c.mu.Unlock()
	if position < w.Seq {
		return nil // the log ends before it: it is for another history
	}
	return errAgain
}

// welcomed keeps the state that a Welcome brought.
func (c *chat) welcomed(ctx context.Context, state *room.Room, w wire.Welcome, result *room.Result, fresh bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.newBatch()
	if fresh {
		old, err := c.e.cfg.Storage.Load(ctx, Range{Prefix: key(keyState, c.id[:])})
		if err != nil {
			return err
		}
		for _, p := range old {
			b.add(drop(p.Key))
		}
		c.state = state
		c.rec.Out, c.rec.Leaving, c.rec.Entering = 0, false, enterNot
		me, by := c.e.me(), w.From.User
		c.rec.Invited = by != me
		c.keepRecords(b, state.Records())
	}
	c.behind, c.inbox, c.trouble = true, nil, nil
	var finished []func()
	if err := c.digest(ctx, b, wire.Entry{Seq: w.Seq}, result, &finished); err != nil {
		return err
	}
	c.refresh(b)
	if fresh && c.rec.Invited {
		c.rec.InvitedBy = c.e.nameOf(w.From.User)
	}
	if err := b.commitLocked(ctx); err != nil {
		return err
	}
	c.notifyLocked()
	for _, f := range finished {
		f()
	}
	return nil
}

func (e *Engine) me() wire.UserID {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.account.user()
}

// nameOf is the signed name of a user that this device has met.
func (e *Engine) nameOf(user wire.UserID) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known := e.peers[user]; known != nil {
		return known.Name
	}
	return ""
}

// join enters a room, and waits until this device is in.
func (e *Engine) join(ctx context.Context, r Request) (*Room, error) {
	s, err := e.online(ctx)
	if err != nil {
		return nil, err
	}
	if r.Link != "" {
		return e.joinLink(ctx, s, r.Link)
	}
	id := s.hello.Lounge
	if r.Room != "" {
		if id, err = parseID[wire.RoomID](r.Room); err != nil {
			return nil, err
		}
	}
	return e.joinOpen(ctx, id)
}

func (e *Engine) joinOpen(ctx context.Context, id wire.RoomID) (*Room, error) {
	c := e.chat(id)
	c.mu.Lock()
	if c.state == nil || c.rec.Out != 0 {
		c.rec.Entering, c.rec.Out, c.rec.Leaving, c.trouble = enterOpen, 0, false, nil
		c.rec.Kind, c.rec.Mode = uint8(wire.RoomOpen), ModeOpen
		if err := e.save(ctx, c.recordLocked()); err != nil {
			c.mu.Unlock()
			return nil, err
		}
	}
	c.mu.Unlock()
	c.poke()
	return c.inside(ctx)
}

// inside waits until this device is in the room.
func (c *chat) inside(ctx context.Context) (*Room, error) {
	var view Room
	err := c.until(ctx, func() (bool, error) {
		view = c.viewLocked()
		return c.state != nil && c.state.State() != room.StateJoining, c.trouble
	})
	return &view, err
}

// create makes a room of this device's own.
func (e *Engine) create(ctx context.Context, r Request) (*Room, error) {
	var id wire.RoomID
	rand.Read(id[:])
	spec := room.Spec{Group: identity.GroupID(id), Mode: room.ModeInvite, Title: r.Text, Topic: r.Topic}
	switch r.Mode {
	case "", ModeInvite:
	case ModeLink:
		spec.Mode = room.ModeLink
	default:
		return nil, &Problem{Code: ProblemUsage, Text: "A new room is for invited people, or for those with a link."}
	}
	if r.Text == "" || len(r.Text) > 200 {
		return nil, &Problem{Code: ProblemUsage, Text: "A room needs a name of at most 200 bytes."}
	}
	return e.make(ctx, spec, chatRecord{Kind: uint8(wire.RoomInvite), Entering: enterFounder})
}

// make founds a room here; the server is told by the room's own goroutine.
func (e *Engine) make(ctx context.Context, spec room.Spec, rec chatRecord) (*Room, error) {
	self, err := e.self()
	if err != nil {
		return nil, err
	}
	state, made, err := room.Create(self, spec)
	if err != nil {
		return nil, err
	}
	c := e.chat(wire.RoomID(spec.Group))
	var view Room
	c.mu.Lock()
	if c.state != nil {
		// A Welcome was faster; that room is the one.
		view = c.viewLocked()
		c.mu.Unlock()
		return &view, nil
	}
	c.rec, c.trouble = rec, nil
	err = c.installLocked(ctx, state, made.Records)
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	c.poke()
	err = c.until(ctx, func() (bool, error) {
		view = c.viewLocked()
		return c.rec.Entering == enterNot, c.trouble
	})
	return &view, err
}
