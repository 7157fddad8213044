package dial_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/securelink-chat/securelink/dial"
	"github.com/securelink-chat/securelink/link"
)

func TestAddress(t *testing.T) {
	for typed, want := range map[string]string{
		"":                 "127.0.0.1:7443",
		"chat.example.org": "chat.example.org:7443",
		"localhost:9":      "localhost:9",
		"192.0.2.7":        "192.0.2.7:7443",
		"::1":              "[::1]:7443",
		"[::1]:80":         "[::1]:80",
		" host ":           "host:7443",
	} {
		if got, err := dial.Address(typed); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", typed, got, err, want)
		}
	}
	for _, typed := range []string{"https://host", "host:", ":7443", "a b", "user@host", "a:b:c"} {
		if got, err := dial.Address(typed); !errors.Is(err, dial.ErrAddress) {
			t.Errorf("%q was taken for %q, %v", typed, got, err)
		}
	}
}

// Frames go both ways whole, and the end of the other side is an end.
func TestFramesOverTCP(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			done <- err
			return
		}
		fc := link.NetConn(conn)
		frame, err := fc.ReadFrame()
		if err == nil {
			err = fc.WriteFrames(frame, []byte("and more"))
		}
		fc.Close()
		done <- err
	}()
	fc, err := dial.TCP{Address: listener.Addr().String()}.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer fc.Close()
	if err := fc.WriteFrames([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"hello", "and more"} {
		frame, err := fc.ReadFrame()
		if err != nil || string(frame) != want {
			t.Fatalf("got %q, %v; want %q", frame, err, want)
		}
	}
	if _, err := fc.ReadFrame(); !errors.Is(err, io.EOF) {
		t.Fatalf("after the end: %v", err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestDialGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (dial.TCP{Address: "127.0.0.1:1"}).Dial(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("a cancelled attempt: %v", err)
	}
}
