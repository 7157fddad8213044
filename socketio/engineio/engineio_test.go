package engineio_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/internal/eioclient"
	"github.com/securelink-chat/securelink/socketio/engineio"
)

// station is a server under test. Its receivers echo and write down how
// sessions end.
type station struct {
	*engineio.Server
	url    string
	ends   chan engineio.Reason
	opened chan *engineio.Session
}

type echo struct {
	station *station
	session *engineio.Session
}

func (e echo) Message(data []byte, binary bool) {
	_ = e.session.Send(engineio.Message{Data: data, Binary: binary})
}

func (e echo) Closed(reason engineio.Reason) { e.station.ends <- reason }

func start(t *testing.T, opts engineio.Options) *station {
	t.Helper()
	return startWith(t, opts, nil)
}

func startWith(t *testing.T, opts engineio.Options, open func(*engineio.Session) engineio.Receiver) *station {
	t.Helper()
	if opts.CloseTimeout == 0 {
		opts.CloseTimeout = 300 * time.Millisecond // for pollers that never fetch the end
	}
	st := &station{ends: make(chan engineio.Reason, 4096), opened: make(chan *engineio.Session, 4096)}
	srv, err := engineio.New(opts, func(s *engineio.Session) engineio.Receiver {
		select {
		case st.opened <- s:
		default:
		}
		if open != nil {
			return open(s)
		}
		return echo{st, s}
	})
	if err != nil {
		t.Fatal(err)
	}
	st.Server = srv
	web := httptest.NewServer(srv)
	st.url = web.URL + "/engine.io/"
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		web.Close()
		if n := srv.Sessions(); n != 0 {
			t.Errorf("%d sessions are left after shutdown", n)
		}
	})
	return st
}

