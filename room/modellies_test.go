package room

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/securelink-chat/securelink/identity"
)

// This file is the core that lies. It shows one device another log than the
// rest, serves what joiners fetch out of date, delivers Welcomes again and lets
// people in by links that have ended. What it tells the others is the truth,
// and for them everything must hold; the one that it lies to must show nothing
// that nobody said, and must raise an alarm as soon as it hears somebody whose
// history is another.

// view is the log as a lying core shows it to one device.
type view struct {
	entries []Entry
	upTo    int // entries of the true log that went in
	lie     string
	change  func(e Entry) []Entry
}

// follow takes over what is new in the true log, changed.
func (v *view) follow(log []Entry) {
	for ; v.upTo < len(log); v.upTo++ {
		for _, e := range v.change(log[v.upTo]) {
			e.Seq = uint64(len(v.entries)) + 1
			v.entries = append(v.entries, e)
		}
	}
}

// lies are the ways to change a log, each for the next entry that it fits.
var lies = map[string]func(m *model, told *bool) func(e Entry) []Entry{
	"drops a message": func(_ *model, told *bool) func(Entry) []Entry {
		return once(told, func(e Entry) bool { return e.Kind == EntryMessage }, func(Entry) []Entry { return nil })
	},
	"drops a handshake": func(_ *model, told *bool) func(Entry) []Entry {
		return once(told, func(e Entry) bool { return e.Kind == EntryHandshake }, func(Entry) []Entry { return nil })
	},
	"repeats a message": func(_ *model, told *bool) func(Entry) []Entry {
		return once(told, func(e Entry) bool { return e.Kind == EntryMessage }, func(e Entry) []Entry { return []Entry{e, e} })
	},
	"shows another time": func(_ *model, told *bool) func(Entry) []Entry {
		return once(told, func(Entry) bool { return true }, func(e Entry) []Entry {
			e.Time++
			return []Entry{e}
		})
	},
	"exchanges a body": func(_ *model, told *bool) func(Entry) []Entry {
		return once(told, func(e Entry) bool { return e.Kind == EntryMessage }, func(e Entry) []Entry {
			e.Body = bytes.Repeat([]byte{7}, len(e.Body))
			return []Entry{e}
		})
	},
	"bends a payload": func(m *model, told *bool) func(Entry) []Entry {
		return once(told, func(Entry) bool { return true }, func(e Entry) []Entry {
			e.Payload = bytes.Clone(e.Payload)
			e.Payload[m.rng.IntN(len(e.Payload))] ^= 1
			return []Entry{e}
		})
	},
	"invents an entry": func(_ *model, told *bool) func(Entry) []Entry {
		return once(told, func(Entry) bool { return true }, func(e Entry) []Entry {
			return []Entry{{Time: e.Time, Kind: EntryHandshake, Payload: []byte("\x01 invented")}, e}
		})
	},
	"holds an entry back": func(m *model, told *bool) func(Entry) []Entry {
		var held []Entry
		left := 1 + m.rng.IntN(4)
		return func(e Entry) []Entry {
			switch {
			case len(held) == 0 && !*told:
				held, *told = []Entry{e}, true
				return nil
			case len(held) > 0:
				if left--; left <= 0 {
					out := append([]Entry{e}, held...)
					held = nil
					return out
				}
			}
			return []Entry{e}
		}
	},
	"says nothing more": func(_ *model, told *bool) func(Entry) []Entry {
		return func(Entry) []Entry {
			*told = true
			return nil
		}
	},
}

// once changes the first entry that fits.
func once(told *bool, fits func(Entry) bool, change func(Entry) []Entry) func(Entry) []Entry {
	return func(e Entry) []Entry {
		if *told || !fits(e) {
			return []Entry{e}
		}
		*told = true
		return change(e)
	}
}

// deceive begins to lie to one device. From then on nobody is locked out or
// restored: those who could help may be the deceived.
func (m *model) deceive() {
	if !m.liar || m.deceived != nil {
		return
	}
	for _, a := range m.actors {
		if a.in() && a.room.State() != StateMember && a.room.State() != StateWaiting {
			return
		}
	}
	a := m.pick((*actor).canSpeak)
	if a == nil {
		return
	}
	m.catchUp(a, 1000)
	if !a.canSpeak() || !m.helpers(a) {
		return
	}
	names := slices.Sorted(maps.Keys(lies))
	name := names[m.rng.IntN(len(names))]
	m.deceived, m.told = a, new(bool)
	a.view = &view{entries: slices.Clone(m.s.log), upTo: len(m.s.log), lie: name, change: lies[name](m, m.told)}
	m.log("the core lies to %s: it %s", a.who.name, name)
}

