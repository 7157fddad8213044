package socketio_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/internal/eioclient"
	"github.com/securelink-chat/securelink/socketio"
	"github.com/securelink-chat/securelink/socketio/engineio"
)

// station is a server under test: "/" echoes, "/two" only lets in, "/guarded"
// refuses, and all write down who comes and goes.
type station struct {
	*socketio.Server
	url     string
	sockets chan *socketio.Socket
	ends    chan string // "namespace reason"
	log     chan string // what handlers saw
}

func start(t *testing.T, opts socketio.Options) *station {
	t.Helper()
	if opts.Engine.CloseTimeout == 0 {
		opts.Engine.CloseTimeout = 300 * time.Millisecond
	}
	srv, err := socketio.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	st := &station{Server: srv, sockets: make(chan *socketio.Socket, 10_000), ends: make(chan string, 10_000), log: make(chan string, 10_000)}
	for _, name := range []string{"/", "/two", "/guarded"} {
		ns := srv.Of(name)
		ns.OnConnect(func(s *socketio.Socket) { st.sockets <- s })
		ns.OnDisconnect(func(_ *socketio.Socket, reason socketio.Reason) { st.ends <- name + " " + string(reason) })
		ns.On("echo", func(s *socketio.Socket, e *socketio.Event) { _ = s.EmitArgs("back", e.Args) })
		ns.On("ack", func(_ *socketio.Socket, e *socketio.Event) { _ = e.AckArgs(e.Args) })
		ns.On("log", func(_ *socketio.Socket, e *socketio.Event) { st.log <- string(e.JSON[0]) })
		ns.On("panic", func(*socketio.Socket, *socketio.Event) { panic("a handler's own fault") })
		ns.OnBinary("frame", func(s *socketio.Socket, b []byte) { _ = s.EmitBinary("frame", b) })
	}
	srv.Of("/guarded").Use(func(_ context.Context, r *socketio.Request) error {
		var auth struct {
			Token string `json:"token"`
		}
		switch _ = json.Unmarshal(r.Auth, &auth); auth.Token {
		case "letmein":
			r.Data = "friend"
			return nil
		case "internal":
			return errors.New("the password is swordfish")
		}
		return &socketio.Refusal{Message: "who are \"you\"?", Data: map[string]string{"code": "E_AUTH"}}
	})
	web := httptest.NewServer(srv)
	st.url = web.URL + "/socket.io/"
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		web.Close()
	})
	return st
}

// dial opens a connection that is in no namespace.
func (st *station) dial(t *testing.T) *eioclient.Conn {
	t.Helper()
	c, err := eioclient.Dial(st.url, "EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, _, err := c.Read(); err != nil {
		t.Fatal(err)
	}
	return c
}

// enter opens a connection that is in the namespace "/".
func (st *station) enter(t *testing.T) (*eioclient.Conn, *socketio.Socket) {
	t.Helper()
	c := st.dial(t)
	send(t, c, "40")
	wantPrefix(t, c, `40{"sid":"`)
	return c, <-st.sockets
}

