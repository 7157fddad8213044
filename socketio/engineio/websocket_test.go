package engineio_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/securelink-chat/securelink/internal/eioclient"
	"github.com/securelink-chat/securelink/socketio/engineio"
)

func frame(fin bool, op ws.OpCode, payload string) ws.Frame {
	return ws.NewFrame(op, fin, []byte(payload))
}

func TestFragmentsAndControlFrames(t *testing.T) {
	st := start(t, engineio.Options{})
	c := st.dial(t)
	for _, f := range []ws.Frame{
		frame(false, ws.OpText, "4he"),
		frame(true, ws.OpPing, "there?"),
		frame(false, ws.OpContinuation, "l"),
		frame(false, ws.OpContinuation, ""),
		frame(true, ws.OpPong, "unasked"),
		frame(true, ws.OpContinuation, "lo"),
		frame(true, ws.OpPing, strings.Repeat("p", 125)),
	} {
		if err := c.Frame(f); err != nil {
			t.Fatal(err)
		}
	}
	wantNext(t, c, "pong:there?")
	wantNext(t, c, "4hello")
	wantNext(t, c, "pong:"+strings.Repeat("p", 125))
	// A rune may be cut in two by fragments.
	if err := errors.Join(c.Frame(frame(false, ws.OpText, "4\xc3")), c.Frame(frame(true, ws.OpContinuation, "\xa4"))); err != nil {
		t.Fatal(err)
	}
	wantNext(t, c, "4ä")
	if err := c.Frame(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "bye"))); err != nil {
		t.Fatal(err)
	}
	wantEnd(t, c)
	st.wantReason(t, engineio.ReasonTransportClose)
}