// accept appends whatever the deceived device sends: its core does not care. It
// keeps what others could join the deceived one by to itself, since they would
// be deceived as well.
func (m *model) accept(a *actor, ap *Append) error {
	if a.view != nil {
		c := *ap
		c.Examined, c.GroupInfo, c.Links, c.Welcomes = m.s.mark, nil, nil, nil
		ap = &c
	}
	err := a.append(ap)
	if a.view != nil && err == nil {
		m.astray[m.s.head()] = true
	}
	return err
}

// confront ends the lie and looks at what it has done.
func (m *model) confront() {
	a := m.deceived
	if a == nil {
		return
	}
	m.catchUp(a, 1000)
	a.out = true
	if *m.told {
		m.happened["core "+a.view.lie]++
		m.happened["lie"]++
	}
	shown := map[MessageID]bool{}
	for _, i := range a.timeline {
		if i.Kind != ItemText {
			continue
		}
		if d, said := m.sent[i.ID]; !said || d.Text != i.Text || shown[i.ID] {
			m.t.Errorf("%s, deceived by a core that %s, shows %q, which nobody said, or twice", a.who.name, a.view.lie, i.Text)
		}
		shown[i.ID] = true
	}
	fork := uint64(0)
	for i, e := range a.view.entries {
		if i >= len(m.s.log) || e.Next(Hash{}) != m.s.log[i].Next(Hash{}) {
			fork = uint64(i) + 1
			break
		}
	}
	if fork == 0 || !*m.told {
		return
	}
	heard := slices.ContainsFunc(a.timeline, func(i Item) bool {
		at, known := m.views[i.ID]
		return i.Kind == ItemText && known && at.by != a && at.seq >= fork && i.Seq > fork
	})
	if heard && len(a.alarms) == 0 {
		m.t.Errorf("%s hears somebody with another history than that of a core which %s, and raises nothing", a.who.name, a.view.lie)
	}
	if position, _ := a.room.Position(); position >= fork && len(a.room.CheckHead(position, m.s.chain[min(position, m.s.head())-1])) == 0 && a.room.State() != StateRemoved {
		if _, remembered := a.room.hashAt(position); remembered {
			m.t.Errorf("%s takes the true log for its own", a.who.name)
		}
	}
}

// outOfDate is an offer from before, with some luck, where the core lies.
func (m *model) outOfDate(o Offer) Offer {
	if !m.liar || m.resting {
		return o
	}
	var id [16]byte
	if o.Link != nil {
		id = o.Link.ID()
	}
	var old []LinkInfo
	for _, was := range m.s.served {
		if was.ID == id {
			old = append(old, was)
		}
	}
	if len(old) == 0 || m.rng.IntN(3) > 0 {
		return o
	}
	m.log("the core serves an offer from before")
	m.happened["old offer"]++
	was := old[m.rng.IntN(len(old))]
	o.GroupInfo, o.Tree = was.GroupInfo, was.Tree
	return o
}

// deliverAgain puts an old Welcome into its inbox once more.
func (m *model) deliverAgain() {
	if !m.liar {
		return
	}
	a := m.pick((*actor).in)
	if a == nil {
		return
	}
	if old := m.s.delivered[a.self.Device()]; len(old) > 0 {
		m.s.welcomes[a.self.Device()] = append(m.s.welcomes[a.self.Device()], old[m.rng.IntN(len(old))])
		m.log("%s is served an old welcome", a.who.name)
		m.happened["old welcome"]++
	}
}

// intrude lets a stranger in by a link that has ended, as somebody who was
// removed could do who kept it, with a core that kept what it served.
func (m *model) intrude() {
	if !m.liar || m.mode != ModeLink {
		return
	}
	insider := m.pick((*actor).canSpeak)
	if insider == nil {
		return
	}
	m.catchUp(insider, 1000)
	if !insider.canSpeak() || insider.view != nil {
		return
	}
	var dead []Offer
	for _, l := range m.s.served {
		secret, known := m.secrets[l.ID]
		if _, alive := insider.room.rules.link(l.ID); known && !alive {
			dead = append(dead, Offer{Group: m.s.group, GroupInfo: l.GroupInfo, Tree: l.Tree, Link: &secret})
		}
	}
	if len(dead) == 0 {
		return
	}
	offer := dead[m.rng.IntN(len(dead))]
	offer.Through = m.s.head()
	m.names++
	d := m.s.device(m.t, m.s.person(fmt.Sprintf("X%d", m.names)))
	room, records, err := JoinExternal(d.self, offer)
	if err != nil {
		m.t.Fatalf("%s cannot even try: %v", d.who.name, err)
	}
	d.room = room
	d.save(records)
	for position, _ := room.Position(); position < m.s.head(); position, _ = room.Position() {
		d.examine(m.s.log[position])
	}
	ap, err := room.Enter()
	if err != nil {
		m.t.Fatalf("%s: %v", d.who.name, err)
	}
	seq := m.s.put(ap.Kind, ap.Payload, ap.Body).Seq
	d.examine(m.s.log[seq-1])
	m.intruders = append(m.intruders, intruder{d, seq})
	m.happened["intruder"]++
	m.log("%s comes by a link that has ended, at %d", d.who.name, seq)
}

