package engineio_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/internal/eioclient"
	"github.com/securelink-chat/securelink/socketio/engineio"
)

// ask sends one request and returns status, headers and body.
func ask(t *testing.T, method, url, body string, header http.Header) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(text)
}

func TestRequestsAreRefusedInWords(t *testing.T) {
	st := start(t, engineio.Options{})
	for _, c := range []struct {
		method, query string
		status, code  int
	}{
		{"GET", "EIO=4", 400, 0},
		{"GET", "EIO=4&transport=abc", 400, 0},
		{"GET", "EIO=4&transport=__proto__", 400, 0},
		{"GET", "EIO=4&transport=polling&transport=websocket", 400, 3},
		{"GET", "EIO=4&transport=polling&sid=a&sid=b", 400, 3},
		{"GET", "EIO=4&transport=polling&sid=abc", 400, 1},
		{"GET", "EIO=4&transport=polling&sid=__proto__", 400, 1},
		{"POST", "EIO=4&transport=polling", 400, 2},
		{"PUT", "EIO=4&transport=polling", 400, 2},
		{"GET", "EIO=3&transport=polling", 400, 5},
		{"GET", "EIO=abc&transport=polling", 400, 5},
		{"GET", "transport=polling", 400, 5},
		{"GET", "EIO=4&transport=websocket", 400, 3}, // the Upgrade header was lost on the way
		{"GET", "EIO=4&transport=%zz", 400, 0},
	} {
		status, header, body := ask(t, c.method, st.url+"?"+c.query, "", nil)
		if status != c.status || !strings.HasPrefix(body, fmt.Sprintf(`{"code":%d,"message":"`, c.code)) ||
			header.Get("Content-Type") != "application/json" {
			t.Errorf("%s ?%s: %d %s", c.method, c.query, status, body)
		}
	}
	// Broken parameters of others are none of our business.
	if status, _, body := ask(t, "GET", st.url+"?EIO=4&transport=polling&x=%zz&t=;&b64=", "", nil); status != 200 {
		t.Errorf("odd query: %d %s", status, body)
	}
	p := st.poll(t)
	if status, _, _ := ask(t, "PUT", st.url+"?EIO=4&transport=polling&sid="+p.SID, "4x", nil); status != 400 {
		t.Errorf("PUT with a session: %d", status)
	}
	if status, _, _ := ask(t, "GET", st.url+"?EIO=4&transport=websocket&sid="+p.SID, "", nil); status != 400 {
		t.Errorf("upgrade without its header: %d", status)
	}
	wantPost(t, p, "4still here", 200)
	wantGet(t, p, 200, "4still here")
}

func TestOrigins(t *testing.T) {
	page := func(origin string) http.Header { return http.Header{"Origin": {origin}} }
	const query = "EIO=4&transport=polling"
	for name, c := range map[string]struct {
		origins []string
		origin  string
		allowed bool
		answer  string
	}{
		"own host":        {nil, "http://SELF", true, "http://SELF"},
		"foreign":         {nil, "http://evil.example", false, ""},
		"no page":         {nil, "", true, ""},
		"listed":          {[]string{"https://chat.example"}, "https://chat.example", true, "https://chat.example"},
		"longer":          {[]string{"https://chat.example"}, "https://chat.example.evil.org", false, ""},
		"other scheme":    {[]string{"https://chat.example"}, "http://chat.example", false, ""},
		"subdomain":       {[]string{"https://chat.example"}, "https://a.chat.example", false, ""},
		"null":            {[]string{"https://chat.example"}, "null", false, ""},
		"anyone":          {[]string{"*"}, "https://evil.example", true, "*"},
		"anyone, no page": {[]string{"*"}, "", true, "*"},
	} {
		t.Run(name, func(t *testing.T) {
			st := start(t, engineio.Options{Origins: c.origins})
			self := strings.TrimSuffix(strings.TrimPrefix(st.url, "http://"), "/engine.io/")
			origin := strings.Replace(c.origin, "SELF", self, 1)
			header := http.Header{}
			if origin != "" {
				header = page(origin)
			}
			status, got, body := ask(t, "GET", st.url+"?"+query, "", header.Clone())
			if allowed := status == 200; allowed != c.allowed || !allowed && status != 403 {
				t.Errorf("polling: %d %s", status, body)
			}
			if want := strings.Replace(c.answer, "SELF", self, 1); got.Get("Access-Control-Allow-Origin") != want {
				t.Errorf("allowed origin %q, want %q", got.Get("Access-Control-Allow-Origin"), want)
			}
			// Errors too can be read by the page, and preflights come before any check.
			_, got, _ = ask(t, "GET", st.url+"?EIO=4&transport=none", "", header.Clone())
			if c.allowed && c.answer != "" && got.Get("Access-Control-Allow-Origin") == "" {
				t.Error("an error cannot be read by the page")
			}
			preflight := header.Clone()
			preflight.Set("Access-Control-Request-Headers", "x-custom, content-type")
			status, got, _ = ask(t, "OPTIONS", st.url+"?"+query+"&sid=unknown", "", preflight)
			if c.allowed != (status == 204 && got.Get("Access-Control-Allow-Headers") == "x-custom, content-type") {
				t.Errorf("preflight: %d %v", status, got)
			}
			conn, err := eioclient.Dial(st.url, "EIO=4&transport=websocket", header)
			if (err == nil) != c.allowed {
				t.Errorf("websocket: %v", err)
			}
			if err == nil {
				conn.Close()
			}
		})
	}
}

