package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

const (
	maxOutbox = 1000         // messages of one room that wait
	maxText   = room.MaxText // bytes of one message
)

// outRecord is a message that is not in the log yet. It is on disk before it
// is shown, and what was sealed is on disk before it leaves: a retry sends the
// same bytes under the same idempotency key, or finds the message in the log.
type outRecord struct {
	_          struct{} `cbor:",toarray"`
	ID         room.MessageID
	Key        wire.Key // idempotency
	Kind       uint8
	Text       string
	Mentions   []identity.UserID
	Target     room.MessageID
	TargetHash room.Hash
	Time       int64
	Failed     string // why it will not be sent by itself
	Sealed     bool
	Examined   uint64
	Payload    []byte
	Body       []byte
}

// outgoing is one in memory.
type outgoing struct {
	outRecord
	n        uint64   // its place in the outbox
	accepted bool     // the server has it; its entry is on the way
	session  *session // on which it was accepted
}

func (o *outgoing) key(id wire.RoomID) []byte { return key(keyOutbox, id[:], number(o.n)) }

func (o *outgoing) draft() room.Draft {
	return room.Draft{ID: o.ID, Kind: room.ItemKind(o.Kind), Text: o.Text, Mentions: o.Mentions, Target: o.Target, TargetHash: o.TargetHash}
}

