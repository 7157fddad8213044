package malice

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/securelink-chat/securelink/client"
	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/test/people"
)

// patience is for machines that are busy with other things; nobody waits for
// so long unless a test fails.
var patience = flag.Duration("patience", time.Minute, "how long to wait for what should happen")

// alarms is the closed list of FAULTS, as far as clients exist that raise them.
var alarms = []string{"fork", "rollback", "ghost-device", "identity-changed", "removed", "gap", "replay", "reorder", "starved", "kdf-downgrade", "log-reset", "clone"}

// oneKey is the RSA pair of all clients: making one takes longer than a story,
// and nothing here looks at it.
type oneKey struct{}

var rsaPair = sync.OnceValue(func() link.KeyPair {
	pair, err := link.GenerateKey()
	if err != nil {
		panic(err)
	}
	return pair
})

func (oneKey) Take(context.Context) (link.KeyPair, error) { return rsaPair(), nil }

// hastyArgon stands for Argon2id, whose cost is not what these tests measure.
// It binds everything that the real one does.
func hastyArgon(_ context.Context, password, salt []byte, time, memoryKiB uint32) ([]byte, error) {
	in := binary.BigEndian.AppendUint32(slices.Concat(password, []byte{0}, salt), time)
	sum := sha256.Sum256(binary.BigEndian.AppendUint32(in, memoryKiB))
	return sum[:], nil
}

// unhurried puts off the new keys that whoever has joined takes within the next
// minute, by lot: in the middle of a story the change would be one more thing
// that a lie can touch.
func unhurried(limit time.Duration) time.Duration {
	if limit >= time.Minute {
		return time.Hour
	}
	return rand.N(limit + 1)
}

// person is a client, with everything that it has told.
type person struct {
	w        *world
	name     string
	engine   *client.Engine
	storage  client.Storage
	end      func(time.Duration) error // nil: it does not run
	password string

	people.Ear
	raised  map[string]bool // alarms, and problems that are named as alarms are
	refused map[string]bool // codes of what it was refused, or refused to do
}

// run starts the person's engine on its storage.
func (p *person) run() {
	engine, err := client.New(client.Config{
		Storage: p.storage, Dialer: p.w.server.door(p.name), Pin: p.w.server.root.Pin(), RSA: oneKey{}, Argon: hastyArgon,
		Server: "127.0.0.1:7443", Logger: people.Log{Name: p.name}, Spread: unhurried,
	})
	if err != nil {
		p.w.t.Fatal(err)
	}
	p.w.t.Cleanup(p.stop)
	p.engine = engine
	p.end = p.Start(engine, p.told)
}

// stop ends the engine as a closed program does.
func (p *person) stop() {
	if p.end == nil {
		return
	}
	if err := p.end(*patience); err != nil {
		p.w.t.Errorf("%s: %v", p.name, err)
	}
	p.end = nil
}

// told notes alarms and refusals.
func (p *person) told(ev client.Event) {
	if ev.Problem != nil {
		if slices.Contains(alarms, ev.Problem.Code) {
			p.raised[ev.Problem.Code] = true
		} else {
			p.refused[ev.Problem.Code] = true
		}
	}
	if ev.Kind == client.EvAlarm && slices.Contains(alarms, ev.Alarm.Code) {
		p.raised[ev.Alarm.Code] = true
	}
}

// until waits for something that the person's events lead to.
func (p *person) until(what string, ready func() bool) {
	p.w.t.Helper()
	if !p.Until(*patience, ready) {
		p.w.t.Fatalf("%s: still no %s; last events: %s", p.name, what, p.Tail())
	}
}

// start hands a request to the engine; answer waits for its reply.
func (p *person) start(r client.Request) (answer func() client.Event) {
	id := p.Ask(p.engine, r)
	return func() client.Event {
		p.w.t.Helper()
		var reply client.Event
		p.until("reply to "+r.Op, func() bool {
			ev, ok := p.Replies[id]
			reply = ev
			return ok
		})
		return reply
	}
}

// ask sends a request and returns its reply, whatever it is.
func (p *person) ask(r client.Request) client.Event {
	p.w.t.Helper()
	return p.start(r)()
}

// must sends a request that has to succeed.
func (p *person) must(r client.Request) client.Event {
	p.w.t.Helper()
	ev := p.ask(r)
	if ev.Problem != nil {
		p.w.t.Fatalf("%s: %s: %s: %s; last events: %s", p.name, r.Op, ev.Problem.Code, ev.Problem.Text, p.Tail())
	}
	return ev
}

// user is the person's id.
func (p *person) user() string {
	return p.must(client.Request{Op: client.OpInfo}).Info.User
}

// room is the newest word on a room. The caller holds mu.
func (p *person) room(id string) client.Room {
	for _, ev := range slices.Backward(p.Events) {
		if ev.Kind == client.EvRoom && ev.Room.ID == id {
			return *ev.Room
		}
	}
	return client.Room{}
}

// reaches waits until the person is somewhere with a room.
func (p *person) reaches(id, state string) {
	p.w.t.Helper()
	p.until(fmt.Sprintf("state %q of the room", state), func() bool { return p.room(id).State == state })
}

// sees waits until something is in a room's timeline.
func (p *person) sees(room, what string, is func(client.Item) bool) {
	p.w.t.Helper()
	p.until(what, func() bool {
		return slices.ContainsFunc(p.Events, func(ev client.Event) bool {
			return ev.Kind == client.EvItem && ev.Item.Room == room && ev.Item.Cursor != 0 && is(*ev.Item)
		})
	})
}

func (p *person) hears(room, text string) {
	p.w.t.Helper()
	p.sees(room, fmt.Sprintf("%q", text), func(i client.Item) bool { return i.Kind == client.ItemText && i.Text == text })
}

// timeline is what the person would be shown of a room now.
func (p *person) timeline(room string) []client.Item {
	p.w.t.Helper()
	return people.Timeline(p.must, room)
}

// texts are the messages of a room.
func (p *person) texts(room string) []string {
	p.w.t.Helper()
	return people.Texts(p.timeline(room))
}

// codes are what a person has raised, or was refused, in one line.
func codes(set map[string]bool) string {
	return strings.Join(slices.Sorted(maps.Keys(set)), " ")
}
