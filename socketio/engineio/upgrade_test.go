package engineio_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/securelink-chat/securelink/internal/eioclient"
	"github.com/securelink-chat/securelink/socketio/engineio"
)

func TestUpgradesThatFail(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]func(c *eioclient.Conn) error{
		"says something else": func(c *eioclient.Conn) error { return c.Text("4hello") },
		"bytes":               func(c *eioclient.Conn) error { return c.Binary([]byte("2probe")) },
		"malformed":           func(c *eioclient.Conn) error { return ws.WriteFrame(c.Net, ws.NewTextFrame([]byte("2probe"))) },
		"hangs":               func(*eioclient.Conn) error { return nil },
		"closes":              func(c *eioclient.Conn) error { return c.Close() },
		"hangs later":         func(c *eioclient.Conn) error { return c.Text("2probe") },
		"changes its mind":    func(c *eioclient.Conn) error { return errors.Join(c.Text("2probe"), c.Text("4x")) },
	} {
		t.Run(name, func(t *testing.T) {
			st := start(t, engineio.Options{UpgradeTimeout: time.Second})
			p := st.poll(t)
			session := <-st.opened
			conn := st.probe(t, p.SID)
			if err := c(conn); err != nil {
				t.Fatal(err)
			}
			for {
				if data, _, err := conn.Read(); err != nil {
					break
				} else if string(data) != "3probe" {
					t.Fatalf("the probe received %q", data)
				}
			}
			eventually(t, "the probe is over", func() bool { return !session.Probing() })
			// Polling serves on, and another probe may try.
			wantPost(t, p, "4a", 200)
			for {
				status, body, err := p.Get()
				if err != nil || status != 200 {
					t.Fatalf("%d %q %v", status, body, err)
				}
				if body != "6" {
					if body != "4a" {
						t.Fatalf("polled %q", body)
					}
					break
				}
			}
			conn = st.probe(t, p.SID)
			_ = conn.Text("2probe")
			wantNext(t, conn, "3probe")
			_ = errors.Join(conn.Text("5"), conn.Text("4b"))
			wantNext(t, conn, "4b")
		})
	}
}

func TestUpgradeLoopsEnd(t *testing.T) {
	st := start(t, engineio.Options{MaxProbes: 3})
	p := st.poll(t)
	session := <-st.opened
	for range 3 {
		c := st.probe(t, p.SID)
		_ = c.Text("nonsense")
		wantEnd(t, c)
		eventually(t, "the probe is over", func() bool { return !session.Probing() })
	}
	if _, err := eioclient.Dial(st.url, "EIO=4&transport=websocket&sid="+p.SID, nil); err == nil {
		t.Fatal("a fourth WebSocket may try")
	}
	wantPost(t, p, "4a", 200)
	wantGet(t, p, 200, "4a")
}

func TestSecondProbeHarmsNothing(t *testing.T) {
	st := start(t, engineio.Options{})
	p := st.poll(t)
	first := st.probe(t, p.SID)
	if err := first.Text("2probe"); err != nil {
		t.Fatal(err)
	}
	wantNext(t, first, "3probe")
	second := st.probe(t, p.SID)
	_ = second.Text("2probe")
	wantEnd(t, second)
	if err := errors.Join(first.Text("5"), first.Text("4a")); err != nil {
		t.Fatal(err)
	}
	wantNext(t, first, "4a")
}

// TestProbedPollsAreReleasedSlowly counts how often a client that polls during
// an upgrade is answered.
func TestProbedPollsAreReleasedSlowly(t *testing.T) {
	st := start(t, engineio.Options{})
	p := st.poll(t)
	c := st.probe(t, p.SID)
	_ = c.Text("2probe")
	wantNext(t, c, "3probe")
	begin := time.Now()
	for range 4 {
		wantGet(t, p, 200, "6")
	}
	if took := time.Since(begin); took < 250*time.Millisecond {
		t.Errorf("4 polls were answered in %v: the client spins", took)
	}
}

func TestSessionTimesOutDuringUpgrade(t *testing.T) {
	t.Parallel()
	st := start(t, engineio.Options{PingInterval: 400 * time.Millisecond, PingTimeout: 400 * time.Millisecond})
	p := st.poll(t)
	c := st.probe(t, p.SID)
	_ = c.Text("2probe")
	st.wantReason(t, engineio.ReasonPingTimeout)
	wantNext(t, c, "3probe")
	wantEnd(t, c)
	wantGet(t, p, 400, "")
}

// TestEndAmidTheUpgrade ends a session when its client has stopped polling and
// is about to say so: the last words go out over the WebSocket.
func TestEndAmidTheUpgrade(t *testing.T) {
	st := start(t, engineio.Options{CloseTimeout: 20 * time.Second})
	p := st.poll(t)
	session := <-st.opened
	c := st.probe(t, p.SID)
	_ = c.Text("2probe")
	wantNext(t, c, "3probe")
	if err := session.Send(engineio.Message{Data: []byte("bye")}); err != nil {
		t.Fatal(err)
	}
	session.Close(engineio.ReasonForced)
	_ = c.Text("5")
	wantNext(t, c, "4bye")
	wantEnd(t, c)
	if c.CloseCode != 1000 {
		t.Errorf("closed with %d", c.CloseCode)
	}
	c.Close()
	eventually(t, "the session is gone", func() bool { return st.Sessions() == 0 })
}

// TestNothingIsLostWhileUpgrading sends both ways all through the change.
func TestNothingIsLostWhileUpgrading(t *testing.T) {
	st := start(t, engineio.Options{})
	for range 20 {
		p := st.poll(t)
		session := <-st.opened
		const total = 300
		go func() {
			for i := range total {
				_ = session.Send(engineio.Message{Data: fmt.Appendf(nil, "%d", i)})
			}
		}()
		var got []string
		take := func() {
			status, body, err := p.Get()
			if err != nil || status != http.StatusOK {
				t.Fatalf("poll: %d %v", status, err)
			}
			got = append(got, strings.Split(body, "\x1e")...)
		}
		take()
		c := st.probe(t, p.SID)
		_ = c.Text("2probe")
		wantNext(t, c, "3probe")
		take()
		_ = c.Text("5")
		var want []string
		for i := range total {
			want = append(want, fmt.Sprintf("4%d", i))
		}
		got = withoutNoops(got)
		for len(got) < total {
			next, err := c.Next()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, next)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Fatalf("received %v", got)
		}
		c.Close()
	}
}

func withoutNoops(packets []string) []string {
	var kept []string
	for _, p := range packets {
		if p != "6" {
			kept = append(kept, p)
		}
	}
	return kept
}