func TestSessionsOfOthers(t *testing.T) {
	addr := netip.MustParseAddrPort("192.0.2.1:1")
	st := start(t, engineio.Options{
		PinAddress: true,
		Origins:    []string{"https://a.example", "https://b.example"},
		RemoteAddr: func(r *http.Request) netip.AddrPort {
			if r.Header.Get("X-From") != "" {
				return netip.MustParseAddrPort("192.0.2.2:1")
			}
			return addr
		},
	})
	p := &eioclient.Poller{Base: st.url, Header: http.Header{"Origin": {"https://a.example"}}}
	if _, err := p.Open(); err != nil {
		t.Fatal(err)
	}
	other := *p
	other.Header = http.Header{"X-From": {"elsewhere"}}
	wantPost(t, &other, "4x", 400)
	wantGet(t, &other, 400, `{"code":1,"message":"Session ID unknown"}`)
	other.Header = http.Header{"Origin": {"https://b.example"}}
	wantPost(t, &other, "4x", 400)
	if _, err := eioclient.Dial(st.url, "EIO=4&transport=websocket&sid="+p.SID, http.Header{"X-From": {"elsewhere"}}); err == nil {
		t.Error("a WebSocket from elsewhere may take the session over")
	}
	wantPost(t, p, "4mine", 200)
	wantGet(t, p, 200, "4mine")
}

func TestInspectRefuses(t *testing.T) {
	st := start(t, engineio.Options{Inspect: func(r *http.Request) (any, error) {
		switch r.URL.Query().Get("who") {
		case "friend":
			return "friend", nil
		case "busy":
			return nil, &engineio.StatusError{Status: 429, Text: "Too many requests"}
		}
		return nil, errors.New("nobody knows you")
	}})
	for who, want := range map[string]int{"friend": 200, "busy": 429, "foe": 403} {
		status, _, body := ask(t, "GET", st.url+"?EIO=4&transport=polling&who="+who, "", nil)
		if status != want || strings.Contains(body, "nobody") {
			t.Errorf("%s: %d %s", who, status, body)
		}
	}
	if s := <-st.opened; s.Handshake() != "friend" {
		t.Errorf("handshake is %v", s.Handshake())
	}
	if st.Sessions() != 1 {
		t.Errorf("%d sessions, want that of the friend", st.Sessions())
	}
}

func TestSessionsAreBounded(t *testing.T) {
	st := start(t, engineio.Options{MaxSessions: 2})
	c := st.dial(t)
	st.poll(t)
	status, _, _ := ask(t, "GET", st.url+"?EIO=4&transport=polling", "", nil)
	if status != 503 {
		t.Fatalf("third session: %d", status)
	}
	if _, err := eioclient.Dial(st.url, "EIO=4&transport=websocket", nil); err == nil {
		t.Fatal("third session on WebSocket")
	}
	c.Close()
	st.wantReason(t, engineio.ReasonTransportClose)
	eventually(t, "the place is free", func() bool { return st.Sessions() == 1 })
	st.poll(t)
}

