package room

import (
	"errors"
	"slices"
	"time"
)

// rest lets time pass until nobody has anything to do any more, with nothing
// lost on the way from now on.
func (m *model) rest() {
	m.resting = true
	m.confront()
	for round := range 700 {
		busy := false
		for _, a := range m.actors {
			m.catchUp(a, 1000)
			if !a.in() {
				continue
			}
			m.unrouted(a)
			m.work(a)
			m.catchUp(a, 1000)
			busy = busy || len(a.outbox) > 0 && a.canSpeak() || len(a.intents) > 0 && a.canSpeak() || len(m.dueOf(a)) > 0
		}
		m.s.now = m.s.now.Add(2 * time.Second)
		if !busy && m.quiet() {
			return
		}
		if round > 60 && round%20 == 0 {
			m.rescue()
		}
		if round%10 == 9 { // life goes on, and who is in a branch of its own hears it
			if a := m.majority(); a != nil {
				m.say(a)
			}
		}
	}
	if m.deserted() {
		m.happened["deserted"]++
		return
	}
	for _, a := range m.actors {
		if a.in() {
			m.t.Logf("%s: state %d, epoch %d, outbox %d, intents %d, todo %v", a.who.name, a.room.State(), epochOf(a), len(a.outbox), len(a.intents), a.room.Todo(m.s.now))
		}
	}
	m.t.Fatal("the room does not come to rest")
}

// deserted: whoever could help has left. The last ones have all said so, or an
// owner has locked the rest out and gone, as by removing them.
func (m *model) deserted() bool {
	left, anybody := false, false
	for _, a := range m.actors {
		if !a.in() {
			continue
		}
		anybody = true
		switch a.room.State() {
		case StateMember, StateWaiting:
			// else it is in a void branch, and nobody is left to bring it back
			if !a.room.st.outside && a.room.st.unsettled == 0 {
				return false
			}
		case StateLeaving:
			left = true
		case StateFrozen:
			if _, err := a.room.Undo(m.s.now); !errors.Is(err, ErrNotAllowed) {
				return false
			}
		}
	}
	return left || !anybody
}

func epochOf(a *actor) uint64 {
	if a.room.group == nil {
		return 0
	}
	return a.room.group.Epoch()
}

func (m *model) dueOf(a *actor) []Todo {
	if !a.in() {
		return nil
	}
	_, served := m.offer()
	alone := a.room.who != nil && len(a.room.who.byUser) == 1
	return slices.DeleteFunc(a.room.Todo(m.s.now), func(t Todo) bool {
		return t.Kind == TodoVerify && !served || t.Kind == TodoRejoin && alone
	})
}

func (m *model) quiet() bool {
	for _, a := range m.actors {
		if a.in() && (a.room.st.place.seq != m.s.head() || a.room.State() != StateMember && a.room.State() != StateLeaving) {
			return false
		}
	}
	majority := m.majority()
	for _, a := range m.actors {
		if a.in() && (majority == nil || a.room.EpochTag() != majority.room.EpochTag()) {
			return false
		}
	}
	return true
}

// rescue is what people do when a device says that it cannot go on by itself:
// whoever was brought in by a change that was taken back is invited again.
func (m *model) rescue() {
	majority := m.majority()
	if majority == nil {
		return
	}
	for _, a := range m.actors {
		if !a.in() || a.room.State() == StateMember && a.room.EpochTag() == majority.room.EpochTag() {
			continue
		}
		if majority.room.who.has(a.user()) {
			if _, seated := majority.room.who.seat(a.user(), a.self.Device()); seated {
				continue // the others can help, and must
			}
		}
		m.log("%s learns that it is not in the room", a.who.name)
		res := a.room.Unrouted()
		a.save(res.Records)
		// whoever came by a Welcome into a void branch, and hears nothing but
		// strangers, has to be told by people: a core that says so could lie
		if a.room.State() != StateRemoved && a.room.st.strange < maxStrange {
			m.t.Errorf("%s is in state %d and believes to follow a room that it is not in", a.who.name, a.room.State())
		}
		a.out = true
	}
}

