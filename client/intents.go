package client

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// intention is something that this device wants of the room, kept until a
// commit has brought it about. A commit that loses a race is built again from
// its intentions, not from its bytes.
type intention struct {
	room.Intent
	n    uint64
	once sync.Once
	done chan error // nil for those that nobody waits for, or loaded from disk
}

func (w *intention) key(id wire.RoomID) []byte { return key(keyIntent, id[:], number(w.n)) }

func (w *intention) finish(err error) {
	w.once.Do(func() {
		if w.done != nil {
			w.done <- err
		}
	})
}

const (
	maxIntents = 100
	turnWait   = 8 * time.Second // for a turn before going on without
)

// commitState is how far the room's one commit under way is.
type commitState struct {
	session *session
	sent    room.MessageID // appended, not seen in the log; zero: none
	carries []*intention   // what it would bring about
	request *wire.Append   // as it was sent
	once    wire.Key       // under this key
	again   bool           // there is a new connection, and no word of it
	asked   time.Time      // when the turn was asked for
	granted bool
}

func (s *commitState) reset() { s.asked, s.granted = time.Time{}, false }

// voided forgets a commit that another one came before.
func (s *commitState) voided() {
	s.sent, s.carries, s.request, s.again = room.MessageID{}, nil, nil, false
	s.reset()
}

// intend keeps a wish and starts on it.
func (c *chat) intend(intent room.Intent) (*intention, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		return nil, errOut
	}
	if len(c.intents) >= maxIntents {
		return nil, &Problem{Code: wire.Limited.String(), Text: "Too many changes of this room wait already."}
	}
	c.rec.NextOut++
	w := &intention{Intent: intent, n: c.rec.NextOut, done: make(chan error, 1)}
	b := c.newBatch()
	b.add(Put{Key: w.key(c.id), Value: intent.Encode()})
	if err := b.commitLocked(c.e.ctx); err != nil {
		return nil, err
	}
	c.intents = append(c.intents, w)
	c.poke()
	return w, nil
}