func TestPollsAtOnce(t *testing.T) {
	st := start(t, engineio.Options{})
	p := st.poll(t)
	first := make(chan string, 1)
	session := <-st.opened
	go func() {
		_, body, _ := p.Get()
		first <- body
	}()
	// The second GET must find the first parked: until it does, it is the one
	// that parks, and is given up again.
	eventually(t, "the first poll is parked", func() bool { return session.Parked() })
	wantGet(t, p, 400, "")
	if body := <-first; body != "1" {
		t.Errorf("first poll answered %q, want a close packet", body)
	}
	st.wantReason(t, engineio.ReasonTransportError)
	wantGet(t, p, 400, "")
}

func TestPostsAtOnce(t *testing.T) {
	st := start(t, engineio.Options{})
	p := st.poll(t)
	session := <-st.opened
	body, write := io.Pipe()
	req, err := http.NewRequest("POST", st.url+"?EIO=4&transport=polling&sid="+p.SID, body)
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan int, 1)
	go func() {
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			first <- 0
			return
		}
		res.Body.Close()
		first <- res.StatusCode
	}()
	_, _ = write.Write([]byte("4slow"))
	eventually(t, "the first post is being read", func() bool { return session.Posting() })
	wantPost(t, p, "4fast", 400)
	st.wantReason(t, engineio.ReasonTransportError)
	write.Close()
	if status := <-first; status == 500 {
		t.Errorf("first post: %d", status)
	}
	wantGet(t, p, 400, "")
}

func TestPollGivenUp(t *testing.T) {
	st := start(t, engineio.Options{})
	p := st.poll(t)
	session := <-st.opened
	ctx, cancel := context.WithCancel(context.Background())
	go func() { _, _, _ = p.Do(ctx, "GET", "") }()
	eventually(t, "the poll is parked", session.Parked)
	cancel()
	st.wantReason(t, engineio.ReasonTransportClose)
}

func TestMalformedPosts(t *testing.T) {
	for name, body := range map[string]string{
		"no type":           "abc",
		"empty":             "",
		"ping of a v3":      "2",
		"separator at end":  "4a\x1e",
		"separators":        "4a\x1e\x1e4b",
		"base64 unpadded":   "bAQI",
		"base64 url":        "b_-8=",
		"base64 with break": "bAQ\nID",
		"base64 trailing":   "bAQIDAB==x",
		"not UTF-8":         "4\xff\xfe",
		"v3 payload":        "6:4hello",
	} {
		t.Run(name, func(t *testing.T) {
			st := start(t, engineio.Options{})
			p := st.poll(t)
			wantPost(t, p, body, 400)
			st.wantReason(t, engineio.ReasonParse)
			wantGet(t, p, 400, "")
		})
	}
	// What looks odd and is right.
	st := start(t, engineio.Options{})
	p := st.poll(t)
	wantPost(t, p, "b4AAA\x1eb\x1e4", 200)
	wantGet(t, p, 200, "b4AAA\x1eb\x1e4")
}

func TestOrderWithinPosts(t *testing.T) {
	st := start(t, engineio.Options{})
	p := st.poll(t)
	var want []string
	for i := range 500 { // the JavaScript client sends its whole buffer at once
		want = append(want, fmt.Sprintf("4%d", i))
	}
	wantPost(t, p, strings.Join(want, "\x1e"), 200)
	wantGet(t, p, 200, strings.Join(want, "\x1e"))

	// python-engineio's client takes no more than 16 packets.
	python := &eioclient.Poller{Base: st.url, Header: http.Header{"User-Agent": {"python-requests/2.28"}}}
	if _, err := python.Open(); err != nil {
		t.Fatal(err)
	}
	wantPost(t, python, strings.Join(want[:20], "\x1e"), 200)
	wantGet(t, python, 200, strings.Join(want[:16], "\x1e"))
	wantGet(t, python, 200, strings.Join(want[16:20], "\x1e"))
}

