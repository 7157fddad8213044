package client

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// JoinLink is what a link to a room says. Everything that matters is in the
// fragment, which browsers do not send:
//
//	securelink:HOST:PORT/j/ROOM#base64url(pin[32] | inviter[32] | secret[32])
//	https://HOST[:PORT]/j/ROOM#…
//	http://HOST:PORT/j/ROOM#…       (a server on one's own machine)
type JoinLink struct {
	Server  string // host:port; of an https link the host; of an http link with "http://"
	Web     bool
	Room    wire.RoomID
	Pin     [32]byte
	Inviter wire.UserID
	Secret  identity.LinkSecret
}

// plainWeb begins a link to a page without TLS, which browsers let encrypt only
// on the machine that they run on.
const plainWeb = "http://"

// ErrLink says that a text is not a link of ours.
var ErrLink = errors.New("client: not a join link")

// ParseLink reads a link.
func ParseLink(text string) (l JoinLink, err error) {
	rest, native := strings.CutPrefix(strings.TrimSpace(text), "securelink:")
	if !native {
		if rest, l.Web = strings.CutPrefix(strings.TrimSpace(text), "https://"); !l.Web {
			if rest, l.Web = strings.CutPrefix(strings.TrimSpace(text), plainWeb); !l.Web {
				return l, ErrLink
			}
			defer func() { l.Server = plainWeb + l.Server }()
		}
	}
	place, fragment, ok := strings.Cut(rest, "#")
	server, path, ok2 := strings.Cut(strings.TrimPrefix(place, "//"), "/")
	id, ok3 := strings.CutPrefix(path, "j/")
	if !ok || !ok2 || !ok3 || server == "" {
		return l, ErrLink
	}
	room, err := hex.DecodeString(id)
	if err != nil || len(room) != 16 {
		return l, ErrLink
	}
	secret, err := base64.RawURLEncoding.Strict().DecodeString(fragment)
	if err != nil || len(secret) != 96 {
		return l, ErrLink
	}
	l.Server, l.Room = server, wire.RoomID(room)
	l.Pin, l.Inviter, l.Secret = [32]byte(secret), wire.UserID(secret[32:]), identity.LinkSecret(secret[64:])
	return l, nil
}

// Text is the link in full. It is a secret: whoever has it can come in.
func (l JoinLink) Text() string {
	secret := append(append(append([]byte{}, l.Pin[:]...), l.Inviter[:]...), l.Secret[:]...)
	scheme := "securelink:"
	switch {
	case strings.HasPrefix(l.Server, plainWeb), strings.HasPrefix(l.Server, "https://"):
		// A page's engine names its server by the page's origin.
		scheme = ""
	case l.Web:
		scheme = "https://"
	}
	return fmt.Sprintf("%s%s/j/%s#%s", scheme, l.Server, l.Room, base64.RawURLEncoding.EncodeToString(secret))
}

// proof shows the core that one holds a link.
func proof(secret identity.LinkSecret) wire.Link {
	return wire.Link{ID: secret.ID(), Token: secret.FetchToken()}
}

// claimAdmin spends the administrator's link: its user runs the server and
// becomes the Lounge's owner, which the members' own rules make true.
func (e *Engine) claimAdmin(ctx context.Context, link string) error {
	_, fragment, _ := strings.Cut(link, "#")
	values, err := url.ParseQuery(fragment)
	if err != nil {
		return &Problem{Code: ProblemUsage, Text: "That is not an administrator's link."}
	}
	raw, err := hex.DecodeString(values.Get("admin"))
	if err != nil || len(raw) != 32 {
		return &Problem{Code: ProblemUsage, Text: "That is not an administrator's link.", Hint: "Copy the whole of it, with the part after the # sign."}
	}
	s, err := e.online(ctx)
	if err != nil {
		return err
	}
	var claimed wire.ClaimAdminOK
	err = s.call(ctx, wire.Key{}, wire.ClaimAdmin{Token: wire.Token(raw)}, &claimed)
	if errors.Is(err, wire.Refuse(wire.BadCredentials)) {
		return &Problem{Code: wire.BadCredentials.String(), Text: "That link was used before, or is not this server's.", Hint: "securelink serve prints a new one as long as there is no administrator."}
	}
	if err != nil {
		return err
	}
	if _, err := e.joinOpen(ctx, s.hello.Lounge); err != nil {
		return err
	}
	return e.chat(s.hello.Lounge).achieve(ctx, room.Intent{Kind: room.IntentOwner, Notice: claimed.Notice})
}

