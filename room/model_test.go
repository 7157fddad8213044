package room

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/identity"
)

// The model drives several devices, each with a small engine of its own,
// through a random schedule over one log: garbage entries, changes that only
// part of the room can apply, lost races, lost requests, lost
// acknowledgements, restarts between any two steps, people who come and go.
// Then everything comes to rest, and the invariants must hold. Time is virtual
// and every choice comes from the seed (the keys do not).
//
// ROOM_SEED=N runs seed N alone; SECURELINK_SOAK=M runs M seeds, from N or
// 1 on; ROOM_OPS and ROOM_TRACE set how many operations a schedule
// has and how many lines of its diary a failed run prints.

const (
	modelSeeds = 100
	modelOps   = 500
)

func TestModel(t *testing.T) {
	seeds, first := setting("SECURELINK_SOAK", modelSeeds), setting("ROOM_SEED", 1)
	if os.Getenv("SECURELINK_SOAK") == "" && os.Getenv("ROOM_SEED") != "" {
		seeds = 1
	}
	ops := setting("ROOM_OPS", modelOps)
	seen := &tally{count: map[string]int{}}
	t.Cleanup(func() { seen.check(t, seeds >= modelSeeds) })
	for i := range seeds {
		seed := first + i
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			m := newModel(t, uint64(seed))
			for range ops {
				m.operation()
			}
			m.rest()
			m.check()
			seen.add(m.happened)
		})
	}
}

// tally counts what has happened in all runs, so that a model which has become
// too tame is noticed.
type tally struct {
	mu    sync.Mutex
	count map[string]int
}

func (t *tally) add(happened map[string]int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for what, n := range happened {
		t.count[what] += n
	}
}

// check logs the counts; all says that everything must have happened.
func (t *tally) check(tb *testing.T, all bool) {
	for _, what := range slices.Sorted(maps.Keys(t.count)) {
		tb.Logf("%6d %s", t.count[what], what)
	}
	expected := []string{"clone", "old offer", "old welcome", "restored copy", "poison", "frozen", "revocation", "link", "approval link",
		"retired", "owner named", "second device", "lie"}
	for _, what := range expected {
		if all && t.count[what] == 0 && !tb.Failed() {
			tb.Errorf("the model never came to: %s", what)
		}
	}
}

type model struct {
	t         *testing.T
	s         *server
	rng       *rand.Rand
	actors    []*actor
	mode      Mode
	sent      map[MessageID]Draft
	names     int
	rolled    bool // an old copy of a device was restored
	noise     bool // the log holds replays, which raise alarms
	calm      bool // nobody misbehaves in this run
	misjoined bool // somebody came in by an offer that was out of date
	sleepy    bool // members take their time
	liar      bool // the core lies to some
	resting   bool // and has stopped
	deceived  *actor
	told      *bool // whether the lie was told already
	views     map[MessageID]spoken
	intruders []intruder
	again     map[MessageID]*actor             // who has sent what again
	secrets   map[[16]byte]identity.LinkSecret // of all links that ever were, as members know them
	cloned    bool
	astray    map[uint64]bool // entries of a deceived device, which may not know what it has sent
	happened  map[string]int
	trace     []string
}

// spoken is where the author of a message stood.
type spoken struct {
	by  *actor
	seq uint64
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{t: t, s: newServer(), rng: rand.New(rand.NewPCG(seed, 7)), sent: map[MessageID]Draft{}, views: map[MessageID]spoken{}, secrets: map[[16]byte]identity.LinkSecret{}, happened: map[string]int{}, again: map[MessageID]*actor{}, astray: map[uint64]bool{}}
	m.mode, m.calm = []Mode{ModeOpen, ModeInvite, ModeLink}[seed%3], seed%5 == 0
	m.liar, m.sleepy = !m.calm && seed%2 == 0, seed%4 == 1
	t.Cleanup(func() {
		if t.Failed() {
			tail := m.trace[max(0, len(m.trace)-setting("ROOM_TRACE", 60)):]
			for _, line := range tail {
				t.Log(line)
			}
			t.Logf("seed %d, %d entries; ROOM_SEED=%d runs it alone", seed, m.s.head(), seed)
		}
	})
	first := m.newActor()
	first.create(Spec{Mode: m.mode, Title: "model"})
	for range 3 {
		m.someoneComes()
		m.settle()
	}
	return m
}

func (m *model) log(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf("%4d ", m.s.head())+fmt.Sprintf(format, args...))
}

func (m *model) newActor() *actor {
	m.names++
	return m.actorOf(m.s.person(fmt.Sprintf("P%d", m.names)))
}

func (m *model) actorOf(p *person) *actor {
	a := &actor{device: m.s.device(m.t, p), due: map[TodoKind]time.Time{}, locked: map[uint64]bool{}}
	m.actors = append(m.actors, a)
	return a
}