func TestGiantPosts(t *testing.T) {
	st := start(t, engineio.Options{MaxPayload: 1000})
	giant := strings.Repeat("x", 1000)
	p := st.poll(t)
	wantPost(t, p, "4"+giant[:999], 200)
	wantGet(t, p, 200, "4"+giant[:999])
	wantPost(t, p, "4"+giant, 413)
	st.wantReason(t, engineio.ReasonTransportError)

	// The same in chunks, without a length to look at.
	p = st.poll(t)
	req, err := http.NewRequest("POST", st.url+"?EIO=4&transport=polling&sid="+p.SID, io.MultiReader(strings.NewReader("4"+giant)))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 413 {
		t.Fatalf("chunked: %d", res.StatusCode)
	}
	st.wantReason(t, engineio.ReasonTransportError)
}

func TestPostsThatNeverEnd(t *testing.T) {
	st := start(t, engineio.Options{PacketTimeout: 50 * time.Millisecond})
	p := st.poll(t)
	body, write := io.Pipe()
	defer write.Close()
	req, err := http.NewRequest("POST", st.url+"?EIO=4&transport=polling&sid="+p.SID, body)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = write.Write([]byte("4...")) }()
	if res, err := http.DefaultClient.Do(req); err == nil {
		res.Body.Close()
	}
	st.wantReason(t, engineio.ReasonTransportError)
}

func TestSessionThatNeverPollsIsReclaimed(t *testing.T) {
	st := start(t, engineio.Options{PingInterval: 20 * time.Millisecond, PingTimeout: 20 * time.Millisecond})
	p := st.poll(t)
	st.wantReason(t, engineio.ReasonPingTimeout)
	wantGet(t, p, 400, "")
	eventually(t, "nothing is left", func() bool { return st.Sessions() == 0 })
}

func TestWhatIsNotFetchedIsBounded(t *testing.T) {
	st := start(t, engineio.Options{MaxBuffered: 10_000})
	st.poll(t)
	session := <-st.opened
	var err error
	for range 100 {
		if err = session.Send(engineio.Message{Data: make([]byte, 1000), Binary: true}); err != nil {
			break
		}
	}
	if !errors.Is(err, engineio.ErrSlow) {
		t.Fatalf("sends end with %v", err)
	}
	st.wantReason(t, engineio.ReasonSlow)
}

// TestWriteTimeoutOfTheServer parks a poll for longer than the HTTP server
// lets an answer take.
func TestWriteTimeoutOfTheServer(t *testing.T) {
	t.Parallel()
	st := start(t, engineio.Options{PingInterval: 800 * time.Millisecond})
	srv := httptest.NewUnstartedServer(st.Server)
	srv.Config.WriteTimeout = 300 * time.Millisecond
	srv.Config.ReadTimeout = 300 * time.Millisecond
	srv.Start()
	defer srv.Close()
	p := &eioclient.Poller{Base: srv.URL + "/"}
	if _, err := p.Open(); err != nil {
		t.Fatal(err)
	}
	wantGet(t, p, 200, "2")
	wantPost(t, p, "3", 200)
	wantGet(t, p, 200, "2")
}

// TestEarlyFrames sends the handshake and the first message in one packet.
func TestEarlyFrames(t *testing.T) {
	st := start(t, engineio.Options{})
	host := strings.TrimSuffix(strings.TrimPrefix(st.url, "http://"), "/engine.io/")
	nc, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_, _ = io.WriteString(nc, "GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: "+host+
		"\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Extensions: permessage-deflate\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x82\x00\x00\x00\x004x")
	_ = nc.SetReadDeadline(time.Now().Add(20 * time.Second))
	var got []byte
	for !strings.HasSuffix(string(got), "\x81\x024x") {
		b := make([]byte, 4096)
		n, err := nc.Read(b)
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		got = append(got, b[:n]...)
	}
	if head, _, _ := strings.Cut(string(got), "\r\n\r\n"); !strings.Contains(head, "101") || strings.Contains(head, "deflate") {
		t.Fatalf("answered %q", head)
	}
}
