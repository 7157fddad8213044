package room

import (
	"cmp"
	"slices"

	"github.com/securelink-chat/securelink/identity"
)

// tell writes the lines of a change into the timeline, and keeps the books
// about who came and went.
func (r *Room) tell(author seat, a *attest, oldRules *Rules, oldWho *roster, res *Result) {
	t := teller{room: r, author: author, attest: a, oldRules: oldRules, oldWho: oldWho, res: res}
	t.people()
	t.settings()
	for _, now := range r.who.seats {
		was, ok := oldWho.seat(now.user, now.device)
		if ok && was.joinID == now.joinID && was.credential.Profile.Name != now.credential.Profile.Name {
			t.line(Item{Kind: ItemRenamed, User: now.user, Device: now.device, Name: now.credential.Profile.Name, Text: was.credential.Profile.Name}, now)
		}
	}
	if len(res.Items) == 0 { // every commit gives its author's device new keys; this one did nothing else
		t.line(Item{Kind: ItemRefreshed})
	}
}

type teller struct {
	room     *Room
	author   seat
	attest   *attest
	oldRules *Rules
	oldWho   *roster
	res      *Result
}

// line adds an item; who acts is the author unless the item says otherwise.
func (t *teller) line(i Item, subjects ...seat) {
	if i.User == (identity.UserID{}) {
		i.User, i.Device, i.Name = t.author.user, t.author.device, t.author.credential.Profile.Name
	}
	i.Own = i.User == t.room.self.User() && i.Device == t.room.self.Device()
	for _, s := range subjects {
		i.Subjects = append(i.Subjects, subjectOf(s))
	}
	t.res.Items = append(t.res.Items, i)
}

// people compares the rosters before and after.
func (t *teller) people() {
	r := t.room
	var came, again []seat
	newDevices := false
	for _, s := range r.who.seats {
		was, ok := t.oldWho.seat(s.user, s.device)
		switch {
		case ok && was.joinID == s.joinID:
			continue
		case ok:
			again = append(again, s)
			r.dropCounter(was.joinID)
		case t.oldWho.has(s.user):
			t.line(Item{Kind: ItemDevice, User: s.user, Name: s.credential.Profile.Name}, s)
		default:
			came = append(came, s)
		}
		newDevices = newDevices || s.device != r.self.Device()
		r.setCounter(s.joinID, 0)
	}
	if len(came) > 0 {
		t.joined(came)
	}
	if len(again) > 0 {
		t.returned(again)
	}
	t.departed()
	if newDevices && r.rules.Mode != ModeOpen {
		r.st.ackDue = true
		if r.st.state == StateMember {
			r.st.acks = nil
		}
	}
}

func (t *teller) joined(came []seat) {
	var users []seat
	for _, s := range came {
		if !slices.ContainsFunc(users, func(u seat) bool { return u.user == s.user }) {
			users = append(users, s)
			t.res.Added = append(t.res.Added, s.user)
		}
	}
	if len(users) == 1 && users[0].user == t.author.user {
		t.line(Item{Kind: ItemJoined}, users...)
		return
	}
	t.line(Item{Kind: ItemAdded}, users...)
}

// returned: devices came back. After a nack the one who made the bad change is
// named first.
func (t *teller) returned(again []seat) {
	for _, st := range t.attest.statements {
		if st.Kind != identity.StatementNack {
			continue
		}
		m, ok := t.room.ring[st.Seq]
		if !ok || m.author == (identity.UserID{}) {
			continue
		}
		bad := seat{user: m.author}
		for _, s := range t.oldWho.seats {
			if s.user == m.author {
				bad = s
			}
		}
		t.line(Item{Kind: ItemHealed}, append([]seat{bad}, again...)...)
		return
	}
	t.line(Item{Kind: ItemRejoined}, again...)
}