// send sends text frames; what begins with "bytes:" goes as bytes.
func send(t *testing.T, c *eioclient.Conn, messages ...string) {
	t.Helper()
	for _, m := range messages {
		var err error
		if data, ok := strings.CutPrefix(m, "bytes:"); ok {
			err = c.Binary([]byte(data))
		} else {
			err = c.Text(m)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func want(t *testing.T, c *eioclient.Conn, messages ...string) {
	t.Helper()
	for _, m := range messages {
		got, err := c.Next()
		if err != nil || got != m {
			t.Fatalf("received %.300q, %v, want %.300q", got, err, m)
		}
	}
}

func wantPrefix(t *testing.T, c *eioclient.Conn, prefix string) string {
	t.Helper()
	got, err := c.Next()
	if err != nil || !strings.HasPrefix(got, prefix) {
		t.Fatalf("received %.300q, %v, want %q", got, err, prefix)
	}
	return got
}

func wantEnd(t *testing.T, c *eioclient.Conn) {
	t.Helper()
	if got, err := c.Next(); err == nil {
		t.Fatalf("received %.300q, want the end", got)
	}
}

func (st *station) wantReason(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-st.ends:
		if got != want {
			t.Fatalf("ended with %q, want %q", got, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("nobody has left, want %q", want)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("in vain waited until " + what)
		}
	}
}

func TestEventsKeepTheirForm(t *testing.T) {
	st := start(t, socketio.Options{})
	c, _ := st.enter(t)
	for _, args := range []string{
		``,
		`,1`,
		`,1.0,-0,1e3,9007199254740993,0.1`,
		`,"ä\u0000\ud83d\ude00 <&>\"",null,true,false`,
		`,{"b":1,"a":[{"b":2,"a":{}}]},[]`,
		`,{"_placeholder":true,"num":7}`, // without attachments an object like any other
	} {
		send(t, c, `42["echo"`+args+`]`)
		want(t, c, `42["back"`+args+`]`)
		send(t, c, `4217["ack"`+args+`]`)
		want(t, c, `4317[`+strings.TrimPrefix(args, ",")+`]`)
	}
	send(t, c, `42[ "echo" , { "a" : [ 1 , "b c" ] } ]`)
	want(t, c, `42["back",{"a":[1,"b c"]}]`)
	send(t, c, `420["ack"]`) // 0 is an id
	want(t, c, `430[]`)
	send(t, c, `42["nobody handles this"]`, `4299["nobody acknowledges this"]`, `42["echo","still here"]`)
	want(t, c, `42["back","still here"]`)
}

func TestBytesAnywhere(t *testing.T) {
	st := start(t, socketio.Options{})
	c, _ := st.enter(t)
	const ph = `{"_placeholder":true,"num":%d}`
	zero, one := fmt.Sprintf(ph, 0), fmt.Sprintf(ph, 1)
	for _, e := range []struct {
		count int
		args  string
	}{
		{1, zero}, {2, `"x",` + zero + `,{"deep":[` + one + `]}`}, {1, zero + `,` + zero}, {2, one + `,` + zero},
		{2, `{"num":1,"_placeholder":true},` + zero}, // in another order
	} {
		var attachments []string
		for i := range e.count {
			attachments = append(attachments, fmt.Sprintf("bytes:%d\x00\xff", i))
		}
		send(t, c, fmt.Sprintf(`45%d-["echo",%s]`, e.count, e.args))
		send(t, c, attachments...)
		want(t, c, fmt.Sprintf(`45%d-["back",%s]`, e.count, e.args))
		want(t, c, attachments...)
		send(t, c, fmt.Sprintf(`45%d-3["ack",%s]`, e.count, e.args))
		send(t, c, attachments...)
		want(t, c, fmt.Sprintf(`46%d-3[%s]`, e.count, e.args))
		want(t, c, attachments...)
	}
	send(t, c, `450-["echo",1]`) // binary by name, with nothing
	want(t, c, `42["back",1]`)
	send(t, c, `451-["frame",{"_placeholder":true,"num":0}]`, "bytes:fast", `451-["frame", {"_placeholder": true, "num": 0}]`, "bytes:slow")
	want(t, c, `451-["frame",{"_placeholder":true,"num":0}]`, "bytes:fast", `451-["frame",{"_placeholder":true,"num":0}]`, "bytes:slow")
	// Events without bytes may pass between packets, not within one.
	send(t, c, `42["echo"]`)
	want(t, c, `42["back"]`)
}

func TestNamespaces(t *testing.T) {
	st := start(t, socketio.Options{})
	c := st.dial(t)
	send(t, c, `40/two,`)
	wantPrefix(t, c, `40/two,{"sid":"`)
	two := <-st.sockets
	send(t, c, `40/guarded,{"token":"letmein"}`)
	wantPrefix(t, c, `40/guarded,{"sid":"`)
	if s := <-st.sockets; s.Data() != "friend" || s.ID() == two.ID() {
		t.Errorf("data %v, id %s", s.Data(), s.ID())
	}
	send(t, c, `40{}`) // a payload, not a namespace
	wantPrefix(t, c, `40{"sid":"`)
	root := <-st.sockets

	send(t, c, `42/two,5["ack","x"]`)
	want(t, c, `43/two,5["x"]`)
	send(t, c, `451-["echo",{"_placeholder":true,"num":0}]`, "bytes:b")
	want(t, c, `451-["back",{"_placeholder":true,"num":0}]`, "bytes:b")

	// Leaving one leaves the others, and says nothing.
	send(t, c, `41/two`, `42["echo",1]`)
	want(t, c, `42["back",1]`)
	st.wantReason(t, "/two client namespace disconnect")
	if err := two.Emit("x"); !errors.Is(err, socketio.ErrClosed) {
		t.Errorf("emit after the end: %v", err)
	}
	send(t, c, `40/two`) // without the comma; and one may come back
	wantPrefix(t, c, `40/two,{"sid":"`)

	// The server's end of a namespace, with an event on its way.
	root.Disconnect()
	want(t, c, `41`)
	send(t, c, `42["echo","too late"]`, `431[]`, `42/two,["echo","here"]`)
	want(t, c, `42/two,["back","here"]`)
	st.wantReason(t, "/ server namespace disconnect")
	select {
	case <-root.Done():
	default:
		t.Error("a socket that has ended is not done")
	}
}

func TestRefusedMeansRefused(t *testing.T) {
	st := start(t, socketio.Options{MaxRefused: 5})
	c := st.dial(t)
	send(t, c, `40/unknown,{"a":1}`)
	want(t, c, `44/unknown,{"message":"Invalid namespace"}`)
	send(t, c, `40/guarded,{"token":"wrong"}`)
	want(t, c, `44/guarded,{"message":"who are \"you\"?","data":{"code":"E_AUTH"}}`)
	send(t, c, `40/guarded,{"token":"internal"}`)
	want(t, c, `44/guarded,{"message":"not authorized"}`)
	send(t, c, `42/guarded,["log","smuggled"]`)
	wantEnd(t, c)

	c = st.dial(t)
	for range 5 {
		send(t, c, `40/unknown`)
		want(t, c, `44/unknown,{"message":"Invalid namespace"}`)
	}
	send(t, c, `40/unknown`)
	want(t, c, `44/unknown,{"message":"Invalid namespace"}`)
	wantEnd(t, c)
	if len(st.log)+len(st.sockets)+len(st.ends) > 0 {
		t.Error("a refused client got through to a handler")
	}
}

func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	st := start(t, socketio.Options{
		ConnectTimeout: time.Second,
		Engine:         engineio.Options{PingInterval: 50 * time.Millisecond},
	})
	c := st.dial(t)
	wantEnd(t, c) // although it answers pings
	c = st.dial(t)
	send(t, c, `42["echo"]`) // before CONNECT
	wantEnd(t, c)
	c, _ = st.enter(t)
	for range 25 { // pings, one in 50 ms
		if data, _, err := c.Read(); err != nil || string(data) != "2" {
			t.Fatalf("received %q, %v, want a ping", data, err)
		}
		send(t, c, "3")
	}
	send(t, c, `42["echo"]`)
	want(t, c, `42["back"]`)
	// Whoever has left all namespaces has the same time again, not less.
	send(t, c, `41`)
	st.wantReason(t, "/ client namespace disconnect")
	send(t, c, "40")
	wantPrefix(t, c, `40{"sid"`)
	send(t, c, `41`)
	wantEnd(t, c)
}

func TestAttachmentsThatNeverCome(t *testing.T) {
	for _, header := range []string{`451-["echo",{"_placeholder":true,"num":0}]`, `451-["frame",{"_placeholder":true,"num":0}]`} {
		st := start(t, socketio.Options{Engine: engineio.Options{PacketTimeout: 50 * time.Millisecond}})
		c, _ := st.enter(t)
		send(t, c, header)
		wantEnd(t, c)
		st.wantReason(t, "/ parse error")
	}
}

func TestPacketsAreBounded(t *testing.T) {
	st := start(t, socketio.Options{MaxPacket: 1000})
	c, _ := st.enter(t)
	send(t, c, `453-["log",{"_placeholder":true,"num":0}]`, "bytes:"+strings.Repeat("x", 600), "bytes:"+strings.Repeat("x", 600))
	wantEnd(t, c)
	st.wantReason(t, "/ parse error")
}

func TestOrderAndBackpressure(t *testing.T) {
	st := start(t, socketio.Options{MaxPending: 4})
	leave := make(chan struct{})
	st.Of("/").On("wait", func(*socketio.Socket, *socketio.Event) { <-leave })
	c, s := st.enter(t)
	send(t, c, `42["wait"]`)
	const total = 500
	sent := make(chan error, 1)
	go func() {
		for i := range total {
			if err := c.Text(fmt.Sprintf(`42["log",%d]`, i)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	if err := <-sent; err != nil { // small enough for the kernel's buffers
		t.Fatal(err)
	}
	if len(st.log) > 0 {
		t.Fatal("a later event overtook one that is being handled")
	}
	close(leave)
	for i := range total {
		if got := <-st.log; got != fmt.Sprint(i) {
			t.Fatalf("event %d is %s", i, got)
		}
	}
	s.Close("enough")
	want(t, c, "41")
	wantEnd(t, c)
	st.wantReason(t, "/ enough")
}

func TestPanicEndsItsConnectionOnly(t *testing.T) {
	st := start(t, socketio.Options{})
	bystander, _ := st.enter(t)
	c, _ := st.enter(t)
	send(t, c, `42["panic"]`)
	wantEnd(t, c)
	st.wantReason(t, "/ handler panicked")
	send(t, bystander, `42["echo"]`)
	want(t, bystander, `42["back"]`)
}

// TestWordsBeforeTheEnd sends and closes in one breath: what arrived is handled,
// and then the end is told. When it is the server that ends, it hears no more.
func TestWordsBeforeTheEnd(t *testing.T) {
	st := start(t, socketio.Options{})
	enter, leave := make(chan struct{}), make(chan struct{})
	st.Of("/").On("wait", func(*socketio.Socket, *socketio.Event) { enter <- struct{}{}; <-leave })
	st.Of("/").OnDisconnect(func(*socketio.Socket, socketio.Reason) { st.log <- "end" })
	c, _ := st.enter(t)
	send(t, c, `42["wait"]`, `42["log",1]`, `42["log",2]`)
	c.Close()
	<-enter
	eventually(t, "the connection is over", func() bool { return st.Sessions() == 0 })
	leave <- struct{}{}
	for _, want := range []string{"1", "2", "end"} {
		if got := <-st.log; got != want {
			t.Fatalf("handled %s, want %s", got, want)
		}
	}

	c, s := st.enter(t)
	send(t, c, `42["wait"]`, `42["log",3]`)
	<-enter
	s.Close(socketio.ReasonForced)
	<-s.Done()
	leave <- struct{}{}
	if got := <-st.log; got != "end" {
		t.Fatalf("handled %s after the server's end", got)
	}
}

// TestSocketsAreLetGo looks for sockets that something still knows.
func TestSocketsAreLetGo(t *testing.T) {
	st := start(t, socketio.Options{Engine: engineio.Options{CloseTimeout: 20 * time.Millisecond}})
	var alive atomic.Int64
	st.Of("/").OnConnect(func(s *socketio.Socket) {
		alive.Add(1)
		runtime.AddCleanup(s, func(int) { alive.Add(-1) }, 0)
		s.Join("room")
		_ = s.EmitAck("never answered", time.Hour, func(socketio.Args, error) {})
	})
	t.Run("come and go", func(t *testing.T) {
		for i := range 600 {
			c, s := st.enter(t)
			switch i % 4 {
			case 0:
				s.Close(socketio.ReasonForced)
			case 1:
				s.Disconnect()
			case 2:
				send(t, c, `451-["echo",{"_placeholder":true,"num":0}]`) // and never the bytes
			}
			c.Close()
			<-st.ends
		}
	})
	eventually(t, "all connections are over", func() bool { return st.Sessions() == 0 })
	eventually(t, "no memory is held", func() bool { runtime.GC(); return alive.Load() == 0 })
}