// intruder is a stranger with the secret of a link that has ended.
type intruder struct {
	*device
	seq uint64 // of its commit
}

// checkIntruders: nobody lets them in, and they read nothing.
func (m *model) checkIntruders() {
	for _, x := range m.intruders {
		for _, a := range m.actors {
			if v := a.verdicts[x.seq]; !a.out && v == VerdictApplied {
				m.t.Errorf("%s lets %s in by a link that had ended, at %d", a.who.name, x.who.name, x.seq)
			}
		}
		for _, e := range m.s.log[x.seq:] {
			if e.Kind != EntryMessage || !m.counted(e.Seq) {
				continue
			}
			if _, err := x.room.group.Clone().Decrypt(e.Payload); err == nil {
				m.t.Errorf("%s reads entry %d", x.who.name, e.Seq)
			}
		}
	}
}

// clone lets a copy of a device's disk run on a second machine for a moment.
// The first one must notice, and come back with new keys.
func (m *model) clone() {
	if m.calm {
		return
	}
	a := m.pick((*actor).canSpeak)
	if a == nil || m.deceived != nil || !m.helpers(a) {
		return
	}
	m.unrouted(a)
	if !a.canSpeak() {
		return
	}
	c := &actor{device: m.s.device(m.t, a.who)}
	c.self, c.disk = a.self, maps.Clone(a.disk)
	c.room = a.room
	c.restart()
	var ap *Append
	var err error
	what := "a commit"
	if d := (Draft{ID: randomID(), Kind: ItemText, Text: fmt.Sprintf("%s says %d", a.who.name, len(m.sent))}); m.rng.IntN(2) == 0 {
		what = "a message"
		m.sent[d.ID] = d
		ap, err = c.room.Message(d)
	} else {
		ap, err = c.room.Commit([]Intent{{Kind: IntentRefresh}}, m.s.now)
	}
	if err != nil {
		return // something is to be carried out first
	}
	if err := c.append(ap); err != nil {
		m.t.Fatalf("the clone of %s: %v", a.who.name, err)
	}
	m.cloned = true
	m.happened["clone"]++
	m.log("a clone of %s sends %s at %d", a.who.name, what, m.s.head())
	m.catchUp(a, 1000)
	if !slices.ContainsFunc(a.alarms, func(x Alarm) bool { return x.Code == AlarmClone }) {
		m.t.Errorf("%s does not notice its clone", a.who.name)
	}
}

// helpers says whether enough others are there to let a device in again.
func (m *model) helpers(a *actor) bool {
	others := 0
	for _, b := range m.actors {
		if b.in() && b != a {
			m.catchUp(b, 1000) // who is about to be locked out is no help
		}
		if b.canSpeak() && b.user() != a.user() && b.view == nil {
			others++
		}
	}
	return others >= 2
}

// retire lets the server's delegate say that a guest's stay in an open room is
// over, or who owns it.
func (m *model) retire() {
	if m.mode != ModeOpen {
		return
	}
	a := m.pick((*actor).canSpeak)
	if a == nil || a.view != nil {
		return
	}
	m.catchUp(a, 1000)
	if !a.canSpeak() {
		return
	}
	other := a.room.who.seats[m.rng.IntN(len(a.room.who.seats))]
	if m.rng.IntN(2) == 0 {
		a.intents = append(a.intents, Intent{Kind: IntentOwner, Notice: m.s.notice(&identity.Notice{Kind: identity.NoticeOwner, User: other.user})})
		m.log("the delegate names an owner")
		m.happened["owner named"]++
		m.commit(a)
		return
	}
	if len(a.room.who.byUser) < 4 {
		return
	}
	m.s.put(EntryNotice, m.s.notice(&identity.Notice{Kind: identity.NoticeRetired, User: other.user, Device: other.device, JoinID: other.joinID}), nil)
	m.happened["retired"]++
	m.log("a guest is retired at %d", m.s.head())
}