// departed names everybody who is gone, by the reason.
func (t *teller) departed() {
	r := t.room
	byUser := map[identity.UserID][]seat{}
	var order []identity.UserID
	for _, s := range t.oldWho.seats {
		now, ok := r.who.seat(s.user, s.device)
		if ok && now.joinID == s.joinID {
			continue
		}
		r.dropCounter(s.joinID)
		if !ok {
			if byUser[s.user] == nil {
				order = append(order, s.user)
			}
			byUser[s.user] = append(byUser[s.user], s)
		}
	}
	for _, user := range order {
		seats := byUser[user]
		if r.who.has(user) {
			t.line(Item{Kind: ItemRevoked, User: user, Name: seats[0].credential.Profile.Name}, seats...)
			continue
		}
		t.res.Left = append(t.res.Left, user)
		switch {
		case t.attest.undo:
			t.line(Item{Kind: ItemUndone}, seats[0])
		case slices.ContainsFunc(t.attest.statements, func(st *identity.Statement) bool {
			return st.Kind == identity.StatementLeave && st.User == user
		}):
			t.line(Item{Kind: ItemLeft, User: user, Name: seats[0].credential.Profile.Name}, seats[0])
		case slices.ContainsFunc(t.attest.notices, func(n *identity.Notice) bool { return n.Kind == identity.NoticeRetired && n.User == user }):
			t.line(Item{Kind: ItemRetired, User: user, Name: seats[0].credential.Profile.Name}, seats[0])
		case r.rules.revoked(user, seats[0].device) && !t.oldRules.revoked(user, seats[0].device):
			t.line(Item{Kind: ItemRevoked, User: user, Name: seats[0].credential.Profile.Name}, seats...)
		default:
			t.line(Item{Kind: ItemRemoved}, seats[0])
		}
	}
}

// settings compares the rules before and after.
func (t *teller) settings() {
	old, now := t.oldRules, t.room.rules
	if old.Title != now.Title {
		t.line(Item{Kind: ItemTitle, Text: now.Title})
	}
	if old.Topic != now.Topic {
		t.line(Item{Kind: ItemTopic, Text: now.Topic})
	}
	if old.Mode != now.Mode {
		t.line(Item{Kind: ItemMode, Mode: now.Mode})
	}
	for _, s := range t.room.oneSeatEach() {
		was, is := old.role(s.user), now.role(s.user)
		switch {
		case was == is:
		case is == RoleOwner:
			t.line(Item{Kind: ItemOwner, Role: is}, s)
		case is != was && t.oldWho.has(s.user):
			t.line(Item{Kind: ItemRole, Role: is}, s)
		}
	}
	for _, u := range now.Bans {
		if !old.banned(u) {
			t.line(Item{Kind: ItemBanned}, t.anySeat(u))
		}
	}
	for _, u := range old.Bans {
		if !now.banned(u) {
			t.line(Item{Kind: ItemUnbanned}, t.anySeat(u))
		}
	}
	numbers := func(links []LinkEntry) (out []uint32) {
		for _, l := range links {
			out = append(out, l.Number)
		}
		return out
	}
	before, after := numbers(old.Links), numbers(now.Links)
	for _, n := range after {
		if !slices.Contains(before, n) {
			t.line(Item{Kind: ItemLink})
		}
	}
	for _, n := range before {
		if !slices.Contains(after, n) {
			t.line(Item{Kind: ItemUnlink})
		}
	}
}

// anySeat finds a name for a user who may be gone.
func (t *teller) anySeat(user identity.UserID) seat {
	for _, s := range t.oldWho.seats {
		if s.user == user {
			return s
		}
	}
	return seat{user: user}
}

// oneSeatEach lists every user once, by the device with the newest name.
func (r *Room) oneSeatEach() []seat {
	best := map[identity.UserID]seat{}
	for _, s := range r.who.seats {
		if b, ok := best[s.user]; !ok || s.credential.Profile.Version > b.credential.Profile.Version {
			best[s.user] = s
		}
	}
	out := make([]seat, 0, len(best))
	for _, s := range best {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b seat) int { return cmp.Compare(a.index, b.index) })
	return out
}