// pick chooses one of those that fit.
func (m *model) pick(fits func(*actor) bool) *actor {
	var list []*actor
	for _, a := range m.actors {
		if fits(a) {
			list = append(list, a)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[m.rng.IntN(len(list))]
}

// operation is one step of the schedule.
func (m *model) operation() {
	m.s.now = m.s.now.Add(time.Duration(m.rng.IntN(1500)) * time.Millisecond)
	if m.rng.IntN(40) == 0 {
		m.s.now = m.s.now.Add(70 * time.Second)
	}
	switch n := m.rng.IntN(100); {
	case n < 30:
		if a := m.pick((*actor).canSpeak); a != nil {
			m.say(a)
		}
	case n < 55:
		if a := m.pick((*actor).around); a != nil {
			m.catchUp(a, m.rng.IntN(6))
		}
	case n < 75:
		if a := m.pick((*actor).in); a != nil {
			m.work(a)
		}
	case n < 82:
		m.wish()
	case n < 86:
		if a := m.pick((*actor).in); a != nil {
			m.log("%s restarts", a.who.name)
			a.restart()
		}
	case n < 89:
		m.someoneComes()
	case n < 91:
		m.someoneGoes()
	case n < 93:
		m.garbage()
	case n < 94:
		m.poison()
	case n < 95:
		m.revoke()
	case n < 96:
		m.rollBack()
	case n < 97:
		m.rare()
	case n < 98:
		m.deceive()
	default:
		for _, a := range m.actors {
			if a.around() && m.rng.IntN(2) == 0 {
				m.catchUp(a, 1000)
				if a.in() {
					m.work(a)
				}
			}
		}
	}
}

// rare is what hardly ever happens.
func (m *model) rare() {
	switch m.rng.IntN(5) {
	case 0:
		m.clone()
	case 1:
		m.retire()
	case 2, 3:
		m.deliverAgain()
	default:
		m.intrude()
	}
}

// work does one thing that is due, when its time has come.
func (m *model) work(a *actor) {
	m.flush(a)
	todo := a.room.Todo(m.s.now)
	for kind := range a.due {
		if !slices.ContainsFunc(todo, func(t Todo) bool { return t.Kind == kind }) {
			delete(a.due, kind)
		}
	}
	for _, t := range todo {
		at, known := a.due[t.Kind]
		if !known {
			a.due[t.Kind] = m.s.now.Add(t.After + time.Duration(m.rng.Int64N(int64(t.Jitter)+1)))
			continue
		}
		if m.s.now.Before(at) {
			continue
		}
		if t.Kind == TodoCarry && m.lazy() {
			continue
		}
		delete(a.due, t.Kind)
		m.do(a, t.Kind)
		return
	}
	if len(a.intents) > 0 {
		m.commit(a)
	}
}

// lazy: in some runs those who could help hardly ever do, so that others undo.
func (m *model) lazy() bool { return m.sleepy && !m.resting && m.rng.IntN(8) > 0 }

func (m *model) do(a *actor, kind TodoKind) {
	m.catchUp(a, 1000)
	m.unrouted(a)
	if !a.in() || !slices.ContainsFunc(a.room.Todo(m.s.now), func(t Todo) bool { return t.Kind == kind }) {
		return
	}
	m.log("%s does todo %d", a.who.name, kind)
	var ap *Append
	var err error
	switch kind {
	case TodoCarry:
		m.commit(a)
		return
	case TodoRefresh:
		a.intents = append(a.intents, Intent{Kind: IntentRefresh})
		m.commit(a)
		return
	case TodoNack:
		ap, err = a.room.Nack(m.s.now)
	case TodoUndo:
		if m.mode == ModeOpen && m.rng.IntN(2) == 0 {
			m.resync(a)
			return
		}
		if ap, err = a.room.Undo(m.s.now); errors.Is(err, ErrNotAllowed) {
			return
		}
	case TodoAck:
		if !slices.ContainsFunc(a.outbox, func(q queued) bool { return q.draft.Kind == ItemAck }) {
			a.outbox = append(a.outbox, queued{draft: Draft{ID: randomID(), Kind: ItemAck}})
		}
		m.flush(a)
		return
	case TodoRejoin:
		ap, err = a.room.AskRejoin(identity.ReasonLost, m.s.now)
	case TodoEnter:
		m.enter(a)
		return
	case TodoPublish:
		m.publish(a)
		return
	case TodoVerify:
		m.verify(a)
		return
	}
	if err != nil {
		m.t.Fatalf("%s: todo %d: %v", a.who.name, kind, err)
	}
	a.save(ap.Records)
	if m.rng.IntN(10) == 0 {
		a.restart()
	}
	m.append(a, ap)
}

// setting is a number from the environment, if there is one.
func setting(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}