func (st *station) dial(t *testing.T) *eioclient.Conn {
	t.Helper()
	c, err := eioclient.Dial(st.url, "EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	data, _, err := c.Read()
	if err != nil || data[0] != '0' {
		t.Fatalf("open packet: %q, %v", data, err)
	}
	return c
}

func (st *station) poll(t *testing.T) *eioclient.Poller {
	t.Helper()
	p := &eioclient.Poller{Base: st.url, Client: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(p.Client.CloseIdleConnections)
	if _, err := p.Open(); err != nil {
		t.Fatal(err)
	}
	return p
}

// probe opens a WebSocket for a session that polls.
func (st *station) probe(t *testing.T, sid string) *eioclient.Conn {
	t.Helper()
	c, err := eioclient.Dial(st.url, "EIO=4&transport=websocket&sid="+sid, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func wantNext(t *testing.T, c *eioclient.Conn, want string) {
	t.Helper()
	got, err := c.Next()
	if err != nil || got != want {
		t.Fatalf("received %.200q, %v, want %.200q", got, err, want)
	}
}

func wantEnd(t *testing.T, c *eioclient.Conn) {
	t.Helper()
	for {
		data, _, err := c.Read()
		if err != nil {
			return
		}
		if string(data) != "2" {
			t.Fatalf("received %.200q, want the end", data)
		}
	}
}

func (st *station) wantReason(t *testing.T, want engineio.Reason) {
	t.Helper()
	select {
	case got := <-st.ends:
		if got != want {
			t.Fatalf("session ended with %q, want %q", got, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("session has not ended, want %q", want)
	}
}

func wantGet(t *testing.T, p *eioclient.Poller, status int, body string) {
	t.Helper()
	gotStatus, got, err := p.Get()
	if err != nil || gotStatus != status || body != "" && got != body {
		t.Fatalf("poll: %d %.200q, %v, want %d %.200q", gotStatus, got, err, status, body)
	}
}

func wantPost(t *testing.T, p *eioclient.Poller, packets string, status int) {
	t.Helper()
	got, body, err := p.Post(packets)
	if err != nil || got != status || status == http.StatusOK && body != "ok" {
		t.Fatalf("post of %.100q: %d %.200q, %v, want %d", packets, got, body, err, status)
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

func TestWebSocketEchoes(t *testing.T) {
	st := start(t, engineio.Options{})
	c := st.dial(t)
	if err := errors.Join(c.Text("4häh"), c.Binary([]byte{1, 0, 255}), c.Text("4")); err != nil {
		t.Fatal(err)
	}
	wantNext(t, c, "4häh")
	wantNext(t, c, "bytes:\x01\x00\xff")
	wantNext(t, c, "4")
	c.Close()
	st.wantReason(t, engineio.ReasonTransportClose)
}

func TestPollingEchoes(t *testing.T) {
	st := start(t, engineio.Options{})
	p := st.poll(t)
	wantPost(t, p, "4a\x1e4b\x1ebAQID", http.StatusOK)
	wantGet(t, p, http.StatusOK, "4a\x1e4b\x1ebAQID")
	wantPost(t, p, "1", http.StatusOK)
	st.wantReason(t, engineio.ReasonTransportClose)
	wantGet(t, p, http.StatusBadRequest, `{"code":1,"message":"Session ID unknown"}`)
}

func TestHandshakeTellsSettings(t *testing.T) {
	st := start(t, engineio.Options{PingInterval: 1234 * time.Millisecond, PingTimeout: 567 * time.Millisecond, MaxPayload: 89_000})
	type settings struct {
		SID          string   `json:"sid"`
		Upgrades     []string `json:"upgrades"`
		PingInterval int      `json:"pingInterval"`
		PingTimeout  int      `json:"pingTimeout"`
		MaxPayload   int      `json:"maxPayload"`
	}
	check := func(open string, upgrades int) {
		t.Helper()
		var got settings
		if err := json.Unmarshal([]byte(open[1:]), &got); err != nil {
			t.Fatal(err)
		}
		if got.Upgrades == nil || len(got.Upgrades) != upgrades || len(got.SID) < 20 ||
			got.PingInterval != 1234 || got.PingTimeout != 567 || got.MaxPayload != 89_000 {
			t.Fatalf("open packet %s", open)
		}
	}
	p := &eioclient.Poller{Base: st.url}
	open, err := p.Open()
	if err != nil {
		t.Fatal(err)
	}
	check(open, 1)
	c, err := eioclient.Dial(st.url, "EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	data, _, err := c.Read()
	if err != nil {
		t.Fatal(err)
	}
	check(string(data), 0)
}

func TestUpgradeLosesNothing(t *testing.T) {
	st := start(t, engineio.Options{})
	p := st.poll(t)
	session := <-st.opened

	released := make(chan string, 1)
	go func() {
		_, body, _ := p.Get()
		released <- body
	}()
	c := st.probe(t, p.SID)
	if err := c.Text("2probe"); err != nil {
		t.Fatal(err)
	}
	wantNext(t, c, "3probe")
	if body := <-released; body != "6" {
		t.Fatalf("the poll that hung was released with %q, want 6", body)
	}
	// A client may poll again before it sees the probe's answer.
	wantGet(t, p, http.StatusOK, "6")
	for _, text := range []string{"one", "two", "three"} {
		if err := session.Send(engineio.Message{Data: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(c.Text("5"), c.Text("4four")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"4one", "4two", "4three", "4four"} {
		wantNext(t, c, want)
	}
	wantGet(t, p, http.StatusBadRequest, `{"code":3,"message":"Bad request"}`)
	wantPost(t, p, "4x", http.StatusBadRequest)

	// Another WebSocket for the same session is closed and harms nothing.
	second := st.probe(t, p.SID)
	_ = second.Text("2probe")
	wantEnd(t, second)
	if err := c.Text("4five"); err != nil {
		t.Fatal(err)
	}
	wantNext(t, c, "4five")
}

func TestShutdownSendsLastWords(t *testing.T) {
	st := start(t, engineio.Options{})
	c := st.dial(t)
	onSocket := <-st.opened
	p := st.poll(t)
	onPoll := <-st.opened
	for _, s := range []*engineio.Session{onSocket, onPoll} {
		if err := s.Send(engineio.Message{Data: []byte("bye")}); err != nil {
			t.Fatal(err)
		}
	}
	over := make(chan error, 1)
	go func() { over <- st.Shutdown(context.Background()) }()
	wantNext(t, c, "4bye")
	if _, _, err := c.Read(); !errors.Is(err, io.EOF) {
		t.Fatalf("after the last message: %v, want a close frame", err)
	}
	c.Close()
	wantGet(t, p, http.StatusOK, "4bye")
	wantGet(t, p, http.StatusOK, "1")
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	st.wantReason(t, engineio.ReasonShutdown)
	st.wantReason(t, engineio.ReasonShutdown)
	if err := onSocket.Send(engineio.Message{}); !errors.Is(err, engineio.ErrClosed) {
		t.Fatalf("send after the end: %v", err)
	}
	res, err := http.Get(st.url + "?EIO=4&transport=polling")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "shutting") {
		t.Fatalf("handshake after shutdown: %d %s", res.StatusCode, body)
	}
}