// joinLink enters the room of a link.
func (e *Engine) joinLink(ctx context.Context, s *session, text string) (*Room, error) {
	l, err := ParseLink(text)
	if err != nil {
		return nil, &Problem{Code: ProblemUsage, Text: "That is not a link to a room.", Hint: "Copy the whole of it, with the part after the # sign."}
	}
	e.mu.Lock()
	pin := e.server.Pin
	e.mu.Unlock()
	if l.Pin != pin {
		return nil, &Problem{Code: ProblemUntrusted, Text: "That link is for another server, or for this one with another key."}
	}
	c := e.chat(l.Room)
	c.mu.Lock()
	if c.state == nil || c.rec.Out != 0 {
		c.rec.Entering, c.rec.Secret, c.rec.Inviter = enterLink, l.Secret[:], l.Inviter
		c.rec.Kind, c.rec.Out, c.rec.Leaving, c.trouble = uint8(wire.RoomInvite), 0, false, nil
		if err := e.save(ctx, c.recordLocked()); err != nil {
			c.mu.Unlock()
			return nil, err
		}
	}
	c.mu.Unlock()
	c.poke()
	return c.inside(ctx)
}

// enterByLink gets in by the secret of a link.
func (c *chat) enterByLink(ctx context.Context, s *session, self room.Self, rec chatRecord) error {
	if len(rec.Secret) != 32 {
		return wire.Refuse(wire.NotFound)
	}
	secret := identity.LinkSecret(rec.Secret)
	link := proof(secret)
	offer, approval, err := c.linkOffer(ctx, s, secret, rec.Inviter)
	if err != nil {
		return err
	}
	if approval {
		return c.knock(ctx, s, self, secret)
	}
	if c.awaitTurn(ctx, s, &link) {
		// Others have gone first: what was fetched is out of date.
		if offer, _, err = c.linkOffer(ctx, s, secret, rec.Inviter); err != nil {
			return err
		}
	}
	return c.joinExternally(ctx, s, self, offer, &link)
}

// linkOffer fetches what a link opens. Looking spends nothing.
func (c *chat) linkOffer(ctx context.Context, s *session, secret identity.LinkSecret, inviter wire.UserID) (offer room.Offer, approval bool, err error) {
	link := proof(secret)
	var found wire.FetchLinkOK
	if err := s.call(ctx, wire.Key{}, wire.FetchLink{Link: link}, &found); err != nil {
		return offer, false, err
	}
	if found.Room != c.id {
		return offer, false, wire.Refuse(wire.NotFound)
	}
	tree, err := whole(ctx, s, c.id, found.Tree, &link)
	return room.Offer{
		Group: identity.GroupID(c.id), GroupInfo: found.GroupInfo, Tree: tree, Link: &secret, Inviter: identity.UserID(inviter),
	}, found.Approval, err
}

// makeLink makes a link to the room: in the group first, then at the server.
func (c *chat) makeLink(ctx context.Context, r Request) (string, error) {
	s, err := c.e.online(ctx)
	if err != nil {
		return "", err
	}
	secret := identity.NewLinkSecret()
	approval := r.Mode == ModeApprove
	if err := c.achieve(ctx, room.Intent{Kind: room.IntentLink, Secret: secret, Approval: approval}); err != nil {
		return "", err
	}
	create := wire.CreateLink{Uses: uint32(max(r.Limit, 0)), Approval: approval}
	if r.After != 0 {
		create.Expires = uint64(time.Now().UnixMilli()) + r.After
	}
	for attempt := 0; ; attempt++ {
		err := c.register(ctx, s, secret, create)
		if err == nil {
			return c.linkText(secret, c.e.me()), nil
		}
		if !errors.Is(err, wire.Refuse(wire.Stale)) || attempt == 5 {
			return "", err
		}
		if err := c.settled(ctx); err != nil {
			return "", err
		}
	}
}

// register tells the server of a link that the group has, with what strangers
// join by unless an admin has to let them in. create says the rest.
func (c *chat) register(ctx context.Context, s *session, secret identity.LinkSecret, create wire.CreateLink) error {
	create.Room, create.Link, create.TokenHash = c.id, secret.ID(), identity.TokenHash(secret.FetchToken())
	c.mu.Lock()
	if c.state == nil {
		c.mu.Unlock()
		return errOut
	}
	create.Seq = c.state.Mark()
	var links []room.LinkInfo
	if !create.Approval {
		made, err := c.published(ctx)
		if err != nil {
			c.mu.Unlock()
			return err
		}
		create.Seq, links = made.Examined, made.Links
	}
	c.mu.Unlock()
	for _, l := range links {
		if l.ID != secret.ID() {
			continue
		}
		create.GroupInfo = l.GroupInfo
		var err error
		if create.Tree, err = part(ctx, s, c.id, l.Tree); err != nil {
			return err
		}
	}
	return s.call(ctx, wire.Key{}, create, nil)
}

// linkText is the link in full. Its inviter is who has made it, whoever shows
// it: that is what a joiner holds against the room's rules.
func (c *chat) linkText(secret identity.LinkSecret, creator wire.UserID) string {
	e := c.e
	e.mu.Lock()
	defer e.mu.Unlock()
	return JoinLink{Server: e.cfg.Server, Room: c.id, Pin: e.server.Pin, Inviter: creator, Secret: secret}.Text()
}