// majority is a device of the branch that most are in; nil while all are
// locked out. Those who follow an undo that they cannot judge count only while
// there is nobody else: however many they are, they may have been removed.
func (m *model) majority() *actor {
	settled := m.pickedBranch(func(a *actor) bool { return a.room.st.unsettled == 0 })
	if settled != nil {
		return settled
	}
	return m.pickedBranch(func(*actor) bool { return true })
}

func (m *model) pickedBranch(fits func(*actor) bool) *actor {
	count := map[[16]byte]int{}
	var best *actor
	for _, a := range m.actors {
		if a.in() && a.room.State() == StateMember && fits(a) {
			tag := a.room.EpochTag()
			if count[tag]++; best == nil || count[tag] > count[best.room.EpochTag()] {
				best = a
			}
		}
	}
	return best
}

// check is what must hold when the room has come to rest.
func (m *model) check() {
	t := m.t
	var members []*actor
	for _, a := range m.actors {
		if a.in() && a.room.State() == StateMember {
			members = append(members, a)
		}
	}
	if len(members) == 0 {
		if !m.deserted() {
			t.Fatal("nobody is left")
		}
		return
	}
	for _, a := range members {
		if a.room.EpochTag() != members[0].room.EpochTag() {
			t.Errorf("%s (epoch %d) and %s (epoch %d) are in different branches", a.who.name, epochOf(a), members[0].who.name, epochOf(members[0]))
		}
		if len(a.outbox) != 0 {
			t.Errorf("%s has %d messages left", a.who.name, len(a.outbox))
		}
	}
	m.setAside(members)
	m.checkVerdicts(members)
	m.checkTimelines(members)
	m.checkGhosts()
	m.checkIntruders()
	m.checkAlarms(members)
}

// setAside leaves out who has left in a branch that the others gave up: the
// entry that removed it counts for nobody who is still there.
func (m *model) setAside(members []*actor) {
	for _, a := range m.actors {
		if a.out || a.room == nil || a.room.State() != StateRemoved {
			continue
		}
		seq := a.room.st.place.seq
		a.out = slices.ContainsFunc(members, func(b *actor) bool {
			if b.verdicts[seq] == VerdictRefused {
				return true
			}
			for epoch, tag := range a.tags {
				if other, known := b.tags[epoch]; known && tag != other {
					return true
				}
			}
			return false
		})
	}
}

// checkVerdicts: the members have judged each entry and know each epoch alike,
// and so has whoever is gone, as far as they know.
func (m *model) checkVerdicts(members []*actor) {
	gone := slices.DeleteFunc(slices.Clone(m.actors), func(a *actor) bool { return a.out || slices.Contains(members, a) })
	for seq := uint64(1); seq <= m.s.head(); seq++ {
		if m.astray[seq] {
			continue
		}
		var verdict Verdict
		var by *actor
		for _, a := range slices.Concat(members, gone) {
			switch v := a.verdicts[seq]; {
			case v == 0, v == VerdictUnknown, v == VerdictFrozen:
			case verdict == 0 && slices.Contains(members, a):
				verdict, by = v, a
			case verdict != 0 && v != verdict:
				m.t.Errorf("entry %d: %s says %v (%s), %s says %v (%s)", seq, by.who.name, verdict, by.why[seq], a.who.name, v, a.why[seq])
			}
		}
	}
	tags := map[uint64][16]byte{}
	for _, a := range slices.Concat(members, gone) {
		for epoch, tag := range a.tags {
			if known, ok := tags[epoch]; ok && known != tag {
				m.t.Errorf("epoch %d has two tags (%s)", epoch, a.who.name)
			} else if slices.Contains(members, a) {
				tags[epoch] = tag
			}
		}
	}
}

