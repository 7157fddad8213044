package line

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/securelink-chat/securelink/client"
)

// fakeEngine answers every request and keeps them.
type fakeEngine struct {
	events   chan client.Event
	requests chan client.Request
}

func (e *fakeEngine) Events() <-chan client.Event { return e.events }

func (e *fakeEngine) Do(r client.Request) {
	e.requests <- r
	reply := client.Event{Kind: client.EvReply, Reply: r.ID, Room: &client.Room{ID: "lounge", Title: "Lounge", Mode: client.ModeOpen, State: client.RoomMember}}
	if r.ID != 0 {
		e.events <- reply
	}
}

// What is typed at the password's prompt is for the prompt: nobody else has
// read it by then, and it does not become a message.
func TestThePasswordIsNoMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{events: make(chan client.Event, 100), requests: make(chan client.Request, 100)}
		in, typed := io.Pipe()
		defer typed.Close() // ends the reader that is left behind
		var out bytes.Buffer
		o := Options{In: in, Out: &out, Terminal: true, Login: "alice", Register: true, Password: func(string) (string, error) {
			return readByByte(in)
		}}
		ended := make(chan error, 1)
		go func() { ended <- Run(t.Context(), e, o) }()
		synctest.Wait() // whoever would read before the prompt does so by now
		e.events <- client.Event{Kind: client.EvAccount, Account: &client.Account{State: client.AccountNone}}
		for _, text := range []string{"secret\n", "hello\n", "/quit\n"} {
			if _, err := io.WriteString(typed, text); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		close(e.requests)
		var said []string
		for r := range e.requests {
			switch r.Op {
			case client.OpRegister:
				if r.Password != "secret" {
					t.Errorf("the password is %q", r.Password)
				}
			case client.OpSend:
				said = append(said, r.Text)
			}
		}
		if len(said) != 1 || said[0] != "hello" {
			t.Errorf("the messages are %q", said)
		}
		if strings.Contains(out.String(), "secret") {
			t.Errorf("the password is shown:\n%s", out.String())
		}
	})
}

// readByByte reads a line and nothing after it.
func readByByte(in io.Reader) (string, error) {
	var line []byte
	for one := make([]byte, 1); one[0] != '\n'; line = append(line, one[0]) {
		if _, err := in.Read(one); err != nil {
			return "", err
		}
	}
	return strings.TrimSpace(string(line)), nil
}

// A script hears who asks to come in, and only at the door of its own room. The
// cursor of that is one to go on from.
func TestListenTellsOfKnocks(t *testing.T) {
	e := &fakeEngine{events: make(chan client.Event, 100), requests: make(chan client.Request, 100)}
	e.events <- client.Event{Kind: client.EvAccount, Account: &client.Account{State: client.AccountGuest}}
	for _, room := range []string{"elsewhere", "lounge"} {
		e.events <- client.Event{Kind: client.EvKnock, Knock: &client.Knock{Room: room, User: "ab12", Name: "Dana\x1b", Link: "77", Time: 1_000}}
	}
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Listen(ctx, e, ListenOptions{Room: "lounge", JSON: true, Out: in}) }()
	var got Line
	if err := json.NewDecoder(out).Decode(&got); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	want := Line{Schema: Schema, Cursor: "c1.1", Room: "lounge", Type: "knock", Sender: "ab12", Name: "Dana\x1b", Target: "77", Time: "1970-01-01T00:00:01Z"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
