package room

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/mls"
)

// queued is a message in a device's outbox, which outlives restarts.
type queued struct {
	draft Draft
	bytes *Append // built and not known to be in the log
}

// actor is a device with the smallest engine that does what an engine must.
type actor struct {
	*device
	outbox  []queued
	intents []Intent
	commits *Append // built and not known to be in the log
	due     map[TodoKind]time.Time
	out     bool // has left or was removed, and stays out
	ghosts  []ghost
	locked  map[uint64]bool
	offer   []byte // the last one that was tried
	backup  map[string][]byte

	backedUp []queued // the outbox of backup
}

// ghost is the group of a device just before it lost its place: what somebody
// who is removed keeps.
type ghost struct {
	seq   uint64
	group *mls.Group
}

func (a *actor) in() bool { return a.room != nil && !a.out && a.room.State() != StateRemoved }

// around: in the room, or waiting for the Welcome that brings it in.
func (a *actor) around() bool { return a.room == nil && !a.out || a.in() }

func (a *actor) canSpeak() bool {
	return a.in() && a.room.State() == StateMember && a.room.canSend() == nil
}

func (a *actor) staff() bool {
	return a.canSpeak() && a.room.rules.role(a.user()) >= RoleAdmin
}

// say puts a message into the outbox: from now on it must not get lost.
func (m *model) say(a *actor) {
	d := Draft{ID: randomID(), Kind: ItemText, Text: fmt.Sprintf("%s says %d", a.who.name, len(m.sent))}
	m.sent[d.ID] = d
	a.outbox = append(a.outbox, queued{draft: d})
	m.flush(a)
}

// deliver appends, unless the request or its answer gets lost. ok says that the
// device knows the entry to be in the log.
func (m *model) deliver(a *actor, ap *Append) (ok bool, err error) {
	switch m.rng.IntN(10) {
	case 0:
		m.log("%s: request lost", a.who.name)
		return false, nil
	case 1:
		err := m.accept(a, ap)
		m.log("%s: answer lost (%v)", a.who.name, err)
		return false, nil
	}
	err = m.accept(a, ap)
	m.log("%s: append kind %d: %v", a.who.name, ap.Kind, err)
	return err == nil, err
}

// flush sends what is in the outbox, in order, up to three at once. What was
// built before and is not known to be in the log goes again with the same
// bytes, after a look into the log.
func (m *model) flush(a *actor) {
	speaks := func(i int) bool {
		return a.canSpeak() || a.in() && a.room.State() == StateWaiting && a.outbox[i].draft.Kind == ItemAck
	}
	if len(a.outbox) == 0 || !speaks(0) {
		return
	}
	if a.outbox[0].bytes != nil {
		m.catchUp(a, 1000)
	}
	// what was found in the log is out of the outbox now
	for i := 0; i < len(a.outbox) && i < 3 && speaks(i); i++ {
		q := &a.outbox[i]
		if q.bytes == nil {
			ap, err := a.room.Message(q.draft)
			if errors.Is(err, ErrBarrier) {
				if !m.lazy() {
					m.commit(a)
				}
				return
			}
			if err != nil {
				m.t.Fatalf("%s: %v", a.who.name, err)
			}
			a.save(ap.Records)
			q.bytes = ap
			m.views[q.draft.ID] = spoken{a, a.room.st.place.seq}
			if m.rng.IntN(12) == 0 {
				m.log("%s restarts between save and send", a.who.name)
				a.restart()
				return
			}
		}
		ok, err := m.deliver(a, q.bytes)
		if errors.Is(err, errUnrouted) {
			m.unrouted(a)
			return
		}
		if errors.Is(err, errStale) {
			_, records := a.room.Lost(m.s.now)
			a.save(records)
			m.catchUp(a, 1000)
			return
		}
		if !ok {
			return
		}
	}
}

// commit tries everything that this device wants, and what is due.
func (m *model) commit(a *actor) {
	if a.commits != nil {
		m.catchUp(a, 1000)
	}
	if !a.in() || a.room.canSend() != nil || a.commits != nil {
		return
	}
	ap, err := a.room.Commit(a.intents, m.s.now)
	var bad *IntentError
	switch {
	case errors.Is(err, ErrNothing):
		a.intents = nil
		return
	case errors.As(err, &bad):
		a.intents = slices.Delete(a.intents, bad.Index, bad.Index+1)
		return
	case errors.Is(err, ErrNotAllowed):
		if len(a.intents) == 0 {
			m.t.Fatalf("%s cannot carry out what is due: %v", a.who.name, err)
		}
		m.log("%s may not: %v", a.who.name, err)
		a.intents = nil
		return
	case err != nil:
		m.t.Fatalf("%s: %v", a.who.name, err)
	}
	a.save(ap.Records)
	if m.rng.IntN(10) == 0 {
		a.restart()
	}
	m.log("%s commits %d intents", a.who.name, len(a.intents))
	m.append(a, ap)
}

