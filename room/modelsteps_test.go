package room

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/securelink-chat/securelink/identity"
)

// resync replaces the leaf of a locked-out device by a commit from outside.
func (m *model) resync(a *actor) {
	frozen := a.room.st.frozenSeq
	res, err := a.room.Resync(Offer{Group: m.s.group, GroupInfo: m.s.info, Tree: m.s.tree})
	if err != nil {
		m.log("%s cannot resync: %v", a.who.name, err)
		return
	}
	a.anew = true
	maps.DeleteFunc(a.verdicts, func(seq uint64, _ Verdict) bool { return seq >= frozen }) // it was beyond it
	a.save(res.Records)
	a.goBack(res)
	a.forgetBuilt()
	m.log("%s resyncs", a.who.name)
	m.enter(a)
}

// enter sends the commit that brings a device in, or starts over.
func (m *model) enter(a *actor) {
	m.catchUp(a, 1000)
	if a.room.State() != StateJoining {
		return
	}
	ap, err := a.room.Enter()
	if errors.Is(err, ErrStale) {
		m.knock(a)
		return
	}
	if err != nil {
		m.t.Fatalf("%s: %v", a.who.name, err)
	}
	a.save(ap.Records)
	m.append(a, ap)
}

// offer is what the server serves to joiners, if anything.
func (m *model) offer() (Offer, bool) {
	offer := Offer{Group: m.s.group, GroupInfo: m.s.info, Tree: m.s.tree}
	if m.mode != ModeOpen {
		link := m.anyLink()
		if link == nil {
			return offer, false
		}
		l := m.s.links[link.ID()]
		offer.Link, offer.GroupInfo, offer.Tree = link, l.GroupInfo, l.Tree
	}
	return offer, true
}

// verify settles a device's doubt by what the server serves now.
func (m *model) verify(a *actor) {
	offer, ok := m.offer()
	if !ok {
		return
	}
	res, err := a.room.Verify(m.outOfDate(offer))
	if err != nil {
		m.log("%s cannot verify: %v", a.who.name, err)
		return
	}
	a.save(res.Records)
	if res.Undone != 0 {
		m.misjoined = true
		a.voided++
		m.happened["misjoined"]++
		m.log("%s had joined by an old offer", a.who.name)
		a.back(res.Undone - 1)
		a.resend = append(a.resend, res.Resend...)
		a.forgetBuilt()
		m.collect(a)
	}
}

// knock takes what the server serves and gets ready to join by it.
func (m *model) knock(a *actor) {
	offer, ok := m.offer()
	if !ok {
		return
	}
	truth := offer.GroupInfo
	offer = m.outOfDate(offer)
	if bytes.Equal(offer.GroupInfo, a.offer) && bytes.Equal(offer.GroupInfo, truth) && m.rng.IntN(4) == 0 {
		offer.Through = m.s.head()
	}
	a.offer = offer.GroupInfo
	room, records, err := JoinExternal(a.self, offer)
	if err != nil {
		m.log("%s cannot join: %v", a.who.name, err)
		return
	}
	if a.room != nil {
		room.fail, a.anew = a.room.fail, true
	}
	a.room, a.disk = room, map[string][]byte{}
	a.save(records)
	a.setFail()
	m.log("%s knocks", a.who.name)
}

// anyLink finds a link that works, as its holder would know it.
func (m *model) anyLink() *identity.LinkSecret {
	for _, a := range m.actors {
		if !a.staff() {
			continue
		}
		for _, l := range a.room.rules.Links {
			if _, ok := m.s.links[l.Secret.ID()]; ok {
				return &l.Secret
			}
		}
	}
	return nil
}

