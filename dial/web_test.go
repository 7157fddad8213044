package dial

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/securelink-chat/securelink/gateway"
	"github.com/securelink-chat/securelink/link"
	"github.com/securelink-chat/securelink/socketio"
	"github.com/securelink-chat/securelink/socketio/engineio"
)

// echo sends every frame back, until one says "bye".
var echo = gateway.CoreFunc(func(_ context.Context, fc gateway.FrameConn) error {
	for {
		frame, err := fc.ReadFrame()
		if err != nil || string(frame) == "bye" {
			return err
		}
		if err := fc.WriteFrames(frame, []byte("and more")); err != nil {
			return err
		}
	}
})

func page(t *testing.T) http.Handler {
	t.Helper()
	gw, err := gateway.New(gateway.Config{Core: echo})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := gw.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return gw
}

// Frames of every size go through the real gateway and come back whole.
func TestWeb(t *testing.T) {
	server := httptest.NewServer(page(t))
	defer server.Close()
	conn, err := Web{Origin: server.URL}.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if conn.RemoteAddr().Port() == 0 {
		t.Error("no address")
	}
	for _, size := range []int{1, 125, 126, 65_535, 65_536, link.MaxFrame} {
		frame := make([]byte, size)
		rand.Read(frame)
		kept := bytes.Clone(frame)
		if err := conn.WriteFrames(frame); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(frame, kept) {
			t.Fatal("the caller's frame was changed")
		}
		for _, want := range [][]byte{frame, []byte("and more")} {
			if got, err := conn.ReadFrame(); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("a frame of %d bytes comes back with %d: %v", len(want), len(got), err)
			}
		}
	}
	for _, bad := range [][]byte{nil, make([]byte, link.MaxFrame+1)} {
		if err := conn.WriteFrames(bad); !errors.Is(err, link.ErrTooLarge) {
			t.Errorf("a frame of %d bytes: %v", len(bad), err)
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ReadFrame(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := conn.WriteFrames([]byte("bye")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ReadFrame(); !errors.Is(err, io.EOF) {
		t.Errorf("after the server's end: %v", err)
	}
}

// A page's certificate is checked unless the caller, who has a pin, says not to.
func TestWebNeedsACertificate(t *testing.T) {
	server := httptest.NewUnstartedServer(page(t))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that is refused
	server.StartTLS()
	defer server.Close()
	if conn, err := (Web{Origin: server.URL}).Dial(t.Context()); err == nil {
		conn.Close()
		t.Error("a certificate that nobody vouches for was taken")
	}
	conn, err := Web{Origin: server.URL, TLS: server.Client().Transport.(*http.Transport).TLSClientConfig}.Dial(t.Context())
	if err != nil {
		t.Fatalf("with the certificate known: %v", err)
	}
	conn.Close()
}

// A connection outlives the server's pings, which its reader answers.
func TestWebAnswersPings(t *testing.T) {
	const pings = 5
	srv, err := socketio.New(socketio.Options{Engine: engineio.Options{PingInterval: 20 * time.Millisecond, PingTimeout: 5 * time.Second}, MaxAttachments: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown(context.Background())
	srv.Of("/").OnConnect(func(s *socketio.Socket) {
		time.AfterFunc(pings*20*time.Millisecond, func() { s.EmitBinary("frame", []byte("still here")) })
	})
	server := httptest.NewServer(srv)
	defer server.Close()
	conn, err := Web{Origin: server.URL}.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if frame, err := conn.ReadFrame(); err != nil || string(frame) != "still here" {
		t.Errorf("%q, %v", frame, err)
	}
}

// Whatever answers that is no gateway is found out, and takes no memory for
// what it only announces.
func TestWebSuspectsWhatAnswers(t *testing.T) {
	text := func(s string) ws.Frame { return ws.NewTextFrame([]byte(s)) }
	binary := func(n int) ws.Frame { return ws.NewBinaryFrame(make([]byte, n)) }
	hello, joined := text(`0{"sid":"x"}`), text(`40{"sid":"y"}`)
	fragment := func(op ws.OpCode, fin bool, s string) ws.Frame { return ws.NewFrame(op, fin, []byte(s)) }
	huge := ws.Header{Fin: true, OpCode: ws.OpBinary, Length: 1 << 40}
	for name, c := range map[string]struct {
		says   []ws.Frame
		head   *ws.Header // written after them
		dialed bool
		want   error // of ReadFrame; nil: it comes whole
	}{
		"silence and an end":        {nil, nil, false, nil},
		"another protocol":          {[]ws.Frame{text("hello")}, nil, false, nil},
		"a greeting of bytes":       {[]ws.Frame{binary(4)}, nil, false, nil},
		"a refusal":                 {[]ws.Frame{hello, text(`44{"message":"no"}`)}, nil, false, nil},
		"a long greeting":           {[]ws.Frame{text("0{" + strings.Repeat("x", maxText))}, nil, false, nil},
		"an honest frame":           {[]ws.Frame{hello, joined, text(frameEvent), binary(9)}, nil, true, nil},
		"a frame in pieces":         {[]ws.Frame{hello, joined, text(frameEvent), fragment(ws.OpBinary, false, "123"), ws.NewPingFrame([]byte("there?")), fragment(ws.OpContinuation, true, "456789")}, nil, true, nil},
		"no frame behind its event": {[]ws.Frame{hello, joined, text(frameEvent), text("x")}, nil, true, errSpeech},
		"an empty frame":            {[]ws.Frame{hello, joined, text(frameEvent), binary(0)}, nil, true, errSpeech},
		"a frame alone":             {[]ws.Frame{hello, joined, binary(9)}, nil, true, errSpeech},
		"another event":             {[]ws.Frame{hello, joined, text(`42["x"]`)}, nil, true, errSpeech},
		"a piece of nothing":        {[]ws.Frame{hello, joined, fragment(ws.OpContinuation, true, "x")}, nil, true, errSpeech},
		"a frame beyond the bound":  {[]ws.Frame{hello, joined, text(frameEvent)}, &huge, true, errSpeech},
		"an end within a frame":     {[]ws.Frame{hello, joined, text(frameEvent)}, nil, true, io.ErrUnexpectedEOF},
		"a disconnect":              {[]ws.Frame{hello, joined, text("41")}, nil, true, io.EOF},
		"a close":                   {[]ws.Frame{hello, joined, ws.NewCloseFrame(nil)}, nil, true, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, _, _, err := ws.UpgradeHTTP(r, w)
				if err != nil {
					return
				}
				defer conn.Close()
				for _, f := range c.says {
					ws.WriteFrame(conn, f)
				}
				if c.head != nil {
					ws.WriteHeader(conn, *c.head)
				}
				conn.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, conn)
			}))
			defer server.Close()
			conn, err := Web{Origin: server.URL}.Dial(t.Context())
			if (err == nil) != c.dialed {
				t.Fatalf("dialling: %v", err)
			}
			if err != nil {
				return
			}
			defer conn.Close()
			if _, err := conn.ReadFrame(); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestOrigin(t *testing.T) {
	for typed, want := range map[string]string{
		"https://Chat.Example/j/00#x":    "https://chat.example",
		"https://chat.example:8443/j/00": "https://chat.example:8443",
		"http://127.0.0.1:7080/j/00#x":   "http://127.0.0.1:7080",
		"http://[::1]:7080":              "http://[::1]:7080",
	} {
		if got, err := Origin(typed); err != nil || got != want {
			t.Errorf("%q: %q, %v", typed, got, err)
		}
	}
	for _, typed := range []string{"", "chat.example", "ftp://chat.example", "https://", "https://a@chat.example", "https:///j", "https://chat example/", "securelink:chat.example:7443"} {
		if got, err := Origin(typed); !errors.Is(err, ErrAddress) {
			t.Errorf("%q is taken for %q", typed, got)
		}
	}
}