// checkTimelines: every message that its author has seen in the log is in every
// timeline of those who could read there, once, and in one order.
func (m *model) checkTimelines(members []*actor) {
	order := map[MessageID]uint64{}
	for _, a := range m.actors {
		if a.out {
			continue
		}
		last := uint64(0)
		seen := map[MessageID]bool{}
		for _, i := range a.timeline {
			if i.Kind != ItemText {
				continue
			}
			if seen[i.ID] {
				m.t.Errorf("%s shows a message twice: %q at %d, first at %d", a.who.name, i.Text, i.Seq, order[i.ID])
			}
			if i.Seq < last {
				m.t.Errorf("%s shows entry %d after %d", a.who.name, i.Seq, last)
			}
			// who comes between a message and its repetition by a restored copy
			// sees the repetition; so does a device that has followed an undo in
			// vain or was served an old offer, of what it had sent before that
			by := m.again[i.ID]
			if at, known := order[i.ID]; known && at != i.Seq && !m.astray[at] && !m.astray[i.Seq] && !m.rolled && !m.cloned && (by == nil || by.voided == 0) {
				m.t.Errorf("a message is at %d and at %d", at, i.Seq)
			}
			seen[i.ID], last, order[i.ID] = true, i.Seq, i.Seq
		}
	}
	for id, seq := range order {
		for _, a := range members {
			if a.verdicts[seq] != VerdictApplied {
				continue // before its time, or locked out
			}
			if !slices.ContainsFunc(a.timeline, func(i Item) bool { return i.ID == id }) {
				m.t.Errorf("%s misses the message at %d", a.who.name, seq)
			}
		}
	}
	for _, a := range members {
		for id, d := range m.sent {
			if _, shown := order[id]; !shown && len(d.Text) > len(a.who.name) && d.Text[:len(a.who.name)+1] == a.who.name+" " && m.onlyDevice(a) && len(a.texts()) > 0 && a.room.st.joinSeq == 0 {
				m.t.Errorf("%s's message %q is in no timeline", a.who.name, d.Text)
			}
		}
	}
}

// onlyDevice: the author has one device, so that the message can only be its own.
func (m *model) onlyDevice(a *actor) bool {
	n := 0
	for _, b := range m.actors {
		if b.user() == a.user() {
			n++
		}
	}
	return n == 1
}

// checkGhosts: who was removed keeps all that it had, and reads nothing of what
// came after.
func (m *model) checkGhosts() {
	for _, a := range m.actors {
		if a.out || a.room == nil || a.room.State() != StateRemoved || len(a.ghosts) == 0 {
			continue
		}
		removed := a.room.st.place.seq
		for _, g := range a.ghosts {
			for _, e := range m.s.log[removed:] {
				if e.Kind != EntryMessage || !m.counted(e.Seq) {
					continue // or by one whom the core has not told that this one is gone
				}
				if _, err := g.group.Decrypt(e.Payload); err == nil && m.fresh(e) {
					m.t.Errorf("%s was removed at %d and reads entry %d", a.who.name, removed, e.Seq)
				}
			}
		}
	}
}

// counted: the entry counts for somebody to whom the core told the truth.
func (m *model) counted(seq uint64) bool {
	return slices.ContainsFunc(m.actors, func(a *actor) bool { return !a.out && a.verdicts[seq] == VerdictApplied })
}

// fresh: the entry is not a copy of an earlier one.
func (m *model) fresh(e Entry) bool {
	for _, earlier := range m.s.log[:e.Seq-1] {
		if string(earlier.Payload) == string(e.Payload) {
			return false
		}
	}
	return true
}

// checkAlarms: nothing is reported that did not happen.
func (m *model) checkAlarms(members []*actor) {
	allowed := map[AlarmCode]bool{AlarmRemoved: true, AlarmStarved: true}
	if m.noise {
		allowed[AlarmReplay] = true
	}
	if m.rolled {
		allowed[AlarmRollback], allowed[AlarmReplay] = true, true
	}
	if m.cloned {
		allowed[AlarmClone], allowed[AlarmReplay], allowed[AlarmRollback], allowed[AlarmGap] = true, true, true, true
	}
	if m.deceived != nil {
		allowed[AlarmFork], allowed[AlarmReorder], allowed[AlarmReplay], allowed[AlarmGap] = true, true, true, true
	}
	if m.noise || !m.calm { // a locked-out device that undoes too late is in another branch for a while
		allowed[AlarmFork] = true
	}
	for _, a := range members {
		for _, alarm := range a.alarms {
			if !allowed[alarm.Code] {
				m.t.Errorf("%s raises %s at %d: %s", a.who.name, alarm.Code, alarm.Seq, alarm.Text)
			}
		}
	}
}
