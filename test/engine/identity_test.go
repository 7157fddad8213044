//go:build !js

package engine

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/securelink-chat/securelink/client"
	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/store/mem"
	"github.com/securelink-chat/securelink/wire"
)

// impostor is a store that says of a user that a login name is his, which is
// another's.
type impostor struct {
	core.Store
	mu    sync.Mutex
	user  wire.UserID
	login string
}

func (i *impostor) stands(user wire.UserID, login string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.user, i.login = user, login
}

func (i *impostor) User(ctx context.Context, id wire.UserID) (core.UserRecord, bool, error) {
	u, ok, err := i.Store.User(ctx, id)
	i.mu.Lock()
	defer i.mu.Unlock()
	if ok && i.login != "" {
		if id == i.user {
			u.Login = i.login
		} else if u.Login == i.login {
			u.Login = ""
		}
	}
	return u, ok, err
}

func (i *impostor) UserByLogin(ctx context.Context, login string) (core.UserRecord, bool, error) {
	i.mu.Lock()
	user, lie := i.user, i.login == login && login != ""
	i.mu.Unlock()
	if lie {
		return i.User(ctx, user)
	}
	return i.Store.UserByLogin(ctx, login)
}

// waits says why a message has not left yet.
func (p *person) waits(room, text string) string {
	p.t.Helper()
	for _, item := range p.must(client.Request{Op: client.OpHistory, Room: room, Limit: 200}).Items {
		if item.Text == text && item.State == client.StateWaiting {
			return item.Reason
		}
	}
	return ""
}

// The server puts another identity behind the login name of somebody whom
// Alice knows. Where only invited people are, she writes nothing more until she
// has accepted it; in an open room she is told. Others who come change nothing.
func TestNewIdentityBehindAName(t *testing.T) {
	lie := &impostor{Store: mem.New()}
	s := newServerOn(t, lie, wire.DefaultLimits().With(wire.MessageBurst, 100_000).With(wire.MessageRate, 100_000))
	alice, bob, carol, dave := s.register("Alice"), s.register("Bob"), s.register("Carol"), s.register("Dave")
	direct := alice.must(client.Request{Op: client.OpDirect, User: "bob"}).Room.ID
	alice.say(direct, "hello bob")
	bob.hears(direct, "hello bob")
	lounge := alice.must(client.Request{Op: client.OpJoin, Text: "lounge"}).Room.ID
	room := carol.must(client.Request{Op: client.OpCreate, Text: "Club"}).Room.ID
	carol.bring(room, alice)
	carol.bring(room, dave) // the control: somebody new who is nobody else
	alice.say(room, "who is here?")
	dave.hears(room, "who is here?")

	mallory := s.person("Mallory")
	mallory.must(client.Request{Op: client.OpRegister, Name: "Bob", Login: "robert", Password: "correct horse Mallory"})
	raw := mallory.account().User
	users, err := lie.Users(context.Background(), wire.UserID{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(users, func(u core.UserRecord) bool { return u.ID.String() == raw })
	lie.stands(users[i].ID, "bob")

	if ev := alice.ask(client.Request{Op: client.OpDirect, User: "bob"}); ev.Problem == nil || ev.Problem.Code != client.ProblemUntrusted {
		t.Errorf("a direct chat with whoever is called bob now: %+v", ev.Problem)
	}
	mallory.must(client.Request{Op: client.OpJoin, Text: "lounge"})
	carol.bring(room, mallory)
	alice.inRoom(room, "stop", func(r client.Room) bool { return strings.Contains(r.Blocked, "/trust") })
	alice.say(room, "only for the real Bob")
	if why := alice.waits(room, "only for the real Bob"); !strings.Contains(why, "Bob") {
		t.Errorf("the message waits because %q", why)
	}
	for _, where := range []string{room, lounge} {
		alice.until("line about the identity", func() bool {
			return slices.ContainsFunc(alice.Events, func(ev client.Event) bool {
				return ev.Kind == client.EvAlarm && ev.Alarm.Code == "identity-changed" && ev.Alarm.Room == where
			})
		})
	}
	alice.say(lounge, "open to all")
	mallory.hears(lounge, "open to all")
	alice.say(direct, "you, bob?") // the old one's keys are the old one's
	bob.hears(direct, "you, bob?")
	carol.say(room, "later than what alice wrote")
	mallory.hears(room, "later than what alice wrote")
	if got := mallory.texts(room); slices.Contains(got, "Alice: only for the real Bob") {
		t.Fatalf("it was sent: %q", got)
	}
	alice.stop()
	alice.run(s) // it lasts, from the first moment on
	if why := alice.waits(room, "only for the real Bob"); !strings.Contains(why, "Bob") {
		t.Errorf("after a restart the message waits because %q", why)
	}
	alice.inRoom(room, "stop", func(r client.Room) bool { return strings.Contains(r.Blocked, "/trust") })
	alice.must(client.Request{Op: client.OpTrust, User: raw})
	mallory.hears(room, "only for the real Bob")
	if got := alice.alarms(room, "identity-changed"); len(got) != 1 {
		t.Errorf("alice was warned %d times: %q", len(got), got)
	}
	alice.must(client.Request{Op: client.OpDirect, User: "bob"})
}

// Somebody is called as one whose safety number was compared: the server's word
// on login names is not needed to notice.
func TestNamesakeOfAVerifiedContact(t *testing.T) {
	s := newServer(t)
	alice, bob, carol := s.register("Alice"), s.register("Bob"), s.register("Carol")
	room := carol.must(client.Request{Op: client.OpCreate, Text: "Club"}).Room.ID
	carol.bring(room, alice)
	carol.bring(room, bob)
	alice.inRoom(room, "three", func(r client.Room) bool { return r.Members == 3 })
	alice.must(client.Request{Op: client.OpVerify, User: bob.account().User, On: true})
	alice.say(room, "hello")
	bob.hears(room, "hello")
	other := s.person("Other")
	other.must(client.Request{Op: client.OpRegister, Name: "B0b", Login: "other", Password: "correct horse other"})
	carol.bring(room, other)
	alice.inRoom(room, "stop", func(r client.Room) bool { return strings.Contains(r.Blocked, "/trust") })
	alice.must(client.Request{Op: client.OpTrust, User: other.account().User})
	alice.say(room, "hello to both")
	other.hears(room, "hello to both")
}
