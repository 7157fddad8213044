package client

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

const maxEntering = 10 // attempts to get in, when others are always faster

// stale is an offer that somebody seems to have committed after. If the server
// serves the same one again, with the log where it was then, what is in the log
// did not count.
type stale struct {
	offer   [32]byte // SHA-256 of the GroupInfo
	through uint64
}

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
		case (errors.Is(err, room.ErrStale) || errors.Is(err, room.ErrGap)) && attempt < maxEntering:
			continue // the offer is older than what may be read of the log
		case errors.As(err, &refused) && (refused.Code == wire.Stale || refused.Code == wire.Conflict) && attempt < maxEntering:
			continue
		case refused != nil && refused.Code.Hint() == wire.HintNever:
			c.stayOut(refusal(refused))
		case errors.Is(err, errBanned):
			c.stayOut(errBanned)
		case errors.Is(err, errOtherRoom):
			c.stayOut(errOtherRoom)
		}
		return 0, err
	}
}

// errBanned says that the room's own rules keep this user out.
var errBanned = &Problem{Code: wire.Banned.String(), Text: "You are banned from this room.", Hint: "Its admins can lift that."}

// errOtherRoom gives up a link whose offer is not what the link says. An open
// room is tried again: a member can have put a bad offer there, and the others
// mend it.
var errOtherRoom = &Problem{
	Code: ProblemUntrusted, Text: "What the server shows for this link is not the room that the link names.",
	Hint: "Ask whoever sent it whether they did; if they did, do not trust the server.",
}

// stayOut gives up getting in, and says why.
func (c *chat) stayOut(why *Problem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trouble, c.rec.Entering = why, enterNot
	c.notifyLocked()
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
		if err := c.enterByLink(ctx, s, self, rec); !errors.Is(err, room.ErrOffer) {
			return err
		}
		return errOtherRoom
	}
	var seen wire.WatchOK
	if err := s.call(ctx, wire.Key{}, wire.Watch{Rooms: []wire.RoomID{c.id}, Presence: true}, &seen); err != nil {
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

// awaitTurn waits for the turn to commit, or for long enough, and reports
// whether it had to wait at all.
func (c *chat) awaitTurn(ctx context.Context, s *session, link *wire.Link) (waited bool) {
	var answer wire.TurnOK
	err := s.call(ctx, wire.Key{}, wire.Turn{Room: c.id, Link: link}, &answer)
	if err != nil || answer.Granted {
		return false
	}
	timer := time.NewTimer(turnWait)
	defer timer.Stop()
	for {
		c.mu.Lock()
		granted := c.commit.granted
		c.mu.Unlock()
		if granted {
			return true
		}
		select {
		case <-c.wake:
		case <-timer.C:
			return true
		case <-s.done:
			return true
		case <-ctx.Done():
			return true
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
	c.mu.Lock()
	if sum := sha256.Sum256(offer.GroupInfo); c.stale.offer == sum {
		offer.Through = c.stale.through
	} else {
		c.stale = stale{offer: sum}
	}
	c.mu.Unlock()
	state, _, err := room.JoinExternal(self, offer)
	if errors.Is(err, room.ErrNotAllowed) {
		return errBanned
	}
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
	if errors.Is(err, room.ErrStale) {
		c.mu.Lock()
		c.stale.through, _ = state.Position()
		c.mu.Unlock()
	}
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
	c.joinedLogs()
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

// startOver comes in by a new offer, where somebody has changed the room since
// the last one was made.
func (c *chat) startOver(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rec.Entering = enterOpen
	if len(c.rec.Secret) == 32 {
		c.rec.Entering = enterLink
	}
	if err := c.e.save(ctx, c.recordLocked()); err != nil {
		return err
	}
	c.discardLocked(ctx)
	return errAgain
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
	position, _ := c.state.Position()
	result, err := c.state.Resync(offer)
	if err == nil {
		b := c.newBatch()
		if err = c.digest(ctx, b, wire.Entry{Seq: position + 1}, result); err == nil {
			err = b.commitLocked(ctx)
		}
		if err == nil {
			b.finish()
		}
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
	if err := c.digest(ctx, b, wire.Entry{Seq: position + 1}, result); err != nil {
		return err
	}
	if result.Resync {
		c.behind = true
	}
	if err := b.commitLocked(ctx); err != nil {
		return err
	}
	b.finish()
	c.poke()
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

// inside waits until this device is in the room, or has asked to be let in.
func (c *chat) inside(ctx context.Context) (*Room, error) {
	var view Room
	err := c.until(ctx, func() (bool, error) {
		view = c.viewLocked()
		in := c.state != nil && c.state.State() != room.StateJoining
		return in || c.rec.Entering == enterAsked, c.trouble
	})
	return &view, err
}
