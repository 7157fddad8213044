package malice

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/securelink-chat/securelink/client"
	"github.com/securelink-chat/securelink/wire"
)

// world is a server and the people on it, for one telling of a story.
type world struct {
	t         *testing.T
	server    *server
	people    []*person
	said      map[string][]string // by room, in the order of the log
	lie       func(*world)        // what the server does from the turn on; nil in a control
	turned    bool
	case_     manipulation
	main      string // the room that the story is about
	since     uint64 // the newest entry of it at the turn
	other     string // a second room, where a story has one
	alice     string // her user id
	text      string // a link that goes from hand to hand
	otherLink string // to the second room
}

func newWorld(t *testing.T, lie func(*world)) *world {
	return &world{t: t, server: newServer(t), said: map[string][]string{}, lie: lie}
}

// turn is where an honest server begins to lie.
func (w *world) turn() {
	w.turned = true
	if w.main != "" {
		w.since = w.server.head(w.room())
	}
	if w.lie != nil {
		w.lie(w)
	}
}

// room is the id of the room that the story is about.
func (w *world) room() wire.RoomID { return roomID(w.main) }

func roomID(text string) wire.RoomID {
	raw, err := hex.DecodeString(text)
	must(err)
	return wire.RoomID(raw)
}

func userID(text string) wire.UserID {
	raw, err := hex.DecodeString(text)
	must(err)
	return wire.UserID(raw)
}

// person is somebody without an account.
func (w *world) person(name string) *person {
	p := &person{
		w: w, name: name, storage: client.NewMemory(),
		raised: map[string]bool{}, refused: map[string]bool{}, password: "correct horse " + name,
	}
	p.run()
	w.people = append(w.people, p)
	return p
}

// named finds somebody.
func (w *world) named(name string) *person {
	i := slices.IndexFunc(w.people, func(p *person) bool { return p.name == name })
	return w.people[i]
}

// register is somebody with a login name.
func (w *world) register(name string) *person {
	w.t.Helper()
	p := w.person(name)
	p.must(client.Request{Op: client.OpRegister, Name: name, Login: strings.ToLower(name), Password: p.password})
	return p
}

// guest is somebody without one.
func (w *world) guest(name string) *person {
	w.t.Helper()
	p := w.person(name)
	p.must(client.Request{Op: client.OpGuest, Name: name})
	return p
}

// family is a closed room of Alice, who owns it, and others.
func (w *world) family(mode string, others ...string) []*person {
	w.t.Helper()
	all := []*person{w.register("Alice")}
	w.alice = all[0].user()
	w.main = all[0].must(client.Request{Op: client.OpCreate, Text: "Family", Mode: mode}).Room.ID
	for _, name := range others {
		p := w.register(name)
		all[0].brings(w.main, p)
		all = append(all, p)
	}
	return all
}

// brings invites somebody, who accepts.
func (p *person) brings(room string, guest *person) {
	p.w.t.Helper()
	p.must(client.Request{Op: client.OpInvite, Room: room, User: strings.ToLower(guest.name)})
	guest.accepts(room)
}

func (p *person) accepts(room string) {
	p.w.t.Helper()
	p.reaches(room, client.RoomInvited)
	p.must(client.Request{Op: client.OpAccept, Room: room})
	p.reaches(room, client.RoomMember)
}

// writes puts a text on its way.
func (p *person) writes(room, text string) {
	p.w.t.Helper()
	p.must(client.Request{Op: client.OpSend, Room: room, Text: text})
	p.w.said[room] = append(p.w.said[room], p.name+": "+text)
}

// says writes a text and waits until its author sees it in the log.
func (p *person) says(room, text string) {
	p.w.t.Helper()
	p.writes(room, text)
	p.hears(room, text)
}

// together waits until all have heard the last word of a room.
func (w *world) together(room string, people ...*person) {
	w.t.Helper()
	last := w.said[room][len(w.said[room])-1]
	_, text, _ := strings.Cut(last, ": ")
	for _, p := range people {
		p.hears(room, text)
	}
}

// returns ends somebody's connection and waits for the next one.
func (p *person) returns() {
	p.w.t.Helper()
	p.Mu.Lock()
	from := len(p.Events)
	p.Mu.Unlock()
	p.w.server.hangUp(p.name)
	p.until("end of the connection", func() bool { return p.connected(from, client.ConnReconnecting) })
	p.engine.Do(client.Request{Op: client.OpConnect})
	p.until("new connection", func() bool { return p.connected(from, client.ConnConnected) })
}

func (p *person) connected(from int, state string) bool {
	return slices.ContainsFunc(p.Events[from:], func(ev client.Event) bool {
		return ev.Kind == client.EvConnection && ev.Conn.State == state
	})
}