// someoneComes brings a new person or a second device in.
func (m *model) someoneComes() {
	inside := 0
	for _, a := range m.actors {
		if a.in() {
			inside++
		}
	}
	if inside > 7 {
		return
	}
	if sponsor := m.pick((*actor).canSpeak); sponsor != nil && m.rng.IntN(4) == 0 && inside > 2 {
		a := m.actorOf(sponsor.who) // a second device: any member adds it
		adder := m.pick((*actor).canSpeak)
		adder.intents = append(adder.intents, Intent{Kind: IntentAdd, KeyPackages: [][]byte{a.keyPackage()}})
		m.happened["second device"]++
		m.log("%s is to add a device of %s", adder.who.name, a.who.name)
		m.commit(adder)
		return
	}
	byLink := m.mode == ModeLink && m.anyLink() != nil && m.rng.IntN(2) == 0
	if m.mode == ModeOpen || byLink {
		a := m.newActor()
		m.knock(a)
		if a.room != nil {
			m.enter(a)
		}
		return
	}
	if admin := m.pick((*actor).staff); admin != nil {
		a := m.newActor()
		admin.intents = append(admin.intents, Intent{Kind: IntentAdd, KeyPackages: [][]byte{a.keyPackage()}})
		m.log("%s is to add %s", admin.who.name, a.who.name)
		m.commit(admin)
	}
}

// someoneGoes: leaves, is removed, or disowns a device.
func (m *model) someoneGoes() {
	inside, users := 0, map[identity.UserID]bool{}
	for _, a := range m.actors {
		if a.canSpeak() {
			inside++
			users[a.user()] = true
		}
	}
	if inside < 4 || len(users) < 2 { // others carry it out
		return
	}
	if admin := m.pick((*actor).staff); admin != nil && m.rng.IntN(2) == 0 {
		victim := m.pick((*actor).in)
		if victim.user() != admin.user() {
			admin.intents = append(admin.intents, Intent{Kind: IntentRemove, User: victim.user()})
			m.log("%s is to remove %s", admin.who.name, victim.who.name)
			m.commit(admin)
		}
		return
	}
	a := m.pick((*actor).canSpeak)
	m.catchUp(a, 1000)
	if !a.canSpeak() {
		return
	}
	ap, err := a.room.Leave()
	if err != nil {
		m.t.Fatal(err)
	}
	a.save(ap.Records)
	m.log("%s leaves", a.who.name)
	m.append(a, ap)
}

// wish wants something of the room.
func (m *model) wish() {
	a := m.pick((*actor).canSpeak)
	if a == nil {
		return
	}
	other := m.pick((*actor).in)
	intent := Intent{Kind: IntentRefresh}
	switch m.rng.IntN(9) {
	case 0:
		intent = Intent{Kind: []IntentKind{IntentTitle, IntentTopic}[m.rng.IntN(2)], Text: fmt.Sprint("title ", m.s.head())}
	case 1:
		intent = Intent{Kind: IntentRole, User: other.user(), Role: []Role{RoleMember, RoleAdmin, RoleOwner}[m.rng.IntN(3)]}
	case 2:
		if m.mode == ModeLink {
			intent = Intent{Kind: IntentLink, Secret: identity.NewLinkSecret(), Approval: m.rng.IntN(4) == 0}
			if m.happened["link"]++; intent.Approval {
				m.happened["approval link"]++
			}
		}
	case 3:
		if links := a.room.rules.Links; len(links) > 0 {
			intent = Intent{Kind: IntentUnlink, Number: links[0].Number}
		}
	case 4:
		if stranger := m.actors[m.rng.IntN(len(m.actors))]; !stranger.in() {
			intent = Intent{Kind: IntentBan, User: stranger.user()}
		}
	case 5:
		if bans := a.room.rules.Bans; len(bans) > 0 {
			intent = Intent{Kind: IntentUnban, User: bans[m.rng.IntN(len(bans))]}
		}
	case 6:
		if m.mode == ModeLink && m.rng.IntN(4) == 0 {
			intent = Intent{Kind: IntentMode, Mode: []Mode{ModeInvite, ModeLink}[m.rng.IntN(2)]}
		}
	case 7:
		profile, err := a.who.key.SignProfile(a.self.Root, a.who.name, a.self.Credential.Profile.Version+uint64(m.s.head()))
		if err != nil {
			m.t.Fatal(err)
		}
		intent = Intent{Kind: IntentProfile, Profile: profile}
	}
	a.intents = append(a.intents, intent)
	m.commit(a)
}