// compose puts a message into the outbox and returns what to show.
func (c *chat) compose(ctx context.Context, r Request, kind room.ItemKind) (*Item, error) {
	if len(r.Text) > maxText {
		return nil, &Problem{Code: wire.TooLarge.String(), Text: fmt.Sprintf("That is too long: %d bytes of %d.", len(r.Text), maxText), Hint: "Send it in parts."}
	}
	o := &outgoing{outRecord: outRecord{Kind: uint8(kind), Text: r.Text, Time: time.Now().UnixMilli()}}
	rand.Read(o.ID[:])
	rand.Read(o.Key[:])
	if r.Key != "" {
		id, err := parseID[room.MessageID](r.Key)
		if err != nil {
			return nil, err
		}
		o.ID = id
	}
	for _, text := range r.Mentions {
		user, err := parseUser(text)
		if err != nil {
			return nil, err
		}
		o.Mentions = append(o.Mentions, identity.UserID(user))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rec.Out != 0 {
		return nil, errOut
	}
	if len(c.out) >= maxOutbox {
		return nil, &Problem{Code: wire.Limited.String(), Text: "Too many messages wait already.", Hint: "Wait until the connection is back."}
	}
	if again, err := c.again(ctx, o.ID); again != nil || err != nil {
		return again, err
	}
	b := c.newBatch()
	if r.Message != "" {
		if err := c.aim(ctx, b, o, r.Message); err != nil {
			return nil, err
		}
	}
	if o.shown() && len(o.Mentions) == 0 && c.state != nil {
		if info := c.state.Info(); info != nil {
			o.Mentions = mentionsIn(o.Text, info.Members)
		}
	}
	c.rec.NextOut++
	o.n = c.rec.NextOut
	b.add(put(o.key(c.id), o.outRecord))
	view := c.pendingView(o)
	if o.shown() {
		b.tell(Event{Kind: EvItem, Item: &view})
	}
	if err := b.commitLocked(ctx); err != nil {
		return nil, err
	}
	c.out = append(c.out, o)
	c.poke()
	return &view, nil
}

// shown reports whether it is a line of its own while it waits.
func (o *outgoing) shown() bool {
	return room.ItemKind(o.Kind) == room.ItemText || room.ItemKind(o.Kind) == room.ItemReply
}

// again finds a message that was composed before under the same id.
func (c *chat) again(ctx context.Context, id room.MessageID) (*Item, error) {
	for _, o := range c.out {
		if o.ID == id {
			view := c.pendingView(o)
			return &view, nil
		}
	}
	item, cursor, found, err := c.byID(ctx, c.newBatch(), id)
	if err != nil || !found {
		return nil, err
	}
	view := c.view(item, cursor)
	return &view, nil
}

// aim points a message at the one that it answers or changes.
func (c *chat) aim(ctx context.Context, b *batch, o *outgoing, at string) error {
	id, err := parseID[room.MessageID](at)
	if err != nil {
		return err
	}
	target, _, found, err := c.byID(ctx, b, id)
	if err != nil {
		return err
	}
	if !found || target.Kind != ItemText || target.Deleted {
		return &Problem{Code: ProblemGone, Text: "That message is not here, or not sent yet."}
	}
	if room.ItemKind(o.Kind) == room.ItemEdit && !target.Own {
		return &Problem{Code: ProblemRefused, Text: "Only who wrote a message can change it."}
	}
	o.Target, o.TargetHash = id, target.Hash
	return nil
}

// pendingView is what an interface sees of a message that waits.
func (c *chat) pendingView(o *outgoing) Item {
	e := c.e
	e.mu.Lock()
	user, name := e.account.user(), e.account.name()
	e.mu.Unlock()
	v := Item{
		Room: c.id.String(), ID: hex.EncodeToString(o.ID[:]), Kind: ItemText, Sender: user.String(), Name: name,
		Own: true, Text: o.Text, Time: o.Time, State: StateWaiting,
	}
	if o.Target != (room.MessageID{}) {
		v.ReplyTo = hex.EncodeToString(o.Target[:])
	}
	if o.Failed != "" {
		v.State, v.Reason = StateFailed, o.Failed
	} else if c.state != nil {
		v.Reason = c.blocked()
	}
	return v
}

// flush sends what waits, in order, until nothing does or the server must be
// waited for.
func (c *chat) flush(ctx context.Context, s *session) (time.Duration, error) {
	for {
		o, err := c.seal(ctx)
		if errors.Is(err, room.ErrBarrier) {
			// Somebody's leaving or removal must be carried out first.
			return never, c.commitNow(ctx, s, nil)
		}
		if err != nil || o == nil {
			return never, err
		}
		var done wire.AppendOK
		err = s.call(ctx, o.Key, wire.Append{
			Room: c.id, Kind: wire.EntryMessage, Examined: o.Examined, Message: wire.MessageID(o.ID), Payload: o.Payload, Body: o.Body,
		}, &done)
		var refused *wire.Error
		switch {
		case err == nil:
			c.mu.Lock()
			o.accepted, o.session = true, s
			c.mu.Unlock()
		case errors.Is(err, wire.Refuse(wire.Stale)) || errors.As(err, &refused) && refused.Code == wire.Stale:
			if err := c.lost(ctx); err != nil {
				return never, err
			}
			return 0, errAgain
		case refused != nil && refused.Code.Hint() == wire.HintNever:
			if err := c.giveUp(ctx, o, refusal(refused).Text); err != nil {
				return never, err
			}
		default:
			return never, err
		}
	}
}

// seal returns the next message that may leave, sealed and kept; nil when
// there is none or the room does not let this device write now.
func (c *chat) seal(ctx context.Context) (*outgoing, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil || c.rec.Invited || c.behind || len(c.inbox) > 0 || c.trusting.suspect != "" {
		return nil, nil
	}
	i := slices.IndexFunc(c.out, func(o *outgoing) bool { return o.Failed == "" && !o.accepted })
	if i < 0 {
		return nil, nil
	}
	o := c.out[i]
	if o.Sealed {
		return o, nil
	}
	made, err := c.state.Message(o.draft())
	switch {
	case errors.Is(err, room.ErrWaiting), errors.Is(err, room.ErrFrozen), errors.Is(err, room.ErrJoining), errors.Is(err, room.ErrBroken), errors.Is(err, room.ErrRemoved):
		return nil, nil
	case err != nil:
		return nil, err
	}
	b := c.newBatch()
	c.keepRecords(b, made.Records)
	o.Sealed, o.Examined, o.Payload, o.Body = true, made.Examined, made.Payload, made.Body
	b.add(put(o.key(c.id), o.outRecord))
	return o, b.commitLocked(ctx)
}

// giveUp marks a message as one that is not sent unless asked to.
func (c *chat) giveUp(ctx context.Context, o *outgoing, why string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.newBatch()
	o.Failed = why
	b.add(put(o.key(c.id), o.outRecord))
	view := c.pendingView(o)
	b.tell(Event{Kind: EvItem, Item: &view})
	return b.commitLocked(ctx)
}

// failOutboxLocked gives up all that waits.
func (c *chat) failOutboxLocked(b *batch, why string) {
	for _, o := range c.out {
		o.Failed = why
		b.add(put(o.key(c.id), o.outRecord))
		view := c.pendingView(o)
		b.tell(Event{Kind: EvItem, Item: &view})
	}
}

// rebuild voids what was sealed for an earlier state of the group.
func (c *chat) rebuild(b *batch) {
	for _, o := range c.out {
		if o.Sealed && !o.accepted {
			o.Sealed, o.Payload, o.Body = false, nil, nil
			b.add(put(o.key(c.id), o.outRecord))
		}
	}
	c.commit.voided()
}

// returned takes an own entry that came back from the log.
func (c *chat) returned(ctx context.Context, b *batch, entry wire.Entry, result *room.Result, shown bool) error {
	i := slices.IndexFunc(c.out, func(o *outgoing) bool { return o.ID == result.Own })
	if i < 0 {
		c.landed(b, result)
		return nil
	}
	o := c.out[i]
	b.add(drop(o.key(c.id)))
	c.out = slices.Delete(c.out, i, i+1)
	if shown || result.Verdict != room.VerdictApplied {
		return nil
	}
	e := c.e
	e.mu.Lock()
	user, name := e.account.user(), e.account.name()
	e.mu.Unlock()
	return c.record(ctx, b, room.Item{
		Seq: entry.Seq, Time: entry.Time, Kind: room.ItemKind(o.Kind), ID: o.ID, User: identity.UserID(user), Name: name,
		Text: o.Text, Mentions: o.Mentions, Target: o.Target, TargetHash: o.TargetHash, Own: true,
	}, 0)
}

// resend puts an own message back into the outbox, which a repair of the room
// took out of its history.
func (c *chat) resend(ctx context.Context, b *batch, id room.MessageID) error {
	item, cursor, found, err := c.byID(ctx, b, id)
	if err != nil || !found || item.Kind != ItemText {
		return err
	}
	b.add(drop(c.itemKey(cursor)))
	b.add(drop(c.indexKey(id)))
	c.rec.NextOut++
	o := &outgoing{n: c.rec.NextOut, outRecord: outRecord{ID: id, Kind: uint8(room.ItemText), Text: item.Text, Time: item.Time}}
	if target, _, found, err := c.byID(ctx, b, item.Target); err == nil && found && !target.Deleted {
		o.Kind, o.Target, o.TargetHash = uint8(room.ItemReply), item.Target, target.Hash
	}
	rand.Read(o.Key[:])
	b.add(put(o.key(c.id), o.outRecord))
	c.out = append(c.out, o)
	return nil
}

// retry sends a failed message after all; discard gives a waiting one up.
func (c *chat) retry(ctx context.Context, message string, discard bool) error {
	id, err := parseID[room.MessageID](message)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.out, func(o *outgoing) bool { return o.ID == id })
	if i < 0 {
		return &Problem{Code: ProblemGone, Text: "That message does not wait."}
	}
	o := c.out[i]
	b := c.newBatch()
	if discard {
		if o.Sealed && o.Failed == "" {
			return &Problem{Code: ProblemRefused, Text: "That message is on its way."}
		}
		c.out = slices.Delete(c.out, i, i+1)
		b.add(drop(o.key(c.id)))
	} else {
		o.Failed = ""
		b.add(put(o.key(c.id), o.outRecord))
		view := c.pendingView(o)
		b.tell(Event{Kind: EvItem, Item: &view})
	}
	c.poke()
	return b.commitLocked(ctx)
}

// waiting counts the messages that are not sent, in all rooms.
func (e *Engine) waiting() int {
	n := 0
	for _, c := range e.chats() {
		c.mu.Lock()
		for _, o := range c.out {
			if o.Failed == "" && !o.accepted {
				n++
			}
		}
		c.mu.Unlock()
	}
	return n
}
