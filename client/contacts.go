package client

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// A user is an identity key, so nobody can take the place of another in a
// room. But people know each other by names: a contact who lost the keys, or a
// server that plays him, comes as somebody new under the same name. Who stands
// at a login name that was another's, or is called as somebody whose safety
// number was compared, is not written to before the user has accepted it; in
// open rooms, where everybody may be anyway, it is a line.

const (
	askedRoom    = 50 // members of a room up to which all their login names are asked for
	asksPerHour  = 60 // of the server's budget for lookups, so that enough is left for the user
	identitySlot = 240
)

// hold notes the login name that the server gives for a user and returns
// whether that user stands in another's place; fresh, also who is called as
// somebody verified.
func (e *Engine) hold(ctx context.Context, user wire.UserID, login string, fresh bool) (bool, error) {
	e.mu.Lock()
	known := e.peers[user]
	if known == nil {
		known = &peer{}
		e.peers[user] = known
	}
	for other, p := range e.peers {
		if other == user || known.Verified {
			continue
		}
		sameLogin := login != "" && p.Login == login
		sameName := fresh && !known.Asked && p.Verified && identity.Confusable(p.Name, known.Name)
		known.Changed = known.Changed || sameLogin || sameName
	}
	if known.Login != login || known.Changed {
		e.contacts++
	}
	known.Asked = true
	if login != "" {
		known.Login = login
	}
	changed, kept := known.Changed, put(key(keyPeer, user[:]), *known)
	e.mu.Unlock()
	return changed, e.save(ctx, kept)
}

// acceptLocked takes a user for who stands at the login name now. The caller
// holds mu and saves.
func (e *Engine) acceptLocked(user wire.UserID) []Put {
	known := e.peers[user]
	known.Changed = false
	e.contacts++
	batch := []Put{put(key(keyPeer, user[:]), *known)}
	for other, replaced := range e.peers {
		if other != user && known.Login != "" && replaced.Login == known.Login {
			replaced.Login = ""
			batch = append(batch, put(key(keyPeer, other[:]), *replaced))
		}
	}
	return batch
}

// lookAgain makes every room see who of its members is to be trusted now.
func (e *Engine) lookAgain() {
	for _, c := range e.chats() {
		c.mu.Lock()
		if before := c.trusting.suspect; c.state != nil {
			if c.suspectLocked(); c.trusting.suspect != before {
				c.notifyLocked()
			}
		}
		c.mu.Unlock()
		c.poke()
	}
}

// suspectLocked works out which member keeps this device from writing.
func (c *chat) suspectLocked() {
	c.trusting.suspect = ""
	info := c.state.Info()
	if info == nil || info.Mode == room.ModeOpen {
		return
	}
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	for _, m := range info.Members {
		if known := c.e.peers[wire.UserID(m.User)]; known != nil && known.Changed && !m.Own {
			c.trusting.suspect = m.Name
		}
	}
}

// blocked says why nothing is sent now, or nothing. The caller holds mu.
func (c *chat) blocked() string {
	if c.state == nil {
		return ""
	}
	if why := c.state.Blocked(); why != "" || c.trusting.suspect == "" {
		return why
	}
	return "Somebody called " + Named(c.trusting.suspect) + " is here who is not the one you know. Compare safety numbers with /verify, or go on with /trust."
}

// meetMembers asks who the members of the room are whom this device does not
// know yet, before anything is sent to them, and warns of those who came in
// somebody's place.
func (c *chat) meetMembers(ctx context.Context, s *session) (time.Duration, error) {
	strangers, now := c.strangers()
	if now == (acquainted{}) {
		return never, nil
	}
	for _, user := range strangers {
		if !c.e.mayAsk(time.Now()) {
			return time.Hour, c.warn(ctx)
		}
		found, err := c.e.findUser(ctx, s, user.String())
		var refused *wire.Error
		var untrusted *Problem
		switch {
		case errors.Is(err, errOffline), errors.Is(err, context.Canceled):
			return never, err
		case errors.As(err, &refused) && refused.RetryAfter() > 0:
			return refused.RetryAfter(), c.warn(ctx)
		case errors.As(err, &untrusted), err != nil:
			found.Login = "" // it has no name that would be worth anything
		}
		if _, err := c.e.hold(ctx, user, found.Login, true); err != nil {
			return never, err
		}
	}
	if len(strangers) > 0 {
		c.e.lookAgain()
	}
	if err := c.warn(ctx); err != nil {
		return never, err
	}
	c.mu.Lock()
	c.trusting.compared = now
	c.mu.Unlock()
	return never, nil
}

// trusting is how the members of a room stand to this device's contacts.
type trusting struct {
	compared acquainted // with whom the members were compared
	suspect  string     // a member who came in somebody's place, and is not accepted
}

// acquainted says with what members and what contacts a room was gone through.
type acquainted struct {
	mark     uint64 // of the group, and one more
	contacts uint64
}

// strangers lists the members whose login names are to be asked for: in open
// and in large rooms only of those who are called as somebody else is. The
// second value is zero if nothing has changed since all of it was done.
func (c *chat) strangers() ([]wire.UserID, acquainted) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil || c.state.State() == room.StateJoining {
		return nil, acquainted{}
	}
	c.e.mu.Lock()
	now := acquainted{mark: c.state.Mark() + 1, contacts: c.e.contacts}
	c.e.mu.Unlock()
	if c.trusting.compared == now {
		return nil, acquainted{}
	}
	info := c.state.Info()
	all := info.Mode != room.ModeOpen && len(info.Members) <= askedRoom
	var out []wire.UserID
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	for _, m := range info.Members {
		user := wire.UserID(m.User)
		if known := c.e.peers[user]; m.Own || known == nil || known.Asked || !all && !c.e.namesakeLocked(user, m.Name) {
			continue
		}
		out = append(out, user)
	}
	return out, now
}

// namesakeLocked reports whether a contact has the same name.
func (e *Engine) namesakeLocked(user wire.UserID, name string) bool {
	for other, p := range e.peers {
		if other != user && (p.Login != "" || p.Verified) && identity.Confusable(p.Name, name) {
			return true
		}
	}
	return false
}

// mayAsk spends one lookup of this device's own pace.
func (e *Engine) mayAsk(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now.Sub(e.asksSince) > time.Hour {
		e.asksSince, e.asks = now, 0
	}
	e.asks++
	return e.asks <= asksPerHour
}

// warn writes a line for each member who came in somebody's place, once.
func (c *chat) warn(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		return nil
	}
	info := c.state.Info()
	if info == nil {
		return nil
	}
	b := c.newBatch()
	seq, _ := c.state.Position()
	n := 0
	for _, m := range info.Members {
		user := wire.UserID(m.User)
		c.e.mu.Lock()
		known := c.e.peers[user]
		changed := known != nil && known.Changed
		c.e.mu.Unlock()
		if !changed || m.Own || slices.Contains(c.rec.Warned, user) {
			continue
		}
		c.rec.Warned = append(c.rec.Warned, user)
		c.alarm(b, room.Alarm{Code: room.AlarmIdentityChanged, Text: Named(c.told(person{User: m.User, Name: m.Name}))}, seq, uint64(identitySlot+n%10), c.rec.Last)
		n++
	}
	if n == 0 {
		return nil
	}
	c.suspectLocked()
	if err := b.commitLocked(ctx); err != nil {
		return err
	}
	c.notifyLocked()
	return nil
}