// garbage is what a member or the server can put into the log.
func (m *model) garbage() {
	if m.calm {
		return
	}
	random := make([]byte, 1+m.rng.IntN(300))
	for i := range random {
		random[i] = byte(m.rng.Uint32())
	}
	old := m.s.log
	switch n := m.rng.IntN(6); {
	case n == 0 || len(old) == 0:
		m.s.put(EntryHandshake, random, nil)
	case n == 1:
		m.s.put(EntryHandshake, append([]byte{byte(1 + m.rng.IntN(2))}, random...), nil)
	case n == 2: // an old handshake again
		e := old[m.rng.IntN(len(old))]
		m.s.put(EntryHandshake, e.Payload, e.Body)
	case n == 3: // a bent one
		e := old[m.rng.IntN(len(old))]
		bent := bytes.Clone(e.Payload)
		bent[m.rng.IntN(len(bent))] ^= 1 << m.rng.IntN(8)
		m.s.put(e.Kind, bent, e.Body)
		m.noise = true
	case n == 4:
		m.s.put(EntryMessage, random, random)
	default: // an old message again
		e := old[m.rng.IntN(len(old))]
		m.s.put(EntryMessage, e.Payload, e.Body)
		m.noise = true
	}
	m.log("garbage at %d", m.s.head())
}

// poison is a commit by a member that only part of the room can apply.
func (m *model) poison() {
	a := m.pick((*actor).canSpeak)
	if a == nil || m.calm || m.deceived != nil {
		return
	}
	m.catchUp(a, 1000)
	if !a.canSpeak() {
		return
	}
	seq, all := m.s.head()+1, m.rng.IntN(4) == 0
	for _, v := range m.actors {
		if v.user() != a.user() && (all || m.rng.IntN(2) == 0) {
			v.locked[seq] = true
			if v.room != nil {
				v.setFail()
			}
		}
	}
	a.intents = append(a.intents, Intent{Kind: IntentRefresh})
	m.happened["poison"]++
	m.log("%s poisons %d (all: %v)", a.who.name, seq, all)
	m.commit(a)
}

// revoke disowns a device of somebody who has two.
func (m *model) revoke() {
	a := m.pick(func(a *actor) bool {
		return a.canSpeak() && m.pick(func(b *actor) bool { return b != a && b.user() == a.user() && b.in() }) != nil
	})
	if a == nil {
		return
	}
	victim := m.pick(func(b *actor) bool { return b != a && b.user() == a.user() && b.in() })
	m.catchUp(a, 1000)
	if !a.canSpeak() {
		return
	}
	ap, err := a.room.Revoke(a.who.key, victim.self.Device())
	if err != nil {
		m.t.Fatal(err)
	}
	a.save(ap.Records)
	m.happened["revocation"]++
	m.log("%s disowns another device", a.who.name)
	m.append(a, ap)
}

// rollBack restores an old copy of a device's disk, or takes one.
func (m *model) rollBack() {
	if m.calm {
		return
	}
	a := m.pick((*actor).canSpeak)
	if a == nil || m.deceived != nil || !m.helpers(a) {
		return
	}
	if a.backup == nil || m.rng.IntN(2) == 0 {
		a.backup, a.backedUp = maps.Clone(a.disk), slices.Clone(a.outbox)
		return
	}
	a.disk, a.backup = a.backup, nil
	a.restart()
	later := slices.DeleteFunc(a.outbox, func(q queued) bool {
		return slices.ContainsFunc(a.backedUp, func(b queued) bool { return b.draft.ID == q.draft.ID })
	})
	for i := range later {
		later[i].bytes = nil
	}
	a.outbox, a.commits = append(a.backedUp, later...), nil
	a.live = false
	m.rolled = true
	a.back(a.room.st.place.seq)
	m.happened["restored copy"]++
	m.log("%s is restored from an old copy, at %d", a.who.name, a.room.st.place.seq)
	m.catchUp(a, 1000)
	a.live = true
	m.log("%s is in state %d", a.who.name, a.room.State())
}

// settle lets everybody catch up and do what is due.
func (m *model) settle() {
	for range 3 {
		for _, a := range m.actors {
			m.catchUp(a, 1000)
			if a.in() {
				m.work(a)
			}
			m.s.now = m.s.now.Add(400 * time.Millisecond)
		}
	}
}
