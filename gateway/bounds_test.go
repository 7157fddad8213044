package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

func TestDeadlines(t *testing.T) {
	done, timedOut := make(chan struct{}), make(chan struct{})
	w := start(t, false, Config{}, func(_ context.Context, fc FrameConn) error {
		defer close(done)
		// One that passed already, one that passes while it waits, one that is
		// set while it waits.
		for _, set := range []func(){
			func() { fc.SetReadDeadline(time.Now().Add(-time.Second)) },
			func() { fc.SetReadDeadline(time.Now().Add(10 * time.Millisecond)) },
			func() {
				fc.SetReadDeadline(time.Time{})
				time.AfterFunc(10*time.Millisecond, func() { fc.SetReadDeadline(time.Now()) })
			},
		} {
			set()
			if _, err := fc.ReadFrame(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read: %v, want os.ErrDeadlineExceeded", err)
			}
		}
		fc.SetReadDeadline(time.Time{})
		close(timedOut)
		if got, err := fc.ReadFrame(); err != nil || string(got) != "still here" {
			t.Errorf("after the deadlines: %q, %v", got, err)
		}
		// The browser reads nothing from here on: writes come to their deadline,
		// whether it was set before or meanwhile.
		block := make([]byte, MaxFrame)
		fc.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		var err error
		for i := 0; i < 100 && err == nil; i++ {
			err = fc.WriteFrames(block)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %v, want os.ErrDeadlineExceeded", err)
		}
		fc.SetWriteDeadline(time.Time{})
		time.AfterFunc(10*time.Millisecond, func() { fc.SetWriteDeadline(time.Now()) })
		if err := fc.WriteFrames(block); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write with a deadline that moved: %v, want os.ErrDeadlineExceeded", err)
		}
		return nil
	})
	b := w.browse(t, "websocket", nil)
	<-timedOut
	if err := b.send([]byte("still here")); err != nil {
		t.Fatal(err)
	}
	<-done
}

func TestShutdownEndsEverything(t *testing.T) {
	eachTier(t, func(t *testing.T, apart bool) {
		inside := make(chan struct{}, 2)
		w := start(t, apart, Config{}, func(ctx context.Context, fc FrameConn) error {
			inside <- struct{}{}
			return echo(ctx, fc)
		})
		browsers := []browser{w.browse(t, "websocket", nil), w.browse(t, "polling", nil)}
		<-inside
		<-inside
		w.stop()
		for _, b := range browsers {
			if got, err := b.recv(); err == nil {
				t.Errorf("after the end came %q", got)
			}
		}
		if err := <-w.stopped; err != nil {
			t.Errorf("serve: %v", err)
		}
		if n := w.gw.book.open(); n != 0 {
			t.Errorf("%d sockets are still counted", n)
		}
	})
}

func TestSocketsOfOneAddressAreLimited(t *testing.T) {
	t.Parallel()
	w := start(t, false, Config{Limits: Limits{Sockets: 2, NewSockets: 4}}, echo)
	a, b := w.browse(t, "websocket", nil), w.browse(t, "polling", nil)
	if _, err := dialWebSocket(t, w.url, nil); !errors.Is(err, errRefused) || !strings.Contains(err.Error(), "too many connections") {
		t.Errorf("a third socket: %v, want it refused in words", err)
	}
	for _, x := range []browser{a, b} { // who is there stays
		if err := x.send([]byte("x")); err != nil {
			t.Error(err)
		}
		if _, err := x.recv(); err != nil {
			t.Error(err)
		}
	}
	resp, err := http.Get(w.url + "/socket.io/?EIO=4&transport=polling") // the fourth
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("fourth: %v, %v", resp, err)
	}
	resp.Body.Close()
	resp, err = http.Get(w.url + "/socket.io/?EIO=4&transport=polling")
	if err != nil || resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != "150" {
		t.Errorf("a fifth in ten minutes: %v, %v; want 429 and 150 s", resp, err)
	}
	resp.Body.Close()
	w.gw.Reload(Limits{Sockets: 2, NewSockets: 400}, []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")})
	header := http.Header{"X-Forwarded-For": {"203.0.113.9"}}
	other, err := dialPolling(t, w.url, header)
	if err != nil {
		t.Errorf("another address after the reload: %v", err)
	} else {
		other.close()
	}
}

func TestPagesOfOtherOriginsOpenNoSocket(t *testing.T) {
	t.Parallel()
	w := start(t, false, Config{}, echo)
	for origin, want := range map[string]bool{"": true, w.url: true, "https://evil.example": false, "null": false} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		_, errWS := dialWebSocket(t, w.url, header)
		_, errPoll := dialPolling(t, w.url, header)
		if (errWS == nil) != want || (errPoll == nil) != want {
			t.Errorf("origin %q: %v, %v", origin, errWS, errPoll)
		}
	}
}