// TestSizes echoes messages around every boundary of the frame header and of
// the buffers.
func TestSizes(t *testing.T) {
	st := start(t, engineio.Options{})
	c := st.dial(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	sizes := []int{0, 1, 125, 126, 127, 4095, 4096, 8191, 8192, 8193, 65535, 65536, 65537, 131072, 1_000_000}
	for range 20 {
		sizes = append(sizes, rng.IntN(200_000))
	}
	for _, n := range sizes {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		// A long message is echoed while it is still being written by us.
		sent := make(chan error, 1)
		go func() { sent <- c.Binary(data) }()
		got, binary, err := c.Read()
		if err != nil || !binary || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes came back as %d, %v", n, len(got), err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
}

func TestMalformedFrames(t *testing.T) {
	for name, c := range map[string]struct {
		send func(c *eioclient.Conn) error
		code ws.StatusCode
	}{
		"unmasked": {func(c *eioclient.Conn) error { return ws.WriteFrame(c.Net, ws.NewTextFrame([]byte("4x"))) }, 1002},
		"reserved bit": {func(c *eioclient.Conn) error {
			f := ws.NewTextFrame([]byte("4x"))
			f.Header.Rsv = ws.Rsv(true, false, false)
			return c.Frame(f)
		}, 1002},
		"reserved opcode":   {func(c *eioclient.Conn) error { return c.Frame(frame(true, 5, "x")) }, 1002},
		"continues nothing": {func(c *eioclient.Conn) error { return c.Frame(frame(true, ws.OpContinuation, "x")) }, 1002},
		"message in message": {func(c *eioclient.Conn) error {
			return errors.Join(c.Frame(frame(false, ws.OpText, "4x")), c.Text("4y"))
		}, 1002},
		"fragmented ping": {func(c *eioclient.Conn) error { return c.Frame(frame(false, ws.OpPing, "x")) }, 1002},
		"long ping":       {func(c *eioclient.Conn) error { return c.Frame(frame(true, ws.OpPing, strings.Repeat("x", 126))) }, 1002},
		"not UTF-8":       {func(c *eioclient.Conn) error { return c.Text("4\xff") }, 1007},
		"too big":         {func(c *eioclient.Conn) error { return c.Text("4" + strings.Repeat("x", 1000)) }, 1009},
		"too big in pieces": {func(c *eioclient.Conn) error {
			return errors.Join(c.Frame(frame(false, ws.OpText, "4"+strings.Repeat("x", 600))), c.Frame(frame(true, ws.OpContinuation, strings.Repeat("x", 600))))
		}, 1009},
		"promises too much": {func(c *eioclient.Conn) error {
			_, err := c.Net.Write([]byte{0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4})
			return err
		}, 1009},
		"negative length": {func(c *eioclient.Conn) error {
			_, err := c.Net.Write([]byte{0x82, 0xff, 0xff, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4})
			return err
		}, 1002},
		"empty packet":   {func(c *eioclient.Conn) error { return c.Text("") }, 1003},
		"unknown packet": {func(c *eioclient.Conn) error { return c.Text("abc") }, 1003},
		"ping of a v3":   {func(c *eioclient.Conn) error { return c.Text("2") }, 1003},
	} {
		t.Run(name, func(t *testing.T) {
			st := start(t, engineio.Options{MaxPayload: 1000})
			bystander := st.dial(t)
			conn := st.dial(t)
			if err := c.send(conn); err != nil {
				t.Fatal(err)
			}
			wantEnd(t, conn)
			if conn.CloseCode != c.code {
				t.Errorf("closed with %d, want %d", conn.CloseCode, c.code)
			}
			conn.Close()
			<-st.ends
			if err := bystander.Text("4unharmed"); err != nil {
				t.Fatal(err)
			}
			wantNext(t, bystander, "4unharmed")
		})
	}
}

func TestHeartbeat(t *testing.T) {
	t.Parallel()
	const interval, timeout = 50 * time.Millisecond, time.Second
	st := start(t, engineio.Options{PingInterval: interval, PingTimeout: timeout})
	c := st.dial(t)
	for range 3 {
		if data, _, err := c.Read(); err != nil || string(data) != "2" {
			t.Fatalf("received %q, %v, want a ping", data, err)
		}
		if err := c.Text("3"); err != nil {
			t.Fatal(err)
		}
	}
	// Messages are no pongs: whoever only talks is cut, and pings do not stop
	// because there is traffic.
	pings := 0
	for {
		_ = c.Text("4x")
		data, _, err := c.Read()
		if err != nil {
			break
		}
		if string(data) == "2" {
			pings++
		}
	}
	if pings != 1 {
		t.Errorf("%d pings after the last pong, want 1", pings)
	}
	st.wantReason(t, engineio.ReasonPingTimeout)
}

func TestHeartbeatOverPolling(t *testing.T) {
	st := start(t, engineio.Options{PingInterval: 30 * time.Millisecond, PingTimeout: 10 * time.Second})
	p := st.poll(t)
	for range 3 {
		wantGet(t, p, 200, "2")
		wantPost(t, p, "3", 200)
	}
}

// busy blocks in Message until it is let go.
type busy struct {
	station *station
	entered chan struct{}
	leave   chan struct{}
}

func (b busy) Message([]byte, bool)          { b.entered <- struct{}{}; <-b.leave }
func (b busy) Closed(reason engineio.Reason) { b.station.ends <- reason }

func TestBusyApplicationIsNotThePeersFault(t *testing.T) {
	t.Parallel()
	const timeout = 500 * time.Millisecond
	b := busy{entered: make(chan struct{}, 10), leave: make(chan struct{})}
	var st *station
	st = startWith(t, engineio.Options{PingInterval: 20 * time.Millisecond, PingTimeout: timeout, StallTimeout: time.Minute},
		func(*engineio.Session) engineio.Receiver { b.station = st; return b })
	c := st.dial(t)
	if err := c.Text("4work"); err != nil {
		t.Fatal(err)
	}
	<-b.entered
	for { // the pong arrives behind a message that is not done with
		data, _, err := c.Read()
		if err != nil {
			t.Fatal(err)
		}
		if string(data) == "2" {
			break
		}
	}
	if err := c.Text("3"); err != nil {
		t.Fatal(err)
	}
	select {
	case reason := <-st.ends:
		t.Fatalf("ended with %q while the application was busy", reason)
	case <-time.After(3 * timeout):
	}
	close(b.leave)
	for range 3 {
		if data, _, err := c.Read(); err != nil || string(data) != "2" {
			t.Fatalf("received %q, %v", data, err)
		}
		_ = c.Text("3")
	}
	// One who does not answer at all is cut all the same.
	st.wantReason(t, engineio.ReasonPingTimeout)
}

func TestStallIsBounded(t *testing.T) {
	b := busy{entered: make(chan struct{}, 10), leave: make(chan struct{})}
	var st *station
	st = startWith(t, engineio.Options{PingInterval: 10 * time.Millisecond, PingTimeout: 10 * time.Millisecond, StallTimeout: 50 * time.Millisecond},
		func(*engineio.Session) engineio.Receiver { b.station = st; return b })
	c := st.dial(t)
	_ = c.Text("4work")
	<-b.entered
	st.wantReason(t, engineio.ReasonPingTimeout)
	close(b.leave)
}

func TestSlowUploadKeepsTheSession(t *testing.T) {
	t.Parallel()
	st := start(t, engineio.Options{PingInterval: 20 * time.Millisecond, PingTimeout: 500 * time.Millisecond, PacketTimeout: 10 * time.Second})
	c := st.dial(t)
	if err := c.Frame(frame(false, ws.OpText, "4sl")); err != nil {
		t.Fatal(err)
	}
	select {
	case reason := <-st.ends:
		t.Fatalf("ended with %q amid an upload", reason)
	case <-time.After(1200 * time.Millisecond):
	}
	if err := errors.Join(c.Frame(frame(true, ws.OpContinuation, "ow")), c.Text("3")); err != nil {
		t.Fatal(err)
	}
	wantNext(t, c, "4slow")
}

func TestMessagesThatNeverEnd(t *testing.T) {
	for name, begin := range map[string][]byte{
		"header":   {0x82, 0xfe, 0x10},
		"payload":  {0x82, 0xfe, 0x10, 0x00, 1, 2, 3, 4, 5},
		"fragment": {0x02, 0x81, 1, 2, 3, 4, 5},
	} {
		t.Run(name, func(t *testing.T) {
			st := start(t, engineio.Options{PacketTimeout: 50 * time.Millisecond})
			c := st.dial(t)
			if _, err := c.Net.Write(begin); err != nil {
				t.Fatal(err)
			}
			wantEnd(t, c)
			st.wantReason(t, engineio.ReasonTransportError)
		})
	}
}

func TestSlowReaderIsCut(t *testing.T) {
	st := start(t, engineio.Options{MaxBuffered: 1 << 20})
	st.dial(t) // and never reads again
	session := <-st.opened
	chunk := engineio.Message{Data: make([]byte, 100_000), Binary: true}
	var err error
	for i := 0; err == nil; i++ {
		if i > 10_000 {
			t.Fatal("a gigabyte is buffered for a peer that does not read")
		}
		if err = session.Send(chunk); session.Buffered() > 1<<20+200_000 {
			t.Fatalf("%d bytes are buffered", session.Buffered())
		}
	}
	if !errors.Is(err, engineio.ErrSlow) {
		t.Fatal(err)
	}
	st.wantReason(t, engineio.ReasonSlow)
	eventually(t, "it is forgotten", func() bool { return st.Sessions() == 0 })
}

func TestStuckReaderIsCutInTime(t *testing.T) {
	st := start(t, engineio.Options{MaxBuffered: 64 << 20, WriteTimeout: 100 * time.Millisecond})
	st.dial(t)
	session := <-st.opened
	for session.Buffered() < 1<<20 {
		if session.Send(engineio.Message{Data: make([]byte, 100_000), Binary: true}) != nil {
			break // cut already
		}
	}
	st.wantReason(t, engineio.ReasonSlow)
}

func TestFlushWaitsForTheReader(t *testing.T) {
	st := start(t, engineio.Options{MaxBuffered: 64 << 20})
	c := st.dial(t)
	session := <-st.opened
	sent := 0
	for session.Buffered() < 1<<20 {
		if err := session.Send(engineio.Message{Data: make([]byte, 100_000), Binary: true}); err != nil {
			t.Fatal(err)
		}
		sent++
	}
	ctx, cancel := contextSoon()
	defer cancel()
	if err := session.Flush(ctx, 0); err == nil {
		t.Fatal("flushed to a peer that does not read")
	}
	flushed := make(chan error, 1)
	go func() { flushed <- session.Flush(t.Context(), 0) }()
	for range sent {
		if data, _, err := c.Read(); err != nil || len(data) != 100_000 {
			t.Fatalf("%d bytes, %v", len(data), err)
		}
	}
	if err := <-flushed; err != nil {
		t.Fatal(err)
	}
	c.Close()
	st.wantReason(t, engineio.ReasonTransportClose)
	if err := session.Flush(t.Context(), 0); !errors.Is(err, engineio.ErrClosed) {
		t.Fatal(err)
	}
}

// TestOneWriterAtATime has many goroutines send groups of messages, which must
// arrive whole.
func TestOneWriterAtATime(t *testing.T) {
	st := start(t, engineio.Options{MaxBuffered: 64 << 20})
	c := st.dial(t)
	session := <-st.opened
	const writers, groups = 8, 200
	for w := range writers {
		go func() {
			for g := range groups {
				tag := fmt.Sprintf("%d %d", w, g)
				_ = session.Send(engineio.Message{Data: []byte(tag)}, engineio.Message{Data: bytes.Repeat([]byte(tag), 1+g*20), Binary: true})
			}
		}()
	}
	next := make([]int, writers)
	for range writers * groups {
		head, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		var w, g int
		if _, err := fmt.Sscanf(head, "4%d %d", &w, &g); err != nil || g != next[w] {
			t.Fatalf("received %q, want group %d: %v", head, next[w], err)
		}
		next[w]++
		data, binary, err := c.Read()
		if err != nil || !binary || string(data) != strings.Repeat(head[1:], 1+g*20) {
			t.Fatalf("behind %q: %.50q, %v", head, data, err)
		}
	}
}

func TestPreparedReachesBothTransports(t *testing.T) {
	st := start(t, engineio.Options{})
	c := st.dial(t)
	p := st.poll(t)
	prepared := engineio.Prepare(engineio.Message{Data: []byte("both")}, engineio.Message{Data: []byte{1, 2}, Binary: true})
	for range 2 {
		if err := (<-st.opened).SendPrepared(prepared); err != nil {
			t.Fatal(err)
		}
	}
	wantNext(t, c, "4both")
	wantNext(t, c, "bytes:\x01\x02")
	wantGet(t, p, 200, "4both\x1ebAQI=")
}

func TestUntidyEnds(t *testing.T) {
	st := start(t, engineio.Options{CloseTimeout: 50 * time.Millisecond})
	// One who never answers the close frame.
	c := st.dial(t)
	s := <-st.opened
	s.Close(engineio.ReasonForced)
	s.Close(engineio.ReasonForced)
	st.wantReason(t, engineio.ReasonForced)
	eventually(t, "the session is gone", func() bool { return st.Sessions() == 0 })
	if _, _, err := c.Read(); !errors.Is(err, io.EOF) {
		t.Fatalf("read %v", err)
	}
	// One whose connection is reset.
	c = st.dial(t)
	_ = c.Net.(*net.TCPConn).SetLinger(0)
	c.Close()
	st.wantReason(t, engineio.ReasonTransportClose)
}