// append delivers a handshake; what is not known to be in the log stays in
// commits until the log says so.
func (m *model) append(a *actor, ap *Append) {
	a.commits = ap
	_, err := m.deliver(a, ap)
	if err != nil {
		a.commits = nil
	}
	m.catchUp(a, 1000)
	if errors.Is(err, errUnrouted) {
		m.unrouted(a)
	}
}

// unrouted finds out whether the core still has the room for a device.
func (m *model) unrouted(a *actor) {
	m.catchUp(a, 1000)
	in := a.in()
	switch {
	case a.device.unrouted():
		m.log("%s takes itself back in", a.who.name)
		m.happened["unrouted by what does not count"]++
		m.catchUp(a, 1000)
	case in && !a.in():
		m.log("%s learns that it is out", a.who.name)
		m.happened["learnt that it is out"]++
		a.out = true // what it has seen since it was locked out is for nobody to compare
	}
}

// catchUp examines up to n entries and takes the Welcomes that fit.
func (m *model) catchUp(a *actor, n int) {
	for range n {
		if a.room != nil && a.room.State() != StateRemoved {
			if e, ok := a.next(); ok {
				m.examine(a, e)
				continue
			}
		}
		voided, entries := a.voided, a.entries
		if !a.step() {
			break
		}
		if a.entries == entries {
			continue // a welcome that it did not want
		}
		m.happened["void branch left"] += a.voided - voided
		a.setFail()
		m.log("%s took a welcome, state %d, epoch %d", a.who.name, a.room.State(), epochOf(a))
		a.forgetBuilt()
	}
	if a.room == nil {
		return
	}
	if _, more := a.next(); !more {
		a.commits = nil
		m.collect(a)
	}
}

func (a *actor) forgetBuilt() {
	for i := range a.outbox {
		a.outbox[i].bytes = nil
	}
	a.commits = nil
}

func (m *model) examine(a *actor, e Entry) {
	before := a.room.State()
	if keep := a.room.group; keep != nil && m.rng.IntN(4) == 0 && e.Kind == EntryHandshake {
		a.ghosts = append(a.ghosts, ghost{e.Seq, keep.Clone()})
	}
	res := a.device.examine(e)
	if res.IsOwn {
		if a.commits != nil && a.commits.ID == res.Own {
			a.intents = nil // all of them were in it
		}
		for i, q := range a.outbox {
			if q.draft.ID == res.Own {
				a.outbox = slices.Delete(a.outbox, i, i+1)
				break
			}
		}
	}
	if res.Rebuild {
		a.forgetBuilt()
	}
	if a.room.rules != nil {
		for _, l := range a.room.rules.Links {
			m.secrets[l.Secret.ID()] = l.Secret
		}
	}
	m.collect(a)
	switch {
	case res.Verdict == VerdictFrozen:
		m.happened["frozen"]++
	case res.Undone != 0:
		m.happened["undone"]++
	case a.room.State() == StateBroken && before != StateBroken && a.room.st.stay != identity.JoinID{}:
		m.happened["rolled back before a re-join"]++
	}
	if a.room.State() != before || res.Verdict == VerdictFrozen || res.Undone != 0 {
		m.log("%s at %d: %v, state %d -> %d %s", a.who.name, e.Seq, res.Verdict, before, a.room.State(), res.Why)
	}
}

// collect puts what is to be sent again back into the outbox, in front.
func (m *model) collect(a *actor) {
	var again []queued
	for _, id := range a.resend {
		if d, ok := m.sent[id]; ok && !slices.ContainsFunc(a.outbox, func(q queued) bool { return q.draft.ID == id }) {
			again = append(again, queued{draft: d})
			m.again[id] = a
		}
	}
	a.resend = nil
	a.outbox = append(again, a.outbox...)
}

func (m *model) publish(a *actor) {
	ap, err := a.room.Publish()
	if err == nil && a.room.Mark() == m.s.mark && a.view == nil {
		a.save(ap.Records)
		m.s.publish(ap)
	}
}

// setFail lets the changes fail that were poisoned for this device.
func (a *actor) setFail() { a.room.fail = func(seq uint64) bool { return a.locked[seq] } }