// achieve keeps a wish and waits until it has come about or cannot.
func (c *chat) achieve(ctx context.Context, intent room.Intent) error {
	w, err := c.intend(intent)
	if err != nil {
		return err
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pursue commits what this device wants, if anything is left to want.
func (c *chat) pursue(ctx context.Context, s *session) (time.Duration, error) {
	c.mu.Lock()
	want := slices.Clone(c.intents)
	busy := c.commit.sent != room.MessageID{}
	able := c.state != nil && (c.state.State() == room.StateMember || c.state.State() == room.StateWaiting)
	c.mu.Unlock()
	if len(want) == 0 || busy || !able {
		return never, nil
	}
	if wait, ok, err := c.turn(ctx, s); err != nil || !ok {
		return wait, err
	}
	return never, c.commitNow(ctx, s, want)
}

// turn asks for the room's turn to commit, and reports whether to go on. Turns
// are advice: whoever got none for long enough goes on without.
func (c *chat) turn(ctx context.Context, s *session) (time.Duration, bool, error) {
	c.mu.Lock()
	granted, asked := c.commit.granted, c.commit.asked
	c.mu.Unlock()
	if granted {
		return 0, true, nil
	}
	if !asked.IsZero() {
		left := turnWait - time.Since(asked)
		return max(left, 0), left <= 0, nil
	}
	var answer wire.TurnOK
	if err := s.call(ctx, wire.Key{}, wire.Turn{Room: c.id}, &answer); err != nil {
		var refused *wire.Error
		if errors.As(err, &refused) && refused.Code != wire.Limited {
			return 0, true, nil // no turns here: try
		}
		return 0, false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commit.asked, c.commit.granted = time.Now(), c.commit.granted || answer.Granted
	return turnWait, c.commit.granted, nil
}

// turnGranted takes the server's word that it is this device's turn.
func (c *chat) turnGranted() {
	c.mu.Lock()
	c.commit.granted = true
	c.mu.Unlock()
	c.poke()
}

// commitNow builds one commit of the wishes and of what others' statements
// ask for, and appends it. Nothing changes here until it is back from the log.
func (c *chat) commitNow(ctx context.Context, s *session, want []*intention) error {
	c.mu.Lock()
	if c.state == nil || c.commit.sent != (room.MessageID{}) {
		c.mu.Unlock()
		return nil
	}
	made, want, err := c.build(ctx, want)
	if err == nil && made != nil {
		b := c.newBatch()
		c.keepRecords(b, made.Records)
		if err = b.commitLocked(ctx); err == nil {
			c.commit.sent, c.commit.carries, c.commit.session = made.ID, want, s
		}
	}
	c.mu.Unlock()
	if err != nil || made == nil {
		c.giveTurnBack(ctx, s)
		return err
	}
	return c.appendHandshake(ctx, s, made)
}

// build makes the commit, without the wishes that cannot or need not be.
func (c *chat) build(ctx context.Context, want []*intention) (*room.Append, []*intention, error) {
	for {
		intents := make([]room.Intent, len(want))
		for i, w := range want {
			intents[i] = w.Intent
		}
		made, err := c.state.Commit(intents, time.Now())
		var refused *room.IntentError
		switch {
		case errors.Is(err, room.ErrNothing):
			return nil, nil, c.forget(ctx, want, nil)
		case errors.As(err, &refused) && refused.Index < len(want):
			if want, err = c.forbid(ctx, want, refused.Index, refused.Err); err != nil || len(want) == 0 {
				return nil, nil, err
			}
			continue
		case errors.Is(err, room.ErrNotAllowed) && len(want) > 1:
			want = want[:1] // one of them is not allowed: find out which
			continue
		case errors.Is(err, room.ErrNotAllowed) && len(want) == 1:
			_, err := c.forbid(ctx, want, 0, err)
			return nil, nil, err
		}
		return made, want, err
	}
}

// forbid drops the wish that the rules do not allow, and returns the others.
func (c *chat) forbid(ctx context.Context, want []*intention, i int, reason error) ([]*intention, error) {
	why := &Problem{Code: ProblemRefused, Text: "The rules of this room do not let you do that.", Hint: "An admin or the owner can."}
	if errors.Is(reason, room.ErrUnsettled) {
		why.Text = "A change of this room was taken back, and not everybody was heard about it yet: nobody can be brought in so long."
		why.Hint = "Try again when somebody else has written here."
	}
	if err := c.forget(ctx, want[i:i+1], why); err != nil {
		return nil, err
	}
	c.poke()
	return slices.Delete(slices.Clone(want), i, i+1), nil
}

// forget drops wishes, whose askers are told how it went.
func (c *chat) forget(ctx context.Context, want []*intention, why error) error {
	if len(want) == 0 {
		return nil
	}
	b := c.newBatch()
	for _, w := range want {
		b.add(drop(w.key(c.id)))
		c.intents = slices.DeleteFunc(c.intents, func(have *intention) bool { return have == w })
	}
	if err := b.commitLocked(ctx); err != nil {
		return err
	}
	for _, w := range want {
		w.finish(why)
	}
	return nil
}

// landed takes an own commit that came back from the log.
func (c *chat) landed(b *batch, result *room.Result) {
	if result.Own != c.commit.sent || result.Verdict != room.VerdictApplied {
		if result.Own == c.commit.sent {
			c.commit.voided()
		}
		return
	}
	for _, w := range c.commit.carries {
		b.add(drop(w.key(c.id)))
		c.intents = slices.DeleteFunc(c.intents, func(have *intention) bool { return have == w })
		b.finishes(w, nil)
	}
	c.commit.voided()
}

// appendHandshake sends a commit or a statement.
func (c *chat) appendHandshake(ctx context.Context, s *session, made *room.Append) error {
	request, err := c.handshakeRequest(ctx, s, made)
	if err != nil {
		return err
	}
	var once wire.Key
	rand.Read(once[:])
	c.mu.Lock()
	if c.commit.sent == made.ID {
		c.commit.request, c.commit.once = &request, once
	}
	c.mu.Unlock()
	return c.sendHandshake(ctx, s, request, once)
}

func (c *chat) sendHandshake(ctx context.Context, s *session, request wire.Append, once wire.Key) error {
	err := s.call(ctx, once, request, nil)
	if err == nil {
		return nil
	}
	var refused *wire.Error
	if errors.Is(err, errOffline) || !errors.As(err, &refused) {
		return err // it may be in the log: the next connection finds out
	}
	c.mu.Lock()
	if c.commit.again && refused.Code == wire.Busy {
		c.mu.Unlock()
		return err // the server is still at the first one
	}
	c.commit.voided()
	c.behind = true
	c.mu.Unlock()
	if refused.Code != wire.Stale {
		return err
	}
	if err := c.lost(ctx); err != nil {
		return err
	}
	return errAgain
}

// askAgain sends the commit whose answer an earlier connection took with it,
// under the key that it had: it may be in the log by now, or be on its way there
// still. Another commit in its place could come second, and this device could
// then not go along with its own first one.
func (c *chat) askAgain(ctx context.Context, s *session) error {
	c.mu.Lock()
	request, once := c.commit.request, c.commit.once
	if c.commit.sent == (room.MessageID{}) || request == nil || !c.commit.again {
		c.mu.Unlock()
		return nil
	}
	c.mu.Unlock()
	err := c.sendHandshake(ctx, s, *request, once)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commit.again = err != nil && c.commit.request == request
	return err
}

// lost counts an append that was refused because somebody else's came first,
// and raises the alarm if that goes on and on.
func (c *chat) lost(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.behind = true
	if c.state == nil {
		return nil
	}
	alarms, records := c.state.Lost(time.Now())
	b := c.newBatch()
	c.keepRecords(b, records)
	seq, _ := c.state.Position()
	for _, alarm := range alarms {
		c.alarm(b, alarm, seq, uint64(128+c.alarms%100), time.Now().UnixMilli())
		c.alarms++
	}
	return b.commitLocked(ctx)
}

// handshakeRequest puts what the state machine made into the server's terms.
func (c *chat) handshakeRequest(ctx context.Context, s *session, made *room.Append) (wire.Append, error) {
	request := wire.Append{
		Room: c.id, Kind: wire.EntryKind(made.Kind), Examined: made.Examined, Message: wire.MessageID(made.ID),
		Payload: made.Payload, Body: made.Body, GroupInfo: made.GroupInfo,
	}
	if len(made.Payload) > s.inline() {
		hash, err := putBlob(ctx, s, c.id, made.Payload)
		if err != nil {
			return request, err
		}
		request.Payload, request.PayloadBlob = nil, &hash
	}
	var err error
	if len(made.Tree) > 0 {
		if request.Tree, err = part(ctx, s, c.id, made.Tree); err != nil {
			return request, err
		}
	}
	for _, r := range made.Add {
		request.Add = append(request.Add, route(r))
	}
	for _, r := range made.Remove {
		request.Remove = append(request.Remove, route(r))
	}
	for _, w := range made.Welcomes {
		request.Welcomes = append(request.Welcomes, wire.WelcomePiece{Device: wire.DeviceID(w.Device), Data: w.Data})
	}
	for _, l := range made.Links {
		info := wire.LinkInfo{Link: l.ID, GroupInfo: l.GroupInfo}
		if info.Tree, err = part(ctx, s, c.id, l.Tree); err != nil {
			return request, err
		}
		request.Links = append(request.Links, info)
	}
	if made.Link != nil {
		request.Link = &wire.Link{ID: made.Link.ID, Token: made.Link.Token}
	}
	return request, nil
}

func route(r room.Route) wire.Route {
	return wire.Route{User: wire.UserID(r.User), Device: wire.DeviceID(r.Device)}
}

// giveTurnBack lets the next device have the turn that is not needed.
func (c *chat) giveTurnBack(ctx context.Context, s *session) {
	c.mu.Lock()
	had := c.commit.granted
	c.commit.reset()
	c.mu.Unlock()
	if had {
		if err := s.call(ctx, wire.Key{}, wire.ReleaseTurn{Room: c.id}, nil); err != nil {
			c.e.log(LogDebug, "turn", "error", err.Error())
		}
	}
}
