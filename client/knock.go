package client

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// A join link that needs approval opens nothing by itself. Who has it knocks:
// says, to those who know the link's secret, who asks. An admin's engine lists
// who waits and adds them, with all their devices, like anybody who is invited.
// The core keeps the knock, reads nothing of it, and says when it is gone.

// asker is a device that waits at the door of a room that this one is staff of.
type asker struct {
	user   wire.UserID
	device wire.DeviceID
	key    identity.PublicKey // of the identity
	name   string
	link   uint32 // the number of the link
	at     int64
}

// door is who waits there, to those who may answer.
type door struct {
	looked *session // on which it was looked who waits, or whether this device still does
	askers []asker
}

// knock asks to be let in, and waits.
func (c *chat) knock(ctx context.Context, s *session, self room.Self, secret identity.LinkSecret) error {
	said := room.SealKnock(self, identity.GroupID(c.id), secret, time.Now())
	if err := s.call(ctx, wire.Key{}, wire.Knock{Link: proof(secret), Data: said}, nil); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rec.Entering, c.door.looked = enterAsked, s
	if err := c.e.save(ctx, c.recordLocked()); err != nil {
		return err
	}
	c.notifyLocked()
	return nil
}

// stillAsked finds out, once a connection and whenever the server has news of
// the door, whether this device still waits there. Who was let in has been sent
// a Welcome before, and does not ask.
func (c *chat) stillAsked(ctx context.Context, s *session) error {
	c.mu.Lock()
	known, secret := c.door.looked == s, identity.LinkSecret(c.rec.Secret)
	c.door.looked = s
	c.mu.Unlock()
	if known {
		return nil
	}
	var found wire.FetchLinkOK
	err := s.call(ctx, wire.Key{}, wire.FetchLink{Link: proof(secret)}, &found)
	switch {
	case errors.Is(err, wire.Refuse(wire.NotFound)):
		return c.turnedAway(ctx, outLinkEnded)
	case err != nil:
		c.mu.Lock()
		c.door.looked = nil
		c.mu.Unlock()
		return err
	case !found.Knocked:
		return c.turnedAway(ctx, outRefused)
	}
	return nil
}

// turnedAway ends the wait at the door.
func (c *chat) turnedAway(ctx context.Context, how uint8) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != nil || c.rec.Entering != enterAsked {
		return nil
	}
	c.rec.Entering, c.rec.Out = enterNot, how
	b := c.newBatch()
	c.failOutboxLocked(b, "you were not let into this room")
	if err := b.commitLocked(ctx); err != nil {
		return err
	}
	c.notifyLocked()
	return nil
}

// opensLocked reports whether a room that somebody has added this device to is
// the one that the link is for: the link's secret is in its rules, under the
// inviter whom the link names. Anything else is an invitation like any other,
// which the user is asked about.
func (c *chat) opensLocked(state *room.Room) bool {
	info := state.Info()
	return info != nil && len(c.rec.Secret) == 32 && slices.ContainsFunc(info.Links, func(l room.LinkEntry) bool {
		return l.Approval && l.Secret == identity.LinkSecret(c.rec.Secret) && wire.UserID(l.Creator) == c.rec.Inviter
	})
}

// staffLocked reports whether this device may answer at the door.
func (c *chat) staffLocked() bool {
	return c.state != nil && c.state.State() == room.StateMember && c.state.Info().Role >= room.RoleAdmin
}

// knocked takes the server's word that something has changed at the door.
func (c *chat) knocked() {
	c.mu.Lock()
	c.door.looked = nil
	c.mu.Unlock()
	c.poke()
}

// watchDoor lists who waits, once a connection and whenever that has changed.
func (c *chat) watchDoor(ctx context.Context, s *session) error {
	c.mu.Lock()
	if !c.staffLocked() {
		c.door.askers = nil
		c.mu.Unlock()
		return nil
	}
	known := c.door.looked == s
	c.door.looked = s // before asking: what changes meanwhile asks again
	links := c.state.Info().Links
	c.mu.Unlock()
	if known {
		return nil
	}
	var listed wire.ListKnocksOK
	if slices.ContainsFunc(links, func(l room.LinkEntry) bool { return l.Approval }) {
		if err := s.call(ctx, wire.Key{}, wire.ListKnocks{Room: c.id}, &listed); err != nil {
			c.mu.Lock()
			c.door.looked = nil
			c.mu.Unlock()
			return err
		}
	}
	settled, fresh := c.sortOut(listed.Knocks)
	for _, who := range fresh {
		view := c.askView(who)
		c.e.out.tell(Event{Kind: EvKnock, Knock: &view})
	}
	for _, drop := range settled {
		if err := s.call(ctx, wire.Key{}, drop, nil); err != nil {
			return err
		}
	}
	return nil
}