// endLink ends a link: at the server at once, and in the group.
func (c *chat) endLink(ctx context.Context, text string) error {
	entry, err := c.linkNumbered(text)
	if err != nil {
		return err
	}
	s, err := c.e.online(ctx)
	if err != nil {
		return err
	}
	if err := s.call(ctx, wire.Key{}, wire.RevokeLink{Room: c.id, Link: entry.Secret.ID()}, nil); err != nil {
		return err
	}
	return c.achieve(ctx, room.Intent{Kind: room.IntentUnlink, Number: entry.Number})
}

// linkNumbered finds a link of the room by its number.
func (c *chat) linkNumbered(text string) (room.LinkEntry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != nil {
		for _, entry := range c.state.Info().Links {
			if strconv.Itoa(int(entry.Number)) == text {
				return entry, nil
			}
		}
	}
	return room.LinkEntry{}, &Problem{Code: ProblemUsage, Text: "This room has no link of that number.", Hint: "/links lists them."}
}

// knownLink is a link as this device last knew the server to have it.
type knownLink struct {
	_      struct{} `cbor:",toarray"`
	Number uint32
	ID     wire.LinkID
}

// noteLinks remembers the room's links where they are new. One that has another
// id than before, because a removal has replaced its secret, or is there no
// more, is left for renewLinks. The caller holds mu.
func (c *chat) noteLinks(b *batch, info *room.Info) {
	grown := false
	for _, l := range info.Links {
		if !slices.ContainsFunc(c.linked, func(k knownLink) bool { return k.Number == l.Number }) {
			c.linked = append(c.linked, knownLink{Number: l.Number, ID: wire.LinkID(l.Secret.ID())})
			grown = true
		}
	}
	if grown {
		b.add(put(key(keyLinks, c.id[:]), c.linked))
	}
}

// renewLinks brings the server's links after the group's, when a removal has
// given them new secrets: what is left of uses and time goes on under the new
// id, and the old one ends, with those who waited by it. Every admin does it,
// and once is enough.
func (c *chat) renewLinks(ctx context.Context, s *session) error {
	c.mu.Lock()
	if !c.staffLocked() {
		c.mu.Unlock()
		return nil
	}
	now := map[uint32]room.LinkEntry{}
	for _, l := range c.state.Info().Links {
		now[l.Number] = l
	}
	stale := slices.ContainsFunc(c.linked, func(k knownLink) bool { return wire.LinkID(now[k.Number].Secret.ID()) != k.ID })
	linked := slices.Clone(c.linked)
	c.mu.Unlock()
	if !stale {
		return nil
	}
	var listed wire.ListLinksOK
	if err := s.call(ctx, wire.Key{}, wire.ListLinks{Room: c.id}, &listed); err != nil {
		return err
	}
	var kept []knownLink
	for _, k := range linked {
		l, goesOn := now[k.Number]
		id := wire.LinkID(l.Secret.ID())
		if goesOn {
			kept = append(kept, knownLink{Number: k.Number, ID: id})
		}
		at := slices.IndexFunc(listed.Links, func(st wire.LinkState) bool { return st.Link == k.ID })
		if goesOn && id == k.ID || at < 0 {
			continue // as before, or done by another admin
		}
		if err := c.renewLink(ctx, s, listed.Links[at], l, goesOn); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.linked = kept
	return c.e.save(ctx, put(key(keyLinks, c.id[:]), c.linked))
}

// renewLink moves one link to its new id, if it goes on and is not used up.
func (c *chat) renewLink(ctx context.Context, s *session, old wire.LinkState, l room.LinkEntry, goesOn bool) error {
	if goesOn && (old.Uses == 0 || old.Used < old.Uses) {
		create := wire.CreateLink{Approval: l.Approval, Expires: old.Expires}
		if old.Uses != 0 {
			create.Uses = old.Uses - old.Used
		}
		err := c.register(ctx, s, l.Secret, create)
		if errors.Is(err, wire.Refuse(wire.Stale)) {
			c.setBehind()
			return errAgain
		}
		if err != nil {
			return err
		}
	}
	return s.call(ctx, wire.Key{}, wire.RevokeLink{Room: c.id, Link: old.Link}, nil)
}

// links lists the room's links.
func (c *chat) links(ctx context.Context) ([]Link, error) {
	s, err := c.e.online(ctx)
	if err != nil {
		return nil, err
	}
	var listed wire.ListLinksOK
	if err := s.call(ctx, wire.Key{}, wire.ListLinks{Room: c.id}, &listed); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		return nil, errOut
	}
	var all []Link
	for _, entry := range c.state.Info().Links {
		view := Link{ID: strconv.Itoa(int(entry.Number)), Link: c.linkText(entry.Secret, wire.UserID(entry.Creator)), Mode: ModeOpen}
		if entry.Approval {
			view.Mode = ModeApprove
		}
		for _, at := range listed.Links {
			if at.Link == wire.LinkID(entry.Secret.ID()) {
				view.Uses, view.MaxUses, view.Expires = int(at.Used), int(at.Uses), int64(at.Expires)
			}
		}
		all = append(all, view)
	}
	return all, nil
}
