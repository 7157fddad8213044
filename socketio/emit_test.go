package socketio_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/internal/eioclient"
	"github.com/securelink-chat/securelink/socketio"
	"github.com/securelink-chat/securelink/socketio/engineio"
)

func TestEmitWritesJSON(t *testing.T) {
	st := start(t, socketio.Options{})
	c, s := st.enter(t)
	type named struct {
		Name string `json:"name"`
		N    int    `json:"n,omitempty"`
	}
	for _, e := range []struct {
		values []any
		want   []string
	}{
		{nil, []string{`42["e"]`}},
		{[]any{nil, true, 1, int64(-2), uint64(3), 1.5, "a\"\\\n\u2028ä\x00\xff"}, []string{`42["e",null,true,1,-2,3,1.5,"a\"\\\n` + "\u2028" + `ä\u0000` + "\ufffd" + `"]`}},
		{[]any{named{Name: "<x>"}, &named{N: 1}, []string{"a"}, map[string]int{"b": 1}}, []string{`42["e",{"name":"<x>"},{"name":"","n":1},["a"],{"b":1}]`}},
		{[]any{json.RawMessage(`{ "a" : 1 }`), json.RawMessage(nil)}, []string{`42["e",{"a":1},null]`}},
		{[]any{[]byte("x"), map[string]any{"z": []any{[]byte("y"), 1}, "a": "b"}},
			[]string{`452-["e",{"_placeholder":true,"num":0},{"a":"b","z":[{"_placeholder":true,"num":1},1]}]`, "bytes:x", "bytes:y"}},
		{[]any{[]byte{}}, []string{`451-["e",{"_placeholder":true,"num":0}]`, "bytes:"}},
	} {
		if err := s.Emit("e", e.values...); err != nil {
			t.Fatalf("%v: %v", e.values, err)
		}
		want(t, c, e.want...)
	}
	for name, value := range map[string]any{
		"bytes in a struct": struct{ B []byte }{[]byte("x")},
		"bytes in a map":    map[string][]byte{"a": nil},
		"broken JSON":       json.RawMessage(`{"a"`),
		"no JSON at all":    func() {},
	} {
		if err := s.Emit("e", value); err == nil {
			t.Errorf("%s is sent", name)
		}
	}
	// Bytes that are not there would make a client's parser close the connection.
	if err := s.EmitArgs("e", socketio.Args{JSON: []json.RawMessage{json.RawMessage(`{"_placeholder":true,"num":1}`)}, Attachments: [][]byte{{1}}}); err == nil {
		t.Error("a placeholder for nothing is sent")
	}
	if err := s.EmitBinary("b", []byte("1"), []byte("2")); err != nil {
		t.Fatal(err)
	}
	head := `451-["b",{"_placeholder":true,"num":0}]`
	want(t, c, head, "bytes:1", head, "bytes:2")
}

func TestDecode(t *testing.T) {
	args := socketio.Args{
		JSON:        []json.RawMessage{json.RawMessage(`9007199254740993`), json.RawMessage(`{"_placeholder":true,"num":0}`), json.RawMessage(`{"a":{"_placeholder":true,"num":0}}`)},
		Attachments: [][]byte{[]byte("x")},
	}
	var number any
	if err := args.Decode(0, &number); err != nil || number != json.Number("9007199254740993") {
		t.Errorf("%v, %v", number, err)
	}
	if b, ok := args.Bytes(1); !ok || string(b) != "x" {
		t.Errorf("%q, %v", b, ok)
	}
	var inner struct{ A json.RawMessage }
	if err := args.Decode(2, &inner); err != nil {
		t.Fatal(err)
	}
	if b, ok := args.Attachment(inner.A); !ok || string(b) != "x" {
		t.Errorf("%q, %v", b, ok)
	}
	for _, i := range []int{-1, 3} {
		if _, ok := args.Bytes(i); ok || args.Decode(i, &number) == nil {
			t.Errorf("there is an argument %d", i)
		}
	}
	if _, ok := args.Bytes(0); ok {
		t.Error("a number is bytes")
	}
}