// sortOut keeps who waits, and returns who of them is new, and what the server
// need not keep: of people who are in by now, or who may not come in.
func (c *chat) sortOut(knocks []wire.KnockEvent) (settled []wire.DropKnock, fresh []asker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		return nil, nil
	}
	info := c.state.Info()
	before := c.door.askers
	c.door.askers = nil
	counted := map[wire.UserID]bool{} // a person takes one use of a link, with all devices
	for _, k := range knocks {
		who, ok := c.openKnock(info, k)
		switch {
		case !ok:
			// Not by a link that this room has, or not what it says it is. It
			// ends with its link, or by itself.
		case slices.ContainsFunc(info.Members, func(m room.Member) bool { return wire.UserID(m.User) == who.user }):
			settled = append(settled, wire.DropKnock{Room: c.id, Device: who.device, LetIn: !counted[who.user]})
			counted[who.user] = true
		case slices.Contains(info.Bans, identity.UserID(who.user)):
			settled = append(settled, wire.DropKnock{Room: c.id, Device: who.device})
		default:
			c.door.askers = append(c.door.askers, who)
		}
	}
	for i, who := range c.door.askers {
		same := func(have asker) bool { return have.user == who.user }
		if !slices.ContainsFunc(before, same) && !slices.ContainsFunc(c.door.askers[:i], same) {
			fresh = append(fresh, who)
		}
	}
	if len(before) != len(c.door.askers) {
		c.notifyLocked()
	}
	return settled, fresh
}

// openKnock reads what somebody said, by whichever link of the room it was said.
func (c *chat) openKnock(info *room.Info, k wire.KnockEvent) (asker, bool) {
	for _, l := range info.Links {
		if !l.Approval || wire.LinkID(l.Secret.ID()) != k.Link {
			continue
		}
		self, err := c.e.self()
		if err != nil {
			return asker{}, false
		}
		said, err := room.OpenKnock(self.Root, identity.GroupID(c.id), l.Secret, k.Data)
		if err != nil {
			return asker{}, false
		}
		certificate := said.Credential.Certificate
		who := asker{
			user: wire.UserID(said.Credential.User(self.Root)), device: wire.DeviceID(certificate.Device), key: certificate.Identity,
			name: said.Credential.Profile.Name, link: l.Number, at: int64(k.Time),
		}
		// The core says who has knocked; the box says who wants to come in.
		return who, who.user == k.Route.User && who.device == k.Route.Device
	}
	return asker{}, false
}

// askView is what an interface sees of somebody who asks. The safety number
// takes a while, so the room is not to be held meanwhile.
func (c *chat) askView(who asker) Knock {
	v := Knock{
		Room: c.id.String(), User: who.user.String(), Name: who.name, Tag: c.e.tag(who.user, who.name),
		Link: strconv.Itoa(int(who.link)), Time: who.at,
	}
	c.e.mu.Lock()
	me := identity.Peer{User: identity.UserID(c.e.account.user()), Identity: c.e.account.IdentityKey}
	c.e.mu.Unlock()
	v.Safety = identity.SafetyNumber(me, identity.Peer{User: identity.UserID(who.user), Identity: who.key}).String()
	return v
}

// requests lists who waits, each person once.
func (c *chat) requests() ([]Knock, error) {
	c.mu.Lock()
	inside, askers := c.state != nil, slices.Clone(c.door.askers)
	c.mu.Unlock()
	if !inside {
		return nil, errOut
	}
	var all []Knock
	for i, who := range askers {
		if !slices.ContainsFunc(askers[:i], func(have asker) bool { return have.user == who.user }) {
			all = append(all, c.askView(who))
		}
	}
	return all, nil
}

// askingLocked counts the people who wait.
func (c *chat) askingLocked() int {
	users := map[wire.UserID]bool{}
	for _, who := range c.door.askers {
		users[who.user] = true
	}
	return len(users)
}

// waiting finds the devices of a user who waits.
func (c *chat) waiting(text string) (user wire.UserID, devices []wire.DeviceID, err error) {
	if user, err = parseUser(text); err != nil {
		return user, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, who := range c.door.askers {
		if who.user == user {
			devices = append(devices, who.device)
		}
	}
	if len(devices) == 0 {
		return user, nil, &Problem{Code: ProblemGone, Text: "Nobody like that waits to come into this room.", Hint: "/requests lists who does."}
	}
	return user, devices, nil
}

// admit lets somebody who waits in, with all devices.
func (c *chat) admit(ctx context.Context, text string) error {
	user, _, err := c.waiting(text)
	if err != nil {
		return err
	}
	s, err := c.e.online(ctx)
	if err != nil {
		return err
	}
	packages, err := c.e.claim(ctx, s, user, nil)
	if err != nil {
		return err
	}
	if err := c.achieve(ctx, room.Intent{Kind: room.IntentAdd, User: identity.UserID(user), KeyPackages: packages}); err != nil {
		return err
	}
	c.knocked() // the list is gone through again, and who is in is taken off it
	return nil
}

// refuse turns somebody who waits away.
func (c *chat) refuse(ctx context.Context, text string) error {
	_, devices, err := c.waiting(text)
	if err != nil {
		return err
	}
	s, err := c.e.online(ctx)
	if err != nil {
		return err
	}
	for _, device := range devices {
		if err := s.call(ctx, wire.Key{}, wire.DropKnock{Room: c.id, Device: device}, nil); err != nil {
			return err
		}
	}
	return nil
}

// withdraw takes the own knock back.
func (c *chat) withdraw(ctx context.Context, s *session) error {
	c.e.mu.Lock()
	device := c.e.account.Device
	c.e.mu.Unlock()
	return s.call(ctx, wire.Key{}, wire.DropKnock{Room: c.id, Device: device}, nil)
}