func TestCallsWait(t *testing.T) {
	st := start(t, socketio.Options{})
	// A handler may wait for an acknowledgement from the client it serves.
	st.Of("/").On("ask", func(s *socketio.Socket, e *socketio.Event) {
		answer, err := s.Call(context.Background(), "question", 1)
		if err != nil {
			st.log <- err.Error()
			return
		}
		_ = e.AckArgs(answer)
	})
	c, s := st.enter(t)
	send(t, c, `427["ask"]`)
	want(t, c, `420["question",1]`)
	send(t, c, `430["yes"]`)
	want(t, c, `437["yes"]`)
	send(t, c, `428["ask"]`)
	want(t, c, `421["question",1]`)
	send(t, c, `461-1[{"_placeholder":true,"num":0}]`, "bytes:b")
	want(t, c, `461-8[{"_placeholder":true,"num":0}]`, "bytes:b")

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Call(ctx, "q"); !errors.Is(err, socketio.ErrTimeout) {
		t.Errorf("no answer: %v", err)
	}
	want(t, c, `422["q"]`)
	results := make(chan error, 1)
	if err := s.EmitAck("q", 20*time.Millisecond, func(_ socketio.Args, err error) { results <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-results; !errors.Is(err, socketio.ErrTimeout) {
		t.Errorf("no answer: %v", err)
	}
	want(t, c, `423["q"]`)
	go func() { _, err := s.Call(t.Context(), "q"); results <- err }()
	want(t, c, `424["q"]`)
	c.Close()
	if err := <-results; !errors.Is(err, socketio.ErrClosed) {
		t.Errorf("the client left: %v", err)
	}
}

func TestCallOverPolling(t *testing.T) {
	st := start(t, socketio.Options{})
	st.Of("/").On("ask", func(s *socketio.Socket, e *socketio.Event) {
		answer, err := s.Call(context.Background(), "question")
		if err == nil {
			_ = e.AckArgs(answer)
		}
	})
	p := &eioclient.Poller{Base: st.url}
	if _, err := p.Open(); err != nil {
		t.Fatal(err)
	}
	exchange := func(post, prefix string) {
		t.Helper()
		if status, body, err := p.Post(post); err != nil || status != 200 || body != "ok" {
			t.Fatalf("post: %d %s %v", status, body, err)
		}
		if status, body, err := p.Get(); err != nil || status != 200 || !strings.HasPrefix(body, prefix) {
			t.Fatalf("poll: %d %q %v", status, body, err)
		}
	}
	begin := time.Now()
	exchange("40", `40{"sid":"`)
	exchange(`421["ask"]`, `420["question"]`)
	exchange(`430["yes"]`, `431["yes"]`)
	if took := time.Since(begin); took > 3*time.Second { // a quarter of the ping timeout is 5 s
		t.Errorf("the post of the question waited for its answer: %v", took)
	}
	// What the messages of a post cause is in the next poll, all of it.
	exchange("42[\"echo\",1]\x1e42[\"echo\",2]\x1e451-[\"echo\",{\"_placeholder\":true,\"num\":0}]\x1ebAQID",
		"42[\"back\",1]\x1e42[\"back\",2]\x1e451-[\"back\",{\"_placeholder\":true,\"num\":0}]\x1ebAQID")
}

func TestAcksAreBounded(t *testing.T) {
	st := start(t, socketio.Options{MaxAcks: 3})
	_, s := st.enter(t)
	for range 3 {
		if err := s.EmitAck("q", time.Minute, func(socketio.Args, error) {}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.EmitAck("q", time.Minute, func(socketio.Args, error) {}); !errors.Is(err, socketio.ErrTooManyAcks) {
		t.Fatal(err)
	}
}

func TestRooms(t *testing.T) {
	st := start(t, socketio.Options{})
	ns := st.Of("/")
	a, sa := st.enter(t)
	b, sb := st.enter(t)
	c, sc := st.enter(t)
	sa.Join("x", "y", "x")
	sb.Join("x")
	sc.Join("y")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(ns.To("x", "y").Emit("once", 1))
	want(t, a, `42["once",1]`)
	want(t, b, `42["once",1]`)
	want(t, c, `42["once",1]`)
	must(ns.To("x").Except(sa).EmitBinary("bin", []byte("b")))
	must(ns.Emit("all"))
	want(t, a, `42["all"]`)
	want(t, b, `451-["bin",{"_placeholder":true,"num":0}]`, "bytes:b", `42["all"]`)
	want(t, c, `42["all"]`)
	sa.Leave("x")
	must(ns.To("x").Emit("x"))
	must(ns.To("y").Emit("y"))
	want(t, a, `42["y"]`)
	want(t, b, `42["x"]`)
	if rooms := sa.Rooms(); !slices.Equal(rooms, []string{"y"}) {
		t.Errorf("rooms %v", rooms)
	}
	if n := len(ns.Room("y")); n != 2 || len(ns.Sockets()) != 3 || ns.Socket(sb.ID()) != sb {
		t.Errorf("%d in y, %d in all", n, len(ns.Sockets()))
	}
	b.Close()
	st.wantReason(t, "/ transport close")
	sb.Join("x")
	if len(ns.Room("x")) != 0 || ns.Socket(sb.ID()) != nil {
		t.Error("a socket that has left is in a room")
	}
}

// TestGoneAtOnce lets a socket go in its own connect handler.
func TestGoneAtOnce(t *testing.T) {
	st := start(t, socketio.Options{})
	st.Of("/two").OnConnect(func(s *socketio.Socket) { _ = s.Emit("bye"); s.Disconnect() })
	c := st.dial(t)
	send(t, c, "40/two")
	wantPrefix(t, c, `40/two,{"sid"`)
	want(t, c, `42/two,["bye"]`, `41/two,`)
	st.wantReason(t, "/two server namespace disconnect")
}

func TestLastWords(t *testing.T) {
	st := start(t, socketio.Options{})
	c, s := st.enter(t)
	send(t, c, "40/two")
	wantPrefix(t, c, `40/two,`)
	big := strings.Repeat("x", 300_000)
	for range 5 {
		if err := s.Emit("last", big); err != nil {
			t.Fatal(err)
		}
	}
	s.Close(socketio.ReasonForced)
	for range 5 {
		want(t, c, `42["last","`+big+`"]`)
	}
	want(t, c, `41`, `41/two,`)
	wantEnd(t, c)
	st.wantReason(t, "/ forced close")
	st.wantReason(t, "/two forced close")
}

// TestEveryoneAtOnce emits, broadcasts, joins and leaves from many goroutines
// while sockets come and go.
func TestEveryoneAtOnce(t *testing.T) {
	st := start(t, socketio.Options{Engine: engineio.Options{MaxBuffered: 64 << 20}})
	ns := st.Of("/")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_ = ns.To("room").Emit("b", "text")
				for _, s := range ns.Sockets() {
					s.Join("room")
					_ = s.EmitBinary("frame", []byte("x"))
					s.Leave("room")
				}
			}
		})
	}
	for i := range 150 {
		c, s := st.enter(t)
		switch i % 3 {
		case 0:
			c.Close()
		case 1:
			s.Close(socketio.ReasonForced)
			c.Close()
		case 2:
			send(t, c, "nonsense")
			c.Close()
		}
		<-st.ends
	}
	close(stop)
	wg.Wait()
	eventually(t, "all are gone", func() bool { return st.Sessions() == 0 && len(ns.Sockets()) == 0 && len(ns.Room("room")) == 0 })
}

func TestShutdownWaitsForHandlers(t *testing.T) {
	st := start(t, socketio.Options{})
	entered, done := make(chan struct{}), make(chan struct{})
	st.Of("/").On("work", func(s *socketio.Socket, _ *socketio.Event) {
		close(entered)
		<-s.Done()
		close(done)
	})
	c, _ := st.enter(t)
	send(t, c, `42["work"]`)
	<-entered
	over := make(chan error, 1)
	go func() { over <- st.Shutdown(context.Background()) }()
	wantEnd(t, c)
	c.Close()
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	default:
		t.Fatal("shutdown did not wait for a handler")
	}
	st.wantReason(t, "/ server shutting down")
}

func ExampleServer() {
	srv, err := socketio.New(socketio.Options{})
	if err != nil {
		panic(err)
	}
	chat := srv.Of("/")
	chat.Use(func(_ context.Context, r *socketio.Request) error {
		var auth struct {
			Name string `json:"name"`
		}
		if json.Unmarshal(r.Auth, &auth) != nil || auth.Name == "" {
			return &socketio.Refusal{Message: "say who you are"}
		}
		r.Data = auth.Name
		return nil
	})
	chat.OnConnect(func(s *socketio.Socket) { s.Join("lobby") })
	chat.On("say", func(s *socketio.Socket, e *socketio.Event) {
		var text string
		if e.Decode(0, &text) == nil {
			_ = chat.To("lobby").Except(s).Emit("said", s.Data(), text)
			_ = e.Ack("delivered")
		}
	})
	fmt.Println(srv.Sessions(), "connections")
	// http.Handle("/socket.io/", srv) and http.ListenAndServe serve it.
	// Output: 0 connections
}
